"""Time travel: what was being said by then (`as_of`), and what this service had recorded by then (`known_at`), to the microsecond."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import sqlite_only


async def post(client: httpx.AsyncClient, path: str = "/v1/reports", **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def people(client: httpx.AsyncClient, **params: Any) -> list[Any]:
    """The figures that the list reads, with its range and agreement; the one indicator on its own has to read the same."""
    found = []
    for item in (await client.get("/v1/trapped-populations", params=params)).json()["items"]:
        detail = (await client.get(item["links"]["self"], params=params)).json()
        assert {name: detail[name] for name in item} == item
        value = item["value"] or {}
        found.append((value.get("people"), value.get("people_low"), value.get("people_high"), item["agreement"]))
    return found


def later(text: str, microseconds: int) -> str:
    """A time moved by microseconds."""
    return (datetime.fromisoformat(text) + timedelta(microseconds=microseconds)).isoformat()


async def test_as_of_is_to_the_microsecond_and_a_date_is_its_end_of_day(client: httpx.AsyncClient, reference: Reference) -> None:
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


async def test_known_at_is_to_the_microsecond(client: httpx.AsyncClient, reference: Reference) -> None:
    """Statements of one day, recorded one after the other: whoever asks for the time of a commit gets it and none after it."""
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
    # Both together: said by 29 July, as far as was known then.
    for at, expected in ((recorded[0], 1), (recorded[1], 1), (recorded[2], 3)):
        assert [each[0] for each in await people(client, known_at=at, as_of="2016-07-29")] == [expected]
    assert await people(client, known_at=recorded[2], as_of="2016-07-27") == []


async def test_commits_have_times_of_their_own_though_they_follow_at_once(client: httpx.AsyncClient, reference: Reference) -> None:
    """All reports of one list are one commit, and share its time."""
    await post_all(client, *(report(value={"people": at}, source="envoy" if at % 2 else "agency") for at in (1, 2, 3)))
    for at in range(5):
        await post(client, **report(value={"people": at}, source="monitor"))
    times = [each["recorded_at"] for each in (await client.get("/v1/reports")).json()["items"]]
    assert len(set(times)) == 6
    assert times == sorted(times)


@pytest.fixture
async def told(client: httpx.AsyncClient, reference: Reference) -> dict[str, Any]:
    """One indicator of each kind; the figure was corrected and then withdrawn."""
    first = await post(client, **report(value={"people": 1}))
    await post(client, **report("route_closure", stated_at="2016-07-29"))
    warning = await post(client, **report("supply_runout", stated_at="2016-07-30"))
    second = await post(
        client, f"/v1/reports/{first['id']}/correction", **report(value={"people": 2}, stated_at="2016-07-29", reason="misread")
    )
    gone = await post(client, f"/v1/reports/{second['id']}/retraction", reason="withdrawn")
    return {"first": first, "warning": warning, "second": second, "gone": gone}


async def test_every_read_travels(client: httpx.AsyncClient, told: dict[str, Any]) -> None:
    """Lists, one indicator, its history, situations, warnings, reports and records, each in both times."""
    first, second, gone = told["first"], told["second"], told["gone"]
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
        ({"as_of": "2016-07-29", "known_at": told["warning"]["recorded_at"]}, 2),
        ({"as_of": "2016-07-27"}, 0),
    ):
        assert len((await get("/v1/reports", **params))["items"]) == expected, params
    statuses = [(await get("/v1/reports", status="standing", known_at=each["recorded_at"]))["items"] for each in (first, second, gone)]
    assert [len(each) for each in statuses] == [1, 3, 2]

    assert (await get(indicator, known_at=at))["value"]["people"] == 1
    assert (await get(indicator, known_at=second["recorded_at"]))["value"]["people"] == 2
    withdrawn = await get(indicator, known_at=gone["recorded_at"])
    assert (withdrawn["value"], [each["reason"] for each in withdrawn["left_out"]]) == (None, ["retracted", "superseded"])
    # On 28 July nobody had said what the correction says, and what it corrects was never right.
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
async def test_a_wrong_time_is_refused_by_name(client: httpx.AsyncClient, told: dict[str, Any]) -> None:
    """Each wrong time by one list, and one of them by every other read, all of which read times alike."""
    own = (f"/v1/indicators/{told['first']['indicator']}", f"/v1/reports/{told['first']['id']}")
    more = ("", "today", "2016-13-01", "2016-07-28 24:00Z", "1469664000", "2016-07")
    asked = [(path, "2016-07-28T09:30:00") for path in (*PATHS, *own, f"{own[0]}/history")] + [(PATHS[0], value) for value in more]
    for path, value in asked:
        for name in ("as_of", "known_at"):
            answer = await client.get(path, params={name: value})
            assert answer.status_code == 422, (path, name, value)
            assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"]
    wrong = await client.get("/v1/indicators?as_of=x&known_at=y")
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"?as_of", "?known_at"}


async def test_pages_of_the_past_hold_each_indicator_once(client: httpx.AsyncClient, reference: Reference) -> None:
    """The same filters as for the present, the same cursors, and those that nobody had spoken of by then left out."""
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


async def test_a_grade_of_today_changes_no_past_reading(client: httpx.AsyncClient, reference: Reference) -> None:
    """Not a byte of it; nor what was known before; the present follows at once."""
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
        # The head of the ledger has moved on, the readings have not.
        assert {name: now[name] for name in now if name != "revision" or "items" not in now} == {
            name: then[name] for name in then if name != "revision" or "items" not in then
        }, path
    assert await people(client, known_at=later(graded["recorded_at"], -1)) == [(1, 1, 2, "contested")]
    assert await people(client, as_of=later(graded["recorded_at"], -1)) == [(1, 1, 2, "contested")]
    assert await people(client, as_of=graded["recorded_at"]) == [(2, 1, 2, "contested")]
    assert await people(client, known_at=graded["recorded_at"]) == [(2, 1, 2, "contested")]
    assert await people(client, known_at=graded["recorded_at"], **past) == [(1, 1, 2, "contested")]


async def test_as_of_the_present_is_the_present(client: httpx.AsyncClient, told: dict[str, Any]) -> None:
    """Byte for byte, grades and outcomes included."""
    await post(client, "/v1/sources/agency/grades", reliability="D", reason="was wrong")
    outcome = {"outcome": "averted", "reason": "a convoy", "report": told["warning"]["id"]}
    await post(client, f"/v1/indicators/{told['warning']['indicator']}/outcome", **outcome)
    now = (await client.get("/v1/indicators")).json()["items"]
    for params in ({"as_of": "2999-01-01"}, {"known_at": "2999-01-01"}, {"as_of": "2999-01-01", "known_at": "2999-01-01"}):
        assert (await client.get("/v1/indicators", params=params)).json()["items"] == now


async def test_every_answer_is_of_one_state_of_the_ledger(client: httpx.AsyncClient, reference: Reference) -> None:
    """While reports come in, an indicator's document and the list of reports behind it stay those of one moment."""
    made = await post(client, **report(value={"people": 0}))
    done = asyncio.Event()

    async def write() -> None:
        for at in range(1, 6):
            sources = ("agency", "envoy", "monitor")
            await post(client, **report(value={"people": at}, source=sources[at % 3], stated_at=f"2016-07-28T00:{at:02}:00Z"))
        done.set()

    async def read(path: str) -> int:
        count = 0
        while not done.is_set():
            found = (await client.get(path)).json()
            standing = found["reports"]
            assert found["assessment"]["reports"] == len(standing)
            assert [each["id"] for each in standing if each["relation"] == "preferred"] == [found["assessment"]["preferred"]]
            assert len({each["source"]["slug"] for each in standing}) == len(standing)
            count += 1
            # An answer that is kept comes without a pause in which anybody could write.
            await asyncio.sleep(0)
        return count

    path = f"/v1/indicators/{made['indicator']}"
    _, *counts = await asyncio.gather(write(), read(path), read(f"{path}?as_of=2999-01-01"))
    assert min(counts) > 0
