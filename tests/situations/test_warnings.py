"""Tests of warnings and their outcomes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.situations.helpers import due_warnings, set_outcome, track_record, warn, warning_of
from tests.support.factories import SEEDED, Reference, post, post_all, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only


async def test_warnings_are_sorted_by_due_date_and_end_with_an_outcome(client: httpx.AsyncClient, reference: Reference) -> None:
    food, fuel, *_ = await post_all(
        client,
        warning_of("food", "2016-08-12", "2016-08-20"),
        warning_of("fuel", None, "2016-08-12"),
        warning_of("water", "2016-08-05", place="country"),
        warning_of("medical", "2016-08-05", source="monitor"),
        warning_of("shelter", None, value={"relative_text": "hours, if not days", "imminence": "hours"}),
        warning_of("basic", None, value={"imminence": "weeks"}),
        warning_of("hygiene", "2016-07-28", value={"state": "ran_out"}),
        warning_of("electricity", "2016-08-19", value={"state": "low"}),
    )
    expected = [
        ("shelter", None, None),
        ("water", -5, "2016-08-05"),
        ("medical", -5, "2016-08-05"),
        ("food", 2, "2016-08-12"),
        ("fuel", 2, "2016-08-12"),
        ("electricity", 9, "2016-08-19"),
    ]
    for params, wanted in (
        ({"within_days": 7}, expected[:5]),
        ({}, expected[:5]),
        ({"within_days": 9}, expected),
        ({"within_days": 8}, expected[:5]),
        ({"within_days": 1}, expected[:3]),
        ({"within_days": 0, "place": "oldtown"}, [expected[0], expected[2]]),
        ({"place": "country"}, expected[1:2]),
        ({"place": "country", "within": True}, expected[:5]),
        ({"country": "LBN"}, []),
        ({"unresolved": True}, []),
    ):
        found = await due_warnings(client, as_of="2016-08-10", **params)
        assert sorted(found, key=lambda each: each[1] or "") == found
        assert set(found) == {(supply, day, left, left is not None and left < 0) for supply, left, day in wanted}, params
        assert len(found) == len(wanted)
    whole = await due_warnings(client, as_of="2016-08-10", within_days=9)
    assert await due_warnings(client, as_of="2016-08-10", within_days=9, limit=2) == whole
    # 30 days after their due date they are unresolved.
    for as_of, listed in (("2016-09-04", 2), ("2016-09-05", 0)):
        found = await due_warnings(client, as_of=as_of)
        assert [each[0] for each in found if each[1] == "2016-08-05"] == [each[0] for each in whole if each[1] == "2016-08-05"][:listed]
        # With the undated one, stated on 28 July.
        assert len(await due_warnings(client, as_of=as_of, unresolved=True)) == 3 - listed
    # Now, years later, none has an outcome; the stored documents are in the same order and pages.
    assert [each[:2] for each in await due_warnings(client, unresolved=True)] == [each[:2] for each in whole]
    assert await due_warnings(client, limit=2, unresolved=True) == await due_warnings(client, unresolved=True)
    assert all(past == (due is not None) for _, due, _, past in await due_warnings(client, unresolved=True))
    assert await due_warnings(client) == []
    convoy = await warn(client, "hygiene", None, source="monitor", stated_at="2016-08-09", value={"state": "resupplied"})
    before = (await client.get("/v1/ledger/head")).json()["recorded_at"]
    for warning, outcome in ((food, "averted"), (fuel, "unknown")):
        await set_outcome(client, warning, outcome, convoy)
    assert {each[0] for each in await due_warnings(client, unresolved=True)} == {"water", "medical", "electricity", "shelter"}
    assert {each[0] for each in await due_warnings(client, as_of="2016-08-10")} == {"water", "medical", "shelter"}
    past = {"known_at": before, "unresolved": True}
    assert await due_warnings(client, **past) == await due_warnings(client, **past, limit=1)
    assert len(await due_warnings(client, **past)) == 6
    for params, name in (({"within_days": -1}, "within_days"), ({"within_days": "x"}, "within_days"), ({"cursor": "x"}, "cursor")):
        answer = await client.get("/v1/warnings", params=params)
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]


@mostly_sqlite
async def test_undated_warning_is_unresolved_30_days_after_it_was_stated(client: httpx.AsyncClient, reference: Reference) -> None:
    day = datetime.now(UTC).date()
    old, new = (f"{day - timedelta(days=each)}" for each in (31, 30))
    hours = {"imminence": "hours"}
    await warn(client, "food", None, stated_at=old, value=hours)
    await warn(client, "water", None, stated_at=new, value=hours)
    await warn(client, "fuel", f"{day}", stated_at=old, value=hours)
    await warn(client, "medical", None, stated_at=old, value=hours)
    # Another source says so again; words of weeks do not, nor does a party beside a sound source.
    await warn(client, "medical", None, stated_at=new, value={"imminence": "days"}, source="monitor")
    await warn(client, "food", None, stated_at=new, value={"imminence": "weeks"}, source="monitor")
    await warn(client, "food", None, stated_at=new, value=hours, source="army")
    recorded = (await client.get("/v1/ledger/head")).json()["recorded_at"]
    for params in ({}, {"known_at": recorded}):
        assert {each[:2] for each in await due_warnings(client, **params)} == {("water", None), ("medical", None), ("fuel", f"{day}")}
        assert await due_warnings(client, **params, limit=1) == await due_warnings(client, **params)
        assert await due_warnings(client, **params, unresolved=True) == [("food", None, None, False)]
    assert next(each[:2] for each in await due_warnings(client, as_of=f"{day - timedelta(days=1)}")) == ("food", None)
    assert await due_warnings(client, as_of="1900-01-10", unresolved=True) == []
    assert len(await due_warnings(client, as_of="9999-12-31", unresolved=True)) == 4


@mostly_sqlite
async def test_outcome_is_valid_until_a_later_report_is_preferred(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-12")
    convoy = report("supply_runout", source="monitor", stated_at="2016-08-10") | {"value": {"supply": "food", "state": "resupplied"}}
    evidence = await post(client, **convoy)
    told = await set_outcome(client, warning, "averted", evidence)
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
    # The evidence was stated on the 10th.
    assert await outcome(as_of="2016-08-09") == "pending"
    assert await outcome(as_of="2016-08-10") == "averted"
    assert await outcome(known_at=warning["recorded_at"]) == "pending"
    # `pending` takes it back, and another outcome can follow.
    await set_outcome(client, warning, "pending", evidence)
    assert (await outcome(), len(await due_warnings(client, as_of="2016-08-10"))) == ("pending", 1)
    assert (await track_record(client, as_of="2016-08-12"))["fell_due"] == 0
    await set_outcome(client, warning, "overtaken", evidence)
    assert (await outcome(), await due_warnings(client, as_of="2016-08-10")) == ("overtaken", [])
    assert (await track_record(client, as_of="2016-08-12"))["overtaken"] == 1
    await warn(client, "food", "2016-08-13", source="army", stated_at="2016-08-01")
    assert await outcome() == "overtaken", "an outcome ends the warnings stated before its evidence"
    await warn(client, "food", "2016-08-30", stated_at="2016-08-20")
    assert await outcome() == "pending"
    change = (await client.get("/v1/changes")).json()["items"][SEEDED + 2]
    assert (change["type"], change["detail"], change["reason"]) == ("outcome", {"outcome": "averted"}, "it was seen")


@sqlite_only
async def test_delivery_of_other_supplies_shows_no_outcome(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-12")
    path = f"/v1/indicators/{warning['indicator']}/outcome"
    deliveries = [
        ({"supplies": ["water"]}, 422),
        ({"supplies": []}, 422),
        ({"removed": ["food"]}, 422),
        ({"supplies": ["water", "food"], "removed": ["food"]}, 422),
        ({"supplies": ["food"], "removed": ["food"]}, 422),
        ({"supplies": ["basic"], "removed": ["food"]}, 422),
        ({"supplies": ["basic"], "removed": ["water"]}, 201),
        ({"supplies": ["water", "food"]}, 201),
        ({"supplies": ["basic"]}, 201),
        ({}, 201),
    ]
    for at, (what, status) in enumerate(deliveries):
        value = {"operation": f"convoy-{at}", "stage": "delivered"} | what
        seen = await post(client, **report("aid_delivery", value, stated_at="2016-08-10"))
        answer = await client.post(path, json={"outcome": "averted", "reason": "a convoy", "report": seen["id"]})
        assert answer.status_code == status, what
        if status == 422:
            assert [(each["pointer"], "other supplies than food" in each["detail"]) for each in answer.json()["errors"]] == [
                ("/report", True)
            ]


@sqlite_only
async def test_outcome_that_would_change_nothing_is_rejected(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await warn(client, "food", "2016-08-12")
    path, convoys = f"/v1/indicators/{warning['indicator']}/outcome", {}
    for at, stage in enumerate(("planned", "turned_back", "delivered", "partly_delivered")):
        value = {"operation": f"convoy-{at}", "stage": stage, "on_earliest": "2016-08-10"}
        convoys[stage] = await post(client, **report("aid_delivery", value, stated_at="2016-08-10"))

    async def try_outcome(outcome: str, seen: dict[str, Any]) -> tuple[int, list[str]]:
        answer = await client.post(path, json={"outcome": outcome, "reason": "it was seen", "report": seen["id"]})
        return answer.status_code, [each["pointer"] for each in answer.json().get("errors", [])]

    for stage, status in (("planned", 422), ("turned_back", 422), ("delivered", 201), ("partly_delivered", 201)):
        assert (await try_outcome("averted", convoys[stage]))[0] == status, stage
        await set_outcome(client, warning, "pending", convoys[stage])
    assert await try_outcome("overtaken", convoys["turned_back"]) == (201, [])
    ran_out = await warn(client, "food", None, source="monitor", stated_at="2016-08-15", value={"state": "ran_out"})
    assert await try_outcome("averted", ran_out) == (422, ["/report"])
    value = (await client.get(f"/v1/indicators/{warning['indicator']}")).json()["value"]
    assert (value["state"], value["outcome"]) == ("ran_out", None)
    late = await post(client, **report("aid_delivery", {"operation": "late", "stage": "delivered"}, stated_at="2016-08-16"))
    for outcome in ("averted", "overtaken", "unknown"):
        assert await try_outcome(outcome, late) == (422, ["/outcome"])
    assert await try_outcome("materialised", ran_out) == (201, [])


@mostly_sqlite
async def test_outcome_without_a_warning_or_evidence_is_rejected(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
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
    assert (await client.get("/v1/ledger/head")).json()["seq"] == SEEDED + 2


@mostly_sqlite
async def test_warnings_and_track_records_reveal_nothing_above_the_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    clear = await warn(client, "food", "2016-08-12")
    hidden = await warn(client, "food", "2016-08-01", stated_at="2016-07-29", sensitivity="amber")
    shown = await warn(
        client, "food", "2016-08-09", source="monitor", value={"state": "ran_out"}, sensitivity="red", stated_at="2016-08-10"
    )
    green = await make_client(clearance=Label.GREEN)
    amber = await make_client(clearance=Label.AMBER)
    assert [each[1] for each in await due_warnings(anonymous, unresolved=True)] == ["2016-08-12"]
    assert [each[1] for each in await due_warnings(amber, unresolved=True)] == ["2016-08-01"]
    assert [each["report"] for each in (await track_record(anonymous))["items"]] == [clear["id"]]
    assert [each["report"] for each in (await track_record(amber))["items"]] == [clear["id"], hidden["id"]]
    await set_outcome(client, clear, "materialised", shown)
    for reader in (anonymous, green):
        assert [each[1] for each in await due_warnings(reader, unresolved=True)] == ["2016-08-12"]
        assert [each["outcome"] for each in (await track_record(reader))["items"]] == ["pending"]
    seen = [(each["outcome"], each["days_off"]) for each in (await track_record(client))["items"]]
    assert seen == [("materialised", -3), ("materialised", 8)]


@mostly_sqlite
@pytest.mark.parametrize("name", ["as_of", "known_at"])
async def test_invalid_time_is_rejected_at_its_parameter(client: httpx.AsyncClient, reference: Reference, name: str) -> None:
    for path in ("/v1/warnings", "/v1/sources/agency/record"):
        answer = await client.get(path, params={name: "soon"})
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]
