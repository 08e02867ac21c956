"""Connections to SQLite: what is cancelled leaves nothing behind that still runs, and the event loop does not wait for it."""

import asyncio
from contextlib import suppress
from pathlib import Path

from app.storage import sqlite_driver
from app.storage.sqlite_file import SqliteFile

# Some tenths of a second.
SLOW = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000000) SELECT max(n) FROM number"


async def test_cancelled_read_ends_with_its_statement(tmp_path: Path) -> None:
    connection = await sqlite_driver.connect(SqliteFile(tmp_path / "one.db", create=True), "", writes=False, isolation_level=None)
    try:
        await connection.cursor().execute("BEGIN")
        reading = asyncio.create_task(connection.cursor().execute(SLOW))
        await asyncio.sleep(0.02)
        reading.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done(), "the statement still runs, in its thread"
        with suppress(asyncio.CancelledError):
            await reading
        assert reading.cancelled()
        ending = asyncio.create_task(connection.cursor().execute("ROLLBACK"))
        await asyncio.sleep(0)
        assert ending.done(), "it needs no thread, and waits for nothing"
        await ending
    finally:
        await connection.close()
