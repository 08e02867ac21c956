"""Delete old entries of the audit log, once a file of `lifeline audit export` has them."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.audit import APPEND_ONLY, REFUSAL, create_read_audit_table, fetch_audit
from app.access.models import AuditEntry
from app.domain.identifiers import uuid7
from app.domain.times import rfc3339, utc_now
from app.storage.database import Database
from app.storage.types import table_of

PAGE_ROWS = 1000
# Rows that one transaction deletes; on PostgreSQL writes wait meanwhile.
MAX_DELETED_ROWS = 10_000

_table = table_of(AuditEntry)


class NotExported(Exception):
    """An entry that should be deleted and is not in the file, or differs there."""


async def export_audit(database: Database, *where: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield the entries of the audit log, oldest first."""
    after = None
    while True:
        entries, after = await fetch_audit(database, where, after=after, limit=PAGE_ROWS)
        for entry in entries:
            yield entry
        if after is None:
            return


async def prune_audit(database: Database, exported: Iterable[bytes], before: datetime) -> int:
    """Delete the entries before a time and return their number; raises NotExported, and deletes nothing, if the lines lack one of them."""
    await create_read_audit_table(database)
    lines, digest, count, last = iter(exported), hashlib.sha256(), 0, None
    async for entry in export_audit(database, _table.c.occurred_at < before):
        # Both are in the order of their identifiers.
        if not any(orjson.loads(line) == entry for line in lines if line.strip()):
            raise NotExported(f"the entry {entry['id']} of {entry['at']} is not in the file, or differs there")
        digest.update(orjson.dumps(entry))
        count, last = count + 1, UUID(entry["id"])
    if last is None:
        return 0
    note = f"lifeline audit prune: {count} entries before {rfc3339(before)}, with the SHA-256 {digest.hexdigest()}"
    async with database.writer.begin() as connection:
        await connection.execute(insert(_table).values(id=uuid7(), occurred_at=utc_now(), action="write", target=note, count=1))
    for engine in (database.writer, database.audit) if database.dialect == "sqlite" else (database.writer,):
        old = select(_table.c.id).where(_table.c.occurred_at < before, _table.c.id <= last).limit(MAX_DELETED_ROWS)
        deleted = 1
        while deleted:
            async with engine.begin() as connection:
                await _allow_delete(connection, True)
                deleted = (await connection.execute(delete(_table).where(_table.c.id.in_(old)))).rowcount
                await _allow_delete(connection, False)
    return count


async def _allow_delete(connection: AsyncConnection, allow: bool) -> None:
    if connection.dialect.name == "sqlite":
        create = f"CREATE TRIGGER audit_entry_no_delete BEFORE {APPEND_ONLY['no_delete']} {REFUSAL}"
        await connection.exec_driver_sql("DROP TRIGGER audit_entry_no_delete" if allow else create)
    else:
        await connection.exec_driver_sql(f"ALTER TABLE audit_entry {'DISABLE' if allow else 'ENABLE'} TRIGGER audit_entry_append_only")
