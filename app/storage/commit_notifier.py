"""Tell a process of commits to the database, by any process: they invalidate cached responses and wake waiting readers.

SQLite: `PRAGMA data_version` on a connection that never writes. PostgreSQL: LISTEN/NOTIFY, and a poll of the commit count every
second in case a notification is lost.
"""

import asyncio
import contextlib
import sqlite3
from abc import ABC, abstractmethod
from typing import Any

import asyncpg
import structlog

from app.storage.sqlite_file import SqliteFile

CHANNEL = "lifeline"
SQLITE_POLL_SECONDS = 0.05
POSTGRESQL_POLL_SECONDS = 1.0
POSTGRESQL_TIMEOUT_SECONDS = 5.0
CONNECTION_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

log = structlog.get_logger(__name__)


class CommitNotifier(ABC):
    """The version of a database as this process knows it, and a way to wait for the next commit."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @abstractmethod
    def version(self) -> int | None:
        """Return a number that changes with each commit of any process, or None while it is unknown; takes microseconds."""

    @property
    def last_commit(self) -> int | None:
        """Number of the last known commit to the PostgreSQL primary; None while unknown, and always on SQLite."""
        return None

    async def start(self) -> None:  # noqa: B027 - SQLite needs no connection that listens
        """Start to follow the database."""

    def notify(self, commit: int | None = None) -> None:  # noqa: ARG002 - SQLite counts commits itself
        """Tell this process of its own commit; `commit` is its number on PostgreSQL."""
        self.wake()

    def wake(self) -> None:
        """Wake all waiters."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for_commit(self, since: int | None, seconds: float) -> int | None:
        """Wait until the version differs from `since`, at most the given seconds; return the version."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (version := self.version()) == since and not self.closed:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            self._start_polling()
            try:
                async with asyncio.timeout(left):
                    await waiter
            except TimeoutError:
                break
            finally:
                self._waiting.discard(waiter)
        return version

    def _start_polling(self) -> None:  # noqa: B027 - PostgreSQL notifies
        """Make sure that commits of other processes wake the waiters."""

    def release_waiters(self) -> None:
        """Wake all waiters and do not let them wait again, because the process shuts down."""
        self.closed = True
        self.wake()

    async def close(self) -> None:
        """Release the waiters and disconnect."""
        self.release_waiters()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class SqliteCommitNotifier(CommitNotifier):
    """Polls a SQLite file, in one task that runs only while there are waiters."""

    def __init__(self, sqlite_file: SqliteFile) -> None:
        super().__init__()
        self._file = sqlite_file
        self._connection: sqlite3.Connection | None = None
        self._just_read: int | None = None

    def version(self) -> int | None:
        """Return SQLite's count of the commits of other connections, read from shared memory.

        All requests that had arrived before it was read share one read, because none of them can know of a later commit.
        """
        if self._just_read is not None:
            return self._just_read
        try:
            if self._connection is None:
                self._connection = self._file.connect(isolation_level=None)
            else:
                self._file.check()
            found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except (sqlite3.Error, OSError):
            return None
        # Runs before any request that arrives from now on.
        asyncio.get_running_loop().call_soon(self._forget)
        self._just_read = found
        return found

    def _forget(self) -> None:
        self._just_read = None

    def notify(self, commit: int | None = None) -> None:
        """Forget the version read before the commit, and wake all waiters."""
        self._forget()
        super().notify(commit)

    def _start_polling(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        last = self.version()
        while self._waiting:
            await asyncio.sleep(SQLITE_POLL_SECONDS)
            if (version := self.version()) != last:
                last = version
                self.wake()

    async def close(self) -> None:
        """Release the waiters and disconnect."""
        await super().close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresCommitNotifier(CommitNotifier):
    """Listens for notifications of a PostgreSQL primary on one connection, and polls its commit count every second."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._version = 0
        self._last_commit: int | None = None

    @property
    def last_commit(self) -> int | None:
        """Number of the last known commit; None while there is no connection."""
        return self._last_commit

    def version(self) -> int | None:
        """Return the count of known commits; None while there is no connection."""
        return self._version if self._last_commit is not None else None

    def notify(self, commit: int | None = None) -> None:
        """Count a commit once, whether this process made it or is notified of it."""
        if self._last_commit is not None and commit is not None and commit > self._last_commit:
            self._set_last_commit(commit)

    def _set_last_commit(self, commit: int | None) -> None:
        self._last_commit = commit
        self._version += 1
        self.wake()

    async def start(self) -> None:
        """Start to listen; a lost connection is opened again."""
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            try:
                # A replica does not notify, so of several hosts connect to the primary; after a failover to the new one.
                connection = await asyncpg.connect(self._url, timeout=POSTGRESQL_TIMEOUT_SECONDS, target_session_attrs="read-write")
            except CONNECTION_ERRORS:
                await asyncio.sleep(POSTGRESQL_POLL_SECONDS)
                continue
            try:
                await connection.add_listener(CHANNEL, self._on_notify)
                while True:
                    # This query fails on a dead connection, and finds a commit whose notification was lost.
                    async with asyncio.timeout(POSTGRESQL_TIMEOUT_SECONDS):
                        commit: int = await connection.fetchval("SELECT commit_count FROM ledger_head")
                    if commit != self._last_commit:
                        self._set_last_commit(commit)
                    await asyncio.sleep(POSTGRESQL_POLL_SECONDS)
            except CONNECTION_ERRORS as error:
                log.warning("commit_listener_lost", error=type(error).__name__)
            finally:
                self._set_last_commit(None)
                connection.terminate()

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.notify(int(str(payload)))
