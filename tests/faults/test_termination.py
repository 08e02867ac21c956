"""SIGTERM during a write, a stream and webhook deliveries: each is finished, or delivered after the restart."""

import asyncio
import os
import re
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.faults.conftest import Serving
from tests.support.factories import SEEDED, report
from tests.support.fixtures import sqlite_only
from tests.support.locks import locked_ledger
from tests.support.processes import Server, serve
from tests.support.servers import new_key, wait_for_metric, wait_if_window_ends_within
from tests.webhooks.conftest import delivery_log, run_receiver, until

pytestmark = pytest.mark.starts_early

# The hanging receiver uses two of them.
MAX_SHUTDOWN_SECONDS = 10.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + MAX_SHUTDOWN_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def _wait_until_closed(server: Server) -> None:
    """Wait until the server refuses new connections."""
    address = urlsplit(server.url)
    async with asyncio.timeout(MAX_SHUTDOWN_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection(address.hostname, address.port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.01)


def _worker_pids(server: Server) -> list[int]:
    return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.output.read_text())]


@pytest.fixture
def sighup_heeded() -> Iterator[None]:
    """Let the processes that the test starts heed SIGHUP, which `nohup` makes all of them ignore."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@sqlite_only
@pytest.mark.usefixtures("sighup_heeded")
@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_ends_streams_and_the_service(seeded_database_url: str, tmp_path: Path, workers: int) -> None:
    with (
        serve(tmp_path, "--workers", str(workers), database_url=seeded_database_url) as server,
        httpx.stream("GET", f"{server.url}/v1/stream", timeout=30) as stream,
    ):
        server.process.send_signal(signal.SIGHUP)
        # The server ends the stream properly; an aborted one would raise here.
        assert stream.read() is not None
        server.process.wait(MAX_SHUTDOWN_SECONDS)
        assert len(_worker_pids(server)) == workers, "the workers were started again"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health/live")


@sqlite_only
def test_killed_worker_is_replaced_without_the_counters_file(seeded_database_url: str, tmp_path: Path) -> None:
    counters = set(Path(tempfile.gettempdir()).glob("lifeline-*.counters"))
    with serve(tmp_path, "--workers", "2", database_url=seeded_database_url, rate_limit_anonymous="30/minute") as server:
        wait_until(lambda: server.output.read_text().count("Application startup complete") == 2)
        # As a cleaner of temporary files would.
        for each in set(Path(tempfile.gettempdir()).glob("lifeline-*.counters")) - counters:
            each.unlink()
        os.kill(_worker_pids(server)[0], signal.SIGKILL)
        wait_until(lambda: server.output.read_text().count("Application startup complete") == 3)
        assert "rate_limit_not_shared" not in server.output.read_text()
        wait_if_window_ends_within(10)
        # Each request opens its own connection, so that both workers get some; together they allow 30.
        with httpx.Client(base_url=server.url, headers={"Connection": "close"}) as client:
            statuses = [client.get("/v1/indicators").status_code for _ in range(45)]
        assert 30 - statuses.count(200) in (0, 1), statuses
        assert set(statuses) == {200, 429}


async def _read_to_the_end(stream: httpx.Response) -> str:
    return "".join([chunk async for chunk in stream.aiter_text()])


async def test_sigterm_finishes_open_work_in_time_and_loses_nothing(seeded_database_url: str, serving: Serving, tmp_path: Path) -> None:
    url = seeded_database_url
    key = await new_key(url)
    headers = {"Authorization": f"Bearer {key}"}
    settings = {"database_url": url, "webhook_allow_private": "true", "database_lock_timeout_seconds": "20"}
    async with run_receiver() as slow, run_receiver() as hanging:
        for each in (slow, hanging):
            each.answering.clear()
        with ExitStack() as running:
            server = await asyncio.to_thread(running.enter_context, serve(tmp_path, **settings))
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
                hooks = [(await client.post("/v1/webhooks", json={"url": each.url})).json() for each in (slow, hanging)]
                async with client.stream("GET", "/v1/stream") as stream:
                    streamed = asyncio.create_task(_read_to_the_end(stream))
                    assert (await client.post("/v1/reports", json=report())).status_code == 201
                    await asyncio.gather(slow.wait_for_requests(1), hanging.wait_for_requests(1))
                    async with locked_ledger(url):
                        writing = asyncio.create_task(client.post("/v1/reports", json=report(source="envoy")))
                        await wait_for_metric(client, 'lifeline_requests_in_flight{type="write"} 1.0')
                        server.process.terminate()
                        terminated = time.monotonic()
                        await _wait_until_closed(server)
                        # The server ends the stream properly; an aborted one would raise here.
                        async with asyncio.timeout(5):
                            assert "event: report" in await streamed
                        slow.answering.set()
                        assert not writing.done()
                    assert (await writing).status_code == 201
            await asyncio.to_thread(server.process.wait, MAX_SHUTDOWN_SECONDS)
            assert time.monotonic() - terminated < MAX_SHUTDOWN_SECONDS
        unanswered = hanging.requests[0].id
        hanging.answering.set()
        async with serving(url, key=key, webhook_allow_private=True, database_lock_timeout_seconds=10) as again:

            async def all_delivered() -> bool:
                return all([len(await delivery_log(again, hook, status="delivered")) == 2 for hook in hooks])

            await until(all_delivered)
        assert slow.seqs() == [SEEDED + 1, SEEDED + 2], "an acknowledged delivery must not be repeated"
        assert hanging.seqs() == [SEEDED + 1, SEEDED + 1, SEEDED + 2], "an unacknowledged delivery must be repeated"
        assert Counter(each.id for each in hanging.requests)[unanswered] == 2, "the repeated delivery must have the same identifier"
