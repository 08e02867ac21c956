"""The chains of the audit log: each row has an HMAC over the row before, so that an altered or removed row is found.

Writes and changes of keys are one chain, reads another, because on SQLite they are in another file. The secret of the HMAC is that of key
hashes: with LIFELINE_KEY_HASH_SECRET, who can write to the database alone cannot make the chain again.
"""

import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import NoResultFound
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.access.models import ApiKey, AuditEntry, AuditHead
from app.domain.times import rfc3339
from app.storage.database import Database
from app.storage.direct import Statements, execute_direct, execute_together, insert_into
from app.storage.types import table_of

WRITES, READS = "writes", "reads"
PAGE_ROWS = 1000
# Columns that never change; of equal reads, the count and the time of the last do.
_FIXED = ("position", "id", "action", "key_id", "organisation", "clearance", "address", "method", "target", "status_code", "first_at")

_table, heads = table_of(AuditEntry), table_of(AuditHead)
ROWS_OF = {WRITES: _table.c.action != "read", READS: _table.c.action == "read"}
_HEAD = select(heads).where(heads.c.chain == bindparam("of_chain"))
_LOCK = _HEAD.with_for_update()
_MOVE = update(heads).where(heads.c.chain == bindparam("of_chain"))


def _hmac(hashing_key: bytes, of: str, previous: bytes, *values: Any) -> bytes:
    # asyncpg has UUIDs of its own.
    return hmac.digest(hashing_key, f"audit {of} ".encode() + previous + orjson.dumps(values, default=str), "sha256")


def _row_hash(previous: bytes, row: Mapping[str, Any], hashing_key: bytes) -> bytes:
    return _hmac(hashing_key, "row", previous, *(row.get(name) for name in _FIXED))


def count_seal(row: Mapping[str, Any], hashing_key: bytes) -> bytes:
    """Return the HMAC of what may grow in a row."""
    return _hmac(hashing_key, "count", row["hash"], row["count"], row["occurred_at"])


def _head_seal(head: Mapping[str, Any], hashing_key: bytes) -> bytes:
    return _hmac(hashing_key, "head", head["hash"] + head["anchor_hash"], head["chain"], head["position"], head["anchor"])


async def lock_head(connection: AsyncConnection, chain: str) -> dict[str, Any]:
    """Return the head of a chain, which no other process changes until the transaction ends."""
    return dict((await execute_direct(connection, _LOCK, {"of_chain": chain})).mappings().one())


def move_head(head: dict[str, Any], hashing_key: bytes) -> tuple[Any, Any]:
    """Return the statement that stores a head that was locked."""
    return _MOVE, {"of_chain": head["chain"]} | head | {"seal": _head_seal(head, hashing_key)}


async def append_rows(
    connection: AsyncConnection, chain: str, rows: list[dict[str, Any]], hashing_key: bytes, head: dict[str, Any] | None = None
) -> None:
    """Insert rows, all with the same columns, at the end of a chain, whose head may be locked already."""
    await execute_together(connection, row_statements(head or await lock_head(connection, chain), rows, hashing_key))


def row_statements(head: dict[str, Any], rows: list[dict[str, Any]], hashing_key: bytes) -> Statements:
    """Return the statements that insert rows as `append_rows` does, after a head that was locked."""
    for row in rows:
        head["position"] += 1
        row["position"] = head["position"]
        head["hash"] = row["hash"] = _row_hash(head["hash"], row, hashing_key)
        row["seal"] = count_seal(row, hashing_key)
    return [(insert_into(_table), rows), move_head(head, hashing_key)]


async def fetch_chain(database: Database, chain: str, after: int) -> list[Mapping[str, Any]]:
    """Return the next rows of a chain in their order; those that a backup restored may also be in SQLite's second file."""
    page = select(_table).where(ROWS_OF[chain], _table.c.position > after).order_by(_table.c.position).limit(PAGE_ROWS)
    found: dict[Any, Any] = {}
    for engine in database.audit_readers:
        async with engine.connect() as connection:
            found |= {row["id"]: row for row in (await connection.execute(page)).mappings()}
    return sorted(found.values(), key=lambda row: int(row["position"]))[:PAGE_ROWS]


def _engine_of(database: Database, chain: str) -> AsyncEngine:
    return database.audit_readers[-1 if chain == READS else 0]


async def fetch_head(database: Database, chain: str) -> dict[str, Any]:
    """Return the head of a chain, which for reads is in SQLite's second file once there is one."""
    async with _engine_of(database, chain).connect() as connection:
        return dict((await connection.execute(_HEAD, {"of_chain": chain})).mappings().one())


async def verify_audit(database: Database, hashing_key: bytes) -> AsyncIterator[str]:
    """Yield, for each chain, the first row that was altered or removed since the last pruning."""
    for chain in (WRITES, READS):
        if (problem := await _first_problem(database, chain, hashing_key)) is not None:
            yield f"audit log of {chain}: {problem}"


async def _first_problem(database: Database, chain: str, hashing_key: bytes) -> str | None:
    # Read first: rows that are appended meanwhile are verified the next time.
    try:
        head = await fetch_head(database, chain)
    except NoResultFound:
        return "the row of audit_head that names its end is missing"
    position, previous = head["anchor"], head["anchor_hash"]
    while position < head["position"] and (rows := await fetch_chain(database, chain, position)):
        for row in rows:
            if row["position"] != position + 1:
                return f"row {position + 1} was removed" if row["position"] > position else f"row {position} is there twice"
            if (row["hash"], row["seal"]) != (_row_hash(previous, row, hashing_key), count_seal(row, hashing_key)):
                when = rfc3339(row["occurred_at"])
                return f"row {position + 1}, {row['id']} of {when}, was altered, or LIFELINE_KEY_HASH_SECRET was changed"
            position, previous = row["position"], row["hash"]
            if position == head["position"]:
                break
    if position < head["position"]:
        return f"row {position + 1} was removed"
    async with database.reader.connect() as connection:
        keys = await connection.scalar(select(func.count()).select_from(table_of(ApiKey)))
    # Each key was recorded in the chain of writes.
    sealed = head["seal"] == _head_seal(head, hashing_key) if head["seal"] else chain == READS or not keys
    if previous != head["hash"] or not sealed:
        return "its head was altered"
    # In one statement, because rows and head are committed together.
    beyond = select(_table.c.position).where(ROWS_OF[chain], heads.c.chain == chain, _table.c.position > heads.c.position)
    async with _engine_of(database, chain).connect() as connection:
        added = await connection.scalar(beyond.order_by(_table.c.position).limit(1))
    return None if added is None else f"row {added} was added"
