"""The cost of exporting a million reports: rows a second, and the server's peak memory.

    uv run python -m tests.benchmarks.export [--reports 1000000] [--formats ndjson csv geojson xlsx] [--database postgresql]
    uv run python -m tests.benchmarks.export --filled URL --reports 5000000

Fills a database without the ledger's code, or takes one that `load_command` filled, serves it by `lifeline serve`, and reads
`/v1/reports` in each format over HTTP, in pieces. Memory is the resident size of the server's process during the export, and its peak
so far (VmHWM).
"""

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from app.access.principal import Principal
from app.domain.tlp import LABELS, MAX_LEVEL
from app.ledger.models import LedgerEntry
from app.reports.models import Report
from app.reports.service import record_reports
from app.reports.validation import validate
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate
from app.storage.types import table_of
from tests.benchmarks.bulk import bulk_insert
from tests.benchmarks.serving import processor_seconds
from tests.support.factories import report, seed
from tests.support.postgres import postgres_server
from tests.support.processes import ROOT, serve

STEP = 10_000


async def _fill(settings: Settings, count: int) -> None:
    """Insert copies of one report and its entry, each with its own number, identifier and position in every ledger."""
    await seed(settings.database_url)
    database = Database(settings)
    reports, changes = table_of(Report), table_of(LedgerEntry)
    positions = [f"seq_{label}" for label in LABELS]
    quote = "Some words that stand for a quotation of ordinary length, in a language that is not named."
    try:
        async with database.write() as session:
            sent = validate(report(provenance={"quote": quote, "url": "https://example.org/some/address"}), settings)
            await record_reports(session, Principal(level=MAX_LEVEL, organisation="bench"), [sent], settings)
            connection = await session.connection()
            if database.dialect == "sqlite":
                # Inserts touch random pages of the identifiers' indexes, so SQLite gets 256 MiB of cache.
                await connection.exec_driver_sql("PRAGMA cache_size = -262144")
            said, entry = [dict((await connection.execute(select(*each.c))).mappings().one()) for each in (reports, changes)]
            for start in range(2, count + 1, STEP):
                numbers = range(start, min(start + STEP, count + 1))
                ids = {number: UUID(int=said["id"].int + (number << 64)) for number in numbers}
                await bulk_insert(connection, reports, [said | {"global_seq": number, "id": ids[number]} for number in numbers])
                seen = [entry | dict.fromkeys(["global_seq", *positions], number) | {"report_id": ids[number]} for number in numbers]
                await bulk_insert(connection, changes, seen)
            if database.dialect == "postgresql":
                await connection.exec_driver_sql("ANALYZE")
    finally:
        await database.close()


def _memory(process: int, name: str = "VmRSS") -> float:
    """Return the resident memory of a process in MiB; `VmHWM` is its peak."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) / 1024


@contextmanager
def _watched(process: int) -> Iterator[list[float]]:
    """Sample the resident memory of a process every tenth of a second until the end of the block."""
    seen: list[float] = [_memory(process)]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            seen.append(_memory(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


@contextmanager
def _database(engine: str, folder: Path, filled: str | None) -> Iterator[str]:
    if filled is not None:
        yield filled
    elif engine == "sqlite":
        yield f"sqlite:///{folder / 'bench.db'}"
    else:
        with postgres_server() as server:
            yield server.get_uri()


def _export(url: str) -> tuple[int, float, float]:
    """Read an export to its end; return its bytes, its seconds, and the seconds to its first byte."""
    start = time.perf_counter()
    first, came = 0.0, 0
    with httpx.stream("GET", url, headers={"Accept-Encoding": "identity"}, timeout=3600) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            first = first or time.perf_counter() - start
            came += len(piece)
    return came, time.perf_counter() - start, first


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reports", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", default=["ndjson", "csv", "geojson", "xlsx"])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--filled", help="the URL of a database that has reports")
    options = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name, _database(options.database, Path(name), options.filled) as url:
        folder = Path(name)
        settings = Settings(database_url=url)
        migrate(settings)
        if not options.filled:
            start = time.perf_counter()
            asyncio.run(_fill(settings, options.reports))
            console.print(f"{options.database}: {options.reports:,} reports filled in within {time.perf_counter() - start:.0f} s")
        columns = ("format", "rows/s", "rows/CPU s", "MB", "seconds", "first byte, s", "MiB at 10 30 50 70 90 %", "most MiB")
        table = Table(*columns)
        with serve(folder, code=ROOT, database_url=url, access_log="false") as server:
            process = server.process.pid
            httpx.get(f"{server.url}/v1/reports.ndjson?limit=1").raise_for_status()
            table.add_row("before", *[""] * 5, f"{_memory(process):.0f}", f"{_memory(process, 'VmHWM'):.0f}")
            for format_ in options.formats:
                before = processor_seconds(process)
                with _watched(process) as seen:
                    came, spent, first = _export(f"{server.url}/v1/reports.{format_}")
                used = processor_seconds(process) - before
                rates = [f"{options.reports / each:,.0f}" for each in (spent, used)]
                on_the_way = " ".join(f"{seen[len(seen) * tenth // 10]:.0f}" for tenth in (1, 3, 5, 7, 9))
                times = f"{came / 1e6:,.0f}", f"{spent:.1f}", f"{first:.2f}"
                table.add_row(format_, *rates, *times, on_the_way, f"{_memory(process, 'VmHWM'):.0f}")
        console.print(table)


if __name__ == "__main__":
    main()
