"""SQLite connections that go to their thread once a statement: `aiosqlite` goes there four times, which costs more than most reads."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, Self

import aiosqlite


class SingleHopCursor:
    """What SQLAlchemy needs of an async cursor: the statement is run and its rows are fetched in one go."""

    arraysize = 1

    def __init__(self, connection: "SingleHopConnection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        """The cursor itself."""
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement and fetch all its rows."""
        await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each sequence of parameters."""
        await self._run("executemany", statement, parameters)

    async def fetchall(self) -> list[Any]:
        """The rows of the last statement, once."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Nothing is held."""

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
    """A connection whose cursors make one trip a statement."""

    def cursor(self) -> SingleHopCursor:  # type: ignore[override]
        """A cursor; costs nothing."""
        return SingleHopCursor(self)

    async def _connect(self) -> Self:
        try:
            await super()._connect()
        except Exception:
            # Its thread has one more word for this event loop, which may be closed by then.
            await asyncio.to_thread(self._thread.join)
            raise
        return self

    async def run(self, work: Any) -> Any:
        """Do something with the connection itself, in its thread."""
        return await self._execute(work, self._conn)  # type: ignore[no-untyped-call]


def connect(path: str, **options: Any) -> SingleHopConnection:
    """As `aiosqlite.connect`; for SQLAlchemy's `async_creator_fn`."""
    made = SingleHopConnection(partial(sqlite3.connect, path, **options), iter_chunk_size=64)
    # A process that ends does not wait for it.
    made._thread.daemon = True
    return made
