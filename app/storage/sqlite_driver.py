"""SQLite connections that hop to their thread once per statement, and for those that take less time than a hop less often.

`aiosqlite` hops four times a statement, which costs more than most reads. A write has some twenty short statements; they run in the thread
of the event loop, in between hops that let other requests have their turn. So do the begin and the end of a transaction that only reads.
"""

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

from app.storage.sqlite_file import SqliteFile

# Statements of a write that may wait: for the lock of another process, or for the disk.
_WAITING = ("BEGIN", "COMMIT", "ROLLBACK")
# Statements with which a transaction that reads begins, without a lock, and ends.
_SHORT = ("BEGIN", "ROLLBACK")
# How long a write may keep the event loop to itself.
MAX_SECONDS_WITHOUT_HOP = 0.005


class SingleHopCursor:
    """The async cursor that SQLAlchemy needs, which executes a statement and fetches all its rows in one hop."""

    arraysize = 1

    def __init__(self, connection: "SingleHopConnection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        """Return the cursor itself."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement and fetch all its rows."""
        await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Execute a statement once for each sequence of parameters."""
        await self._run("executemany", statement, parameters)

    async def fetchall(self) -> list[Any]:
        """Return the rows of the last statement; the next call returns none."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Do nothing: the cursor in the thread is closed already."""

    async def _run(self, method: str, statement: str, parameters: Any) -> None:
        function = partial(_run, method=method, statement=statement, parameters=parameters)
        is_short = not statement.startswith(_WAITING) if self._connection.writes else statement in _SHORT
        found = await self._connection.run(function, hop=not is_short)
        self._rows, self.description, self.rowcount, self.lastrowid = found


def _run(connection: sqlite3.Connection, *, method: str, statement: str, parameters: Any) -> tuple[list[Any], Any, int, int | None]:
    cursor = connection.cursor()
    try:
        getattr(cursor, method)(statement, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return rows, cursor.description, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()


class SingleHopConnection(aiosqlite.Connection):
    """A connection with single-hop cursors; those of one that `writes` hop only where they may wait, or the event loop has."""

    writes = False
    _hopped_at = 0.0

    def cursor(self) -> SingleHopCursor:  # type: ignore[override]
        """Return a cursor without a hop."""
        return SingleHopCursor(self)

    async def _connect(self) -> Self:
        try:
            await super()._connect()
        except Exception:
            # The thread posts one more callback to the event loop, which would fail if the loop were closed by then.
            await asyncio.to_thread(self._thread.join)
            raise
        return self

    async def run(self, function: Any, *, hop: bool = True) -> Any:
        """Call a function with the underlying connection, in its thread unless there is no need to hop."""
        if not hop and (not self.writes or time.monotonic() - self._hopped_at < MAX_SECONDS_WITHOUT_HOP):
            return function(self._conn)
        try:
            return await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            # The thread goes on. Until its end nothing else may use the connection, and the event loop may not end.
            await self._execute(int)  # type: ignore[no-untyped-call]
            raise
        finally:
            self._hopped_at = time.monotonic()


def connect(sqlite_file: SqliteFile, _path: str, *, writes: bool, **options: Any) -> SingleHopConnection:
    """Replace `aiosqlite.connect`, as SQLAlchemy's `async_creator_fn`. A connection is used by two threads, one after the other."""
    options["check_same_thread"] = False
    connection = SingleHopConnection(partial(sqlite_file.connect, **options), iter_chunk_size=64)
    connection.writes = writes
    # Otherwise a connection that is still open would keep the process from exiting.
    connection._thread.daemon = True
    return connection
