"""The audit log: every write and every key change in its own commit, every read at amber or above within a second.

Reads are gathered by key, address and what was read, and written once a second, so that a poller costs one row a second; a killed
process loses the reads of its last second. On SQLite they have a file of their own beside the database: a commit in the database's file
would put an end to everything that is kept of it.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from fastapi import Request
from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.schema import CreateIndex, CreateTable
from starlette.types import Scope as AsgiScope
from uuid_utils.compat import uuid7

from app.access.models import AuditEntry
from app.access.principal import Actor
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS, LEVELS, Label
from app.storage.database import Database
from app.storage.types import table_of

FLUSH_SECONDS = 1.0
MAX_BUFFERED_READS = 50_000
MAX_TARGET_CHARACTERS = 2000
MIN_AUDITED_LEVEL = LEVELS[Label.AMBER]

entries = table_of(AuditEntry)
log = structlog.get_logger(__name__)


def record_write(session: AsyncSession, request: Request, who: Actor, status: int) -> None:
    """Put a write into the log, in the write's own transaction."""
    session.add(
        AuditEntry(
            id=uuid7(),
            occurred_at=utc_now(),
            action="write",
            key_id=who.key_id,
            organisation=who.organisation,
            clearance=who.level,
            address=request.client.host if request.client else None,
            method=request.method,
            target=_target(request.scope),
            status_code=status,
        )
    )


def _target(scope: AsgiScope) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["path"]
    return (f"{path}?{query}" if query else path)[:MAX_TARGET_CHARACTERS].replace("\0", "")


class ReadAuditBuffer:
    """The reads of one process that are not yet written down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[tuple[Any, ...], list[Any]] = {}
        self._lost = 0
        self._prepared = False

    def record(self, who: Actor, scope: AsgiScope) -> None:
        """Take note of a read, where its reader is at amber or above."""
        if who.level < MIN_AUDITED_LEVEL:
            return
        client = scope.get("client")
        key = who.key_id, who.organisation, who.level, client[0] if client else None, scope["path"], scope["query_string"]
        found = self._waiting.get(key)
        if found is not None:
            found[0] += 1
            found[1] = utc_now()
        elif len(self._waiting) < MAX_BUFFERED_READS:
            self._waiting[key] = [1, utc_now(), _target(scope)]
        else:
            self._lost += 1

    async def prepare(self) -> None:
        """Make SQLite's second file, once; raises where that cannot be written to, and may be asked again."""
        if self._database.dialect == "sqlite" and not self._prepared:
            await create_read_audit_table(self._database.audit)
            self._prepared = True

    async def flush(self) -> None:
        """Write down what waits; on an error it goes on waiting."""
        if self._lost:
            log.error("read_audit_dropped", reads=self._lost)
            self._lost = 0
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        rows = [
            {
                "id": uuid7(),
                "occurred_at": at,
                "action": "read",
                "key_id": key[0],
                "organisation": key[1],
                "clearance": key[2],
                "address": key[3],
                "method": "GET",
                "target": target,
                "status_code": None,
                "count": count,
            }
            for key, (count, at, target) in waiting.items()
        ]
        try:
            await self.prepare()
            async with self._database.audit.begin() as connection:
                await connection.execute(insert(entries), rows)
        except (SQLAlchemyError, OSError) as error:
            log.warning("audit_write_failed", error=type(error).__name__)
            for key, (count, at, target) in waiting.items():
                again = self._waiting.setdefault(key, [0, at, target])
                again[0] += count

    async def run(self) -> None:
        """Write down what waits, once a second."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()


@asynccontextmanager
async def read_auditing(database: Database) -> AsyncIterator[ReadAuditBuffer]:
    """The log of the reads of this process, written down while the block runs and at its end."""
    reads = ReadAuditBuffer(database)
    # On a file system that cannot be written to for now, reading goes on, and this is tried again.
    with suppress(SQLAlchemyError, OSError):
        await reads.prepare()
    task = asyncio.create_task(reads.run())
    try:
        yield reads
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reads.flush()


async def create_read_audit_table(engine: AsyncEngine) -> None:
    """Make the table of reads in SQLite's second file, where it is not there yet."""
    async with engine.begin() as connection:
        await connection.execute(CreateTable(entries, if_not_exists=True))
        for index in entries.indexes:
            await connection.execute(CreateIndex(index, if_not_exists=True))
        for event in ("UPDATE", "DELETE"):
            await connection.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS audit_entry_no_{event.lower()} BEFORE {event} ON audit_entry "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )


async def fetch_audit(
    database: Database, where: Sequence[ColumnElement[bool]], *, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None]:
    """A page of the log, oldest first, and the last identifier when there are more."""
    statement = select(*entries.c).where(*where).order_by(entries.c.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(entries.c.id > after)
    # By identifier: what a backup brought may be in SQLite's second file still.
    found: dict[UUID, Any] = {}
    # A replica may be behind, and SQLite's writer would keep others waiting.
    engines = (database.reader, database.audit) if database.dialect == "sqlite" else (database.writer,)
    for engine in engines:
        async with engine.connect() as connection:
            found |= {row["id"]: row for row in (await connection.execute(statement)).mappings()}
    rows = [found[id_] for id_ in sorted(found)]
    return [serve(row) for row in rows[:limit]], rows[limit - 1]["id"] if len(rows) > limit else None


def serve(row: Any) -> dict[str, Any]:
    """An entry as served and exported."""
    at: datetime = row["occurred_at"]
    return {
        "id": str(row["id"]),
        "at": rfc3339(at),
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
