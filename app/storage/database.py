"""Engines, sessions and column types of the two databases: SQLite and PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast

import asyncpg
import orjson
from sqlalchemy import (
    event,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from app.settings import Settings
from app.storage import sqlite_driver
from app.storage.commit_notifier import CHANNEL, CommitNotifier, commit_notifier_for
from app.storage.pool_health import PoolHealth
from app.storage.replica import Replica

# Locks the one head row until the transaction ends, tells every process of the commit, and answers its number.
LOCK_WRITER = text(
    "WITH head AS (UPDATE ledger_head SET commit_count = commit_count + 1 RETURNING commit_count) "
    "SELECT commit_count, pg_notify(:channel, commit_count::text) FROM head"
)


# For so long the end of a process waits for connections that are in use.
DRAIN_SECONDS = 2.0
# Of several hosts each is tried for so long: one that is gone without a word must not use up the time of all.
CONNECT_SECONDS = 5.0


# Every statement is a lookup in an index, on storage that reads any page as fast as the next; compiling one takes longer than it.
PLANNED_FOR = {"random_page_cost": "1.1", "jit": "off"}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _engine(url: str, *, pool: int, timeout: float, reads: str | None = None) -> AsyncEngine:
    # `reads` names the hosts to read from, None those to write to.
    writes = reads is None
    # What errors say is not to hold what was written.
    options: dict[str, Any] = {"json_serializer": _json, "json_deserializer": orjson.loads, "hide_parameters": True}
    sqlite = url.startswith("sqlite")
    if sqlite:
        options |= {"connect_args": {"timeout": timeout, "async_creator_fn": sqlite_driver.connect}}
        address = url.replace("sqlite", "sqlite+aiosqlite", 1)
    else:
        # The URL is for the driver to read: it knows several hosts, of which SQLAlchemy would make one.
        connect = partial(
            asyncpg.connect,
            url,
            timeout=CONNECT_SECONDS,
            command_timeout=timeout,
            server_settings=PLANNED_FOR,
            target_session_attrs=reads or "read-write",
        )
        options |= {"pool_pre_ping": writes, "async_creator": connect}
        address = "postgresql+asyncpg://"
    if not writes:
        options |= {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None, "skip_autocommit_rollback": True}
    engine = create_async_engine(address, pool_size=pool, max_overflow=0, pool_timeout=timeout, **options)
    if sqlite:
        _prepare_sqlite(engine, writes=writes)
    return engine


def _set_up_sqlite(connection: Any, *, writes: bool) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    if writes:
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL syncs the log at each commit: an acknowledged report survives a pulled plug.
        cursor.execute("PRAGMA synchronous = FULL")
    else:
        cursor.execute("PRAGMA query_only = ON")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_sqlite(engine: AsyncEngine, *, writes: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        try:
            _set_up_sqlite(connection, writes=writes)
        except BaseException:
            # Nobody else would: with a file that cannot be written to, each request would leave a thread behind.
            connection.close()
            raise

    if writes:

        @event.listens_for(engine.sync_engine, "begin")
        def on_begin(connection: Any) -> None:
            # A transaction that starts by reading cannot always become a writer later.
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def audit_database_url(url: str) -> str:
    """The SQLite file of the audit log of reads: `lifeline.db` has `lifeline.audit.db`."""
    stem, dot, suffix = url.rpartition(".")
    return f"{stem}.audit.{suffix}" if dot and "/" not in suffix else f"{url}.audit"


class Database:
    """The engines of one process: one for writing, one for reading.

    Reads run in autocommit, one statement each, so a page and its revision come from one snapshot by being one statement;
    what takes several statements asks for a `snapshot`. Where there are replicas, `replica` reads from them, `reader` from the primary.
    """

    def __init__(self, settings: Settings) -> None:
        sqlite = settings.database_url.startswith("sqlite")
        timeout = settings.database_lock_timeout_seconds
        self.dialect = "sqlite" if sqlite else "postgresql"
        self.writer = _engine(settings.database_url, pool=1 if sqlite else max(2, settings.database_pool_size // 2), timeout=timeout)
        self.reader = _engine(settings.database_url, pool=settings.database_pool_size, timeout=timeout, reads="primary")
        self.replica: Replica | None = None
        if settings.read_database_url is not None and not sqlite:
            standby = _engine(settings.read_database_url, pool=settings.database_pool_size, timeout=timeout, reads="prefer-standby")
            self.replica = Replica(standby, wait_seconds=settings.replica_wait_seconds)
        # A commit in SQLite's own file would end all that is kept of it, so the log of reads has another beside it.
        self.audit = _engine(audit_database_url(settings.database_url), pool=1, timeout=timeout) if sqlite else self.writer
        self.commit_notifier: CommitNotifier = commit_notifier_for(settings.database_url)
        first = self.reader if self.replica is None else self.replica.engine
        self.pool_health = PoolHealth(first)
        self.key_hash_secret = None if settings.key_hash_secret is None else settings.key_hash_secret.get_secret_value()
        # What hashes of keys are keyed with, once it was asked for.
        self.hashing_key: bytes | None = None

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """The one writer's transaction: committed at the end, rolled back on any error.

        Writers queue up at its start, on both databases, so what is read in it stays true until it commits.
        """
        writes = None
        async with (
            AsyncSession(self.writer, expire_on_commit=False, autoflush=False, info={"key_hash_secret": self.key_hash_secret}) as session,
            session.begin(),
        ):
            if self.dialect == "postgresql":
                writes = (await session.execute(LOCK_WRITER, {"channel": CHANNEL})).one().commit_count
            yield session
        self.commit_notifier.notify(writes)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: to a replica that has what the reader has seen, else to the primary."""
        async with AsyncExitStack() as given_back:
            connection = None if self.replica is None else await self.replica.connect(given_back, self.commit_notifier.last_commit)
            if connection is None:
                connection = await given_back.enter_async_context(self.reader.connect())
            yield connection

    @asynccontextmanager
    async def read_latest(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading what may not be late anywhere, such as that a key was revoked."""
        async with self.reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reads of several statements, all of which see the state that the first one saw."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        async with self.read() as connection:
            ended = False
            try:
                await connection.exec_driver_sql(begin)
                try:
                    yield connection
                finally:
                    await connection.exec_driver_sql("ROLLBACK")
                    ended = True
            finally:
                # Nobody is given a connection that still looks at this state.
                if not ended:
                    await connection.invalidate()

    @property
    def engines(self) -> list[AsyncEngine]:
        """Every engine, once."""
        found = [self.writer, self.reader, self.audit, *([] if self.replica is None else [self.replica.engine])]
        return list(dict.fromkeys(found))

    async def close(self) -> None:
        """Close every connection, after a moment for those that are in use still: who is cut off gives his back a little later."""
        await self.commit_notifier.close()
        until = time.monotonic() + DRAIN_SECONDS
        for engine in self.engines:
            pool = cast(QueuePool, engine.pool)
            while pool.checkedout() > 0 and time.monotonic() < until:  # noqa: ASYNC110 - a pool tells nobody
                await asyncio.sleep(0.005)
            await engine.dispose()
