"""Warnings that fall due, what became of them, and how often a source was right."""

from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import MakeClient


async def post(client: httpx.AsyncClient, path: str = "/v1/reports", **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def warning_of(supply: str, first: str | None, last: str | None = None, **more: Any) -> dict[str, Any]:
    """A statement that a supply runs out between two days."""
    value: dict[str, Any] = {"supply": supply, "in_days_min": None, "in_days_max": None}
    body = report("supply_runout", value | {"runs_out_earliest": first, "runs_out_latest": last or first} | more.pop("value", {}), **more)
    body["value"] = {name: each for name, each in body["value"].items() if each is not None}
    return body


async def warn(client: httpx.AsyncClient, supply: str, first: str | None, last: str | None = None, **more: Any) -> dict[str, Any]:
    """Report it alone."""
    return await post(client, **warning_of(supply, first, last, **more))


async def settle(client: httpx.AsyncClient, warning: dict[str, Any], outcome: str, evidence: dict[str, Any]) -> dict[str, Any]:
    """Say what became of a warning."""
    body = {"outcome": outcome, "reason": "it was seen", "report": evidence["id"]}
    return await post(client, f"/v1/indicators/{warning['indicator']}/outcome", **body)


async def due(client: httpx.AsyncClient, **params: Any) -> list[tuple[str, str, int, bool]]:
    """The warnings of all pages: the supply, the day, days left, whether past due."""
    found = []
    path = str(httpx.URL("/v1/warnings", params=params))
    while True:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [(each["indicator"]["value"]["supply"], each["due"], each["days_left"], each["past_due"]) for each in page["items"]]
        if page["next"] is None:
            return found
        path = answer.links["next"]["url"]


async def test_the_soonest_first_and_those_past_due_stay_until_an_outcome(client: httpx.AsyncClient, reference: Reference) -> None:
    food, fuel, *_ = await post_all(
        client,
        warning_of("food", "2016-08-12", "2016-08-20"),
        warning_of("fuel", None, "2016-08-12"),
        warning_of("water", "2016-08-05", place="country"),
        warning_of("medical", "2016-08-05", source="monitor"),
        warning_of("shelter", None, value={"relative_text": "hours, if not days"}),
        warning_of("hygiene", "2016-08-01", value={"state": "ran_out"}),
        warning_of("electricity", "2016-08-19", value={"state": "low"}),
    )
    expected = [
        ("water", -5, "2016-08-05"),
        ("medical", -5, "2016-08-05"),
        ("food", 2, "2016-08-12"),
        ("fuel", 2, "2016-08-12"),
        ("electricity", 9, "2016-08-19"),
    ]
    for params, wanted in (
        ({"within_days": 7}, expected[:4]),
        ({}, expected[:4]),
        ({"within_days": 9}, expected),
        ({"within_days": 8}, expected[:4]),
        ({"within_days": 1}, expected[:2]),
        ({"within_days": 0, "place": "oldtown"}, expected[1:2]),
        ({"place": "country"}, expected[:1]),
        ({"place": "country", "within": True}, expected[:4]),
        ({"country": "LBN"}, []),
    ):
        found = await due(client, as_of="2016-08-10", **params)
        assert sorted(found, key=lambda each: each[1]) == found
        assert sorted(found) == sorted((supply, day, left, left < 0) for supply, left, day in wanted), params
    whole = await due(client, as_of="2016-08-10", within_days=9)
    assert await due(client, as_of="2016-08-10", within_days=9, limit=2) == whole
    # Now, years later, none of them has been settled; read from what is stored, in the same order, in the same pages.
    assert [each[:2] for each in await due(client)] == [each[:2] for each in whole]
    assert await due(client, limit=2) == await due(client)
    assert all(past for *_, past in await due(client))
    before = (await client.get("/v1/ledger/head")).json()["recorded_at"]
    await settle(client, food, "averted", fuel)
    await settle(client, fuel, "unknown", fuel)
    assert {each[0] for each in await due(client)} == {"water", "medical", "electricity"}
    assert {each[0] for each in await due(client, as_of="2016-08-10")} == {"water", "medical"}
    assert await due(client, known_at=before) == await due(client, known_at=before, limit=1)
    assert len(await due(client, known_at=before)) == 5
    for params, name in (({"within_days": -1}, "within_days"), ({"within_days": "x"}, "within_days"), ({"cursor": "x"}, "cursor")):
        answer = await client.get("/v1/warnings", params=params)
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]


async def test_an_outcome_holds_until_a_later_report_is_preferred(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-12")
    evidence = await post(client, **report("route_closure", {"status": "open"}, stated_at="2016-08-10"))
    told = await settle(client, warning, "averted", evidence)
    assert (told["type"], told["outcome"], told["report"], told["indicator"]) == (
        "outcome",
        "averted",
        evidence["id"],
        warning["indicator"],
    )

    async def outcome(**params: str) -> str:
        found: str = (await client.get(f"/v1/indicators/{warning['indicator']}", params=params)).json()["value"]["outcome"]
        return found

    assert await outcome() == "averted"
    # Nobody knew on the 9th what was only shown on the 10th.
    assert await outcome(as_of="2016-08-09") == "pending"
    assert await outcome(as_of="2016-08-10") == "averted"
    assert await outcome(known_at=warning["recorded_at"]) == "pending"
    # It can be taken back, and said again otherwise.
    await settle(client, warning, "pending", evidence)
    assert (await outcome(), len(await due(client, as_of="2016-08-10"))) == ("pending", 1)
    assert (await record(client, as_of="2016-08-12"))["fell_due"] == 0
    await settle(client, warning, "overtaken", evidence)
    assert (await outcome(), await due(client, as_of="2016-08-10")) == ("overtaken", [])
    assert (await record(client, as_of="2016-08-12"))["overtaken"] == 1
    await warn(client, "food", "2016-08-13", source="army", stated_at="2016-08-01")
    assert await outcome() == "overtaken", "a worse source is not preferred"
    await warn(client, "food", "2016-08-30", stated_at="2016-08-20")
    assert await outcome() == "pending"
    change = (await client.get("/v1/changes")).json()["items"][2]
    assert (change["type"], change["detail"], change["reason"]) == ("outcome", {"outcome": "averted"}, "it was seen")


async def test_what_no_outcome_can_be_set_on(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-12")
    people = await post(client, **report())
    path = f"/v1/indicators/{warning['indicator']}/outcome"
    good = {"outcome": "averted", "reason": "a convoy", "report": people["id"]}
    for body, pointer in (
        (good | {"outcome": "other"}, "/outcome"),
        (good | {"reason": ""}, "/reason"),
        ({"outcome": "averted", "report": people["id"]}, "/reason"),
        ({"outcome": "averted", "reason": "a convoy"}, "/report"),
        (good | {"report": warning["indicator"]}, "/report"),
        (good | {"report": "no-id"}, "/report"),
        (good | {"more": 1}, "/more"),
    ):
        answer = await client.post(path, json=body)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert (await client.post(f"/v1/indicators/{people['indicator']}/outcome", json=good)).status_code == 409
    assert (await client.post(f"/v1/indicators/{people['id']}/outcome", json=good)).status_code == 404
    reporter = await make_client(Scope.READ, Scope.REPORT)
    assert (await reporter.post(path, json=good)).status_code == 403
    assert (await client.get("/v1/ledger/head")).json()["seq"] == 2


async def record(client: httpx.AsyncClient, source: str = "agency", **params: str) -> dict[str, Any]:
    """A source's record, and of each warning the supply's days, what became of it and how far off it was."""
    answer = await client.get(f"/v1/sources/{source}/record", params={"as_of": "2016-12-31"} | params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert (
        found["fell_due"]
        == len(found["items"])
        == sum(found[name] for name in ("materialised", "averted", "overtaken", "unknown", "pending"))
    )
    return found


async def test_a_sources_record(client: httpx.AsyncClient, reference: Reference) -> None:
    """Earlier than said, within the days named, later than said; averted, overtaken, open; and what does not count."""
    days = {"food": ("2016-08-12", "2016-08-20"), "water": ("2016-08-12", "2016-08-20"), "medical": (None, "2016-08-12")}
    supplies = ("food", "water", "fuel", "medical", "shelter", "hygiene", "electricity")
    warnings = await post_all(client, *(warning_of(supply, *days.get(supply, ("2016-08-12",))) for supply in supplies))
    facts = zip(supplies, ("2016-08-09", "2016-08-15", "2016-08-19", None), strict=False)
    ran_out = {"source": "monitor", "stated_at": "2016-08-20", "value": {"state": "ran_out"}}
    shown = await post_all(client, *(warning_of(supply, day, **ran_out) for supply, day in facts))
    for warning, evidence in zip(warnings, shown, strict=False):
        await settle(client, warning, "materialised", evidence)
    *_, averted, overtaken, _ = warnings
    await settle(client, averted, "averted", averted)
    await settle(client, overtaken, "overtaken", overtaken)
    found = await record(client)
    assert (found["source"], found["as_of"], found["fell_due"]) == ("agency", "2016-12-31T23:59:59.999999Z", 7)
    assert [found[name] for name in ("materialised", "averted", "overtaken", "unknown", "pending")] == [4, 1, 1, 0, 1]
    assert found["days_off"] == {"median": 3.5, "earliest": -3, "latest": 8}
    by_days = {each["days_off"]: each for each in found["items"] if each["outcome"] == "materialised"}
    assert {off: each["fact"] for off, each in by_days.items()} == {-3: "2016-08-09", 0: "2016-08-15", 7: "2016-08-19", 8: "2016-08-20"}
    assert (by_days[8]["runs_out_earliest"], by_days[8]["runs_out_latest"]) == (None, "2016-08-12")
    # Before the evidence was there: what had fallen due was open, the rest had not fallen due.
    early = await record(client, as_of="2016-08-15")
    assert {each["outcome"] for each in early["items"]} == {"pending", "averted", "overtaken"}
    assert (early["fell_due"], early["pending"]) == (5, 3)
    assert (await record(client, "monitor"))["fell_due"] == 0
    assert (await client.get("/v1/sources/nobody/record")).status_code == 404


async def test_what_was_replaced_or_amended_does_not_count(client: httpx.AsyncClient, reference: Reference) -> None:
    replaced = await warn(client, "food", "2016-08-12")
    last = await warn(client, "food", "2016-08-19", stated_at="2016-08-01")
    assert [each["report"] for each in (await record(client))["items"]] == [last["id"]]
    # Replaced after its last day: both fell due.
    again = await warn(client, "food", "2016-09-19", stated_at="2016-08-20")
    assert [each["report"] for each in (await record(client))["items"]] == [last["id"], again["id"]]
    assert replaced["id"] not in str(await record(client))
    # The word that it has run out replaces no warning: it is the fact. Nor does a warning that came after the outcome.
    water = await warn(client, "water", "2016-08-12")
    fact = await warn(client, "water", "2016-08-10", stated_at="2016-08-11", value={"state": "ran_out"})
    await settle(client, water, "materialised", fact)
    assert [each["days_off"] for each in (await record(client))["items"] if each["report"] == water["id"]] == [-2]
    fuel = await warn(client, "fuel", "2016-08-12")
    await settle(client, fuel, "averted", fuel)
    await warn(client, "fuel", "2016-09-12", stated_at="2016-08-10")
    assert [each["outcome"] for each in (await record(client))["items"] if each["report"] == fuel["id"]] == ["averted"]
    # Corrected and withdrawn ones are not held against it, but were until then.
    wrong = await warn(client, "shelter", "2016-08-12")
    before = wrong["recorded_at"]
    body = report("supply_runout", {"supply": "shelter"}, source="envoy", reason="the envoy said so")
    await post(client, f"/v1/reports/{wrong['id']}/correction", **body)
    gone = await warn(client, "hygiene", "2016-08-12")
    after = gone["recorded_at"]
    await post(client, f"/v1/reports/{gone['id']}/retraction", reason="withdrawn")
    counted = {each["report"] for each in (await record(client))["items"]}
    assert not counted & {wrong["id"], gone["id"]}
    assert wrong["id"] in {each["report"] for each in (await record(client, known_at=before))["items"]}
    counted = {each["report"] for each in (await record(client, known_at=after))["items"]}
    assert (wrong["id"] in counted, gone["id"] in counted) == (False, True)
    assert [each["outcome"] for each in (await record(client, "envoy"))["items"]] == ["pending"]


async def test_warnings_and_records_are_those_of_the_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    clear = await warn(client, "food", "2016-08-12")
    hidden = await warn(client, "food", "2016-08-01", stated_at="2016-07-29", sensitivity="amber")
    shown = await warn(
        client, "food", "2016-08-09", source="monitor", value={"state": "ran_out"}, sensitivity="red", stated_at="2016-08-10"
    )
    green = await make_client(clearance=Label.GREEN)
    amber = await make_client(clearance=Label.AMBER)
    assert [each[1] for each in await due(anonymous)] == ["2016-08-12"]
    assert [each[1] for each in await due(amber)] == ["2016-08-01"]
    assert [each["report"] for each in (await record(anonymous))["items"]] == [clear["id"]]
    assert [each["report"] for each in (await record(amber))["items"]] == [hidden["id"]]
    await settle(client, clear, "materialised", shown)
    for reader in (anonymous, green):
        assert [each[1] for each in await due(reader)] == ["2016-08-12"]
        assert [each["outcome"] for each in (await record(reader))["items"]] == ["pending"]
    assert [(each["outcome"], each["days_off"]) for each in (await record(client))["items"]] == [("materialised", 8)]


@pytest.mark.parametrize("name", ["as_of", "known_at"])
async def test_a_wrong_time_is_named(client: httpx.AsyncClient, reference: Reference, name: str) -> None:
    for path in ("/v1/warnings", "/v1/sources/agency/record"):
        answer = await client.get(path, params={name: "soon"})
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]
