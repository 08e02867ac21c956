"""A soak test: a realistic mix at 90 % of the highest sustained rate of one worker, then at three times that, then as before.

    uv run python -m tests.benchmarks.soak [--minutes 10] [--engine sqlite] [--database-url URL] [--rate N]

The mix is that of `open_load.py`: cached pages, 304, single indicators, changes, uncached pages, situations, reports
singly and in batches, and some streams. Requests are sent when due, not when the one before is answered. `lifeline serve`
has a core, the load generator (and PostgreSQL) the other. Its response cache is full before the soak begins, when its memory is
first measured. The database of `--database-url` must be empty and is filled. Prints a table by minute and a verdict on each claim; writes
test-output/soak.json. Exit code 1 if a claim does not hold.
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from app.domain.tlp import Label
from app.settings import Settings
from app.storage.migrations import migrate
from tests.benchmarks.__main__ import OUTPUT, databases, measured
from tests.benchmarks.data import fill
from tests.benchmarks.open_load import BASE
from tests.benchmarks.serving import Load, cores, load_generator, resident_bytes
from tests.support.processes import ROOT, Server, serve
from tests.support.servers import new_key

INDICATORS = 9000
KEYS = 6
# A rate is sustained if all requests are answered, 99 of 100 within this.
HELD_SECONDS = 0.25
FIRST_RATE = 50.0
LOWEST_RATE = 10.0
# Below the highest rate, because at that rate any interruption of the machine would fill the queue.
SOAKED_AT = 0.9
TRIAL_SECONDS = 10.0
WARM_SECONDS = 30.0
OVERLOAD = 3
RECOVERED_SECONDS = 40.0
# Growth of up to this counts as none.
MEMORY_GROWTH, WAIT_GROWTH = 1.05, 1.5
# Smaller differences come from the clock and the scheduler.
SMALL_SECONDS = 0.02


@dataclass
class Span:
    """The results of a period: statuses of all requests, histograms of waits by kind, resident bytes, health checks."""

    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    by_kind: dict[str, Counter[str]] = field(default_factory=dict)
    waits: dict[str, Counter[int]] = field(default_factory=dict)
    resident: list[int] = field(default_factory=list)
    health: list[float] = field(default_factory=list)
    unhealthy: int = 0
    shed_untold: int = 0
    events: int = 0
    streams_lost: int = 0
    other: str = ""

    def add(self, told: dict[str, Any]) -> None:
        """Add a window of the load generator."""
        self.seconds += told["seconds"]
        self.events += told["events"]
        self.streams_lost += told.get("streams_lost", 0)
        self.shed_untold += told["shed_untold"]
        self.other = self.other or told["other"]
        for kind, found in told["statuses"].items():
            self.statuses.update(found)
            self.by_kind.setdefault(kind, Counter()).update(found)
        for kind, waits in told["waits"].items():
            self.waits.setdefault(kind, Counter()).update({int(power): count for power, count in waits.items()})

    def join(self, other: "Span") -> None:
        """Add another span's numbers to this one's."""
        self.seconds += other.seconds
        self.statuses += other.statuses
        self.resident += other.resident
        self.health += other.health
        self.unhealthy += other.unhealthy
        self.shed_untold += other.shed_untold
        self.events += other.events
        self.streams_lost += other.streams_lost
        self.other = self.other or other.other
        for mine, theirs in ((self.by_kind, other.by_kind), (self.waits, other.waits)):
            for kind, found in theirs.items():
                mine[kind] = mine.get(kind, Counter()) + found  # type: ignore[assignment, operator]

    def answered(self) -> int:
        """Return the number of requests with an expected status."""
        return sum(sum(each.values()) for each in self.waits.values())

    def failed(self) -> int:
        """Return the number of requests that failed for any reason."""
        return self.statuses.total() - self.answered()

    def wait(self, part: float, kind: str | None = None) -> float:
        """Return the quantile of waits of good answers in seconds, of one kind or of all."""
        merged: Counter[int] = Counter()
        for name, found in self.waits.items():
            if kind in (None, name):
                merged.update(found)
        left = math.ceil(part * merged.total())
        for power in sorted(merged):
            left -= merged[power]
            if left <= 0:
                return BASE**power
        return math.inf


def joined(spans: Sequence[Span]) -> Span:
    """Join several spans into one."""
    whole = Span()
    for each in spans:
        whole.join(each)
    return whole


class Health:
    """Checks the health of a server once a second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._found: list[float | None] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10) as client:
            while not self._stop.wait(0.5):
                for path in ("/health/live", "/health/ready"):
                    started = time.perf_counter()
                    try:
                        well = client.get(path).status_code == 200
                    except httpx.HTTPError:
                        well = False
                    self._found.append(time.perf_counter() - started if well else None)

    def take(self, span: Span) -> None:
        """Move the checks since the last call into a span."""
        found, self._found = self._found, []
        span.health += [each for each in found if each is not None]
        span.unhealthy += found.count(None)

    @contextmanager
    def asking(self) -> Iterator["Health"]:
        """Check until the end of the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            self._thread.join()


class Bench:
    """A server under load: runs rates against it and measures it meanwhile."""

    def __init__(self, server: Server, load: Load, health: Health, job: dict[str, Any]) -> None:
        self.server = server
        self._load = load
        self._health = health
        self._job = job
        self._seed = 1

    def run(self, rate: float, seconds: float) -> list[Span]:
        """Run a rate for some seconds and return a span for each five seconds."""
        self._seed += 1
        self._load.start(self._job | {"rate": rate, "seconds": seconds, "seed": self._seed})
        spans = []
        while "ended" not in (told := self._load.result()):
            span = Span(resident=[resident_bytes(self.server.process.pid)])
            span.add(told)
            self._health.take(span)
            spans.append(span)
        return spans

    def fill_response_cache(self) -> None:
        """Request different pages until the response cache is full; from then on each new page replaces an old one."""
        most, key = Settings().response_cache_bytes, {"Authorization": f"Bearer {self._job['keys'][0]}"}
        with httpx.Client(base_url=self.server.url, timeout=30) as client:
            for number in itertools.count():
                client.get("/v1/indicators", params={"updated_since": f"2015-01-01T00:00:00.{number:06}Z"}).raise_for_status()
                if number % 50 == 0:
                    kept = re.search(r"^lifeline_response_cache_bytes (\S+)$", client.get("/metrics", headers=key).text, re.MULTILINE)
                    assert kept is not None
                    if float(kept[1]) > 0.99 * most:
                        return

    def sustains(self, rate: float, seconds: float = TRIAL_SECONDS) -> bool:
        """Return whether the server sustains a rate for some seconds: all answered, and in time."""
        whole = joined(self.run(rate, seconds))
        unexpected = {status for status in whole.statuses if status.startswith("4")}
        assert not unexpected, whole.other
        return whole.failed() == 0 and whole.wait(0.99) <= HELD_SECONDS


def highest_rate(bench: Bench, console: Console) -> float:
    """Return the highest sustained rate to about 5 %, confirmed over three times the length of the first trials."""
    low, high = 0.0, FIRST_RATE
    while bench.sustains(high):
        console.print(f"holds {high:,.0f} a second")
        low, high = high, high * 1.5
    console.print(f"does not hold {high:,.0f} a second")
    while high - low > 0.06 * high:
        tried = (low + high) / 2
        held = bench.sustains(tried)
        console.print(f"{'holds' if held else 'does not hold'} {tried:,.0f} a second")
        low, high = (tried, high) if held else (low, tried)
        if high < LOWEST_RATE:
            raise SystemExit(f"This machine does not hold {LOWEST_RATE:.0f} requests a second: it is busy with something else.")
    while not bench.sustains(low, 3 * TRIAL_SECONDS):
        console.print(f"does not hold {low:,.0f} a second for {3 * TRIAL_SECONDS:.0f} seconds")
        low *= 0.95
    return low


@dataclass(frozen=True)
class Verdict:
    """A claim, whether it holds, and the measured figures."""

    claim: str
    holds: bool
    seen: str


def judge(soak: Sequence[Span], overload: Sequence[Span], after: Sequence[Span], *, alive: bool) -> list[Verdict]:
    """Return a verdict on each claim."""
    whole, third = joined(soak), max(1, len(soak) // 3)
    first, last = joined(soak[:third]), joined(soak[-third:])
    before, now = (sum(each.resident) / len(each.resident) / 2**20 for each in (first, last))
    early, late = first.wait(0.99), last.wait(0.99)
    pressed = joined(overload)
    # In the first seconds the server still works off the queue.
    recovered = joined(after[len(after) // 2 :])
    calm = whole.wait(0.99)
    peak = max(max(each.resident) for each in overload) / 2**20
    told = {status: count for status, count in pressed.statuses.items() if status not in ("200", "201", "207", "304")}
    broken = sum(count for status, count in told.items() if status.startswith("5") and status != "503")
    return [
        Verdict("memory is flat", now <= before * MEMORY_GROWTH, f"{before:.1f} MiB in the first third, {now:.1f} in the last"),
        Verdict("no 5xx, nothing lost or late", whole.failed() == 0, f"{whole.failed()} of {whole.statuses.total():,} {whole.other[:300]}"),
        Verdict(
            "no growth of p99",
            late <= max(early * WAIT_GROWTH, early + SMALL_SECONDS),
            f"{early * 1000:.0f} ms in the first third, {late * 1000:.0f} ms in the last",
        ),
        Verdict("streams stay open", whole.streams_lost == 0, f"{whole.streams_lost} lost, {whole.events:,} pieces received"),
        Verdict(
            f"sheds at {OVERLOAD} times the rate",
            pressed.statuses["503"] > 0 and pressed.shed_untold == 0 and broken == 0,
            f"{pressed.answered():,} answered, {told}, {pressed.shed_untold} of the 503 without Retry-After; memory at most {peak:.1f} MiB",
        ),
        Verdict(
            "health checks are answered throughout",
            whole.unhealthy + pressed.unhealthy + recovered.unhealthy == 0,
            f"{whole.unhealthy + pressed.unhealthy} failed of {len(whole.health) + len(pressed.health)}; "
            f"the longest took {max(whole.health) * 1000:.0f} ms in the soak, {max(pressed.health) * 1000:.0f} ms under overload",
        ),
        Verdict(
            "recovers without a restart",
            alive and recovered.failed() == 0 and recovered.wait(0.99) <= max(calm * WAIT_GROWTH, calm + SMALL_SECONDS),
            f"p99 {recovered.wait(0.99) * 1000:.0f} ms afterwards, {calm * 1000:.0f} ms in the soak; {recovered.failed()} failed",
        ),
    ]


def _measure(url: str, options: argparse.Namespace, console: Console, folder: Path) -> dict[str, Any]:
    serving_core, load_core = cores()
    migrate(Settings(database_url=url))
    console.print(f"reporting {options.indicators:,} statements")
    asyncio.run(fill(url, indicators=options.indicators, reports_each=1))
    keys = [asyncio.run(new_key(url, clearance=Label.GREEN, organisation=f"org-{number}")) for number in range(KEYS)]
    limits = {"rate_limit": "off", "rate_limit_anonymous": "off", "access_log": "false"}
    # A process inherits the core of its parent.
    free = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {serving_core})
    with serve(folder, code=ROOT, database_url=url, **limits) as server:
        os.sched_setaffinity(0, {load_core})
        job = {"port": int(server.url.rpartition(":")[2]), "keys": keys, "count": options.indicators, "streams": options.streams}
        page = httpx.get(f"{server.url}/v1/indicators?limit=1000", headers={"Authorization": f"Bearer {keys[0]}"}).json()
        job["indicators"] = [item["id"] for item in page["items"]]
        with load_generator(load_core, "tests.benchmarks.open_load") as load, Health(server.url).asking() as health:
            bench = Bench(server, load, health, job)
            bench.fill_response_cache()
            rate = options.rate or SOAKED_AT * highest_rate(bench, console)
            console.print(f"warming up at {rate:,.0f} a second")
            bench.run(rate, options.warm)
            console.print(f"{options.minutes:g} minutes at {rate:,.0f} a second")
            soak = bench.run(rate, options.minutes * 60)
            console.print(f"{options.overload_seconds:g} seconds at {OVERLOAD * rate:,.0f} a second")
            overload = bench.run(OVERLOAD * rate, options.overload_seconds)
            console.print(f"{RECOVERED_SECONDS:.0f} seconds at {rate:,.0f} a second")
            after = bench.run(rate, RECOVERED_SECONDS)
        verdicts = judge(soak, overload, after, alive=server.process.poll() is None)
        os.sched_setaffinity(0, free)
    parts = {"soak": soak, "overload": overload, "after": after}
    return {"rate": rate, "verdicts": [asdict(each) for each in verdicts], **parts}


def by_minute(spans: Sequence[Span]) -> list[Span]:
    """Return spans of a minute each; the last may be shorter."""
    minutes: list[Span] = []
    for each in spans:
        if not minutes or minutes[-1].seconds > 55:
            minutes.append(Span())
        minutes[-1].join(each)
    return minutes


def _print(engine: str, found: dict[str, Any], console: Console) -> None:
    table = Table("minute", title=f"{engine}, one worker: {found['rate']:,.0f} requests a second")
    for column in ("answered a second", "p50, ms", "p99, ms", "MiB", "other statuses"):
        table.add_column(column, justify="right")
    for part in ("soak", "overload", "after"):
        for number, each in enumerate(by_minute(found[part]), 1):
            other = {status: count for status, count in each.statuses.items() if status not in ("200", "201", "207", "304")}
            table.add_row(
                f"{part} {number}",
                f"{each.answered() / each.seconds:,.0f}",
                f"{each.wait(0.5) * 1000:.1f}",
                f"{each.wait(0.99) * 1000:.0f}",
                f"{sum(each.resident) / len(each.resident) / 2**20:.1f}",
                " ".join(f"{status}: {count:,}" for status, count in other.items()),
            )
    console.print(table)
    for part in ("soak", "overload"):
        kinds = Table("kind", "answers", "p50, ms", "p99, ms", "shed", title=f"{part}, by kind")
        whole = joined(found[part])
        for kind, waits in whole.waits.items():
            row = (f"{waits.total():,}", f"{whole.wait(0.5, kind) * 1000:.1f}", f"{whole.wait(0.99, kind) * 1000:.0f}")
            kinds.add_row(kind, *row, f"{whole.by_kind[kind]['503']:,}")
        console.print(kinds)
    for each in found["verdicts"]:
        console.print(f"{'HOLDS' if each['holds'] else 'FAILS'}  {each['claim']}: {each['seen']}", markup=False)


def _written(found: dict[str, Any]) -> dict[str, Any]:
    def numbers(span: Span) -> dict[str, Any]:
        return {
            "seconds": span.seconds,
            "answered": span.answered(),
            "statuses": span.by_kind,
            "p50_ms": {kind: span.wait(0.5, kind) * 1000 for kind in span.waits},
            "p99_ms": {kind: span.wait(0.99, kind) * 1000 for kind in span.waits} | {"all": span.wait(0.99) * 1000},
            "resident_mib": sum(span.resident) / len(span.resident) / 2**20,
            "longest_health_check_ms": max(span.health, default=math.nan) * 1000,
        }

    parts = {part: [numbers(each) for each in by_minute(found[part])] for part in ("soak", "overload", "after")}
    return {"requests_a_second": found["rate"], "verdicts": found["verdicts"], **parts}


def main() -> None:
    """Run the soak, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak itself")
    parser.add_argument("--engine", choices=["sqlite", "postgresql"], action="append", help="only this one; both unless given")
    parser.add_argument("--database-url", help="an empty database, instead of ones of its own")
    parser.add_argument("--rate", type=float, help="requests a second; nine tenths of the highest that is held unless given")
    parser.add_argument("--indicators", type=int, default=INDICATORS)
    parser.add_argument("--streams", type=int, default=5)
    parser.add_argument("--warm", type=float, default=WARM_SECONDS, help="seconds of warming up")
    parser.add_argument("--overload-seconds", type=float, default=60.0)
    options = parser.parse_args()
    console, results = Console(width=140), {}
    _, load_core = cores()
    with tempfile.TemporaryDirectory(prefix="lifeline-soak-") as name:
        if options.database_url is not None:
            results[options.database_url.partition(":")[0]] = _measure(options.database_url, options, console, Path(name))
        else:
            for engine in options.engine or ["sqlite", "postgresql"]:
                with databases(engine, Path(name), load_core) as (url, _):
                    results[engine] = _measure(url, options, console, Path(name))
    for engine, found in results.items():
        _print(engine, found, console)
    OUTPUT.mkdir(exist_ok=True)
    # The URL may contain a password.
    options.database_url = options.database_url and "given"
    written = measured(options) | {"engines": {engine: _written(found) for engine, found in results.items()}}
    (OUTPUT / "soak.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    console.print(f"Written to {OUTPUT}/soak.json")
    if not all(each["holds"] for found in results.values() for each in found["verdicts"]):
        sys.exit(1)


if __name__ == "__main__":
    main()
