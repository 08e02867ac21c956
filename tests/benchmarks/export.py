"""What it takes to export a million reports: rows a second, and how much memory the server takes at the most.

    uv run python -m tests.benchmarks.export [--reports 1000000] [--formats ndjson csv xlsx]

Fills a SQLite database by hand, serves it by `lifeline serve`, and reads `/v1/reports` in each format over HTTP, in pieces. The
memory is the most that the server's process had resident (VmHWM), before the exports and after each.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from uuid import UUID

import httpx
from rich.console import Console
from rich.table import Table
from sqlalchemy import insert, select

from app.access.dependencies import Caller
from app.db import Database, table_of
from app.labels import TOP
from app.ledger.models import Change, Report
from app.migrations import migrate
from app.reports.checks import check
from app.reports.service import record
from app.settings import Settings
from tests.factories import report, seed
from tests.processes import serve

STEP = 10_000


async def _fill(url: str, count: int) -> None:
    settings = Settings(database_url=url)
    await seed(url)
    database = Database(settings)
    reports, changes = table_of(Report), table_of(Change)
    quote = "Some words that stand for a quotation of ordinary length, in a language that is not named."
    try:
        async with database.write() as session:
            sent = check(report(provenance={"quote": quote, "url": "https://example.org/some/address"}), settings)
            await record(session, Caller(level=TOP, organisation="bench"), [sent], settings)
            connection = await session.connection()
            row = dict((await connection.execute(select(*reports.c))).mappings().one())
            for start in range(2, count + 1, STEP):
                numbers = range(start, min(start + STEP, count + 1))
                rows = [row | {"number": number, "id": UUID(int=row["id"].int + (number << 64))} for number in numbers]
                await connection.execute(insert(reports), rows)
            last = {
                "number": count,
                "type": "grade",
                "level": 0,
                "plain_below": 0,
                "recorded_at": row["recorded_at"],
                "recorded_by": "bench",
            }
            await connection.execute(insert(changes), [last])
    finally:
        await database.close()


def _most_memory(process: int) -> float:
    """The most that a process had resident, MiB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1_000_000)
    parser.add_argument("--formats", nargs="+", default=["ndjson", "csv", "geojson", "xlsx"])
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'bench.db'}"
        migrate(Settings(database_url=url))
        asyncio.run(_fill(url, options.reports))
        plain = {"Accept-Encoding": "identity"}
        table = Table("format", "rows/s", "MB", "seconds", "first byte, s", "most memory, MiB", title=f"{options.reports:,} reports")
        with serve(folder, database_url=url) as server:
            httpx.get(f"{server.url}/v1/reports.ndjson?limit=1").raise_for_status()
            table.add_row("before", "", "", "", "", f"{_most_memory(server.process.pid):.0f}")
            for format_ in options.formats:
                start = time.perf_counter()
                first, size = 0.0, 0
                with httpx.stream("GET", f"{server.url}/v1/reports.{format_}", headers=plain, timeout=3600) as answer:
                    answer.raise_for_status()
                    for piece in answer.iter_raw():
                        first = first or time.perf_counter() - start
                        size += len(piece)
                spent = time.perf_counter() - start
                memory = _most_memory(server.process.pid)
                table.add_row(
                    format_, f"{options.reports / spent:,.0f}", f"{size / 1e6:,.0f}", f"{spent:.1f}", f"{first:.2f}", f"{memory:.0f}"
                )
        console.print(table)


if __name__ == "__main__":
    main()
