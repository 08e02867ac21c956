"""JSON bodies of places, sources and routes, by page and one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.reference.models import Place, PlaceCode, ReferenceModel, Source
from app.reference.queries import first_grade, grade_in_force, matches_slug, place_filter
from app.reference.rows import Record, place_from_row, route_from_row, source_from_row, visible_record
from app.reference.versions import changed_since, past_records, recorded_by
from app.storage.paging import fetch_page
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a list: the condition on rows, and the same on a record as it was."""

    condition: ColumnElement[bool]
    fits: Callable[[Record], bool]


async def load_reference_page(
    connection: AsyncConnection,
    model: ReferenceModel,
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
    time_point: TimePoint = LATEST,
    filters: Sequence[Filter] = (),
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """Return the bodies of a page in the order of entry, the last identifier if more follow, and the ledger's head."""
    columns: list[ColumnElement[Any]] = list(table_of(model).c)
    if model is Source:
        columns += [grade_in_force(time_point).label("reliability"), first_grade().label("first_reliability")]
    where = [*where, *(each.condition for each in filters)] if time_point == LATEST else [*where, *_at(model, filters, time_point)]
    rows, last, revision = await fetch_page(connection, select(*columns).where(*where), key="id", after=after, limit=limit, level=level)
    then = await past_records(connection, str(model.__tablename__), time_point, [row["id"] for row in rows])
    found = [(row, then.get(row["id"], record)) for row, record in zip(rows, await records_of(connection, model, rows), strict=True)]
    graded = [(record, {"reliability": row["reliability"]} if model is Source else {}) for row, record in found]
    kept = [each for each in graded if UUID(each[0]["id"]) not in then or all(one.fits(each[0]) for one in filters)]
    return [record_body(model, *each, level) for each in kept], last, revision


def _at(model: ReferenceModel, filters: Sequence[Filter], time_point: TimePoint) -> list[ColumnElement[bool]]:
    """Return the conditions for the records that existed at a time point; those that changed since are filtered as they were then."""
    through = time_point.through_global_seq or 0
    unchanged = and_(true(), *(each.condition for each in filters))
    return [recorded_by(table_of(model).c.id, through), or_(unchanged, col(model.id).in_(changed_since(through)))]


async def load_reference_record(
    connection: AsyncConnection, model: ReferenceModel, where: ColumnElement[bool], level: int, time_point: TimePoint = LATEST
) -> dict[str, Any] | None:
    """Return the body of one record as it was known at a time point, or None if no record fits."""
    bodies, _, _ = await load_reference_page(connection, model, [where], after=None, limit=1, level=level, time_point=time_point)
    return bodies[0] if bodies else None


def record_filter(model: ReferenceModel, slug: str, level: int) -> ColumnElement[bool]:
    """Return the condition for the record with the slug that a clearance sees, or for a place with this `scheme:code`."""
    if model is Source:
        return matches_slug(slug, level)
    return place_filter(Place.id, slug, within=False) if model is Place else col(model.slug) == slug


async def records_of(connection: AsyncConnection, model: ReferenceModel, rows: Sequence[RowMapping]) -> list[Record]:
    """Return the records of rows; those of sources have their first grade beside their columns."""
    if model is not Place:
        return [source_from_row(row) if model is Source else route_from_row(row) for row in rows]
    parent_ids = {row["parent_id"] for row in rows} - {None}
    parents = select(col(Place.id), col(Place.slug)).where(col(Place.id).in_(parent_ids))
    slugs = {row.id: row.slug for row in await connection.execute(parents)} if parent_ids else {}
    codes: dict[UUID, list[tuple[str, str]]] = {row["id"]: [] for row in rows}
    of_places = select(PlaceCode).where(col(PlaceCode.place_id).in_(list(codes))).order_by(col(PlaceCode.scheme), col(PlaceCode.code))
    for row in await connection.execute(of_places):
        codes[row.place_id].append((row.scheme, row.code))
    return [place_from_row(row, slugs.get(row["parent_id"]), codes[row["id"]]) for row in rows]


def record_body(model: ReferenceModel, record: Record, more: Record, level: int) -> Record:
    """Return a record as it is served to a clearance, with what else is shown of it, such as the current grade of a source."""
    type_ = str(model.__tablename__)
    visible = visible_record(type_, record, level)
    redacted = {} if model is Place else {"redacted": visible.get("redacted", [])}
    return visible | more | redacted | {"links": {"self": f"/v1/{type_}s/{visible['slug']}"}}
