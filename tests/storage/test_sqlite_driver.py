"""Connections to SQLite: what runs in the thread of the event loop never waits there for what the other thread does."""

import asyncio
from contextlib import suppress
from pathlib import Path

from app.storage import sqlite_driver
from app.storage.sqlite_file import SqliteFile

# Some tenths of a second.
SLOW = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 3000000) SELECT max(n) FROM number"


async def test_end_after_a_cancelled_read_lets_the_event_loop_go_on(tmp_path: Path) -> None:
    connection = await sqlite_driver.connect(SqliteFile(tmp_path / "one.db", create=True), "", writes=False, isolation_level=None)
    try:
        await connection.cursor().execute("BEGIN")
        running = asyncio.create_task(connection.cursor().execute(SLOW))
        await asyncio.sleep(0.02)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        ending = asyncio.create_task(connection.cursor().execute("ROLLBACK"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not ending.done(), "it waits in the thread for the statement"
        await ending
        ending = asyncio.create_task(connection.cursor().execute("BEGIN"))
        await asyncio.sleep(0)
        assert ending.done(), "otherwise it takes no thread"
    finally:
        await connection.close()
