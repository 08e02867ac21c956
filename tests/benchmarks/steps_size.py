"""The size of a SQLite database with made-up reports, with and without the steps that are kept of assessments.

uv run python -m tests.benchmarks.steps_size [--reports 10000]
"""

import argparse
import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from app.settings import Settings
from app.storage.database import Database
from tests.benchmarks.data import keep_all
from tests.support.servers import environment


async def _keep(settings: Settings) -> None:
    database = Database(settings)
    try:
        await keep_all(database, settings)
    finally:
        await database.close()


def main() -> None:
    """Measure and print both sizes and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "size.db"
        url = f"sqlite:///{path}"
        command = [sys.executable, "-m", "tests.benchmarks.load_command", "--reports", str(options.reports)]
        subprocess.run(command, env=environment(database_url=url), capture_output=True, check=True)
        asyncio.run(_keep(Settings(database_url=url)))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            pages = dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
            (steps,) = connection.execute("SELECT count(*) FROM indicator_step").fetchone()
    whole = sum(pages.values())
    kept = sum(size for name, size in pages.items() if "indicator_step" in name)
    without = whole - kept
    print(f"{options.reports:,} reports, {steps:,} steps: {whole:,} bytes, {without:,} without steps: {whole / without:.2f} times")


if __name__ == "__main__":
    main()
