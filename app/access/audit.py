"""The audit log: every write and change of a key in its own commit, every read at `amber` or above within a second.

Reads are counted by hour, key, address and URL, in one row for all processes. Each process adds its reads once a second; a killed one loses
those of its last second. On SQLite they go to a second file: a commit to the database would invalidate all cached responses.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi import Request
from sqlalchemy import ColumnElement, bindparam, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable
from starlette.types import Scope as AsgiScope

from app.access.audit_chain import READS, WRITES, append_rows, count_seal, heads, lock_head, row_statements
from app.access.keys import hashing_key_of, writer_hashing_key
from app.access.models import AuditEntry
from app.access.principal import Actor
from app.domain.identifiers import uuid7
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS, LEVELS, Label
from app.storage.database import Database, execute_last
from app.storage.paging import chunks
from app.storage.types import table_of

FLUSH_SECONDS = 1.0
MAX_BUFFERED_READS = 50_000
MAX_TARGET_CHARACTERS = 2000
# Rows with a query of their own, for each caller and path in an hour and process; further queries, as with cursors, share a row.
MAX_QUERIES = 60
FURTHER_QUERIES = b"*"
MIN_AUDITED_LEVEL = LEVELS[Label.AMBER]

_table = table_of(AuditEntry)
_FIXED = ", ".join(each.name for each in _table.c if each.name not in ("count", "occurred_at", "seal"))
_COUNTED = select(*(_table.c[name] for name in ("read_key", "hash", "count", "occurred_at")))
_COUNT = update(_table).where(_table.c.read_key == bindparam("of_read"))
# Triggers of SQLite's second file, as the migration makes them in the first.
APPEND_ONLY = {
    "no_update": f"UPDATE OF {_FIXED} ON audit_entry",
    "grows": "UPDATE ON audit_entry WHEN OLD.action <> 'read' OR NEW.count < OLD.count OR NEW.occurred_at < OLD.occurred_at",
    "no_delete": "DELETE ON audit_entry",
}
REFUSAL = "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
log = structlog.get_logger(__name__)


def write_row(request: Request, actor: Actor) -> dict[str, Any]:
    """Return what the audit log stores of a write, but for the time and the status of its response."""
    return {
        "action": "write",
        "key_id": actor.key_id,
        "organisation": actor.organisation,
        "clearance": actor.level,
        "address": request.client.host if request.client else None,
        "method": request.method,
        "target": _target(request.scope["path"], request.scope["query_string"]),
        "count": 1,
    }


async def record_writes(session: AsyncSession, writes: Sequence[tuple[Mapping[str, Any], int]]) -> None:
    """Add writes, each as `write_row` returns it with the status of its response, to the audit log, in their own transaction."""
    now = utc_now()
    rows = [{"id": uuid7(), "occurred_at": now, **row, "status_code": status} for row, status in writes]
    head = await lock_head(await session.connection(), WRITES)
    execute_last(session, row_statements(head, rows, await writer_hashing_key(session)))


async def record_write(session: AsyncSession, request: Request, actor: Actor, status: int) -> None:
    """Add a write to the audit log, in the write's own transaction."""
    await record_writes(session, [(write_row(request, actor), status)])


def _target(path: str, query: bytes) -> str:
    return (f"{path}?{query.decode('latin-1')}" if query else path)[:MAX_TARGET_CHARACTERS].replace("\0", "")


class ReadAuditBuffer:
    """The reads of one process that are not written yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Count, first and last time and further values of a row, by what its reads have in common.
        self._reads: dict[tuple[Any, ...], list[Any]] = {}
        self._dropped = 0
        self._hour = 0
        # The queries of this hour that have a row of their own, by caller and path.
        self._queries: dict[tuple[Any, ...], set[bytes]] = {}

    def record(self, actor: Actor, scope: AsgiScope) -> None:
        """Record a read by an actor cleared for `amber` or above."""
        if actor.level < MIN_AUDITED_LEVEL:
            return
        client = scope.get("client")
        address = client[0] if client else None
        now = utc_now()
        hour = now.toordinal() * 24 + now.hour
        if hour != self._hour:
            self._hour, self._queries = hour, {}
        query: bytes = scope["query_string"]
        own = self._queries.get((actor, address, scope["path"]), set())
        if query and query not in own:
            if len(own) >= MAX_QUERIES or (not own and len(self._queries) >= MAX_BUFFERED_READS):
                query = FURTHER_QUERIES
            else:
                self._queries.setdefault((actor, address, scope["path"]), own).add(query)
        key = hour, actor, address, scope["path"], query
        if (read := self._reads.get(key)) is not None:
            read[0] += 1
            read[2] = now
        elif len(self._reads) < MAX_BUFFERED_READS:
            self._reads[key] = [1, now, now, _target(scope["path"], query)]
        else:
            self._dropped += 1

    async def flush(self) -> None:
        """Write the buffered reads; after an error they stay buffered."""
        if self._dropped:
            log.error("read_audit_dropped", reads=self._dropped)
            self._dropped = 0
        if not self._reads:
            return
        reads, self._reads = self._reads, {}
        rows = [
            {
                "id": uuid7(),
                "occurred_at": last,
                "first_at": first,
                "read_key": _read_key(hour, actor, address, target),
                "action": "read",
                "key_id": actor.key_id,
                "organisation": actor.organisation,
                "clearance": actor.level,
                "address": address,
                "method": "GET",
                "target": target,
                "count": count,
            }
            for (hour, actor, address, _, _), (count, first, last, target) in reads.items()
        ]
        try:
            await create_read_audit_table(self._database)
            async with self._database.read_latest() as connection:
                hashing_key = await hashing_key_of(self._database, connection)
            async with self._database.audit.begin() as connection:
                await _add_reads(connection, {row["read_key"]: row for row in rows}, hashing_key)
        except (SQLAlchemyError, OSError) as error:
            log.warning("audit_write_failed", error=type(error).__name__)
            for key, (count, first, _, target) in reads.items():
                newer = self._reads.setdefault(key, [0, first, first, target])
                newer[0], newer[1] = newer[0] + count, first

    async def flush_until(self, stopped: asyncio.Event) -> None:
        """Write the buffered reads once a second, and when it is stopped."""
        while not stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), FLUSH_SECONDS)
            await self.flush()


def _read_key(*shared: Any) -> str:
    return hashlib.sha256(repr(shared).encode()).hexdigest()[:32]


async def _add_reads(connection: AsyncConnection, rows: dict[str, dict[str, Any]], hashing_key: bytes) -> None:
    """Insert rows of reads, or add them to the rows of the same hour."""
    head, counted = await lock_head(connection, READS), []
    for some in chunks(rows):
        for known in (await connection.execute(_COUNTED.where(_table.c.read_key.in_(some)))).mappings():
            read = rows.pop(known["read_key"])
            grown = {"count": known["count"] + read["count"], "occurred_at": max(known["occurred_at"], read["occurred_at"])}
            seal = count_seal(grown | {"hash": known["hash"]}, hashing_key)
            counted.append({"of_read": known["read_key"], "seal": seal} | grown)
    if counted:
        await connection.execute(_COUNT, counted)
    if rows:
        await append_rows(connection, READS, list(rows.values()), hashing_key, head)


@asynccontextmanager
async def read_auditing(database: Database) -> AsyncIterator[ReadAuditBuffer]:
    """Yield a buffer whose reads are written while the block runs and at its end."""
    buffer = ReadAuditBuffer(database)
    # On a read-only file system the service still serves reads, and each flush tries again.
    with suppress(SQLAlchemyError, OSError):
        await create_read_audit_table(database)
    stopped = asyncio.Event()
    task = asyncio.create_task(buffer.flush_until(stopped))
    try:
        yield buffer
    finally:
        # Not cancelled, because what it is writing would be lost.
        stopped.set()
        await task


async def create_read_audit_table(database: Database) -> None:
    """Create the table of reads in SQLite's second file, unless it exists; PostgreSQL has one table for all entries."""
    if database.dialect != "sqlite":
        return
    async with database.audit.begin() as connection:
        # One transaction makes all of it, the triggers last.
        if (await connection.exec_driver_sql("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'")).scalar() == len(APPEND_ONLY):
            return
        await connection.execute(CreateTable(_table, if_not_exists=True))
        for index in _table.indexes:
            await connection.execute(CreateIndex(index, if_not_exists=True))
        await connection.execute(CreateTable(heads, if_not_exists=True))
        # Where a backup was restored, the chain goes on from the reads in the database.
        async with database.reader.connect() as reader:
            head = (await reader.execute(select(heads).where(heads.c.chain == READS))).mappings().one()
        await connection.execute(sqlite.insert(heads).on_conflict_do_nothing(), dict(head))
        for name, event in APPEND_ONLY.items():
            await connection.exec_driver_sql(f"CREATE TRIGGER IF NOT EXISTS audit_entry_{name} BEFORE {event} {REFUSAL}")


async def fetch_audit(
    database: Database, where: Sequence[ColumnElement[bool]], *, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return a page of the audit log, oldest first, and the last identifier if more follow."""
    statement = select(*_table.c).where(*where).order_by(_table.c.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(_table.c.id > after)
    # By identifier, because an entry that a backup restored may also be in SQLite's second file.
    entries: dict[UUID, Any] = {}
    for engine in database.audit_readers:
        async with engine.connect() as connection:
            entries |= {row["id"]: row for row in (await connection.execute(statement)).mappings()}
    rows = [entries[id_] for id_ in sorted(entries)]
    return [_serve(row) for row in rows[:limit]], rows[limit - 1]["id"] if len(rows) > limit else None


def _serve(row: Any) -> dict[str, Any]:
    occurred_at: datetime = row["occurred_at"]
    return {
        "id": str(row["id"]),
        "at": rfc3339(occurred_at),
        "first_at": None if row["first_at"] is None else rfc3339(row["first_at"]),
        "action": row["action"],
        "key": str(row["key_id"]) if row["key_id"] else None,
        "organisation": row["organisation"],
        "clearance": None if row["clearance"] is None else LABELS[row["clearance"]].value,
        "address": row["address"],
        "method": row["method"],
        "target": row["target"],
        "status": row["status_code"],
        "count": row["count"],
    }
