"""One hostile address: 50 connections that ask for what costs most, and what others notice of it.

    uv run python -m tests.benchmarks.hostile [--reports 20000] [--seconds 30] [--engine postgresql] [--unlimited]

The connections have no key and ask at random microseconds of the past, in lists, situations, warnings, histories and whole exports; what
is refused they ask again. Meanwhile one client asks for `/health/live`, one reads uncached pages with a key, and one reports; before that,
they do so without the attack. Prints their waits and answers, and fails if the service falls behind what it promises. `--unlimited` takes
the rate limit away.
"""

import argparse
import asyncio
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from app.domain.times import rfc3339, utc_now
from tests.benchmarks.synthetic import DAYS, START, World
from tests.support.postgres import execute, postgres_server
from tests.support.processes import ROOT, environment, serve
from tests.support.servers import new_key

CONNECTIONS = 50
# Promises: the 99th percentile of `/health/live` in seconds, where a busy machine does not exceed it in quiet, and of writes in quiet ones.
MAX_HEALTH_SECONDS = 0.1
MAX_WRITE_RATIO = 2.0
REFUSED_PAUSE_SECONDS = 0.05


@dataclass
class Seen:
    """Waits and statuses of one kind of client."""

    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def wait(self, part: float) -> float:
        """Return a percentile of the waits in seconds."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0

    @property
    def failed(self) -> int:
        """Number of answers with a 5xx status."""
        return sum(count for status, count in self.statuses.items() if status >= 500)


def expensive(chance: random.Random) -> str:
    """Return a path that costs much."""
    at = rfc3339(START + timedelta(microseconds=chance.randrange(DAYS * 86_400_000_000)))
    return chance.choice(
        (
            f"/v1/indicators?limit=1000&as_of={at}",
            f"/v1/situations?limit=1000&as_of={at}",
            f"/v1/warnings?limit=1000&within_days=3650&as_of={at}",
            f"/v1/indicators.csv?as_of={at}",
            f"/v1/indicators.geojson?known_at={rfc3339(utc_now())}",
            f"/v1/reports.xlsx?known_at={rfc3339(utc_now())}",
            f"/v1/situations?limit=1000&known_at={rfc3339(utc_now())}",
            f"/?as_of={at}",
        )
    )


async def attack(url: str, until: float, seen: Seen, seed: int) -> None:
    """Ask for expensive answers on one connection."""
    chance = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                status = (await client.get(expensive(chance))).status_code
            except httpx.TransportError:
                status = 0
            seen.statuses[status] += 1
            seen.waits.append(time.monotonic() - started)
            if status in (429, 503):
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)


async def repeat(ask: Callable[[int], Awaitable[httpx.Response]], until: float, seen: Seen, pause: float) -> None:
    """Ask again and again, with a pause between two answers."""
    number = 0
    while time.monotonic() < until:
        started = time.monotonic()
        seen.statuses[(await ask(number)).status_code] += 1
        seen.waits.append(time.monotonic() - started)
        number += 1
        await asyncio.sleep(pause)


def attack_from(url: str, seconds: float, connections: int) -> Seen:
    """Run the attack; in a process of its own, because its event loop would delay the clients that are measured."""

    async def all_connections() -> Seen:
        seen, until = Seen(), time.monotonic() + seconds
        await asyncio.gather(*(attack(url, until, seen, seed) for seed in range(connections)))
        return seen

    return asyncio.run(all_connections())


async def measure(url: str, key: str, seconds: float, indicators: int, connections: int, seed: int) -> dict[str, Seen]:
    """Run the attack and the clients that suffer from it."""
    seen = {name: Seen() for name in ("hostile", "/health/live", "reader with a key", "reporter")}
    bodies = (body for _, body, _ in World(indicators, seed=seed).statements(10**9))
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=url, timeout=60) as health,
        httpx.AsyncClient(base_url=url, timeout=60, headers=headers) as reader,
        httpx.AsyncClient(base_url=url, timeout=60, headers=headers) as reporter,
    ):

        def report(number: int) -> Awaitable[httpx.Response]:
            body = {**next(bodies), "stated_at": rfc3339(utc_now() - timedelta(seconds=1)), "provenance": {"title": f"hostile {number}"}}
            return reporter.post("/v1/reports", json=body)

        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
            attacking = asyncio.get_running_loop().run_in_executor(processes, attack_from, url, seconds, connections)
            until = time.monotonic() + seconds
            await asyncio.gather(
                repeat(lambda _: health.get("/health/live"), until, seen["/health/live"], 0.02),
                repeat(lambda number: reader.get(f"/v1/indicators?limit={1 + number % 1000}"), until, seen["reader with a key"], 0.02),
                repeat(report, until, seen["reporter"], 0.02),
            )
            seen["hostile"] = await attacking
    return seen


@contextmanager
def database(engine: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database."""
    if engine == "sqlite":
        yield f"sqlite:///{folder / 'hostile.db'}"
        return
    with postgres_server() as server:
        asyncio.run(execute(server, "CREATE DATABASE hostile"))
        yield server.get_uri("hostile")


def main() -> None:
    """Run it on each engine; exit code 1 if the service falls behind what it promises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"))
    parser.add_argument("--unlimited", action="store_true")
    options = parser.parse_args()
    kept = True
    for engine in [options.engine] if options.engine else ["sqlite", "postgresql"]:
        with tempfile.TemporaryDirectory() as folder, database(engine, Path(folder)) as url:
            load = [sys.executable, "-m", "tests.benchmarks.load_command", "--reports", str(options.reports)]
            subprocess.run([*load, "--indicators", str(options.reports // 4)], cwd=ROOT, env=environment(database_url=url), check=True)
            key = asyncio.run(new_key(url))
            limits = {"rate_limit": "off"} | ({"rate_limit_anonymous": "off"} if options.unlimited else {})
            with serve(Path(folder), database_url=url, access_log="false", **limits) as server:
                quiet, seen = (
                    asyncio.run(measure(server.url, key, options.seconds, options.reports // 4, connections, seed=connections))
                    for connections in (0, options.connections)
                )
        table = Table("client", "answers", "p50 ms", "p99 ms", "worst ms", "statuses", title=f"{engine}, {options.reports:,} reports")
        for name, each in [*((f"{name}, quiet", each) for name, each in quiet.items() if each.waits), *seen.items()]:
            figures = (f"{each.wait(part) * 1000:,.0f}" for part in (0.5, 0.99, 1))
            table.add_row(
                name, f"{len(each.waits):,}", *figures, ", ".join(f"{status}: {count}" for status, count in sorted(each.statuses.items()))
            )
        Console().print(table)
        ratio = seen["reporter"].wait(0.99) / quiet["reporter"].wait(0.99)
        Console().print(f"p99 of writes: {ratio:.2f} times the quiet one")
        kept &= seen["/health/live"].wait(0.99) < max(MAX_HEALTH_SECONDS, quiet["/health/live"].wait(0.99)) and ratio < MAX_WRITE_RATIO
        kept &= not any(seen[name].failed for name in seen if name != "hostile")
    if not kept:
        raise SystemExit("The service fell behind what it promises.")


if __name__ == "__main__":
    main()
