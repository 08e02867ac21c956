"""The open-loop load generator: a mix of requests sent when due, however long answers take, in a process of its own.

Reads one job a line on standard input:

    {"port": 8000, "keys": ["ll_..."], "indicators": ["0198..."], "count": 9000, "seed": 1, "rate": 300, "seconds": 60, "streams": 5}

Writes one line for each window of five seconds, then {"ended": true}. A wait lasts from when a request was due to the end of its answer,
so queueing counts; waits come as a histogram: the number for each power of `BASE`, in seconds. Requests are due at random
(a Poisson process). Statuses are by kind of request; a request without an answer within ten seconds is `timeout`, one whose connection
broke is `lost`, and one without a connection is `unsent`.
"""

import asyncio
import itertools
import json
import math
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import uvloop

from tests.benchmarks.data import A_PLACE, new_statements, place_name
from tests.benchmarks.load import Answers
from tests.benchmarks.serving import request
from tests.benchmarks.streams import open_streams

BASE = 1.02
WINDOW_SECONDS = 5.0
TIMEOUT_SECONDS = 10.0
# The server closes a connection that is idle for five seconds; the generator stops using it before that.
IDLE_SECONDS = 3.0
MOST_CONNECTIONS = 1000
TICK_SECONDS = 0.001
A_BATCH = 10

# Requests of each kind in a hundred.
MIX = {
    "kept page": 30.0,
    "304": 30.0,
    "one indicator": 15.0,
    "changes": 10.0,
    "uncached page": 5.0,
    "situation": 5.0,
    "POST one": 4.5,
    "POST batch": 0.5,
}
PAGE = "/v1/indicators"


class Mix:
    """The requests of a job, by kind. The ETag or cursor of an answer goes into later requests."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._chance = random.Random(job["seed"])
        self._keys: list[str] = job["keys"]
        self._indicators: list[str] = job["indicators"]
        self._places = -(-job["count"] // A_PLACE)
        self._statements = new_statements(job["count"], start=job["seed"])
        self._numbers = itertools.count(job["seed"] * 10**7)
        self._tag = '"none"'
        self._cursor = "now"
        self._make: dict[str, Callable[[], bytes]] = {
            "kept page": lambda: request(PAGE, accept_encoding="gzip"),
            "304": lambda: request(PAGE, accept_encoding="gzip", if_none_match=self._tag),
            "one indicator": lambda: request(f"{PAGE}/{self._chance.choice(self._indicators)}", **self._key()),
            "changes": lambda: request(f"/v1/changes?after={self._cursor}"),
            # No two alike, so none is in the response cache.
            "uncached page": lambda: request(f"{PAGE}?updated_since={self._moment()}", **self._key()),
            "situation": lambda: request(f"/v1/situations/{place_name(self._chance.randrange(self._places))}"),
            "POST one": lambda: request("/v1/reports", body=json.dumps(next(self._statements)).encode(), **self._key()),
            "POST batch": lambda: request("/v1/reports", body=self._batch(), **self._key()),
        }

    def draw(self) -> tuple[str, bytes]:
        """Return the next request and its kind."""
        kind = self._chance.choices(list(MIX), list(MIX.values()))[0]
        return kind, self._make[kind]()

    def gap(self, rate: float) -> float:
        """Return the seconds to the next request at a rate per second."""
        return self._chance.expovariate(rate)

    def learn(self, kind: str, head: bytes, body: bytes) -> None:
        """Remember what the next request of this kind needs of an answer."""
        if kind == "304" and (found := re.search(rb"\r\netag: ([^\r]+)", head)):
            self._tag = found[1].decode()
        elif kind == "changes" and (found := re.search(rb'"next":"([^"]+)"', body[-500:])):
            self._cursor = found[1].decode()

    def _key(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._chance.choice(self._keys)}"}

    def _moment(self) -> str:
        return (datetime(2016, 1, 1) + timedelta(microseconds=next(self._numbers))).isoformat(timespec="microseconds") + "Z"  # noqa: DTZ001

    def _batch(self) -> bytes:
        return json.dumps(list(itertools.islice(self._statements, A_BATCH))).encode()


class _Connection(Answers):
    keeps_body = True

    def __init__(self, run: "_Run") -> None:
        super().__init__()
        self._run = run
        self._answered = b""
        self.kind = ""
        self.due = 0.0
        self.since = 0.0

    def ask(self, kind: str, raw: bytes, due: float) -> None:
        """Send a request that was due at a time."""
        assert self.transport is not None
        self.kind, self.due, self.since = kind, due, time.perf_counter()
        self.transport.write(raw)

    def on_head(self, head: bytes, end: int) -> bool:
        self._answered = head[: end + 2]
        return True

    def on_answer(self, body: bytes) -> None:
        self._run.answered(self, self._answered, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._run.ended(self)


class _Run:
    """One job: open requests, and the results since the last window."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job = job
        self._mix = Mix(job)
        self._open: set[_Connection] = set()
        self._free: list[_Connection] = []
        self._opening = 0
        self._statuses: dict[str, Counter[str]] = {}
        self._waits: dict[str, Counter[int]] = {}
        self._other = ""
        self._shed_untold = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send requests when due until the time is up, and wait for open ones."""
        streams = await open_streams(self._job["port"], self._job["streams"], arrivals := [])
        start = time.perf_counter()
        end, due, told = start + self._job["seconds"], start, start
        while (now := time.perf_counter()) < end:
            while due <= now:
                self._send(due)
                due += self._mix.gap(self._job["rate"])
            if now - told >= WINDOW_SECONDS:
                self._tell(now - told, events=len(arrivals))
                arrivals.clear()
                told += WINDOW_SECONDS
                self._look_after(now)
            await asyncio.sleep(TICK_SECONDS)
        while self._busy() and time.perf_counter() < end + TIMEOUT_SECONDS:  # noqa: ASYNC110 - many connections, not one event
            await asyncio.sleep(0.05)
        self._look_after(time.perf_counter(), all_of_them=True)
        lost = sum(each.transport is None or each.transport.is_closing() for each in streams)
        self._tell(time.perf_counter() - told, events=len(arrivals), streams_lost=lost)
        for each in streams:
            if each.transport is not None:
                each.transport.abort()

    def _busy(self) -> bool:
        return self._opening > 0 or any(each.kind for each in self._open)

    def _send(self, due: float) -> None:
        kind, raw = self._mix.draw()
        # The newest first, so that surplus connections grow idle and close.
        while self._free:
            connection = self._free.pop()
            if connection in self._open:
                connection.ask(kind, raw, due)
                return
        if len(self._open) + self._opening >= MOST_CONNECTIONS:
            self._count(kind, "unsent")
            return
        self._opening += 1
        task = asyncio.create_task(self._connect(kind, raw, due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, kind: str, raw: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._job["port"])
        except OSError as error:
            self._count(kind, "timeout" if isinstance(error, TimeoutError) else "lost")
            return
        finally:
            self._opening -= 1
        self._open.add(connection)
        connection.ask(kind, raw, due)

    def answered(self, connection: _Connection, head: bytes, body: bytes) -> None:
        """Count an answer and free its connection."""
        now, status = time.perf_counter(), head[9:12].decode()
        kind, connection.kind = connection.kind, ""
        self._count(kind, status)
        if status in ("200", "201", "207", "304"):
            # Waits below the lowest bucket count in it.
            wait = max(now - connection.due, 1e-5)
            self._waits.setdefault(kind, Counter())[round(math.log(wait, BASE))] += 1
            self._mix.learn(kind, head, body)
            connection.since = now
            self._free.append(connection)
            return
        self._shed_untold += status == "503" and b"\r\nretry-after: " not in head
        if not self._other or status == "500":
            self._other = f"{kind}: {head[:300].decode('latin-1')} {body[:500].decode('latin-1')}"
        connection.since = now
        self._free.append(connection)

    def ended(self, connection: _Connection) -> None:
        """Forget a closed connection and count its open request as lost."""
        self._open.discard(connection)
        if connection.kind:
            self._count(connection.kind, "lost")

    def _look_after(self, now: float, *, all_of_them: bool = False) -> None:
        """Abort requests past their time limit and close unused connections."""
        for each in list(self._open):
            if each.kind and (now - each.since > TIMEOUT_SECONDS or all_of_them):
                self._count(each.kind, "timeout")
                each.kind = ""
                self._drop(each)
            elif not each.kind and (now - each.since > IDLE_SECONDS or all_of_them):
                self._drop(each)
        self._free = [each for each in self._free if each in self._open]

    def _drop(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if connection.transport is not None:
            connection.transport.abort()

    def _count(self, kind: str, status: str) -> None:
        self._statuses.setdefault(kind, Counter())[status] += 1

    def _tell(self, seconds: float, **more: int) -> None:
        told = {
            "seconds": seconds,
            "statuses": self._statuses,
            "waits": self._waits,
            "other": self._other,
            "shed_untold": self._shed_untold,
        }
        print(json.dumps(told | more), flush=True)
        self._statuses, self._waits, self._other, self._shed_untold = {}, {}, "", 0


def main() -> None:
    """Do jobs until standard input ends."""
    for line in sys.stdin:
        uvloop.run(_Run(json.loads(line)).run())
        print(json.dumps({"ended": True}), flush=True)


if __name__ == "__main__":
    main()
