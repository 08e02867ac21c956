"""Tests of `as_of` (stated by then) and `known_at` (recorded by then), to the microsecond."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.factories import Reference, listed, post, post_all, report
from tests.support.fixtures import mostly_sqlite, sqlite_only


async def people(client: httpx.AsyncClient, **params: Any) -> list[Any]:
    """Return the figure, range and agreement of each indicator in the list, which must agree with the indicator itself."""
    found = []
    for item in (await client.get("/v1/trapped-populations", params=params)).json()["items"]:
        detail = (await client.get(item["links"]["self"], params=params)).json()
        assert listed(detail, item) == item
        value = item["value"] or {}
        found.append((value.get("people"), value.get("people_low"), value.get("people_high"), item["agreement"]))
    return found


def later(text: str, microseconds: int) -> str:
    """Return a time some microseconds later."""
    return (datetime.fromisoformat(text) + timedelta(microseconds=microseconds)).isoformat()


async def test_as_of_has_microseconds_and_a_date_means_its_end(client: httpx.AsyncClient, reference: Reference) -> None:
    stated = ("2016-07-28", "2016-07-28T23:59:59.999999Z", "2016-07-29T01:00:00.000001+02:00")
    await post_all(client, *(report(value={"people": people}, stated_at=at) for people, at in enumerate(stated, 1)))
    for as_of, expected in (
        ("2016-07-27", None),
        ("2016-07-27T23:59:59.999999Z", None),
        ("2016-07-28T00:00:00Z", 1),
        ("2016-07-28T02:00:00+02:00", 1),
        ("2016-07-28T01:59:59.999999+02:00", None),
        ("2016-07-28T23:00:00Z", 1),
        ("2016-07-28T23:00:00.000001Z", 3),
        ("2016-07-29T00:59:59.999999+01:59", 3),
        ("2016-07-28T23:59:59.999998Z", 3),
        ("2016-07-28T23:59:59.999999Z", 2),
        ("2016-07-28", 2),
        ("2999-01-01", 2),
    ):
        assert [each[0] for each in await people(client, as_of=as_of)] == ([] if expected is None else [expected]), as_of


async def test_known_at_has_microseconds(client: httpx.AsyncClient, reference: Reference) -> None:
    """The time of a commit includes that commit and none after it."""
    recorded = [
        (await post(client, **report(value={"people": number}, stated_at=f"2016-07-{day}")))["recorded_at"]
        for number, day in ((1, 28), (2, 30), (3, 29))
    ]
    assert recorded == sorted(set(recorded))
    for at, expected in ((recorded[0], 1), (recorded[1], 2), (recorded[2], 2)):
        assert [each[0] for each in await people(client, known_at=at)] == [expected]
    assert await people(client, known_at=later(recorded[0], -1)) == []
    assert [each[0] for each in await people(client, known_at=later(recorded[1], -1))] == [1]
    assert await people(client, known_at="2016-12-31") == []
    assert [each[0] for each in await people(client, known_at=recorded[0][:10])] == [2]
    # Both together: stated by 29 July and recorded by then.
    for at, expected in ((recorded[0], 1), (recorded[1], 1), (recorded[2], 3)):
        assert [each[0] for each in await people(client, known_at=at, as_of="2016-07-29")] == [expected]
    assert await people(client, known_at=recorded[2], as_of="2016-07-27") == []


async def test_consecutive_commits_have_different_times(client: httpx.AsyncClient, reference: Reference) -> None:
    """The reports of one list are one commit with one time."""
    await post_all(client, *(report(value={"people": at}, source="envoy" if at % 2 else "agency") for at in (1, 2, 3)))
    for at in range(5):
        await post(client, **report(value={"people": at}, source="monitor"))
    times = [each["recorded_at"] for each in (await client.get("/v1/reports")).json()["items"]]
    assert len(set(times)) == 6
    assert times == sorted(times)


@pytest.fixture
async def amended(client: httpx.AsyncClient, reference: Reference) -> dict[str, Any]:
    """Return the reports on one indicator of each kind, of which the figure is corrected and then retracted."""
    first = await post(client, **report(value={"people": 1}))
    await post(client, **report("route_closure", stated_at="2016-07-29"))
    warning = await post(client, **report("supply_runout", stated_at="2016-07-30"))
    second = await post(
        client, f"/v1/reports/{first['id']}/correction", **report(value={"people": 2}, stated_at="2016-07-29", reason="misread")
    )
    gone = await post(client, f"/v1/reports/{second['id']}/retraction", reason="withdrawn")
    return {"first": first, "warning": warning, "second": second, "gone": gone}


async def test_as_of_and_known_at_apply_to_every_endpoint(client: httpx.AsyncClient, amended: dict[str, Any]) -> None:
    """Lists, one indicator and its history, situations, warnings, reports and track records."""
    first, second, gone = amended["first"], amended["second"], amended["gone"]
    one, indicator = f"/v1/reports/{first['id']}", f"/v1/indicators/{first['indicator']}"

    async def get(path: str, **params: str) -> Any:
        answer = await client.get(path, params=params)
        return answer.json() if answer.status_code == 200 else answer.status_code

    at = first["recorded_at"]
    before = later(at, -1)
    then = await get(one, known_at=at)
    assert (then["status"], then["amended"]) == ("standing", [])
    assert (await get(one, known_at=second["recorded_at"]))["status"] == "superseded"
    assert [each["report"] for each in (await get(one, known_at=gone["recorded_at"]))["amended"]] == [second["id"]]
    assert await get(one, known_at=before) == 404
    assert await get(one, as_of="2016-07-27") == 404
    for params, expected in (
        ({"known_at": at}, 1),
        ({"known_at": before}, 0),
        ({"as_of": "2016-07-28"}, 1),
        ({"as_of": "2016-07-29"}, 3),
        ({"as_of": "2016-07-29", "known_at": amended["warning"]["recorded_at"]}, 2),
        ({"as_of": "2016-07-27"}, 0),
    ):
        assert len((await get("/v1/reports", **params))["items"]) == expected, params
    statuses = [(await get("/v1/reports", status="standing", known_at=each["recorded_at"]))["items"] for each in (first, second, gone)]
    assert [len(each) for each in statuses] == [1, 3, 2]

    assert (await get(indicator, known_at=at))["value"]["people"] == 1
    assert (await get(indicator, known_at=second["recorded_at"]))["value"]["people"] == 2
    withdrawn = await get(indicator, known_at=gone["recorded_at"])
    assert (withdrawn["value"], [each["reason"] for each in withdrawn["left_out"]]) == (None, ["retracted", "superseded"])
    # By 28 July the correction was not stated, and the report that it corrects was wrong from the beginning.
    assert (await get(indicator, as_of="2016-07-28"))["value"] is None
    assert (await get(indicator, as_of="2016-07-28", known_at=at))["value"]["people"] == 1
    assert await get(indicator, as_of="2016-07-27") == 404
    assert await get(indicator, known_at=before) == 404
    assert await get(f"{indicator}/history", known_at=before) == 404
    assert [len((await get(f"{indicator}/history", known_at=each["recorded_at"]))["items"]) for each in (first, second, gone)] == [1, 2, 3]

    for path, key in (("/v1/situations/oldtown", None), ("/v1/situations", "items")):

        async def counts(path: str = path, key: str | None = key, **params: str) -> list[int]:
            body = await get(path, **params)
            every = body[key] if key else [body]
            return [len(every[0][name]) for name in ("trapped", "supplies")] + [every[0]["routes"]["known"]] if every else []

        assert await counts(known_at=at) == [1, 0, 0]
        assert await counts(known_at=second["recorded_at"]) == [1, 1, 1]
        assert await counts(known_at=gone["recorded_at"], as_of="2016-07-29") == [0, 0, 1]
        assert await counts(as_of="2016-07-27") == ([0, 0, 0] if key is None else [])

    assert [each["due"] for each in (await get("/v1/warnings", as_of="2016-08-10"))["items"]] == ["2016-08-13"]
    assert (await get("/v1/warnings", as_of="2016-08-10", known_at=at))["items"] == []
    assert (await get("/v1/warnings", as_of="2016-07-29", within_days="3650"))["items"] == []
    assert (await get("/v1/sources/agency/record", as_of="2016-12-01"))["fell_due"] == 1
    assert (await get("/v1/sources/agency/record", as_of="2016-12-01", known_at=at))["fell_due"] == 0
    assert (await get("/v1/sources/agency/record", as_of="2016-08-01"))["fell_due"] == 0


PATHS = (
    "/v1/indicators",
    "/v1/supply-runouts",
    "/v1/situations",
    "/v1/situations/oldtown",
    "/v1/warnings",
    "/v1/reports",
    "/v1/sources/agency/record",
)


@sqlite_only
async def test_invalid_time_is_rejected_at_its_parameter(client: httpx.AsyncClient, amended: dict[str, Any]) -> None:
    """One list gets every invalid time, each other endpoint one of them, because all parse times alike."""
    own = (f"/v1/indicators/{amended['first']['indicator']}", f"/v1/reports/{amended['first']['id']}")
    more = ("", "today", "2016-13-01", "2016-07-28 24:00Z", "1469664000", "2016-07")
    asked = [(path, "2016-07-28T09:30:00") for path in (*PATHS, *own, f"{own[0]}/history")] + [(PATHS[0], value) for value in more]
    for path, value in asked:
        for name in ("as_of", "known_at"):
            answer = await client.get(path, params={name: value})
            assert answer.status_code == 422, (path, name, value)
            assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]
    wrong = await client.get("/v1/indicators?as_of=x&known_at=y")
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"?as_of", "?known_at"}


async def test_pages_of_the_past_have_each_indicator_once(client: httpx.AsyncClient, reference: Reference) -> None:
    """Filters and cursors work as in the present; indicators without a report by then are left out."""
    concepts = ("trapped", "besieged", "in_need", "at_risk", "remaining", "encircled")
    sources = ("agency", "army")
    sent = [report(value={"concept": each}, stated_at=f"2016-07-{20 + at}", source=sources[at % 2]) for at, each in enumerate(concepts)]
    await post_all(client, *sent)
    for limit in (1, 3, 4):
        seen: list[str] = []
        path = f"/v1/indicators?as_of=2016-07-23&limit={limit}"
        while True:
            answer = await client.get(path)
            page = answer.json()
            assert (page["as_of"], len(page["items"]) <= limit) == ("2016-07-23", True)
            seen += [item["subject"] for item in page["items"]]
            if page["next"] is None:
                break
            path = answer.links["next"]["url"]
        assert sorted(seen) == sorted(concepts[:4]), limit
    for params, expected in (
        ({"source": "army"}, {"besieged", "at_risk"}),
        ({"min_reliability": "B"}, {"trapped", "in_need"}),
        ({"agreement": "contested"}, set()),
        ({"concept": "in_need"}, {"in_need"}),
        ({"stale": "true"}, set()),
        ({"stale": "false"}, set(concepts[:4])),
        ({"place": "country", "within": "true"}, set(concepts[:4])),
        ({"place": "country"}, set()),
        ({"updated_since": "2999-01-01"}, set()),
    ):
        items = (await client.get("/v1/indicators", params={"as_of": "2016-07-23"} | params)).json()["items"]
        assert {item["subject"] for item in items} == expected, params
    stale = (await client.get("/v1/indicators?as_of=2016-10-01&stale=true")).json()["items"]
    assert len(stale) == 6


@mostly_sqlite
async def test_later_grade_changes_no_past_assessment(client: httpx.AsyncClient, reference: Reference) -> None:
    """The present changes at once."""
    await post(client, **report(value={"people": 1}))
    last = await post(client, **report(value={"people": 2}, source="monitor"))
    past = {"as_of": "2016-08-01"}
    paths = ("/v1/indicators", f"/v1/indicators/{last['indicator']}", f"/v1/indicators/{last['indicator']}/history")
    before = [(await client.get(path, params=past)).json() for path in paths]
    assert before[0]["items"][0]["value"]["people"] == 1
    graded = await post(client, "/v1/sources/monitor/grades", reliability="A", reason="was right")
    assert (await client.get("/v1/indicators")).json()["items"][0]["value"]["people"] == 2
    for path, then in zip(paths, before, strict=True):
        now = (await client.get(path, params=past)).json()
        # Only the head of the ledger has changed.
        assert {name: now[name] for name in now if name != "revision" or "items" not in now} == {
            name: then[name] for name in then if name != "revision" or "items" not in then
        }, path
    assert await people(client, known_at=later(graded["recorded_at"], -1)) == [(1, 1, 2, "contested")]
    assert await people(client, as_of=later(graded["recorded_at"], -1)) == [(1, 1, 2, "contested")]
    assert await people(client, as_of=graded["recorded_at"]) == [(2, 1, 2, "contested")]
    assert await people(client, known_at=graded["recorded_at"]) == [(2, 1, 2, "contested")]
    assert await people(client, known_at=graded["recorded_at"], **past) == [(1, 1, 2, "contested")]


@mostly_sqlite
async def test_as_of_now_equals_the_latest(client: httpx.AsyncClient, amended: dict[str, Any]) -> None:
    """This includes grades and outcomes."""
    await post(client, "/v1/sources/agency/grades", reliability="D", reason="was wrong")
    seen = await post(client, **report("supply_runout", {"scope": "agency_stock"}, source="monitor", stated_at="2016-08-05"))
    outcome = {"outcome": "averted", "reason": "a convoy", "report": seen["id"]}
    await post(client, f"/v1/indicators/{amended['warning']['indicator']}/outcome", **outcome)
    now = (await client.get("/v1/indicators")).json()["items"]
    for params in ({"as_of": "2999-01-01"}, {"known_at": "2999-01-01"}, {"as_of": "2999-01-01", "known_at": "2999-01-01"}):
        assert (await client.get("/v1/indicators", params=params)).json()["items"] == now


async def test_response_shows_one_state_of_the_ledger(client: httpx.AsyncClient, reference: Reference) -> None:
    """While reports arrive, the document of an indicator always fits the list of its reports."""
    made = await post(client, **report(value={"people": 0}))
    finished = asyncio.Event()

    async def write() -> None:
        for at in range(1, 6):
            sources = ("agency", "envoy", "monitor")
            await post(client, **report(value={"people": at}, source=sources[at % 3], stated_at=f"2016-07-28T00:{at:02}:00Z"))
        finished.set()

    async def read(path: str) -> int:
        count = 0
        while not finished.is_set():
            found = (await client.get(path)).json()
            standing = found["reports"]
            assert found["assessment"]["reports"] == len(standing)
            assert [each["id"] for each in standing if each["relation"] == "preferred"] == [found["assessment"]["preferred"]]
            assert len({each["source"]["slug"] for each in standing}) == len(standing)
            count += 1
            # A cached response comes without a pause, so that no write could run.
            await asyncio.sleep(0)
        return count

    path = f"/v1/indicators/{made['indicator']}"
    _, *counts = await asyncio.gather(write(), read(path), read(f"{path}?as_of=2999-01-01"))
    assert min(counts) > 0
