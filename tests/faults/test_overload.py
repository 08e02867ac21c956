"""Overload: excess requests get 503 at once, callers share the rest, and the service recovers."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import FastAPI

from app.http import load_shedding
from app.http.load_shedding import ConcurrencyLimiter
from app.storage import pool_health
from app.storage.database import Database
from tests.faults.conftest import Serving
from tests.faults.responses import assert_unavailable, post_people, uncached_path
from tests.support.factories import SEEDED, report
from tests.support.fixtures import mostly_sqlite
from tests.support.locks import locked_ledger
from tests.support.servers import new_key


def test_concurrency_limiter_half_full_gives_a_caller_a_quarter() -> None:
    limiter = ConcurrencyLimiter(8)
    assert [limiter.acquire(b"greedy") for _ in range(6)] == [True] * 4 + [False] * 2
    assert [limiter.acquire(each) for each in (b"one", b"one", b"one", b"other", b"another")] == [True, True, False, True, True]
    assert not limiter.acquire(b"new")
    for _ in range(4):
        limiter.release(b"greedy")
    assert limiter.acquire(b"new")
    assert limiter.by_caller[b"greedy"] == 0


def test_concurrency_limit_halves_on_slow_responses_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = ConcurrencyLimiter(64)
    for number in range(31):
        assert limiter.acquire(f"{number}".encode())
    # A slow response while less than half of the limit is in use does not lower it.
    limiter.record_latency(60)
    assert limiter.limit == 64
    assert limiter.acquire(b"one more")
    limiter.record_latency(1.1)
    assert limiter.limit == 32
    assert not limiter.acquire(b"too many")
    # These requests started before the limit fell, so they do not lower it again.
    limiter.record_latency(1.1)
    assert limiter.limit == 32
    monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 0)
    for _ in range(5):
        limiter.record_latency(1.1)
    assert limiter.limit == 8
    monkeypatch.undo()
    for _ in range(10):
        limiter.record_latency(0.9)
    assert limiter.limit == pytest.approx(9)
    for _ in range(1000):
        limiter.record_latency(0.1)
    assert limiter.limit == 64


@mostly_sqlite
async def test_slow_writes_lower_the_limit_until_writes_are_fast_again(
    seeded_database_url: str, serving: Serving, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 0.2)
    keys = [{"Authorization": f"Bearer {await new_key(seeded_database_url)}"} for _ in range(2)]
    async with serving(seeded_database_url, max_concurrent_requests=16, database_lock_timeout_seconds=30) as client:
        await client.get("/v1/places/oldtown")
        writes: ConcurrencyLimiter = built_app.state.load_shedding.writes
        async with locked_ledger(seeded_database_url):
            first = [asyncio.create_task(client.post("/v1/reports", json=report(), headers=key)) for key in keys for _ in range(2)]
            async with asyncio.timeout(10):
                while writes.in_flight < len(first):  # noqa: ASYNC110 - four tasks, not one event
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
        assert {answer.status_code for answer in await asyncio.gather(*first)} == {200, 201}
        assert writes.limit < 5
        async with locked_ledger(seeded_database_url):
            again = [asyncio.create_task(client.post("/v1/reports", json=report(), headers=key)) for key in keys for _ in range(3)]
            await asyncio.wait(again, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert_unavailable(next(each.result() for each in again if each.done()))
        await asyncio.gather(*again)
        monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 60)
        before = writes.limit
        assert (await post_people(client, 1)).status_code == 201
        assert writes.limit > before


async def test_excess_writes_get_503_while_other_requests_are_answered(seeded_database_url: str, serving: Serving) -> None:
    other_key = {"Authorization": f"Bearer {await new_key(seeded_database_url)}"}
    async with serving(seeded_database_url, max_concurrent_requests=16, max_open_streams=8, database_lock_timeout_seconds=30) as client:
        await client.get("/v1/places/oldtown")
        async with locked_ledger(seeded_database_url):
            polls = [asyncio.create_task(client.get("/v1/changes?after=now&wait=30")) for _ in range(4)]
            writing = [asyncio.create_task(post_people(client, people)) for people in range(1, 21)]
            async with asyncio.timeout(10):
                while sum(each.done() for each in writing) < 16:  # noqa: ASYNC110 - twenty tasks, not one event
                    await asyncio.sleep(0.01)
            shed = [each.result() for each in writing if each.done()]
            waiting = [each for each in writing if not each.done()]
            assert (len(shed), len(waiting)) == (16, 4)
            for answer in shed:
                assert_unavailable(answer)
                assert answer.json()["type"] == "urn:lifeline:problem:overloaded"
            # Another key can write, and reads and health checks are answered.
            other_write = asyncio.create_task(client.post("/v1/reports", json=report(source="envoy"), headers=other_key))
            for path in ("/health/live", "/health/ready", "/metrics", uncached_path(), "/v1/places/oldtown"):
                assert (await client.get(path)).status_code == 200
            assert not other_write.done(), other_write.result().text
        written = await asyncio.gather(other_write, *waiting)
        assert {answer.status_code for answer in written} == {201}
        assert {poll.status_code for poll in await asyncio.gather(*polls)} == {200}
        # Every write that was shed succeeds when it is repeated.
        for people in range(1, 21):
            assert (await post_people(client, people)).status_code == 201
        assert (await client.get("/v1/reports?limit=1")).json()["revision"] == SEEDED + 21


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_excess_long_polls_get_503_and_do_not_block_writes(seeded_database_url: str, serving: Serving) -> None:
    async with serving(seeded_database_url, max_concurrent_requests=2, max_open_streams=4) as client:
        # The limit also counts a percent-encoded parameter.
        # Not `after=now`, which a poll may read after the write below.
        end = (await client.get("/v1/changes?after=now")).json()["next"]
        polls = [asyncio.create_task(client.get(f"/v1/changes?after={end}&{name}=20")) for name in ("wait", "%77ait") * 3]
        await asyncio.wait(polls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while sum(poll.done() for poll in polls) < 4:  # noqa: ASYNC110 - six tasks, not one event
            await asyncio.sleep(0.01)
        assert (await post_people(client, 1)).status_code == 201
        answers: list[httpx.Response] = await asyncio.gather(*polls)
        assert Counter(answer.status_code for answer in answers) == {200: 2, 503: 4}


async def test_readiness_with_an_exhausted_but_responsive_pool_is_200(
    seeded_database_url: str, serving: Serving, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_health, "RESPONSIVE_SECONDS", 0.4)
    async with serving(seeded_database_url, database_lock_timeout_seconds=0.5) as client, AsyncExitStack() as others:
        database: Database = built_app.state.database
        connections = [await others.enter_async_context(database.reader.connect()) for _ in range(3)]
        await connections[0].exec_driver_sql("SELECT 1")
        assert (await client.get("/health/ready")).status_code == 200
        # A read waits for a connection until its timeout.
        assert_unavailable(await client.get(uncached_path()))
        # No statement has completed recently, so the check needs a connection, and gets none.
        ready = await client.get("/health/ready")
        assert (ready.status_code, ready.json()["type"]) == (503, "urn:lifeline:problem:not-ready")
        await others.aclose()
        assert (await client.get("/health/ready")).status_code == 200


@mostly_sqlite
async def test_199_senders_of_every_sort_are_all_answered(seeded_database_url: str, serving: Serving) -> None:
    async with serving(seeded_database_url, database_lock_timeout_seconds=5) as client:
        held = [answer.json() for answer in [await post_people(client, people) for people in range(1, 5)]]
        async with locked_ledger(seeded_database_url):
            writing = [asyncio.create_task(post_people(client, 10 + at)) for at in range(187)]
            label = {"sensitivity": "red", "reason": "names a place"}
            writing += [asyncio.create_task(client.post(f"/v1/reports/{held[at % 4]['id']}/label", json=label)) for at in range(8)]
            patches = (client.patch("/v1/places/oldtown", json={"name": f"Old town {at}"}) for at in range(4))
            writing += [asyncio.create_task(each) for each in patches]
            await asyncio.sleep(0.5)
            assert not any(each.done() for each in writing)
        answers = await asyncio.gather(*writing)
    assert Counter(each.status_code for each in answers) == {201: 191, 409: 4, 200: 4}
