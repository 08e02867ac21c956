"""Many streams on one worker: how long a change takes to one reader and to a thousand, and the memory of an idle stream.

    uv run python -m tests.benchmarks.streams [--streams 1000] [--changes 10] [--engine sqlite]

The server has one core, the readers the other. Times run from sending the POST to the event's arrival; with many readers, the median
is over all of them and all changes.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.settings import Settings
from app.storage.migrations import migrate
from tests.benchmarks.__main__ import databases
from tests.benchmarks.data import fill, new_statements
from tests.benchmarks.serving import cores, lifeline, request, resident_bytes

INDICATORS = 150


class Reader(asyncio.Protocol):
    """A stream that records when events arrive."""

    def __init__(self, arrivals: list[float], ready: asyncio.Future[None]) -> None:
        self.arrivals = arrivals
        self.ready = ready
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        transport.write(request("/v1/stream"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if b"event: report" in data:
            self.arrivals.append(time.perf_counter())
        elif b"event: ready" in data and not self.ready.done():
            self.ready.set_result(None)


async def open_streams(port: int, count: int, arrivals: list[float]) -> list[Reader]:
    """Open streams and wait until each is ready."""
    loop = asyncio.get_running_loop()
    readers = [Reader(arrivals, loop.create_future()) for _ in range(count)]
    for start in range(0, count, 50):
        some = readers[start : start + 50]
        await asyncio.gather(*(loop.create_connection(lambda each=each: each, "127.0.0.1", port) for each in some))
        async with asyncio.timeout(30):
            await asyncio.gather(*(each.ready for each in some))
    return readers


async def _post(port: int, raw: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 "), head
    writer.close()


async def _reach(port: int, arrivals: list[float], count: int, posts: list[bytes]) -> list[float]:
    """Return the seconds from each POST to each reader."""
    waits: list[float] = []
    for raw in posts:
        arrivals.clear()
        start = time.perf_counter()
        await _post(port, raw)
        async with asyncio.timeout(60):
            while len(arrivals) < count:  # noqa: ASYNC110 - the readers record it
                await asyncio.sleep(0.005)
        waits += [each - start for each in arrivals]
        await asyncio.sleep(0.1)
    return waits


async def _measure(port: int, pid: int, key: str, streams: int, changes: int) -> dict[str, float]:
    statements = new_statements(INDICATORS, start=7)
    posts = [
        request("/v1/reports", body=json.dumps(each).encode(), authorization=f"Bearer {key}")
        for each in islice(statements, 2 * changes + 1)
    ]
    arrivals: list[float] = []
    first = await open_streams(port, 1, arrivals)
    await _reach(port, arrivals, 1, posts[:1])
    one = await _reach(port, arrivals, 1, posts[1 : changes + 1])
    before = resident_bytes(pid)
    rest = await open_streams(port, streams - 1, arrivals)
    weight = (resident_bytes(pid) - before) / len(rest)
    many = await _reach(port, arrivals, streams, posts[changes + 1 :])
    for each in first + rest:
        if each.transport is not None:
            each.transport.abort()
    return {
        "one_ms": statistics.median(one) * 1000,
        "median_ms": statistics.median(many) * 1000,
        "last_ms": max(many) * 1000,
        "ratio": statistics.median(many) / statistics.median(one),
        "kib_a_stream": weight / 1024,
    }


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=10)
    options = parser.parse_args()
    serving_core, load_core = cores()
    table = Table("engine", "to one, ms", f"to {options.streams:,}, median, ms", "last, ms", "median / one", "KiB a stream")
    for engine in options.engine or ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory(prefix="lifeline-bench-") as name, databases(engine, Path(name), load_core) as (url, _):
            migrate(Settings(database_url=url))
            key = asyncio.run(fill(url, indicators=INDICATORS, reports_each=1))
            settings = {"LIFELINE_DATABASE_URL": url, "LIFELINE_RATE_LIMIT": "off", "LIFELINE_RATE_LIMIT_ANONYMOUS": "off"}
            with lifeline(core=serving_core, ready="/health/live", **settings) as (port, pid):
                before = os.sched_getaffinity(0)
                os.sched_setaffinity(0, {load_core})
                found = asyncio.run(_measure(port, pid, key, options.streams, options.changes))
                os.sched_setaffinity(0, before)
        columns = ("one_ms", "median_ms", "last_ms", "ratio", "kib_a_stream")
        table.add_row(engine, *(f"{found[each]:.1f}" for each in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
