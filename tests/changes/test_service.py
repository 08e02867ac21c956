"""Many clients at once: each sees every change once and in order, and waiting costs neither threads nor queries."""

import asyncio
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import event

from app.access.dependencies import credential_expiry
from app.access.principal import Principal
from app.changes import service
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import FULL, MakeKey
from tests.support.processes import serve
from tests.support.servers import client_for, new_key
from tests.support.telemetry import metric_value, scrape

pytestmark = pytest.mark.starts_early

WRITERS, EACH, READERS = (8, 8, 20) if FULL else (8, 4, 6)
WAITING = 100


async def _poll(client: httpx.AsyncClient, start: str, last: int) -> list[int]:
    seqs: list[int] = []
    params: dict[str, Any] = {"limit": 7, "wait": 20, "after": start}
    while not seqs or seqs[-1] < last:
        page = (await client.get("/v1/changes", params=params)).json()
        seqs += [item["seq"] for item in page["items"]]
        params["after"] = page["next"]
    return seqs


async def _listen(client: httpx.AsyncClient, start: str, last: int) -> list[int]:
    seqs: list[int] = []
    async with client.stream("GET", "/v1/stream", params={"after": start}) as stream:
        event_type = ""
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event_type = value
            elif name == "data" and event_type == "report":
                seqs.append(orjson.loads(value)["seq"])
                if seqs[-1] >= last:
                    break
    return seqs


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_polls_and_streams_see_each_change_once_in_order_under_load(
    settings: Settings, make_key: MakeKey, reference: Reference, tmp_path: Path
) -> None:
    key = await make_key(clearance=Label.RED)
    last = SEEDED + WRITERS * EACH

    async def write(client: httpx.AsyncClient, writer: int) -> None:
        for number in range(EACH):
            stated = f"2016-08-{number + 1:02}T{writer:02}:00:00Z"
            response = await client.post("/v1/reports", json=report(stated_at=stated, value={"people": 100 * writer + number}))
            assert response.status_code == 201, response.text

    with serve(tmp_path, "--workers", "2", database_url=settings.database_url) as server:
        limits = httpx.Limits(max_connections=None)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=150, limits=limits) as client:
            start = (await client.get("/v1/changes", params={"after": "now"})).json()["next"]
            readers = [asyncio.create_task(_poll(client, start, last)) for _ in range(READERS)]
            readers += [asyncio.create_task(_listen(client, start, last)) for _ in range(READERS)]
            await asyncio.gather(*(write(client, writer) for writer in range(WRITERS)))
            async with asyncio.timeout(150):
                seen = await asyncio.gather(*readers)
        posted = await _posts_by_worker(server.url, headers)
    assert all(seqs == list(range(SEEDED + 1, last + 1)) for seqs in seen)
    # Each worker reports its own numbers, and any worker may answer a scrape.
    assert sum(posted.values()) == WRITERS * EACH


async def _posts_by_worker(url: str, headers: dict[str, str]) -> dict[str, float]:
    """Return the number of reports that each of the two workers received; scrape until both have answered."""
    posted: dict[str, float] = {}
    async with asyncio.timeout(60):
        while len(posted) < 2:
            # A new connection, which either worker may accept.
            async with httpx.AsyncClient(base_url=url, headers=headers) as client:
                found = await scrape(client)
            (worker,) = {sample.labels["worker"] for family in found.values() for sample in family.samples}
            posted[worker] = metric_value(found, "http_requests_total", handler="/v1/reports", method="POST", status="2xx")
    return posted


async def test_waiting_clients_cost_no_thread_and_no_query(client: httpx.AsyncClient, database: Database, reference: Reference) -> None:
    start = (await client.get("/v1/changes", params={"after": "now"})).json()["next"]
    # Open every connection of the pool, with its thread on SQLite.
    await asyncio.gather(*(client.get("/v1/indicators", params={"limit": 1 + number}) for number in range(20)))
    queries: list[str] = []
    for engine in (database.reader, database.writer):
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *given: queries.append(given[2]))
    waiting = [asyncio.create_task(client.get("/v1/changes", params={"after": start, "wait": 30}, timeout=60)) for _ in range(WAITING)]
    async with asyncio.timeout(20):
        while sum(map(len, database.commit_notifier._waiting.values())) < WAITING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    asked, threads = len(queries), threading.active_count()
    await asyncio.sleep(0.3)
    # Tasks in the background run queries of their own from time to time, on other tables.
    assert [each for each in queries[asked:] if "ledger_entry" in each or "api_key" in each] == [], "waiting clients run no query"
    assert threading.active_count() == threads
    assert threads < WAITING / 2
    assert not any(task.done() for task in waiting)
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    pages = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert {orjson.loads(page.content)["items"][0]["seq"] for page in pages} == {SEEDED + 1}
    assert len(queries) - asked < WAITING, "clients at the same position share one query"


async def test_close_waits_for_shared_queries_of_disconnected_clients(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the query would keep a connection open."""
    asked = asyncio.Event()

    async def slowly(caller: Principal, database: Database) -> datetime | None:
        asked.set()
        await asyncio.sleep(0.3)
        return await credential_expiry(caller, database)

    monkeypatch.setattr(service, "credential_expiry", slowly)
    before = asyncio.all_tasks()
    async with client_for(settings, await new_key(settings.database_url)) as client:
        reader = asyncio.create_task(client.get("/v1/stream"))
        await asyncio.wait_for(asked.wait(), 20)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
    assert asyncio.all_tasks() == before
