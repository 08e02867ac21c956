"""Look up reference data by slug, code and identifier, and conditions that other queries filter by."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.reference.bounding_box import BBox
from app.reference.geometry import visible_geometry
from app.reference.models import Extent, Place, PlaceAncestor, PlaceCode, Route, Source, SourceGrade
from app.reference.records import REVEAL_FROM, PlaceRecord, SourceNames, SourceRecord
from app.reference.rows import Record, place_shape
from app.reference.versions import past_records
from app.storage.direct import Rows, execute_direct
from app.storage.paging import chunks, in_values
from app.storage.types import table_of

# Details of errors about a reference to an unknown record.
UNKNOWN_PLACE = "no such place: use the slug of a place, such as aleppo-east, or a code with its scheme, such as pcode:SY02"
UNKNOWN_SOURCE = "no such source: use the slug of a source, such as un-ocha"
UNKNOWN_ROUTE = "no such route: use the slug of a route, such as castello-road"

_places = table_of(Place).c
_codes = table_of(PlaceCode).c
_PLACES = (
    select(_places.id, _places.slug, _places.name, _places.country, _places.timezone, _codes.scheme, _codes.code)
    .select_from(table_of(Place).outerjoin(table_of(PlaceCode), _codes.place_id == _places.id))
    .order_by(_places.id, _codes.scheme, _codes.code)
)
# Built once, because every report and every assessment runs one of them.
_PLACES_BY_ID = _PLACES.where(_places.id.in_(bindparam("ids", expanding=True)))
_PLACES_BY_SLUG_OR_ID = _PLACES.where(
    or_(_places.slug.in_(bindparam("slugs", expanding=True)), _places.id.in_(bindparam("ids", expanding=True)))
)


async def find_places(connection: AsyncConnection, references: Collection[str]) -> dict[str, PlaceRecord]:
    """Return the places that slugs and `scheme:code` pairs refer to, by exact match; unknown references are absent."""
    pairs = {reference: tuple(reference.split(":", 1)) for reference in references if ":" in reference}
    slugs = [reference for reference in references if ":" not in reference]
    ids: dict[str, UUID] = {}
    for scheme in {scheme for scheme, _ in pairs.values()}:
        codes = [code for each, code in pairs.values() if each == scheme]
        coded = select(_codes.code, _codes.place_id).where(_codes.scheme == scheme, _codes.code.in_(codes))
        ids |= {f"{scheme}:{code}": place_id for code, place_id in await connection.execute(coded)}
    places = _place_records(
        await execute_direct(connection, _PLACES_BY_SLUG_OR_ID, {"slugs": in_values(slugs), "ids": in_values(ids.values())})
    )
    by_id = {place.id: place for place in places}
    return {place.slug: place for place in places if place.slug in slugs} | {pair: by_id[place_id] for pair, place_id in ids.items()}


async def places_by_id(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint = LATEST) -> dict[UUID, PlaceRecord]:
    """Return places by identifier, with their codes in order, as they were known at a time point."""
    found = {place.id: place for place in _place_records(await execute_direct(connection, _PLACES_BY_ID, {"ids": in_values(ids)}))}
    for each, then in (await past_records(connection, "place", time_point, ids)).items():
        codes = tuple((code["scheme"], code["code"]) for code in then["codes"])
        found[each] = PlaceRecord(each, then["slug"], then["name"], then["country"], codes, then["timezone"])
    return found


def _place_records(rows: Rows) -> list[PlaceRecord]:
    places: dict[UUID, tuple[Any, list[tuple[str, str]]]] = {}
    for row in rows:
        codes = places.setdefault(row.id, (row, []))[1]
        if row.scheme is not None:
            codes.append((row.scheme, row.code))
    return [PlaceRecord(row.id, row.slug, row.name, row.country, tuple(codes), row.timezone) for row, codes in places.values()]


def grade_in_force(time_point: TimePoint = LATEST) -> ScalarSelect[Any]:
    """Return a subquery of the grade of a source that was in force at a time point."""
    return _in_force(table_of(SourceGrade).c.reliability, time_point)


def _in_force(column: ColumnElement[Any], time_point: TimePoint) -> ScalarSelect[Any]:
    grades = table_of(SourceGrade).c
    # By when each came into force, because a grade that another service gave earlier may arrive later.
    statement = select(column).where(grades.source_id == col(Source.id), column.is_not(None))
    statement = statement.order_by(grades.effective_from.desc(), grades.global_seq.desc()).limit(1)
    if time_point.as_of is not None:
        statement = statement.where(grades.effective_from <= time_point.as_of)
    if time_point.through_global_seq is not None:
        statement = statement.where(grades.global_seq <= time_point.through_global_seq)
    return statement.correlate(Source).scalar_subquery()


def first_grade() -> ScalarSelect[Any]:
    """Return a subquery of the grade that a source was added with."""
    return grade_in_force(TimePoint(through_global_seq=0))


@lru_cache(maxsize=32)
def _sources(time_point: TimePoint) -> Select[Any]:
    sources = table_of(Source).c
    party: ColumnElement[Any] = sources.party_to_conflict
    if time_point != LATEST:
        party = _in_force(table_of(SourceGrade).c.party_to_conflict, time_point).label("party_to_conflict")
    names = (sources.id, sources.slug, sources.name, sources.type, party)
    return select(*names, grade_in_force(time_point).label("reliability"), sources.alias, sources.alias_slug, sources.organisation)


def matches_slug(slug: str, level: int) -> ColumnElement[bool]:
    """Return the condition for the source with this slug, as a clearance sees it.

    Low clearances use the alias slug of a protected source; only callers of the organisation that it belongs to may use its real slug.
    """
    real, alias = col(Source.slug) == slug, col(Source.alias_slug)
    return real if level >= REVEAL_FROM else or_(and_(real, alias.is_(None)), alias == slug)


@dataclass(frozen=True, slots=True)
class AnySources:
    """Sources that were looked up by the slugs that several callers sent, by real and by alias slug."""

    by_slug: dict[str, SourceRecord]
    by_alias: dict[str, SourceRecord]

    def visible_to(self, level: int, organisation: str | None) -> Mapping[str, SourceRecord]:
        """Return them by the slugs that a caller may use (see `matches_slug`)."""
        if level >= REVEAL_FROM or not self.by_alias:
            return self.by_slug
        own = {each.organisation for each in self.by_slug.values()} & {organisation} - {None}
        return self.by_alias | {slug: each for slug, each in self.by_slug.items() if each.alias_slug is None or each.organisation in own}


_SOURCES_BY_ANY_SLUG = _sources(LATEST).where(
    or_(*(column.in_(bindparam("slugs", expanding=True)) for column in (col(Source.slug), col(Source.alias_slug))))
)


async def find_any_sources(connection: AsyncConnection, slugs: Collection[str]) -> AnySources:
    """Return the sources that have these slugs, real or alias."""
    found = [SourceRecord(*row) for row in await execute_direct(connection, _SOURCES_BY_ANY_SLUG, {"slugs": in_values(slugs)})]
    by_alias = {each.alias_slug: each for each in found if each.alias_slug is not None}
    return AnySources({each.slug: each for each in found}, by_alias)


async def find_sources(
    connection: AsyncConnection, slugs: Collection[str], level: int, organisation: str | None = None
) -> dict[str, SourceRecord]:
    """Return sources by the slugs that a clearance sees (see `matches_slug`); unknown slugs are absent."""
    visible = (await find_any_sources(connection, slugs)).visible_to(level, organisation)
    return {slug: visible[slug] for slug in slugs if slug in visible}


@lru_cache(maxsize=32)
def _sources_by_id(time_point: TimePoint) -> Select[Any]:
    return _sources(time_point).where(col(Source.id).in_(bindparam("ids", expanding=True)))


async def sources_by_id(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint = LATEST) -> dict[UUID, SourceRecord]:
    """Return sources by identifier, as they were known at a time point, with the grades then in force."""
    rows = await execute_direct(connection, _sources_by_id(time_point), {"ids": in_values(ids)}, built_once=time_point == LATEST)
    then = await past_records(connection, "source", time_point)
    return {row.id: _source_then(row, then) for row in rows}


def _source_then(row: Any, then: Mapping[UUID, Record]) -> SourceRecord:
    """Return a source with the name and type that it had; its protection is that of now."""
    named = {name: then[row.id][name] for name in ("name", "type")} if row.id in then else {}
    return replace(SourceRecord(*row), **named)


@lru_cache(maxsize=32)
def _sources_by_real_slug(time_point: TimePoint) -> Select[Any]:
    return _sources(time_point).where(col(Source.slug).in_(bindparam("slugs", expanding=True)))


async def sources_by_real_slug(
    connection: AsyncConnection, slugs: Collection[str], time_point: TimePoint = LATEST
) -> dict[str, SourceRecord]:
    """Return sources by their real slug, as they were known at a time point, with the grades then in force."""
    if not slugs:
        return {}
    rows = await connection.execute(_sources_by_real_slug(time_point), {"slugs": in_values(slugs)})
    then = await past_records(connection, "source", time_point)
    return {row.slug: _source_then(row, then) for row in rows}


def source_id_of(slug: str, level: int) -> ScalarSelect[UUID]:
    """Return a subquery of the identifier of the source with this slug, as a clearance sees it."""
    return select(col(Source.id)).where(matches_slug(slug, level)).limit(1).scalar_subquery()


_NAMES = select(col(Source.slug), col(Source.name), col(Source.alias), col(Source.alias_slug), col(Source.id)).where(
    col(Source.slug).in_(bindparam("slugs", expanding=True))
)


async def source_names(connection: AsyncConnection, slugs: Collection[str], time_point: TimePoint = LATEST) -> dict[str, SourceNames]:
    """Return the names of sources by their real slug, as they were known at a time point."""
    if not slugs:
        return {}
    rows = await connection.execute(_NAMES, {"slugs": list(slugs)})
    then = await past_records(connection, "source", time_point)
    return {row.slug: SourceNames(row.slug, then.get(row.id, {"name": row.name})["name"], row.alias, row.alias_slug) for row in rows}


async def ancestors_of(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, set[UUID]]:
    """Return the places that contain each place, itself among them."""
    found: dict[UUID, set[UUID]] = {each: {each} for each in ids}
    for some in chunks(ids):
        pairs = select(col(PlaceAncestor.place_id), col(PlaceAncestor.ancestor_id)).where(col(PlaceAncestor.place_id).in_(some))
        for place, ancestor in await connection.execute(pairs):
            found[place].add(ancestor)
    return found


_TIMEZONES = select(_places.id, _places.timezone).where(_places.id.in_(bindparam("ids", expanding=True)))


async def place_timezones(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint) -> dict[UUID, str]:
    """Return the time zones of places, as they were known at a time point."""
    now = {row.id: row.timezone for row in await connection.execute(_TIMEZONES, {"ids": list(ids)})}
    then = await past_records(connection, "place", time_point, ids)
    return now | {each: record["timezone"] for each, record in then.items()}


async def find_routes(connection: AsyncConnection, slugs: Collection[str]) -> set[str]:
    """Return those slugs that belong to routes."""
    if not slugs:
        return set()
    return set((await connection.execute(select(col(Route.slug)).where(col(Route.slug).in_(list(slugs))))).scalars())


async def place_geometries(
    connection: AsyncConnection, slugs: Collection[str], time_point: TimePoint = LATEST
) -> dict[str, dict[str, Any]]:
    """Return the GeoJSON geometry of places by slug, else their centroid as a point; places with neither are absent."""
    columns = (col(Place.id), col(Place.slug), col(Place.geometry), col(Place.longitude), col(Place.latitude))
    rows = (await connection.execute(select(*columns).where(col(Place.slug).in_(list(slugs))))).mappings().all()
    shapes = {row["slug"]: place_geometry(row) for row in rows}
    for then in (await past_records(connection, "place", time_point, [row["id"] for row in rows])).values():
        shapes[then["slug"]] = place_shape(then)
    return {slug: geometry for slug, geometry in shapes.items() if geometry}


def place_geometry(row: Any) -> dict[str, Any] | None:
    """Return the GeoJSON geometry of the row of a place, else its centroid as a point."""
    return place_shape(dict(row) | {"centroid": None if row["longitude"] is None else [row["longitude"], row["latitude"]]})


async def route_geometries(
    connection: AsyncConnection, slugs: Collection[str], level: int, time_point: TimePoint = LATEST
) -> dict[str, dict[str, Any]]:
    """Return the GeoJSON geometry of routes by slug, as exact as a clearance may see it; routes without one are absent."""
    if not slugs:
        return {}
    routes = select(col(Route.id), col(Route.slug), col(Route.geometry)).where(col(Route.slug).in_(list(slugs)))
    rows = (await connection.execute(routes)).all()
    then = await past_records(connection, "route", time_point, [row.id for row in rows])
    shapes = {row.slug: then[row.id]["geometry"] if row.id in then else row.geometry for row in rows}
    return {slug: visible_geometry(geometry, level) for slug, geometry in shapes.items() if geometry is not None}


def place_filter(column: Any, slug_or_code: str, *, within: bool) -> ColumnElement[bool]:
    """Return the condition that a column refers to a place, or with `within` to the place or one of its descendants."""
    if ":" in slug_or_code:
        scheme, code = slug_or_code.split(":", 1)
        place = select(col(PlaceCode.place_id)).where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code) == code)
    else:
        place = select(col(Place.id)).where(col(Place.slug) == slug_or_code)
    place_id = place.scalar_subquery()
    if not within:
        # Compared by equality, because IN would lose the order of an index.
        return col(column) == place_id
    return col(column).in_(select(col(PlaceAncestor.place_id)).where(col(PlaceAncestor.ancestor_id) == place_id))


def place_conditions(column: Any, place: str | None, *, within: bool, country: str | None) -> list[ColumnElement[bool]]:
    """Return the conditions of the filters `place`, `within` and `country` on a column of place identifiers."""
    conditions = [] if place is None else [place_filter(column, place, within=within)]
    if country is not None:
        conditions.append(col(column).in_(select(col(Place.id)).where(col(Place.country) == country)))
    return conditions


def places_in_box(bbox: BBox) -> Select[Any]:
    """Return a subquery of the places whose geometry has a part of which the bounding box intersects another one."""
    return select(col(Extent.record_id)).where(*in_box(bbox))


def in_box(bbox: BBox) -> list[ColumnElement[bool]]:
    """Return the conditions for extents that intersect a box; a box whose west is above its east crosses the antimeridian."""
    west, south, east, north = bbox
    begins, ends, crosses = col(Extent.west) <= east, col(Extent.east) >= west, col(Extent.west) > col(Extent.east)
    across = or_(begins & ends, crosses & or_(begins, ends)) if west <= east else or_(crosses, begins, ends)
    return [across, col(Extent.south) <= north, col(Extent.north) >= south]
