"""The cost of a long history: the same requests on an indicator with 100 reports and on one with 10,000, interleaved in one run.

    uv run python -m tests.benchmarks.long_history [--reports 10000] [--rounds 60] [--minutes 240] [--engine SQLite]

The reports are `--minutes` apart: the fewer minutes, the more reports are within the horizon of the newest and count at each
change. Prints for SQLite and PostgreSQL, or for one of them, the median of each request on both indicators and their ratio, of
`as_of` in the middle of the long history against a plain lookup, and of a correction of one of its oldest reports against a POST.
Requests go through the whole application, in process, without a network.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from rich.console import Console
from rich.table import Table

from app.access.keys import create_key
from app.access.principal import Scope
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings
from app.storage.migrations import migrate
from tests.benchmarks.data import keep_all
from tests.support.factories import Reference, report, seed
from tests.support.postgres import execute, postgres_server

START = datetime(2016, 1, 1, tzinfo=UTC)
SOURCES = ("agency", "envoy", "monitor", "unknown", "army", "rebels", "outlet", "neighbour")


def _statement(place: str, number: int, minutes: int) -> dict[str, Any]:
    stated = (START + timedelta(minutes=minutes * number)).isoformat().replace("+00:00", "Z")
    return report(place=place, source=SOURCES[number % len(SOURCES)], stated_at=stated, value={"people": 200_000 + number % 1000})


async def _fill(client: httpx.AsyncClient, place: str, count: int, minutes: int) -> None:
    for first in range(0, count, 1000):
        answer = await client.post("/v1/reports", json=[_statement(place, at, minutes) for at in range(first, min(count, first + 1000))])
        assert answer.json()["refused"] == 0, answer.text


async def _timed(request: Callable[[], Awaitable[httpx.Response]], status: int) -> float:
    start = time.perf_counter()
    answer = await request()
    spent = time.perf_counter() - start
    assert answer.status_code == status, answer.text
    return spent


async def _measure(url: str, reports: int, rounds: int, minutes: int) -> dict[str, list[float]]:
    app = create_app(Settings(database_url=url, access_log=False))
    async with LifespanManager(app):
        async with app.state.database.write() as session:
            _, secret = await create_key(session, name="b", organisation="b", scopes=tuple(Scope), clearance=Label.RED)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://b", headers=headers, timeout=600) as client:
            await seed(url)
            reference = Reference(client)
            sizes = {"short": 100, "long": reports}
            ids = {}
            oldest = {}
            for place, size in sizes.items():
                await reference.add("places", slug=place, name=place)
                await _fill(client, place, size, minutes)
                ids[place] = (await client.get("/v1/indicators", params={"place": place})).json()["items"][0]["id"]
                oldest[place] = (await client.get("/v1/reports", params={"indicator": ids[place], "limit": 1000})).json()["items"]
            await keep_all(app.state.database, app.state.settings)
            middle = (START + timedelta(minutes=minutes * (reports // 2))).isoformat().replace("+00:00", "Z")
            spent: dict[str, list[float]] = {}
            for turn in range(rounds):
                for place, size in sizes.items():
                    body = _statement(place, size + turn, minutes)
                    spent.setdefault(f"POST {place}", []).append(await _timed(lambda body=body: client.post("/v1/reports", json=body), 201))
                    params = {"place": place}
                    spent.setdefault(f"GET {place}", []).append(
                        await _timed(lambda params=params: client.get("/v1/trapped-populations", params=params), 200)
                    )
                    past = {"place": place, "as_of": middle}
                    spent.setdefault(f"as_of {place}", []).append(
                        await _timed(lambda past=past: client.get("/v1/trapped-populations", params=past), 200)
                    )
                    spent.setdefault(f"detail {place}", []).append(
                        await _timed(lambda place=place: client.get(f"/v1/indicators/{ids[place]}"), 200)
                    )
            # The steps that a correction moves are made again in the background, so these come last.
            for turn in range(min(rounds, 90)):
                for place in sizes:
                    path = f"/v1/reports/{oldest[place][turn]['id']}/correction"
                    body = _statement(place, turn, minutes) | {"reason": "misread", "value": {"concept": "trapped", "people": 7}}
                    spent.setdefault(f"correction {place}", []).append(
                        await _timed(lambda path=path, body=body: client.post(path, json=body), 201)
                    )
            return spent


def _print(console: Console, engine: str, spent: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) * 1000 for name, values in spent.items()}
    table = Table("request", "short, ms", "long, ms", "long / short", title=engine)
    for name in ("POST", "GET", "as_of", "detail", "correction"):
        short, long = medians[f"{name} short"], medians[f"{name} long"]
        table.add_row(name, f"{short:.2f}", f"{long:.2f}", f"{long / short:.2f}")
    console.print(table)
    console.print(f"as_of in the middle of the long history / plain lookup: {medians['as_of long'] / medians['GET long']:.1f}")
    console.print(f"correction of one of the oldest reports / POST: {medians['correction long'] / medians['POST long']:.1f}")


def main() -> None:
    """Measure both engines and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--minutes", type=int, default=240)
    parser.add_argument("--engine", choices=("SQLite", "PostgreSQL"))
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, postgres_server() as server:
        asyncio.run(execute(server, "CREATE DATABASE bench"))
        for engine, url in (("SQLite", f"sqlite:///{Path(folder) / 'bench.db'}"), ("PostgreSQL", server.get_uri("bench"))):
            if options.engine in (None, engine):
                migrate(Settings(database_url=url, access_log=False))
                _print(console, engine, asyncio.run(_measure(url, options.reports, options.rounds, options.minutes)))


if __name__ == "__main__":
    main()
