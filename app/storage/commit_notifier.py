"""Whether anything was committed, by any process: what kept answers are valid against, and what waiting readers wait for.

SQLite: `PRAGMA data_version` of a connection that never writes. PostgreSQL: LISTEN/NOTIFY, with the count of commits asked for
every second behind it, for when a notification is lost.
"""

import asyncio
import contextlib
import sqlite3
from abc import ABC, abstractmethod
from typing import Any

import asyncpg
import structlog
from sqlalchemy.engine import make_url

CHANNEL = "lifeline"
SQLITE_POLL_SECONDS = 0.05
POSTGRESQL_CHECK_SECONDS = 1.0

log = structlog.get_logger(__name__)


class CommitNotifier(ABC):
    """The version of a database as this process knows it, and a way to wait for the next."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    @abstractmethod
    def version(self) -> int | None:
        """A number that differs after each commit, whoever made it; None while that cannot be told. Costs microseconds."""

    @property
    def last_commit(self) -> int | None:
        """The number of the last commit that was heard of, where commits are numbered; None while that cannot be told."""
        return None

    @property
    def closed(self) -> bool:
        """Whether the process is about to end: nobody is to wait any longer."""
        return self._closed

    def release_waiters(self) -> None:
        """Let all that wait go, from now on."""
        self._closed = True
        self.wake()

    async def start(self) -> None:  # noqa: B027 - SQLite is asked, not followed
        """Begin to follow the database."""

    def notify(self, writes: int | None = None) -> None:  # noqa: ARG002 - SQLite counts for itself
        """Say that this process has committed, as the commit of that number on PostgreSQL."""
        self.wake()

    def wake(self) -> None:
        """Wake all that wait."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for_commit(self, since: int | None, seconds: float) -> int | None:
        """Wait until the version is not `since`, or for so many seconds; answers the version."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (version := self.version()) == since and not self._closed:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                async with asyncio.timeout(left):
                    await self._follow(waiter)
            except TimeoutError:
                break
            finally:
                self._waiting.discard(waiter)
        return version

    async def _follow(self, waiter: asyncio.Future[None]) -> None:
        await waiter

    async def close(self) -> None:
        """Let go of the database, and of all that wait."""
        self.release_waiters()


class SqliteCommitNotifier(CommitNotifier):
    """The signal of a SQLite file. While anybody waits, one task looks at it; nobody else does."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._just_read: int | None = None

    def version(self) -> int | None:
        """SQLite's own count of the commits of others on one connection, read from shared memory.

        Requests that had all arrived when the first of them asked share what it was told: none of them can know of a later commit.
        """
        if self._just_read is not None:
            return self._just_read
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None)
            found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        except sqlite3.Error:
            return None
        # Whatever comes from now on stands behind this in the loop's queue.
        asyncio.get_running_loop().call_soon(self._forget)
        self._just_read = found
        return found

    def _forget(self) -> None:
        self._just_read = None

    def bump(self, writes: int | None = None) -> None:
        """As everywhere; what was read before the commit is not its version."""
        self._forget()
        super().notify(writes)

    async def _follow(self, waiter: asyncio.Future[None]) -> None:
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        await waiter

    async def _watch(self) -> None:
        last = self.version()
        while self._waiting:
            await asyncio.sleep(SQLITE_POLL_SECONDS)
            if (version := self.version()) != last:
                last = version
                self.wake()

    async def close(self) -> None:
        """Close the connection and end the task."""
        await super().close()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresCommitNotifier(CommitNotifier):
    """The signal of a PostgreSQL database: one connection that listens, and asks every second."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._dsn = url
        self._version = 0
        self._writes: int | None = None
        self._listener: asyncio.Task[None] | None = None

    @property
    def writes(self) -> int | None:
        """The number of the last commit on the primary that was heard of."""
        return self._writes

    def version(self) -> int | None:
        """A count of what was heard; None while nobody listens."""
        return self._version if self._writes is not None else None

    def bump(self, writes: int | None = None) -> None:
        """Count a commit once: this process's own before it is heard, any other when it is."""
        if self._writes is not None and writes is not None and writes > self._writes:
            self._set(writes)

    def _set(self, writes: int | None) -> None:
        self._writes = writes
        self._version += 1
        self.wake()

    async def start(self) -> None:
        """Listen, again and again when the connection is lost."""
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            try:
                # Of several hosts the primary: a replica does not notify. After a promotion that is another.
                connection = await asyncpg.connect(self._dsn, timeout=5 * POSTGRESQL_CHECK_SECONDS, target_session_attrs="read-write")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                await asyncio.sleep(POSTGRESQL_CHECK_SECONDS)
                continue
            try:
                await connection.add_listener(CHANNEL, self._heard)
                while True:
                    # A connection that is gone shows in this question, and so does a notification that never came.
                    async with asyncio.timeout(5 * POSTGRESQL_CHECK_SECONDS):
                        writes: int = await connection.fetchval("SELECT commit_count FROM ledger_head")
                    if writes != self._writes:
                        self._set(writes)
                    await asyncio.sleep(POSTGRESQL_CHECK_SECONDS)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                log.warning("commit_listener_lost", error=type(error).__name__)
            finally:
                self._set(None)
                connection.terminate()

    def _heard(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.bump(int(str(payload)))

    async def close(self) -> None:
        """End the listening."""
        await super().close()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener


def commit_notifier_for(url: str) -> CommitNotifier:
    """The signal of a database by its URL."""
    if url.startswith("sqlite"):
        return SqliteCommitNotifier(make_url(url).database or "")
    return PostgresCommitNotifier(url)
