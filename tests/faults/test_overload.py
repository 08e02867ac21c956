"""More than a process can do at once: it says so at once, shares what it has, and goes on as before afterwards."""

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
from tests.faults.answers import assert_told, fresh, write
from tests.faults.conftest import Serving
from tests.support.factories import report
from tests.support.locks import locked_ledger
from tests.support.servers import new_key


def test_half_full_nobody_holds_more_than_a_quarter() -> None:
    places = ConcurrencyLimiter(8)
    assert [places.acquire(b"greedy") for _ in range(6)] == [True] * 4 + [False] * 2
    assert [places.acquire(each) for each in (b"one", b"one", b"one", b"other", b"another")] == [True, True, False, True, True]
    assert not places.acquire(b"somebody")
    for _ in range(4):
        places.release(b"greedy")
    assert places.acquire(b"somebody")
    assert places.by_caller[b"greedy"] == 0


def test_a_crowd_that_waits_long_is_let_in_more_slowly_and_one_that_does_not_all_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ConcurrencyLimiter(64)
    for number in range(31):
        assert places.acquire(f"{number}".encode())
    # One import among few is not a crowd.
    places.record_latency(60)
    assert places.limit == 64
    assert places.acquire(b"one more")
    places.record_latency(1.1)
    assert places.limit == 32
    assert not places.acquire(b"too many")
    # They had all come before fewer were let in.
    places.record_latency(1.1)
    assert places.limit == 32
    monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 0)
    for _ in range(5):
        places.record_latency(1.1)
    assert places.limit == 8
    monkeypatch.undo()
    for _ in range(10):
        places.record_latency(0.9)
    assert places.limit == pytest.approx(9)
    for _ in range(1000):
        places.record_latency(0.1)
    assert places.limit == 64


async def test_after_long_waits_fewer_are_let_in_until_answers_are_quick_again(
    seeded_database_url: str, serving: Serving, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 0.2)
    keys = [{"Authorization": f"Bearer {await new_key(seeded_database_url)}"} for _ in range(2)]
    async with serving(seeded_database_url, max_concurrent_requests=16, database_lock_timeout_seconds=30) as client:
        await client.get("/v1/places/oldtown")
        writes: ConcurrencyLimiter = built_app.state.load_shedding.writes
        async with locked_ledger(seeded_database_url):
            first = [asyncio.create_task(client.post("/v1/reports", json=report(), headers=key)) for key in keys for _ in range(2)]
            await asyncio.sleep(0.3)
        assert {answer.status_code for answer in await asyncio.gather(*first)} == {200, 201}
        assert writes.limit < 5
        async with locked_ledger(seeded_database_url):
            again = [asyncio.create_task(client.post("/v1/reports", json=report(), headers=key)) for key in keys for _ in range(3)]
            await asyncio.wait(again, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert_told(next(each.result() for each in again if each.done()))
        await asyncio.gather(*again)
        monkeypatch.setattr(load_shedding, "MAX_LATENCY_SECONDS", 60)
        before = writes.limit
        assert (await write(client, 1)).status_code == 201
        assert writes.limit > before


async def test_writes_beyond_the_queue_are_told_to_come_again_while_the_rest_is_answered(
    seeded_database_url: str, serving: Serving
) -> None:
    other_key = {"Authorization": f"Bearer {await new_key(seeded_database_url)}"}
    async with serving(seeded_database_url, max_concurrent_requests=16, max_open_streams=8, database_lock_timeout_seconds=30) as client:
        await client.get("/v1/places/oldtown")
        async with locked_ledger(seeded_database_url):
            polls = [asyncio.create_task(client.get("/v1/changes?after=now&wait=30")) for _ in range(4)]
            writing = [asyncio.create_task(write(client, people)) for people in range(1, 21)]
            _, waiting = await asyncio.wait(writing, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            shed = [each.result() for each in writing if each.done()]
            assert (len(shed), len(waiting)) == (16, 4)
            for answer in shed:
                assert_told(answer)
                assert answer.json()["type"] == "urn:lifeline:problem:overloaded"
            # Another key has its share, and so have readers and whoever asks after the service's health.
            elsewhere = asyncio.create_task(client.post("/v1/reports", json=report(source="envoy"), headers=other_key))
            for path in ("/health/live", "/health/ready", "/metrics", fresh(), "/v1/places/oldtown"):
                assert (await client.get(path)).status_code == 200
            assert not elsewhere.done()
        written = await asyncio.gather(elsewhere, *waiting)
        assert {answer.status_code for answer in written} == {201}
        assert {poll.status_code for poll in await asyncio.gather(*polls)} == {200}
        # All that was shed goes through when it comes again.
        for people in range(1, 21):
            assert (await write(client, people)).status_code == 201
        assert (await client.get("/v1/reports?limit=1")).json()["revision"] == 21


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_waiting_readers_beyond_the_limit_are_told_and_take_no_place_of_others(seeded_database_url: str, serving: Serving) -> None:
    async with serving(seeded_database_url, max_concurrent_requests=2, max_open_streams=4) as client:
        # However it is spelled.
        polls = [asyncio.create_task(client.get(f"/v1/changes?after=now&{name}=20")) for name in ("wait", "%77ait") * 3]
        await asyncio.wait(polls, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while sum(poll.done() for poll in polls) < 4:  # noqa: ASYNC110 - six tasks, not one event
            await asyncio.sleep(0.01)
        assert (await write(client, 1)).status_code == 201
        answers: list[httpx.Response] = await asyncio.gather(*polls)
        assert Counter(answer.status_code for answer in answers) == {200: 2, 503: 4}


async def test_ready_while_all_connections_for_reading_are_in_use_as_long_as_they_are_answered(
    seeded_database_url: str, serving: Serving, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_health, "RESPONSIVE_SECONDS", 0.4)
    async with serving(seeded_database_url, database_lock_timeout_seconds=0.5) as client, AsyncExitStack() as others:
        database: Database = built_app.state.database
        held = [await others.enter_async_context(database.reader.connect()) for _ in range(3)]
        await held[0].exec_driver_sql("SELECT 1")
        assert (await client.get("/health/ready")).status_code == 200
        # A read has to wait, in vain.
        assert_told(await client.get(fresh()))
        # By now nobody has been answered for long, so the database is asked, and is not to be had.
        told = await client.get("/health/ready")
        assert (told.status_code, told.json()["type"]) == (503, "urn:lifeline:problem:not-ready")
        await others.aclose()
        assert (await client.get("/health/ready")).status_code == 200
