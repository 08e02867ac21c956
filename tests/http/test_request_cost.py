"""Cost of requests: weights in the rate limit, few expensive ones at once, and past assessments that are kept or not needed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.principal import Scope
from app.domain.rates import Rate
from app.domain.times import rfc3339
from app.domain.tlp import Label
from app.domain.view import View
from app.http import request_cost
from app.http.request_cost import BUSY, MAX_EXPENSIVE_PER_CALLER, MAX_WAITING_PER_CALLER, OVERLOADED, ExpensiveRequests, weight_of
from app.indicators import past
from app.settings import Settings
from app.storage.slices import end_slice
from tests.support.factories import Reference, post, report, seed
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.servers import client_for, new_key, settings_on, wait_if_window_ends_within


@pytest.mark.parametrize(
    ("url", "weight"),
    [
        ("/v1/indicators", 1),
        ("/v1/indicators?limit=1000", 4),
        ("/v1/indicators?limit=99999999999", 1),
        ("/v1/indicators?limit=1000&as_of=2016-01-01", 10),
        ("/v1/indicators?%61s_of=2016-01-01", 10),
        ("/v1/supply-runouts?known_at=2016-01-01", 10),
        ("/v1/indicators.csv", 50),
        ("/v1/indicators.csv?limit=10", 1),
        ("/v1/reports?format=xlsx&as_of=2016-01-01", 50),
        ("/v1/reports?limit=1000", 10),
        ("/v1/situations?limit=200", 2),
        ("/v1/situations/oldtown?as_of=2016-01-01", 5),
        ("/v1/situations/oldtown/brief.txt", 5),
        ("/v1/situations/oldtown/digest?since=1", 5),
        ("/v1/situations/oldtown?within=true", 10),
        ("/v1/indicators/x/history", 10),
        ("/v1/sources/x/record", 10),
        ("/v1/ledger/tile/entries/000", 3),
        ("/v1/ledger/tile/0/000", 1),
        ("/v1/places/oldtown", 1),
        ("/ogc/collections/routes_line/items?limit=1000", 10),
        ("/v1/me", 1),
        ("/", 5),
        ("/?as_of=2016-01-01", 9),
        ("/places/oldtown?as_of=2016-01-01", 9),
        ("/guide", 1),
        ("/v1", 1),
    ],
)
def test_weight_follows_from_the_url(url: str, weight: int) -> None:
    path, _, query = url.partition("?")
    assert weight_of({"method": "GET", "path": path, "query_string": query.encode(), "headers": []}) == weight


def test_weight_of_a_whole_list_follows_from_accept() -> None:
    scope = {"method": "GET", "path": "/v1/indicators", "query_string": b"", "headers": [(b"accept", b"text/csv")]}
    assert weight_of(scope) == 50
    assert weight_of({**scope, "method": "POST", "path": "/v1/imports"}) == 50
    assert weight_of({**scope, "method": "POST", "path": "/v1/drafts/from-text"}) == 10


@sqlite_only
async def test_cost_is_counted_told_and_refused_without_stopping_the_rest(database_url: str) -> None:
    wait_if_window_ends_within(10)
    key = await new_key(database_url, Scope.READ)
    limits: dict[str, Any] = {"rate_limit_anonymous": "25/minute", "rate_limit": "5/minute"}
    async with client_for(Settings(database_url=database_url, database_pool_size=2, **limits)) as client:

        async def left(path: str, **headers: str) -> tuple[int, int]:
            answer = await client.get(path, headers=headers)
            return answer.status_code, int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0])

        assert await left("/v1/indicators?as_of=2016-01-01") == (200, 15)
        assert await left("/v1/indicators?as_of=2016-01-01") == (200, 14), "a cached response costs one"
        assert await left("/v1/indicators?as_of=2016-01-02") == (200, 4)
        refused = await client.get("/v1/indicators?as_of=2016-01-03")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert await left("/v1/indicators") == (200, 2)
        # A limit below the cost allows one such request in a window. The first of a key counts for the address.
        bearer = {"Authorization": f"Bearer {key}"}
        assert (await left("/v1/me", **bearer))[0] == 200
        assert await left("/v1/indicators?as_of=2016-01-04", **bearer) == (200, 0)
        assert (await left("/v1/me", **bearer))[0] == 429


@sqlite_only
async def test_page_costs_what_its_requests_assess(database_url: str) -> None:
    wait_if_window_ends_within(10)
    await seed(database_url)
    bearer = {"Authorization": f"Bearer {await new_key(database_url)}"}
    async with client_for(settings_on(database_url, rate_limit_anonymous=Rate(60, 60))) as client:
        reports = [report(stated_at=f"2016-07-{day:02}") for day in range(1, 13)]
        assert (await client.post("/v1/reports", json=reports, headers=bearer)).status_code == 207
        # Its plot requests a list for each of twelve days, which would cost 10 each.
        page = await client.get("/places/oldtown")
        assert page.status_code == 200
        assert "r=54;" in page.headers["ratelimit"]


async def test_expensive_requests_run_two_at_once_for_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = ExpensiveRequests(3)
    assert [await slots.acquire(b"a1") for _ in range(MAX_EXPENSIVE_PER_CALLER)] == [None, None]
    waiting = [asyncio.create_task(slots.acquire(b"a1")) for _ in range(MAX_WAITING_PER_CALLER)]
    await asyncio.sleep(0)
    assert await slots.acquire(b"a1") is BUSY
    assert await slots.acquire(b"a2") is None, "one of three is left to others"
    other, keyed = asyncio.create_task(slots.acquire(b"a3")), asyncio.create_task(slots.acquire(b"key"))
    await asyncio.sleep(0)
    slots.release(b"a2")
    await asyncio.sleep(0)
    assert (keyed.done(), other.done()) == (True, False), "a key goes first"
    waiting.pop(0).cancel()
    slots.release(b"a1")
    await asyncio.sleep(0.01)
    assert [each.done() for each in waiting] == [True] + [False] * (len(waiting) - 1)
    for caller in (b"key", b"a1", b"a1"):
        slots.release(caller)
    assert await asyncio.wait_for(other, 1) is None
    for each in waiting[1:]:
        await asyncio.wait_for(each, 1)
        slots.release(b"a1")
    slots.release(b"a3")
    assert not slots._running
    assert not slots._waiting
    monkeypatch.setattr(request_cost, "MAX_WAIT_SECONDS", 0.01)
    assert [await slots.acquire(each) for each in (b"a1", b"a1", b"a1", b"a2", b"a3")] == [None, None, BUSY, None, OVERLOADED]


PAST_LISTS = ("/v1/indicators?limit=1000", "/v1/situations?limit=1000", "/v1/warnings?within_days=3650", "/v1/indicators.ndjson?x")


@pytest.fixture
def assessed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of indicators that are assessed again from now on."""
    numbers: list[int] = []
    assess_at: Callable[[AsyncConnection, Collection[UUID], View], Awaitable[Any]] = past.assess_at

    async def counted(connection: AsyncConnection, ids: Collection[UUID], view: View) -> Any:
        numbers.append(len(ids))
        return await assess_at(connection, ids, view)

    monkeypatch.setattr(past, "assess_at", counted)
    return numbers


@mostly_sqlite
async def test_lists_as_of_a_time_assess_what_is_not_kept_alone(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, assessed: list[int]
) -> None:
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    runout = {"supply": "food", "in_days_min": 1, "in_days_max": 2}
    sent = [report(stated_at="2016-07-10"), report("supply_runout", runout, stated_at="2016-07-20"), report(stated_at="2016-07-30")]
    for each in (*sent, report(stated_at="2016-07-31", sensitivity="red", source="envoy", value={"people": 1})):
        assert (await client.post("/v1/reports", json=each)).status_code == 201

    async def read(time: str) -> list[Any]:
        answers = [await reader.get(f"{path.removesuffix('?x')}{'?' if path.endswith('?x') else '&'}{time}") for path in PAST_LISTS]
        assert {each.status_code for each in answers} == {200}
        return [each.json()["items"] if "ndjson" not in path else each.text for path, each in zip(PAST_LISTS, answers, strict=True)]

    assert [len(each) for each in (await read("as_of=2016-07-05"))] == [0, 0, 0, 0]
    assert [len(each) for each in (await read("as_of=2016-07-25"))[:3]] == [2, 1, 1]
    assert len((await read("as_of=2016-07-31"))[0]) == 2
    assert assessed == [], "each report was stated last"
    graded = await client.post("/v1/sources/agency/grades", json={"reliability": "C", "reason": "checked"})
    assert graded.status_code == 201
    assert (await read("as_of=2016-07-31"))[0][0]["kind"]
    assert assessed == [], "a grade comes last too"
    # Recorded by then: assessed once for the four lists, and not again after a commit that the reader does not see.
    then = f"known_at={graded.json()['recorded_at']}"
    before = await read(then)
    assert sum(assessed) == 2
    assert (await client.post("/v1/reports", json=report(stated_at="2016-07-26", sensitivity="red"))).status_code == 201
    assert await read(then) == before
    assert sum(assessed) == 2


async def test_past_that_is_kept_equals_one_assessed_again(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reports, outcomes and grades count from times of their own; one outcome rests on a report that the reader sees no more."""
    reader = await make_client(Scope.READ, clearance=Label.GREEN)

    async def warn(source: str, day: int, **value: Any) -> dict[str, Any]:
        return await post(client, **report("supply_runout", value, source=source, stated_at=f"2016-07-{day}"))

    async def end(outcome: str, seen: dict[str, Any]) -> dict[str, Any]:
        body = {"outcome": outcome, "reason": "seen there", "report": seen["id"]}
        return await post(client, f"/v1/indicators/{warned['indicator']}/outcome", **body)

    warned = await warn("agency", 10)
    hidden, shown = [await warn("envoy", day, scope="agency_stock") for day in (14, 18)]
    entries = [warned, hidden, shown, await end("averted", hidden), await end("materialised", shown)]
    entries.append(await post(client, f"/v1/reports/{hidden['id']}/label", sensitivity="red", reason="names"))
    entries.append(await post(client, **report(stated_at="2016-07-22", source="monitor", value={"people": 22000})))
    entries += [await post(client, f"/v1/sources/{each}/grades", reliability="D", reason="was wrong") for each in ("agency", "monitor")]
    recorded = [datetime.fromisoformat(each["recorded_at"]) for each in entries]
    known = ["", *(f"&known_at={rfc3339(each)}" for each in recorded[3:6])]
    times = [f"as_of=2016-07-{day:02}{each}" for day in (9, 12, 14, 16, 18, 22) for each in known]
    times += [f"as_of={rfc3339(each - timedelta(microseconds=before))}" for each in recorded[-2:] for before in (1, 0)]
    times += [f"known_at={rfc3339(each)}" for each in recorded]
    for each, some in ((reader, times), (client, times[::3])):
        with monkeypatch.context() as patched:
            kept = [(await each.get(f"/v1/indicators?limit=999&{time}")).json()["items"] for time in some]
            patched.setattr(past, "MAX_KEPT_DOCUMENTS", 0)
            again = [(await each.get(f"/v1/indicators?limit=998&{time}")).json()["items"] for time in some]
        assert [time for time, one, other in zip(some, kept, again, strict=True) if one != other] == []
        assert len(set(map(str, kept))) > len(some) / 4, "the times differ"


async def test_other_tasks_run_between_two_slices() -> None:
    ran = 0

    async def others() -> None:
        nonlocal ran
        for _ in range(5):
            ran += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await end_slice(1)
    assert ran >= 1
    await task
