"""Delete old entries of the audit log, once a file of `lifeline audit export` has them."""

import hashlib
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import and_, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.audit import APPEND_ONLY, REFUSAL, create_read_audit_table, fetch_audit
from app.access.audit_chain import READS, ROWS_OF, WRITES, append_rows, fetch_chain, fetch_head, lock_head, move_head
from app.access.keys import writer_hashing_key
from app.access.models import AuditEntry
from app.domain.identifiers import uuid7
from app.domain.times import rfc3339, utc_now
from app.storage.database import Database
from app.storage.direct import execute_together
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
    """Delete the first rows of each chain, up to one that is not before a time, and return their number.

    Raises NotExported, and deletes nothing, if the lines lack one of them.
    """
    await create_read_audit_table(database)
    anchors = {chain: await _find_anchor(database, chain, before) for chain in ROWS_OF}
    old = or_(*(and_(ROWS_OF[chain], _table.c.position <= position) for chain, (position, _) in anchors.items()))
    lines, digest, count = iter(exported), hashlib.sha256(), 0
    async for entry in export_audit(database, old):
        # Both are in the order of their identifiers.
        if not any(orjson.loads(line) == entry for line in lines if line.strip()):
            raise NotExported(f"the entry {entry['id']} of {entry['at']} is not in the file, or differs there")
        digest.update(orjson.dumps(entry))
        count += 1
    if not count:
        return 0
    note = f"lifeline audit prune: {count} entries before {rfc3339(before)}, with the SHA-256 {digest.hexdigest()}"
    async with database.write() as session:
        connection, hashing_key = await session.connection(), await writer_hashing_key(session)
        row = {"id": uuid7(), "occurred_at": utc_now(), "action": "write", "target": note, "count": 1}
        await append_rows(connection, WRITES, [row], hashing_key)
        await _move_anchor(connection, WRITES, anchors[WRITES], hashing_key)
    async with database.audit.begin() as connection:
        await _move_anchor(connection, READS, anchors[READS], hashing_key)
    some = select(_table.c.id).where(old).limit(MAX_DELETED_ROWS)
    for engine in dict.fromkeys((database.writer, database.audit)):
        deleted = 1
        while deleted:
            async with engine.begin() as connection:
                await _allow_delete(connection, True)
                deleted = (await connection.execute(delete(_table).where(_table.c.id.in_(some)))).rowcount
                await _allow_delete(connection, False)
    return count


async def _find_anchor(database: Database, chain: str, before: datetime) -> tuple[int, bytes]:
    """Return position and hash of the last row before the first one of a chain that is not before a time."""
    head = await fetch_head(database, chain)
    position, hash_ = head["anchor"], head["anchor_hash"]
    while rows := await fetch_chain(database, chain, position):
        for row in rows:
            if row["occurred_at"] >= before:
                return position, hash_
            position, hash_ = row["position"], row["hash"]
    return position, hash_


async def _move_anchor(connection: AsyncConnection, chain: str, anchor: tuple[int, bytes], hashing_key: bytes) -> None:
    head = await lock_head(connection, chain) | dict(zip(("anchor", "anchor_hash"), anchor, strict=True))
    await execute_together(connection, [move_head(head, hashing_key)])


async def _allow_delete(connection: AsyncConnection, allow: bool) -> None:
    if connection.dialect.name == "sqlite":
        create = f"CREATE TRIGGER audit_entry_no_delete BEFORE {APPEND_ONLY['no_delete']} {REFUSAL}"
        await connection.exec_driver_sql("DROP TRIGGER audit_entry_no_delete" if allow else create)
    else:
        await connection.exec_driver_sql(f"ALTER TABLE audit_entry {'DISABLE' if allow else 'ENABLE'} TRIGGER audit_entry_append_only")
