"""The cost of growth: the same requests on a database with 10,000 reports and on a large one, interleaved in one run.

    uv run python -m tests.benchmarks.growth [--reports 500000] [--rounds 60] [--engine postgresql]
    uv run python -m tests.benchmarks.growth --small URL --big URL

The first creates both databases by `tests.benchmarks.load_command`, the second takes two of them; both write a few more reports.
Prints the median of each request on both and their ratio, the cost of a page deep in the large one beside its first page, and the
memory of a worker on each database after the same requests. The timed requests go through the whole application, in
process, without a network and without the response cache.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psutil
from asgi_lifespan import LifespanManager
from rich.console import Console
from rich.table import Table

from app.changes.queries import CHANGE_CURSORS
from app.domain.tlp import MAX_LEVEL, Label
from app.main import create_app
from app.reports.endpoints import REPORT_CURSOR
from app.settings import Settings
from app.storage.migrations import migrate
from tests.benchmarks.synthetic import World
from tests.support.postgres import execute, postgres_server
from tests.support.processes import ROOT, serve
from tests.support.servers import environment, new_key, query_rows

SMALL = 10_000
DEEP = 990_000
A_REPORT_EACH = 25


class Subject:
    """One database under measurement: a client of an application on it, and data for its requests."""

    def __init__(self, client: httpx.AsyncClient, url: str, reports: int) -> None:
        self.client = client
        self.reports = reports
        self.ids: list[str] = []
        self.deep: str | None = None
        row = min(DEEP, reports * 99 // 100)
        ((found,),) = query_rows(url, f"SELECT id FROM report WHERE global_seq >= {row} ORDER BY global_seq LIMIT 1")
        self.deep_report = REPORT_CURSOR.encode(UUID(str(found)), 0)
        self.deep_change = CHANGE_CURSORS[MAX_LEVEL].encode(row, 0)
        self.bodies = (body for _, body, _ in World(reports // A_REPORT_EACH, seed=1).statements(10**9))

    async def prepare(self) -> None:
        """Find a cursor deep in the list, and identifiers of indicators."""
        cursor = None
        for _ in range(80):
            params = {"limit": "250"} | ({"cursor": cursor} if cursor else {})
            page = (await self.client.get("/v1/indicators", params=params)).json()
            self.ids += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = self.deep = page["next"]

    def requests(self, chance: random.Random) -> dict[str, tuple[str, str, Any]]:
        """Return one request of each kind, different each time."""
        town = f"town-{chance.randrange(self.reports // A_REPORT_EACH // 16):06}"
        source, country = f"source-{chance.randrange(120):03}", f"XA{chance.choice('ABCDEFGH')}"
        stated = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body = {**next(self.bodies), "stated_at": stated}
        return {
            "page of 100": ("GET", "/v1/indicators", {"limit": 100}),
            "page of 100, deep cursor": ("GET", "/v1/indicators", {"limit": 100, "cursor": self.deep} if self.deep else {}),
            "page of a place": ("GET", "/v1/indicators", {"place": town}),
            "page of a source": ("GET", "/v1/indicators", {"source": source, "limit": 10}),
            "page of a country, contested": ("GET", "/v1/indicators", {"country": country, "agreement": "contested", "limit": 10}),
            "reports of a place": ("GET", "/v1/reports", {"place": town, "limit": 10}),
            "reports, first 100": ("GET", "/v1/reports", {}),
            f"reports, from row {DEEP:,} or the last hundredth": ("GET", "/v1/reports", {"cursor": self.deep_report}),
            "changes, first 100": ("GET", "/v1/changes", {}),
            f"changes, from row {DEEP:,} or the last hundredth": ("GET", "/v1/changes", {"after": self.deep_change}),
            "one indicator": ("GET", f"/v1/indicators/{chance.choice(self.ids)}", {}),
            "situation of a place": ("GET", f"/v1/situations/{town}", {}),
            "POST of one report": ("POST", "/v1/reports", body),
        }


async def _ask(client: httpx.AsyncClient, method: str, path: str, what: Any) -> float:
    start = time.perf_counter()
    answer = await (client.get(path, params=what) if method == "GET" else client.post(path, json=what))
    spent = time.perf_counter() - start
    assert answer.status_code in (200, 201), answer.text
    return spent


async def measure(urls: dict[str, str], sizes: dict[str, int], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each request by database and kind of request."""
    chance = random.Random(7)
    spent: dict[str, dict[str, list[float]]] = {name: {} for name in urls}
    async with AsyncExitStack() as open_:
        subjects = {}
        for name, url in urls.items():
            app = create_app(
                Settings(database_url=url, response_cache_bytes=0, access_log=False, rate_limit=None, rate_limit_anonymous=None)
            )
            await open_.enter_async_context(LifespanManager(app, startup_timeout=60, shutdown_timeout=60))
            headers = {"Authorization": f"Bearer {await new_key(url, clearance=Label.RED)}"}
            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://b", headers=headers, timeout=600)
            subject = await asyncio.to_thread(Subject, await open_.enter_async_context(client), url, sizes[name])
            await subject.prepare()
            subjects[name] = subject
            for method, path, what in subject.requests(chance).values():
                await _ask(subject.client, method, path, what)
        for _, (name, subject) in itertools.product(range(rounds), subjects.items()):
            for sort, (method, path, what) in subject.requests(chance).items():
                spent[name].setdefault(sort, []).append(await _ask(subject.client, method, path, what))
    return spent


async def memory_of_worker(url: str, reports: int, rounds: int) -> int:
    """Return the resident bytes of a worker after it has answered each request `times` times."""
    key = await new_key(url, clearance=Label.RED)
    with tempfile.TemporaryDirectory() as folder:
        options = {"rate_limit": "off", "rate_limit_anonymous": "off", "access_log": "false", "response_cache_bytes": "0"}
        with serve(Path(folder), code=ROOT, database_url=url, **options) as server:
            async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=600) as client:
                subject = await asyncio.to_thread(Subject, client, url, reports)
                await subject.prepare()
                chance = random.Random(8)
                for _ in range(rounds):
                    for method, path, what in subject.requests(chance).values():
                        await _ask(client, method, path, what)
            resident: int = psutil.Process(server.process.pid).memory_info().rss
    return resident


def _print(console: Console, title: str, spent: dict[str, dict[str, list[float]]], memory: dict[str, int]) -> None:
    table = Table("request", "small, ms", "big, ms", "big / small", title=title)
    for sort in spent["small"]:
        small, big = (statistics.median(spent[name][sort]) * 1000 for name in ("small", "big"))
        table.add_row(sort, f"{small:.2f}", f"{big:.2f}", f"{big / small:.2f}")
    console.print(table)
    for what in ("reports", "changes"):
        first, deep = (statistics.median(each) for sort, each in spent["big"].items() if sort.startswith(f"{what}, "))
        console.print(f"{what} of the big one: a page deep in them costs {deep / first:.2f} of the first")
    told = ", ".join(f"on the {name} one {each / 2**20:.0f} MiB" for name, each in memory.items())
    console.print(f"memory of a worker after the same requests: {told}")


def _measure_and_print(title: str, urls: dict[str, str], sizes: dict[str, int], rounds: int) -> None:
    spent = asyncio.run(measure(urls, sizes, rounds))
    memory = {name: asyncio.run(memory_of_worker(url, sizes[name], rounds)) for name, url in urls.items()}
    _print(Console(width=120), title, spent, memory)


@contextmanager
def _made(engine: str, reports: int) -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        urls = {}
        for name, size in (("small", SMALL), ("big", reports)):
            urls[name] = f"sqlite:///{Path(folder) / name}.db" if engine == "sqlite" else server.get_uri(name)
            if engine == "postgresql":
                asyncio.run(execute(server, f"CREATE DATABASE {name}"))
            command = [sys.executable, "-m", "tests.benchmarks.load_command", "--reports", str(size)]
            loaded = subprocess.run(command, env=environment(database_url=urls[name]), capture_output=True, text=True, check=False)
            assert loaded.returncode == 0, loaded.stderr
            print(loaded.stdout, end="")
        yield urls


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="postgresql")
    parser.add_argument("--small")
    parser.add_argument("--big")
    options = parser.parse_args()
    sizes = {"small": SMALL, "big": options.reports}
    title = f"{options.engine}: {SMALL:,} reports and {options.reports:,}"
    if options.small and options.big:
        urls = {"small": options.small, "big": options.big}
        for url in urls.values():
            migrate(Settings(database_url=url))
        _measure_and_print(title, urls, sizes, options.rounds)
    else:
        with _made(options.engine, options.reports) as urls:
            _measure_and_print(title, urls, sizes, options.rounds)


if __name__ == "__main__":
    main()
