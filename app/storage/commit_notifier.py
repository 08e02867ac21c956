"""Tell a process of commits to the database, by any process: they invalidate cached responses and wake waiting readers.

Each clearance has a version of its own: a commit that it must not learn of neither ends its cached responses nor wakes its readers.
SQLite: `PRAGMA data_version` on a connection that never writes. PostgreSQL: LISTEN/NOTIFY, and a poll of the head every second in case
a notification is lost.
"""

import asyncio
import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Any, NamedTuple, Self

import asyncpg
import structlog

from app.domain.tlp import LABELS
from app.storage.sqlite_file import SqliteFile

Version = tuple[int, ...]

CHANNEL = "lifeline"
SQLITE_POLL_SECONDS = 0.05
POSTGRESQL_POLL_SECONDS = 1.0
POSTGRESQL_TIMEOUT_SECONDS = 5.0
CONNECTION_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

# The head of the database as integers: commits, changes that every reader may see, and the last `seq` of each clearance.
HEAD_COLUMNS = ("commit_count", "public_changes", *(f"coalesce(seq_{label}, 0)" for label in LABELS))
_SELECT_HEAD = f"SELECT {', '.join(HEAD_COLUMNS)} FROM ledger_head"  # noqa: S608 - constants

log = structlog.get_logger(__name__)


class Head(NamedTuple):
    """The last commit as a process knows it; `epoch` rises when commits may have been missed."""

    epoch: int
    commit: int
    public_changes: int
    seqs: tuple[int, ...]

    @classmethod
    def of(cls, epoch: int, columns: Any) -> Self:
        """Return the head with the values of HEAD_COLUMNS."""
        commit, public_changes, *seqs = columns
        return cls(epoch, commit, public_changes, tuple(seqs))

    @property
    def access(self) -> Version:
        """The version of keys and sessions, on which the clearance of a credential depends."""
        return self.epoch, self.public_changes

    def version(self, level: int | None = None) -> Version:
        """Return what changes with each commit that a clearance may learn of; None: with each commit."""
        return (self.epoch, self.commit) if level is None else (self.epoch, self.public_changes, self.seqs[level])


class CommitNotifier(ABC):
    """The head of a database as this process knows it, and a way to wait for the next commit."""

    def __init__(self) -> None:
        # By clearance, None for any commit, and the version that they wait to change.
        self._waiting: defaultdict[tuple[int | None, Version | None], set[asyncio.Future[None]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @abstractmethod
    def head(self) -> Head | None:
        """Return the head after the last commit of any process, or None while it is unknown; takes microseconds."""

    def version(self, level: int | None = None) -> Version | None:
        """Return the version of a clearance's ledger, None for that of the database; None while it is unknown."""
        head = self.head()
        return None if head is None else head.version(level)

    async def start(self) -> None:  # noqa: B027 - SQLite needs no connection that listens
        """Start to follow the database."""

    def notify(self, payload: str | None = None) -> None:  # noqa: ARG002 - SQLite reads the head itself
        """Tell this process of its own commit; `payload` is that of the notification on PostgreSQL."""
        self.wake()

    def wake(self) -> None:
        """Wake the waiters whose version has changed; when the process shuts down, all."""
        for (level, since), waiters in self._waiting.items():
            if self.closed or self.version(level) != since:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)

    async def wait_for_commit(self, since: Version | None, seconds: float, level: int | None = None) -> Version | None:
        """Wait until the version of a clearance, None for any commit, differs from `since`; at most the given seconds. Return it."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (version := self.version(level)) == since and not self.closed:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            waiter = asyncio.get_running_loop().create_future()
            waiters = self._waiting[level, since]
            waiters.add(waiter)
            self._start_polling()
            try:
                async with asyncio.timeout(left):
                    await waiter
            except TimeoutError:
                break
            finally:
                waiters.discard(waiter)
                if not waiters and self._waiting.get((level, since)) is waiters:
                    del self._waiting[level, since]
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
        self._head: Head | None = None
        self._just_read = False

    def head(self) -> Head | None:
        """Return the head, read again when SQLite's count of the commits of other connections, in shared memory, has changed.

        All requests that had arrived before it was read share one read, because none of them can know of a later commit.
        """
        if self._just_read:
            return self._head
        try:
            if self._connection is None:
                self._connection = self._file.connect(isolation_level=None)
            else:
                self._file.check()
            commit: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if self._head is None or self._head.commit != commit:
                # Read after the count, so that it is never older. SQLite counts commits itself.
                self._head = Head.of(0, self._connection.execute(_SELECT_HEAD).fetchone())._replace(commit=commit)
        except (sqlite3.Error, OSError):
            return None
        # Runs before any request that arrives from now on.
        asyncio.get_running_loop().call_soon(self._forget)
        self._just_read = True
        return self._head

    def _forget(self) -> None:
        self._just_read = False

    def notify(self, payload: str | None = None) -> None:
        """Forget the head read before the commit, and wake the waiters."""
        self._forget()
        super().notify(payload)

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
    """Listens for notifications of a PostgreSQL primary on one connection, and polls its head every second."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._epoch = 0
        self._head: Head | None = None

    def head(self) -> Head | None:
        """Return the head after the last known commit; None while there is no connection."""
        return self._head

    def notify(self, payload: str | None = None) -> None:
        """Take over the head of a commit once, whether this process made it or is notified of it."""
        if self._head is not None and payload is not None:
            head = Head.of(self._epoch, map(int, payload.split(",")))
            if head.commit > self._head.commit:
                self._set_head(head)

    def _set_head(self, head: Head | None) -> None:
        self._head = head
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
                        head = Head.of(self._epoch, await connection.fetchrow(_SELECT_HEAD))
                    # A notification may have come first; of two unequal heads with one number, as after a failover, neither is known.
                    if self._head is None or head.commit != self._head.commit:
                        self._set_head(head)
                    await asyncio.sleep(POSTGRESQL_POLL_SECONDS)
            except CONNECTION_ERRORS as error:
                log.warning("commit_listener_lost", error=type(error).__name__)
            finally:
                # The primary after a failover may lack commits and number others like them.
                self._epoch += 1
                self._set_head(None)
                connection.terminate()

    def _on_notify(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self.notify(str(payload))
