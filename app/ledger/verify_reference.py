"""Verify that places, sources and routes, and the grades of sources, are as the ledger recorded them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, exists, func, select, union_all
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.ledger.models import RECORD, LedgerEntry, effective_since
from app.reference.bodies import records_of
from app.reference.models import MIN_EFFECTIVE_FROM, MODELS, Extent, Place, PlaceAncestor, RecordText, ReferenceModel, Source, SourceGrade
from app.reference.queries import first_grade
from app.reference.records import REVEAL_FROM
from app.reference.rows import Record, extent_rows, is_restricted, place_row, place_shape, route_row, source_row, text_rows
from app.storage.types import table_of

BATCH_SIZE = 1000
_ROWS = {"place": place_row, "source": source_row, "route": route_row}


def is_of_its_record(entry: LedgerEntry) -> bool:
    """Return whether the columns of an entry of a place, source or route agree with its record."""
    record = _record_of(entry.detail)
    restricted = REVEAL_FROM if record and is_restricted(entry.type, record) else 0
    of_source = entry.record_id if entry.type == "source" else None
    return (str(entry.record_id), entry.source_id, entry.redacted_below) == (record.get("id"), of_source, restricted)


def _record_of(detail: Any) -> Record:
    """Return the record in the detail of an entry, which may have been altered to anything."""
    record = detail.get(RECORD) if isinstance(detail, dict) else None
    return record if isinstance(record, dict) else {}


async def verify_reference(connection: AsyncConnection, since: int) -> AsyncIterator[str]:
    """Yield the records that are not as the last of some later entries recorded them, and the entries that lack their record."""
    entries, earlier = table_of(LedgerEntry), table_of(LedgerEntry).alias("earlier")
    for type_, model in MODELS.items():
        async for problem in _verify_rows(connection, type_, model, since):
            yield problem
        lost = select(entries.c.global_seq).where(entries.c.type == type_, entries.c.record_id.not_in(select(col(model.id))))
        for number in (await connection.execute(lost.where(entries.c.global_seq > since).order_by(entries.c.global_seq))).scalars():
            yield f"entry {number} ({type_}): its record is missing"
    before = select(func.max(earlier.c.global_seq)).where(earlier.c.record_id == entries.c.record_id)
    before = before.where(earlier.c.global_seq < entries.c.global_seq)
    unlinked = select(entries.c.global_seq).where(
        entries.c.record_id.is_not(None),
        entries.c.previous_global_seq.is_distinct_from(before.correlate(entries).scalar_subquery()),
        entries.c.global_seq > since,
    )
    for number in (await connection.execute(unlinked.order_by(entries.c.global_seq))).scalars():
        yield f"entry {number}: it does not name the entry before it on the same record"
    async for problem in _verify_ancestors(connection):
        yield problem
    async for problem in _verify_grades(connection):
        yield problem


async def _verify_rows(connection: AsyncConnection, type_: str, model: ReferenceModel, since: int) -> AsyncIterator[str]:
    entries, table = table_of(LedgerEntry).c, table_of(model)
    columns = [*table.c, *([first_grade().label("first_reliability")] if model is Source else [])]
    page = select(*columns).order_by(table.c.id).limit(BATCH_SIZE)
    if since:
        page = page.where(exists().where(entries.record_id == table.c.id, entries.global_seq > since))
    after: UUID | None = None
    while rows := (await connection.execute(page if after is None else page.where(table.c.id > after))).mappings().all():
        ids = [row["id"] for row in rows]
        last = select(func.max(entries.global_seq)).where(entries.record_id.in_(ids)).group_by(entries.record_id)
        found = await connection.execute(select(entries.record_id, entries.global_seq, entries.detail).where(entries.global_seq.in_(last)))
        recorded = {each.record_id: each for each in found}
        extents, texts = await _load_rows(connection, Extent, ids), await _load_rows(connection, RecordText, ids)
        for row, stored in zip(rows, await records_of(connection, model, rows), strict=True):
            entry = recorded.get(row["id"])
            if entry is None:
                yield f"{type_} {row['slug']}: no entry records it"
            elif wrong := _differing(type_, row, stored, _record_of(entry.detail)):
                yield f"{type_} {row['slug']}: {', '.join(wrong)} not as entry {entry.global_seq} recorded it"
            elif extents[row["id"]] != _expected_extents(type_, row["id"], stored):
                yield f"{type_} {row['slug']}: its extents are not those of the geometry that entry {entry.global_seq} recorded"
            elif texts[row["id"]] != _as_rows(RecordText, text_rows(type_, stored)):
                yield f"{type_} {row['slug']}: the text that searches read is not that of the names that entry {entry.global_seq} recorded"
        after = ids[-1]


async def _load_rows(
    connection: AsyncConnection, model: type[Extent | RecordText], ids: Sequence[UUID]
) -> dict[UUID, set[tuple[Any, ...]]]:
    columns = table_of(model).c
    found: dict[UUID, set[tuple[Any, ...]]] = {each: set() for each in ids}
    for row in await connection.execute(select(*columns).where(columns.record_id.in_(ids))):
        found[row.record_id].add(tuple(row))
    return found


def _expected_extents(type_: str, identifier: UUID, record: Record) -> set[tuple[Any, ...]]:
    shape = None if type_ == "source" else record["geometry"] if type_ == "route" else place_shape(record)
    return _as_rows(Extent, extent_rows(identifier, shape, is_route=type_ == "route"))


def _as_rows(model: type[Extent | RecordText], rows: Iterable[Record]) -> set[tuple[Any, ...]]:
    names = table_of(model).c.keys()
    return {tuple(row[name] for name in names) for row in rows}


def _differing(type_: str, row: RowMapping, stored: Record, recorded: Record) -> list[str]:
    """Return the fields of a record that differ from its entry, else the columns that do not follow from it."""
    if wrong := sorted(name for name in stored.keys() | recorded.keys() if stored.get(name) != recorded.get(name)):
        return wrong
    return sorted(name for name, value in _ROWS[type_](recorded).items() if row[name] != value)


async def _verify_ancestors(connection: AsyncConnection) -> AsyncIterator[str]:
    places, pairs = table_of(Place).c, table_of(PlaceAncestor).c
    inherited = select(pairs.ancestor_id, places.id).where(pairs.place_id == places.parent_id)
    expected, stored = union_all(inherited, select(places.id, places.id)).subquery(), select(pairs.ancestor_id, pairs.place_id)
    wanted = select(*expected.c)
    wrong = {place for each in (wanted.except_(stored), stored.except_(wanted)) for _, place in await connection.execute(each)}
    for place in sorted(wrong):
        yield f"place {place}: the places that contain it are not those of its parent"


async def _verify_grades(connection: AsyncConnection) -> AsyncIterator[str]:
    expected: dict[tuple[UUID, int], Sequence[Any]] = {}
    parties: dict[UUID, bool] = {}
    columns = (col(LedgerEntry.source_id), col(LedgerEntry.global_seq), col(LedgerEntry.detail), col(LedgerEntry.recorded_at))
    of_sources = select(*columns).where(columns[0].is_not(None), col(LedgerEntry.type).in_(("grade", "source"))).order_by(columns[1])
    for source, number, detail, recorded_at in await connection.execute(of_sources):
        assert source is not None
        said: dict[str, Any] = detail if isinstance(detail, dict) else {}
        since = effective_since(said, recorded_at)
        if not (record := _record_of(said)):
            expected[source, number] = since, said.get("reliability"), None
            continue
        party = record.get("party_to_conflict")
        if source not in parties:
            expected[source, 0] = None, record.get("first_reliability"), party
        elif parties[source] != bool(party):
            expected[source, number] = since, None, party
        parties[source] = bool(party)
    grades = table_of(SourceGrade).c
    # NULL for the first grade, whose `effective_from` PostgreSQL's driver cannot read.
    since_column = case((grades.global_seq > 0, grades.effective_from)).label("since")
    is_moved = and_(grades.global_seq == 0, grades.effective_from != MIN_EFFECTIVE_FROM).label("is_moved")
    stored = select(
        grades.source_id, grades.global_seq, since_column, grades.reliability, grades.party_to_conflict, col(Source.slug), is_moved
    )
    stored = stored.join(Source, col(Source.id) == grades.source_id).order_by(col(Source.slug), grades.global_seq)
    for row in await connection.execute(stored):
        recorded = expected.pop((row.source_id, row.global_seq), None)
        if row.is_moved or recorded != (row.since, row.reliability, row.party_to_conflict):
            yield f"source {row.slug}: its grade since entry {row.global_seq} is not what the ledger says"
    for source, number in expected:
        yield f"source {source}: its grade since entry {number} is missing"
