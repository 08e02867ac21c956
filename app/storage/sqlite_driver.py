"""SQLite connections that hop to their thread once per statement; `aiosqlite` hops four times, which costs more than most reads."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import aiosqlite

from app.storage.sqlite_file import SqliteFile


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
        self._rows, self.description, self.rowcount, self.lastrowid = await self._connection.run(
            partial(_run, method=method, statement=statement, parameters=parameters)
        )


def _run(connection: sqlite3.Connection, *, method: str, statement: str, parameters: Any) -> tuple[list[Any], Any, int, int | None]:
    cursor = connection.cursor()
    try:
        getattr(cursor, method)(statement, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return rows, cursor.description, cursor.rowcount, cursor.lastrowid
    finally:
        cursor.close()


class SingleHopConnection(aiosqlite.Connection):
    """A connection with single-hop cursors."""

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

    async def run(self, function: Any) -> Any:
        """Call a function with the underlying connection, in its thread."""
        return await self._execute(function, self._conn)  # type: ignore[no-untyped-call]


def connect(sqlite_file: SqliteFile, _path: str, **options: Any) -> SingleHopConnection:
    """Replace `aiosqlite.connect`, as SQLAlchemy's `async_creator_fn`."""
    connection = SingleHopConnection(partial(sqlite_file.connect, **options), iter_chunk_size=64)
    # Otherwise a connection that is still open would keep the process from exiting.
    connection._thread.daemon = True
    return connection
