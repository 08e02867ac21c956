"""Every version of places, sources and routes, out of the ledger."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.time_point import TimePoint
from app.ledger.models import RECORD, LedgerEntry
from app.reference.rows import Record
from app.storage.paging import chunks
from app.storage.types import table_of

entries = table_of(LedgerEntry)
later = entries.alias("later")


@dataclass(frozen=True, slots=True)
class Version:
    """The record of a place, source or route since an entry."""

    global_seq: int
    type: str
    record: Record


async def last_version(connection: AsyncConnection, identifier: UUID) -> Version:
    """Return the current version of an existing record."""
    statement = select(entries.c.global_seq, entries.c.type, entries.c.detail).where(entries.c.record_id == identifier)
    row = (await connection.execute(statement.order_by(entries.c.global_seq.desc()).limit(1))).one()
    return Version(row.global_seq, row.type, row.detail[RECORD])


def changed_since(through: int) -> Select[Any]:
    """Select the identifiers of the records that were recorded by an entry and changed after it."""
    return select(later.c.record_id).where(later.c.global_seq > through, later.c.previous_global_seq <= through)


def changed_places(through: int, *columns: ColumnElement[Any]) -> Select[Any]:
    """Select the entries by which places that changed after an entry were recorded at it: `record_id`, and columns."""
    since = (later.c.global_seq > through, later.c.previous_global_seq <= through)
    statement = select(entries.c.record_id, *columns).select_from(entries)
    return statement.join(later, later.c.previous_global_seq == entries.c.global_seq).where(*since, entries.c.type == "place")


def recorded_by(identifier: ColumnElement[UUID], through: int) -> ColumnElement[bool]:
    """Return the condition that a record existed at an entry."""
    first = select(entries.c.global_seq).where(entries.c.record_id == identifier, entries.c.global_seq <= through)
    return first.limit(1).scalar_subquery().is_not(None)


@lru_cache(maxsize=4)
def _past_versions(*, some: bool) -> Select[Any]:
    through = bindparam("through", type_=entries.c.global_seq.type)
    statement = select(entries.c.record_id, entries.c.detail).join(later, later.c.previous_global_seq == entries.c.global_seq)
    statement = statement.where(later.c.global_seq > through, later.c.previous_global_seq <= through, entries.c.type == bindparam("type"))
    return statement.where(later.c.record_id.in_(bindparam("ids", expanding=True))) if some else statement


async def past_records(
    connection: AsyncConnection, type_: str, time_point: TimePoint, ids: Collection[UUID] | None = None
) -> dict[UUID, Record]:
    """Return the records of a type that changed after a time point, as they were recorded then; all, or only some of them."""
    if time_point.through_global_seq is None:
        return {}
    parameters = {"through": time_point.through_global_seq, "type": type_}
    pages = [parameters] if ids is None else [parameters | {"ids": some} for some in chunks(ids)]
    statement = _past_versions(some=ids is not None)
    return {row.record_id: row.detail[RECORD] for each in pages for row in await connection.execute(statement, each)}
