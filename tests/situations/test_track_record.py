"""Tests of track records."""

from datetime import date, timedelta

import httpx

from tests.situations.helpers import set_outcome, track_record, warn, warning_of
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite


async def test_track_record_counts_outcomes_and_days_off(client: httpx.AsyncClient, reference: Reference) -> None:
    """Warnings came true earlier, in time and later, were averted or overtaken, or are pending."""
    days = {"food": ("2016-08-12", "2016-08-20"), "water": ("2016-08-12", "2016-08-20"), "medical": (None, "2016-08-12")}
    supplies = ("food", "water", "fuel", "medical", "shelter", "hygiene", "electricity")
    warnings = await post_all(client, *(warning_of(supply, *days.get(supply, ("2016-08-12",))) for supply in supplies))
    facts = zip(supplies, ("2016-08-09", "2016-08-15", "2016-08-19", None), strict=False)
    ran_out = {"source": "monitor", "stated_at": "2016-08-20", "value": {"state": "ran_out"}}
    shown = await post_all(client, *(warning_of(supply, day, **ran_out) for supply, day in facts))
    for warning, evidence in zip(warnings, shown, strict=False):
        await set_outcome(client, warning, "materialised", evidence)
    *_, averted, overtaken, _ = warnings
    resupplied = {"source": "monitor", "stated_at": "2016-08-05", "value": {"state": "resupplied"}}
    convoy, other = await post_all(client, *(warning_of(supply, None, **resupplied) for supply in ("shelter", "hygiene")))
    await set_outcome(client, averted, "averted", convoy)
    await set_outcome(client, overtaken, "overtaken", other)
    found = await track_record(client)
    assert (found["source"], found["as_of"], found["fell_due"]) == ("agency", "2016-12-31T23:59:59.999999Z", 7)
    assert [found[name] for name in ("materialised", "averted", "overtaken", "unknown", "pending")] == [4, 1, 1, 0, 1]
    assert found["days_off"] == {"median": 3.5, "earliest": -3, "latest": 8}
    by_days = {each["days_off"]: each for each in found["items"] if each["outcome"] == "materialised"}
    assert {off: each["fact"] for off, each in by_days.items()} == {-3: "2016-08-09", 0: "2016-08-15", 7: "2016-08-19", 8: "2016-08-20"}
    assert (by_days[8]["runs_out_earliest"], by_days[8]["runs_out_latest"]) == (None, "2016-08-12")
    # Before the evidence, the warnings that had fallen due were pending, and the others had not fallen due.
    early = await track_record(client, as_of="2016-08-15")
    assert {each["outcome"] for each in early["items"]} == {"pending", "averted", "overtaken"}
    assert (early["fell_due"], early["pending"]) == (5, 3)
    assert (await track_record(client, "monitor"))["fell_due"] == 0
    assert (await client.get("/v1/sources/nobody/record")).status_code == 404


@mostly_sqlite
async def test_track_record_scores_each_of_repeated_warnings_by_its_own_date(client: httpx.AsyncClient, reference: Reference) -> None:
    """Ten weekly warnings of three weeks, with nothing run out, did not come true; the last that is not past is not counted yet."""
    days = [date(2016, 6, 1) + timedelta(days=7 * week) for week in range(10)]
    value = {"supply": "food", "in_days_min": 21, "in_days_max": 21}
    await post_all(client, *(report("supply_runout", value, stated_at=day.isoformat()) for day in days))
    found = await track_record(client)
    assert (found["fell_due"], found["pending"], found["materialised"], found["lead_days"]) == (10, 10, 0, None)
    # All but the last were renewed: one false alarm, repeated.
    assert [found[name] for name in ("hits", "false_alarms", "renewals", "score")] == [0, 1, 9, 0.0]
    assert [each["renewed"] for each in found["items"]] == [True] * 9 + [False]
    assert (await track_record(client, as_of="2016-08-17"))["fell_due"] == 8
    # It runs out 16 days after the last: a hit of that warning alone, five days early.
    shown = await post(
        client, **report("supply_runout", source="monitor", stated_at="2016-08-19") | {"value": {"supply": "food", "state": "ran_out"}}
    )
    found = await track_record(client)
    assert [(each["outcome"], each["lead_days"], each["days_off"]) for each in found["items"][-3:]] == [
        ("pending", None, None),
        ("pending", None, None),
        ("materialised", 16, -5),
    ]
    assert shown["id"] not in str(found)
    assert [found[name] for name in ("hits", "false_alarms", "renewals", "score")] == [1, 0, 9, 1.0]


@mostly_sqlite
async def test_track_record_score_needs_ten_warnings(client: httpx.AsyncClient, reference: Reference) -> None:
    """Seven come true, two do not, and one is averted, which counts for neither."""
    supplies = ("food", "water", "fuel", "medical", "shelter", "hygiene", "electricity", "basic")
    await post_all(client, *(warning_of(each, "2016-08-12") for each in supplies), warning_of("food", "2016-08-12", place="country"))
    days = [f"2016-08-0{day}" for day in (1, 3, 5, 7, 9, 9, 9)]
    happened = {"source": "monitor", "stated_at": "2016-08-09", "value": {"state": "ran_out"}}
    await post_all(client, *(warning_of(each, day, **happened) for each, day in zip(supplies, days, strict=False)))
    found = await track_record(client)
    assert [found[name] for name in ("fell_due", "hits", "false_alarms", "renewals", "lead_days", "score")] == [9, 7, 2, 0, 10, None]
    averted, convoy = await post_all(
        client,
        warning_of("water", "2016-08-12", place="country"),
        warning_of("water", None, place="country", source="monitor", stated_at="2016-08-05", value={"state": "resupplied"}),
    )
    await set_outcome(client, averted, "averted", convoy)
    found = await track_record(client)
    assert [found[name] for name in ("fell_due", "hits", "false_alarms", "averted", "score")] == [10, 7, 2, 1, 0.78]


@mostly_sqlite
async def test_track_record_leaves_out_relayed_warnings(client: httpx.AsyncClient, reference: Reference) -> None:
    """A source warned once: neither a paraphrase of its words nor a report that relays them is a further warning."""
    said = await warn(client, "food", "2016-08-12")
    paraphrase = {"via": ["outlet"], "directness": "paraphrased"}
    await warn(client, "food", "2016-08-19", stated_at="2016-07-29", provenance=paraphrase)
    await warn(client, "food", "2016-08-19", stated_at="2016-07-29", source="monitor", provenance={"relays": said["id"]})
    assert [each["report"] for each in (await track_record(client))["items"]] == [said["id"]]
    assert (await track_record(client, "monitor"))["fell_due"] == 0
    # Without the words themselves, the paraphrase is what is known of them.
    await post(client, f"/v1/reports/{said['id']}/retraction", reason="withdrawn")
    assert [each["runs_out_earliest"] for each in (await track_record(client))["items"]] == ["2016-08-19"]


@mostly_sqlite
async def test_track_record_leaves_out_amended_warnings(client: httpx.AsyncClient, reference: Reference) -> None:
    # Neither the report that it ran out nor a warning after the outcome replaces a warning.
    water = await warn(client, "water", "2016-08-12")
    fact = await warn(client, "water", "2016-08-10", stated_at="2016-08-11", value={"state": "ran_out"})
    await set_outcome(client, water, "materialised", fact)
    assert [each["days_off"] for each in (await track_record(client))["items"] if each["report"] == water["id"]] == [-2]
    fuel = await warn(client, "fuel", "2016-08-12")
    convoy = await warn(client, "fuel", None, source="monitor", stated_at="2016-08-05", value={"state": "resupplied"})
    await set_outcome(client, fuel, "averted", convoy)
    await warn(client, "fuel", "2016-09-12", stated_at="2016-08-10")
    assert [each["outcome"] for each in (await track_record(client))["items"] if each["report"] == fuel["id"]] == ["averted"]
    # Corrected and retracted warnings count until then.
    wrong = await warn(client, "shelter", "2016-08-12")
    before = wrong["recorded_at"]
    body = report("supply_runout", {"supply": "shelter"}, source="envoy", reason="the envoy said so")
    await post(client, f"/v1/reports/{wrong['id']}/correction", **body)
    gone = await warn(client, "hygiene", "2016-08-12")
    after = gone["recorded_at"]
    await post(client, f"/v1/reports/{gone['id']}/retraction", reason="withdrawn")
    counted = {each["report"] for each in (await track_record(client))["items"]}
    assert not counted & {wrong["id"], gone["id"]}
    assert wrong["id"] in {each["report"] for each in (await track_record(client, known_at=before))["items"]}
    counted = {each["report"] for each in (await track_record(client, known_at=after))["items"]}
    assert (wrong["id"] in counted, gone["id"] in counted) == (False, True)
    assert [each["outcome"] for each in (await track_record(client, "envoy"))["items"]] == ["pending"]
