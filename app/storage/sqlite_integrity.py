"""Integrity checks of a SQLite file: a quick one before it is served, and a full one."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing

from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.sqlite_file import sqlite_path

CHECK_TIMEOUT_SECONDS = 10.0
# SQLite virtual machine instructions between two looks at the clock.
STEPS_PER_CLOCK_CHECK = 100_000


def find_corruption(url: str) -> str | None:
    """Return the first corruption that SQLite finds in its file; None if it finds none, without a file, and for PostgreSQL.

    The check stops after CHECK_TIMEOUT_SECONDS, so a large file is checked in part; `lifeline verify` checks all of it.
    """
    path = sqlite_path(url)
    if path is None or not path.exists():
        return None
    until = time.monotonic() + CHECK_TIMEOUT_SECONDS
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > until, STEPS_PER_CLOCK_CHECK)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
            return str(error) if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else None
    return None if found == "ok" else str(found)


async def verify_sqlite_file(connection: AsyncConnection) -> AsyncIterator[str]:
    """Yield the problems that SQLite finds in its file and foreign keys; PostgreSQL checks both itself."""
    if connection.dialect.name != "sqlite":
        return
    try:
        for (result,) in await connection.exec_driver_sql("PRAGMA integrity_check(20)"):
            if result != "ok":
                yield f"file: {result}"
        for row in (await connection.exec_driver_sql("PRAGMA foreign_key_check")).mappings():
            yield f"file: row {row['rowid']} of {row['table']} refers to a row that is missing from {row['parent']}"
    except DatabaseError as error:
        yield f"file: {error.orig}"
