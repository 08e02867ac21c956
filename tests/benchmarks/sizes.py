"""Costs of reads with many rows: the same requests to 10,000 reports and to copies of them, interleaved in one run.

    uv run python -m tests.benchmarks.sizes [--reports 200000] [--engine sqlite] [--rounds 200]

10,000 reports are recorded through the application; the larger database has their rows, steps and documents again under other places,
copied by SQL, because recording a million takes hours. Entries of the ledger are not copied: what is measured reads none. Requests go
through the whole application, in process, without a network and without kept responses.
"""

import argparse
import asyncio
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from asgi_lifespan import LifespanManager
from rich.console import Console
from rich.table import Table
from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource, IndicatorStep
from app.assessment.steps import _compressor, stored_content
from app.main import create_app
from app.reference.models import Place, PlaceAncestor
from app.reports.models import Report
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate
from app.storage.types import table_of
from tests.benchmarks.data import AS_OF, fill, place_name
from tests.support.postgres import execute, postgres_server

REPORTS, REPORTS_EACH = 10_000, 2
# In milliseconds: identifiers begin with their time.
HOUR = 3_600_000
# Rows for one statement.
CHUNK = 2000
COPIED = (Place, PlaceAncestor, Indicator, IndicatorSource, IndicatorProjection, IndicatorStep, Report)
_IN_TEXT = re.compile(r'"town-|([0-9a-f]{8})-([0-9a-f]{4})(?=-7[0-9a-f]{3}-)|/town-')


def _later(identifier: UUID, copy: int) -> UUID:
    return UUID(int=identifier.int + ((copy * HOUR) << 80))


def _in_text(text: str, copy: int) -> str:
    def moved(found: re.Match[str]) -> str:
        if found[1] is None:
            return f"{found[0]}{copy}-"
        stamp = f"{int(found[1] + found[2], 16) + copy * HOUR:012x}"
        return f"{stamp[:8]}-{stamp[8:]}"

    return _IN_TEXT.sub(moved, text)


def _copied(row: Row[Any], names: dict[str, Callable[[Any, int], Any]], copy: int) -> dict[str, Any]:
    found = dict(row._mapping)
    for name, change in names.items():
        found[name] = change(found[name], copy)
    return found


async def copy_rows(connection: AsyncConnection, copies: int) -> None:
    """Add copies of every indicator with its rows, under places of their own."""
    places = table_of(Place)
    country = (await connection.execute(select(places.c.id).where(places.c.slug == "country"))).scalar_one()
    towns = select(places.c.id).where(places.c.slug.like("town-%")).scalar_subquery()
    of_place = {"place": "id", "place_ancestor": "place_id"}

    def moved(each: UUID, copy: int) -> UUID:
        return each if each == country else _later(each, copy)

    ids = dict.fromkeys(("id", "place_id", "indicator_id", "ancestor_id"), moved)
    own: dict[str, dict[str, Callable[[Any, int], Any]]] = {
        "place": {"slug": lambda each, copy: each.replace("town-", f"town-{copy}-")},
        "report": {"global_seq": lambda each, copy: each + copy * 10 * REPORTS},
        "indicator_projection": {"document": _in_text},
        "indicator_step": {"document": lambda each, copy: _compressor.compress(_in_text(stored_content(each), copy).encode())},
    }
    for model in COPIED:
        table = table_of(model)
        names = {name: change for name, change in ids.items() if name in table.c} | own.get(table.name, {})
        every = select(*table.c)
        # Places that the seed has beside the towns are not copied.
        rows = list(await connection.execute(every.where(table.c[of].in_(towns)) if (of := of_place.get(table.name)) else every))
        for copy in range(1, copies):
            for start in range(0, len(rows), CHUNK):
                await connection.execute(insert(table), [_copied(each, names, copy) for each in rows[start : start + CHUNK]])


async def _measure(urls: dict[str, str], rounds: int) -> dict[str, dict[str, float]]:
    towns = REPORTS // REPORTS_EACH // 15
    paths: dict[str, Callable[[int], str]] = {
        "page of 100": lambda _: "/v1/indicators",
        "page of 100 as of a day": lambda _: f"/v1/indicators?as_of={AS_OF}",
        "page of 100 as of a time, each another": lambda turn: f"/v1/indicators?as_of=2016-08-15T00:{turn // 60 % 60:02}:{turn % 60:02}Z",
        "situation of a place": lambda _: f"/v1/situations/{place_name(1)}",
        "situation as of a day": lambda _: f"/v1/situations/{place_name(1)}?as_of={AS_OF}",
        "situation as of a day, each another": lambda turn: f"/v1/situations/{place_name(turn % towns)}?as_of={AS_OF}",
    }
    spent: dict[str, dict[str, list[float]]] = {name: {size: [] for size in urls} for name in paths}
    apps = {
        size: create_app(Settings(database_url=url, access_log=False, response_cache_bytes=0, rate_limit="off", rate_limit_anonymous="off"))
        for size, url in urls.items()
    }
    small, large = urls
    async with LifespanManager(apps[small], startup_timeout=60), LifespanManager(apps[large], startup_timeout=60):
        clients = {size: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://b") for size, app in apps.items()}
        for turn in range(rounds):
            for name, path in paths.items():
                for size, client in clients.items():
                    start = time.perf_counter()
                    answer = await client.get(path(turn), headers={"accept-encoding": "identity"})
                    spent[name][size].append(time.perf_counter() - start)
                    assert answer.status_code == 200, answer.text
    return {name: {size: statistics.median(each) * 1000 for size, each in by_size.items()} for name, by_size in spent.items()}


async def _load(url: str, copies: int) -> None:
    database = Database(Settings(database_url=url))
    async with database.write() as session:
        await copy_rows(await session.connection(), copies)
    await database.close()


def _run(console: Console, engine: str, urls: dict[str, str], copies: int, rounds: int) -> None:
    began = time.monotonic()
    asyncio.run(_load(urls["large"], copies))
    console.print(f"{engine}: copied in {time.monotonic() - began:.0f} s")
    table = Table("request", f"{REPORTS:,}, ms", f"{copies * REPORTS:,}, ms", "ratio", title=engine)
    for name, by_size in asyncio.run(_measure(urls, rounds)).items():
        small, large = by_size.values()
        table.add_row(name, f"{small:.2f}", f"{large:.2f}", f"{large / small:.2f}")
    console.print(table)


def main() -> None:
    """Measure an engine, or both, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    console, copies = Console(), options.reports // REPORTS
    with tempfile.TemporaryDirectory() as folder:
        if options.engine != "postgresql":
            small, large = (Path(folder) / f"{size}.db" for size in ("small", "large"))
            _fill(f"sqlite:///{small}")
            sqlite3.connect(small).execute("VACUUM INTO ?", (str(large),))
            _run(console, "sqlite", {"small": f"sqlite:///{small}", "large": f"sqlite:///{large}"}, copies, options.rounds)
        if options.engine != "sqlite":
            with postgres_server() as server:
                asyncio.run(execute(server, "CREATE DATABASE small"))
                _fill(server.get_uri("small"))
                asyncio.run(execute(server, "CREATE DATABASE large TEMPLATE small"))
                urls = {size: server.get_uri(size) for size in ("small", "large")}
                _run(console, "postgresql", urls, copies, options.rounds)


def _fill(url: str) -> None:
    migrate(Settings(database_url=url, access_log=False))
    asyncio.run(fill(url, indicators=REPORTS // REPORTS_EACH, reports_each=REPORTS_EACH))


if __name__ == "__main__":
    main()
