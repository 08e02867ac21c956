"""Engines and transactions of the database: SQLite or PostgreSQL, one writer, many readers, optional replicas."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cache, partial
from typing import Any, cast

import asyncpg
import orjson
from sqlalchemy import Update, column, event, text, update
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlmodel import SQLModel

from app.settings import Settings
from app.storage import sqlite_driver
from app.storage.commit_notifier import CHANNEL, HEAD_COLUMNS, CommitNotifier, PostgresCommitNotifier, SqliteCommitNotifier
from app.storage.direct import Statements, execute_direct, execute_together
from app.storage.pool_health import PoolHealth
from app.storage.public_changes import begin_counting, count_public_changes, watch_public_changes
from app.storage.replica import Replica
from app.storage.sqlite_file import SqliteFile, audit_database_url, sqlite_path

# Under which a session of PostgreSQL keeps the ledger's head as it was when the session locked it, for the first to read it.
LOCKED_HEAD = "locked_head"
# Under which a session keeps the statements that are left to execute with the last one of its transaction.
_LAST_STATEMENTS = "last_statements"
# Notifies every process of the head at the commit, and returns the same to this one.
_PAYLOAD = f"SELECT concat_ws(',', {', '.join(HEAD_COLUMNS)}) AS payload FROM ledger_head"  # noqa: S608 - constants
NOTIFY = text(
    f"SELECT payload, pg_notify(:channel, payload) FROM ({_PAYLOAD}) AS head"  # noqa: S608 - constants
).columns(column("payload"), column("pg_notify"))
# Seconds to wait at shutdown for checked-out connections.
DRAIN_SECONDS = 2.0
# Seconds to wait for one of several hosts, so that one that is down without an answer does not use up the time of the others.
CONNECT_TIMEOUT_SECONDS = 5.0
# A connection that is idle for longer is asked before it is used whether it still works.
MAX_IDLE_SECONDS = 0.1
_IDLE_SINCE = "idle_since"
# Every statement is an index lookup: random pages cost as much as sequential ones, and compiling it takes longer than running it.
PLANNER_SETTINGS = {"random_page_cost": "1.1", "jit": "off"}


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _create_engine(
    url: str, *, pool: int, timeout: float, read_from: str | None = None, sqlite_file: SqliteFile | None = None
) -> AsyncEngine:
    """Create an engine to read from the hosts that `read_from` describes to asyncpg; None: an engine to write with."""
    writes = read_from is None
    # Error messages would repeat restricted values.
    options: dict[str, Any] = {"json_serializer": _to_json, "json_deserializer": orjson.loads, "hide_parameters": True}
    if sqlite_file is not None:
        options |= {"connect_args": {"timeout": timeout, "async_creator_fn": partial(sqlite_driver.connect, sqlite_file, writes=writes)}}
        address = url.replace("sqlite", "sqlite+aiosqlite", 1)
    else:
        # asyncpg parses the URL, because SQLAlchemy would take several hosts for one.
        connect = partial(
            asyncpg.connect,
            url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=timeout,
            server_settings=PLANNER_SETTINGS,
            target_session_attrs=read_from or "read-write",
        )
        options |= {"async_creator": connect}
        address = "postgresql+asyncpg://"
    if not writes:
        options |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None, "skip_autocommit_rollback": True}
    engine = create_async_engine(address, pool_size=pool, max_overflow=0, pool_timeout=timeout, **options)
    if sqlite_file is not None:
        _configure_sqlite(engine, sqlite_file, writes=writes)
    elif writes:
        _ping_when_idle(engine)
    return engine


def _ping_when_idle(engine: AsyncEngine) -> None:
    """Replace connections that were lost while they were idle; asking one that was just used would cost a write three round trips."""
    driver: Any = engine.dialect.dbapi

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def ping(connection: Any, record: Any, _: Any) -> None:
        # A new connection has no such time.
        if time.monotonic() - record.info.get(_IDLE_SINCE, math.inf) > MAX_IDLE_SECONDS:
            try:
                engine.dialect.do_ping(connection)
            except driver.Error as error:
                raise InvalidatePoolError from error


def _set_pragmas(connection: Any, *, writes: bool) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    if writes:
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at each commit: an acknowledged report survives a power cut.
        cursor.execute("PRAGMA synchronous = FULL")
    else:
        cursor.execute("PRAGMA query_only = ON")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _configure_sqlite(engine: AsyncEngine, sqlite_file: SqliteFile, *, writes: bool) -> None:
    @event.listens_for(engine.sync_engine, "checkout")
    def on_checkout(*_: Any) -> None:
        sqlite_file.check()

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        try:
            _set_pragmas(connection, writes=writes)
        except BaseException:
            # SQLAlchemy does not close it; on a file that cannot be written to, each request would leave a thread behind.
            connection.close()
            raise

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def on_begin(connection: Any) -> None:
            # A transaction that starts by reading cannot always become a writer later.
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def execute_last(session: AsyncSession, statements: Statements) -> None:
    """Have statements executed with the last one of a write transaction, because nothing in it reads what they write; only once."""
    assert _LAST_STATEMENTS not in session.info
    session.info[_LAST_STATEMENTS] = statements


@cache
def _lock_writer() -> Update:
    """Return the statement that locks the single row of the ledger's head until the transaction ends, and returns it."""
    head = SQLModel.metadata.tables["ledger_head"]
    return update(head).values(commit_count=head.c.commit_count + 1).returning(*head.c)


class _WriteSession(AsyncSession):
    """A session of one transaction, which looks up its connection once: a write asks for it some ten times."""

    _found: AsyncConnection | None = None

    async def connection(self, *args: Any, **options: Any) -> AsyncConnection:
        """Return the connection of the transaction."""
        if self._found is None:
            self._found = await super().connection(*args, **options)
        return self._found


@asynccontextmanager
async def snapshot_on(connection: AsyncConnection) -> AsyncIterator[None]:
    """Let the statements of a connection that reads see the state that the first one saw."""
    begin = "BEGIN" if connection.dialect.name == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    async with AsyncExitStack() as unless_ended:
        # A connection that still holds this snapshot must not return to the pool.
        unless_ended.push_async_callback(connection.invalidate)
        await connection.exec_driver_sql(begin)
        try:
            yield
        finally:
            await connection.exec_driver_sql("ROLLBACK")
            unless_ended.pop_all()


class Database(AbstractAsyncContextManager["Database"]):
    """The engines of one process.

    Reads run in autocommit, one statement each: a page and its revision are consistent because one statement returns both.
    Reads of several statements use a `snapshot`. With replicas, `replica` reads from them and `reader` from the primary.
    """

    def __init__(self, settings: Settings, *, read_from: str = "primary") -> None:
        url, size, timeout = settings.database_url, settings.database_pool_size, settings.database_lock_timeout_seconds
        path = sqlite_path(url)
        sqlite_file = None if path is None else SqliteFile(path)
        self.dialect = "postgresql" if sqlite_file is None else "sqlite"
        self.writer = _create_engine(url, pool=max(2, size // 2) if sqlite_file is None else 1, timeout=timeout, sqlite_file=sqlite_file)
        watch_public_changes(self.writer)
        self.reader = _create_engine(url, pool=size, timeout=timeout, read_from=read_from, sqlite_file=sqlite_file)
        self.replica: Replica | None = None
        if settings.read_database_url is not None and sqlite_file is None:
            standby = _create_engine(settings.read_database_url, pool=size, timeout=timeout, read_from="prefer-standby")
            self.replica = Replica(standby, wait_seconds=settings.replica_wait_seconds)
        # A commit to SQLite's own file would invalidate all cached responses, so reads are logged in a second file.
        self.audit = self.writer
        self._audit_path = sqlite_path(audit_database_url(url))
        if self._audit_path is not None:
            audit_file = SqliteFile(self._audit_path, create=True)
            self.audit = _create_engine(audit_database_url(url), pool=1, timeout=timeout, sqlite_file=audit_file)
        self.commit_notifier: CommitNotifier = PostgresCommitNotifier(url) if sqlite_file is None else SqliteCommitNotifier(sqlite_file)
        self.pool_health = PoolHealth(self.reader if self.replica is None else self.replica.engine)
        self.key_hash_secret = None if settings.key_hash_secret is None else settings.key_hash_secret.get_secret_value()
        # HMAC key of key hashes, once it is known.
        self.hashing_key: bytes | None = None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """Open the only write transaction: it commits at the end, and rolls back on any error.

        Writers queue at its start on both engines, so what is read in it stays true until it commits.
        """
        payload = None
        async with (
            _WriteSession(self.writer, expire_on_commit=False, autoflush=False, info={"database": self}) as session,
            session.begin(),
        ):
            connection = await session.connection()
            begin_counting(connection)
            if self.dialect == "postgresql":
                session.info[LOCKED_HEAD] = (await execute_direct(connection, _lock_writer(), {})).one()
            yield session
            await session.flush()
            await count_public_changes(connection)
            last: Statements = session.info.pop(_LAST_STATEMENTS, ())
            if self.dialect == "postgresql":
                payload = (await execute_together(connection, [*last, (NOTIFY, {"channel": CHANNEL})])).one().payload
            elif last:
                await execute_together(connection, last)
        self.commit_notifier.notify(payload)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to a replica that meets the request's consistency requirement, or else to the primary."""
        async with AsyncExitStack() as exit_stack:
            connection = None if self.replica is None else await self.replica.connect(exit_stack, self.commit_notifier.head())
            if connection is None:
                connection = await exit_stack.enter_async_context(self.reader.connect())
            yield connection

    @asynccontextmanager
    async def read_latest(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to the primary, for what must never be late, such as the revocation of a key."""
        async with self.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for several statements that all see the state that the first one saw."""
        async with self.read() as connection, snapshot_on(connection):
            yield connection

    @property
    def audit_readers(self) -> list[AsyncEngine]:
        """The engines that read the audit log: the primary, because a replica may lag; on SQLite not the writer, which would wait."""
        if self._audit_path is None:
            return [self.reader]
        # A command that only reads must not create the second file.
        exists = self._audit_path.is_file() and self._audit_path.stat().st_size > 0
        return [self.reader, self.audit] if exists else [self.reader]

    @property
    def engines(self) -> list[AsyncEngine]:
        """Every engine, once."""
        found = [self.writer, self.reader, self.audit, *([] if self.replica is None else [self.replica.engine])]
        return list(dict.fromkeys(found))

    async def __aexit__(self, *_: object) -> None:
        """Close the database."""
        await self.close()

    async def close(self) -> None:
        """Dispose all engines, first waiting up to DRAIN_SECONDS for checked-out connections."""
        await self.commit_notifier.close()
        until = time.monotonic() + DRAIN_SECONDS
        for engine in self.engines:
            pool = cast(QueuePool, engine.pool)
            while pool.checkedout() > 0 and time.monotonic() < until:  # noqa: ASYNC110 - a pool has no event to wait for
                await asyncio.sleep(0.005)
            await engine.dispose()
