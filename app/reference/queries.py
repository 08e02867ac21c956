"""Reference data looked up: by what a report names, by identifier, and page by page."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, ScalarSelect, Select, String, and_, bindparam, or_, select
from sqlalchemy.engine import CursorResult, RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import Label
from app.http.problems import invalid_field
from app.reference.facts import REVEAL_FROM, PlaceRecord, SourceNames, SourceRecord
from app.reference.geometry import BBox, coarsen
from app.reference.models import Place, PlaceAncestor, PlaceCode, Route, Source, SourceGrade
from app.storage.paging import fetch_page
from app.storage.types import table_of


def _places() -> Select[Any]:
    places, codes = table_of(Place), table_of(PlaceCode)
    return (
        select(places.c.id, places.c.slug, places.c.name, places.c.country, codes.c.scheme, codes.c.code)
        .join(codes, codes.c.place_id == places.c.id, isouter=True)
        .order_by(places.c.id, codes.c.scheme, codes.c.code)
    )


# Asked with every report and for every reading: put together once.
BY_ID = _places().where(table_of(Place).c.id.in_(bindparam("ids", expanding=True)))
BY_NAME = _places().where(
    or_(
        table_of(Place).c.slug.in_(bindparam("slugs", expanding=True)),
        table_of(Place).c.id.in_(bindparam("ids", expanding=True)),
    )
)


async def find_places(connection: AsyncConnection, names: Collection[str]) -> dict[str, PlaceRecord]:
    """The places that slugs and `scheme:code` pairs name, by that name; matching is exact, the unknown are left out."""
    pairs = {name: tuple(name.split(":", 1)) for name in names if ":" in name}
    slugs = [name for name in names if ":" not in name]
    found: dict[str, UUID] = {}
    for scheme in {scheme for scheme, _ in pairs.values()}:
        codes = [code for each, code in pairs.values() if each == scheme]
        wanted = and_(col(PlaceCode.scheme) == scheme, col(PlaceCode.code).in_(codes))
        rows = await connection.execute(select(col(PlaceCode.scheme), col(PlaceCode.code), col(PlaceCode.place_id)).where(wanted))
        found |= {f"{scheme}:{code}": place_id for scheme, code, place_id in rows}
    facts = _place_records(await connection.execute(BY_NAME, {"slugs": slugs, "ids": list(found.values())}))
    by_id = {place.id: place for place in facts}
    return {place.slug: place for place in facts if place.slug in slugs} | {name: by_id[place_id] for name, place_id in found.items()}


async def places_by_id(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, PlaceRecord]:
    """Places by identifier, with their codes in order."""
    return {each.id: each for each in _place_records(await connection.execute(BY_ID, {"ids": list(ids)}))}


def _place_records(found: CursorResult[Any]) -> list[PlaceRecord]:
    rows: dict[UUID, tuple[Any, list[tuple[str, str]]]] = {}
    for row in found:
        codes = rows.setdefault(row.id, (row, []))[1]
        if row.scheme is not None:
            codes.append((row.scheme, row.code))
    return [PlaceRecord(row.id, row.slug, row.name, row.country, tuple(codes)) for row, codes in rows.values()]


def grade_in_force(moment: TimePoint = LATEST) -> ScalarSelect[Any]:
    """The grade of a source that was in force at a moment, as a subquery for statements on sources."""
    grades = table_of(SourceGrade)
    statement = select(grades.c.reliability).where(grades.c.source_id == col(Source.id)).order_by(grades.c.global_seq.desc()).limit(1)
    if moment.as_of is not None:
        statement = statement.where(grades.c.effective_from <= moment.as_of)
    if moment.through_global_seq is not None:
        statement = statement.where(grades.c.global_seq <= moment.through_global_seq)
    return statement.correlate(Source).scalar_subquery()


def _first_grade() -> ScalarSelect[Any]:
    first = table_of(SourceGrade)
    return (
        select(first.c.reliability).where(first.c.source_id == col(Source.id), first.c.global_seq == 0).correlate(Source).scalar_subquery()
    )


@lru_cache(maxsize=32)
def _sources(moment: TimePoint) -> Select[Any]:
    names = ("id", "slug", "name", "type", "party_to_conflict")
    more = ("alias", "alias_slug", "organisation")
    columns = table_of(Source).c
    return select(*(columns[each] for each in names), grade_in_force(moment).label("reliability"), *(columns[each] for each in more))


def matches_slug(slugs: str | BindParameter[str], level: int, organisation: BindParameter[str] | None = None) -> ColumnElement[bool]:
    """The condition on the sources that a reader calls by these slugs.

    Below the clearance that is the alias of a protected source, and its own slug only for the organisation that it belongs to.
    """
    wanted = [slugs] if isinstance(slugs, str) else slugs
    own, alias = col(Source.slug).in_(wanted), col(Source.alias_slug)
    if level >= REVEAL_FROM:
        return own
    plain = alias.is_(None) if organisation is None else or_(alias.is_(None), col(Source.organisation) == organisation)
    return or_(and_(own, plain), alias.in_(wanted))


@lru_cache
def _sources_called(level: int) -> Select[Any]:
    # An organisation that is none is nobody's.
    return _sources(LATEST).where(matches_slug(bindparam("slugs", expanding=True), level, bindparam("organisation", type_=String)))


async def find_sources(
    connection: AsyncConnection, slugs: Collection[str], level: int, organisation: str | None = None
) -> dict[str, SourceRecord]:
    """The sources that a reader calls by these slugs, by that slug; the unknown are left out."""
    rows = await connection.execute(_sources_called(level), {"slugs": list(slugs), "organisation": organisation})
    found = [SourceRecord(*row) for row in rows]
    by_alias = {each.alias_slug: each for each in found if each.alias_slug is not None}
    by_slug = {each.slug: each for each in found}
    return {slug: facts for slug in slugs if (facts := by_slug.get(slug) or by_alias.get(slug)) is not None}


@lru_cache(maxsize=32)
def _sources_by_id(moment: TimePoint) -> Select[Any]:
    return _sources(moment).where(col(Source.id).in_(bindparam("ids", expanding=True)))


async def sources_by_id(connection: AsyncConnection, ids: Collection[UUID], moment: TimePoint = LATEST) -> dict[UUID, SourceRecord]:
    """Sources by identifier, graded as at a moment."""
    rows = await connection.execute(_sources_by_id(moment), {"ids": list(ids)})
    return {row.id: SourceRecord(*row) for row in rows}


def source_id_of(slug: str, level: int) -> ScalarSelect[UUID]:
    """A subquery of the identifier of the source that a reader of that level calls so."""
    return select(col(Source.id)).where(matches_slug(slug, level)).limit(1).scalar_subquery()


_NAMES = select(col(Source.slug), col(Source.name), col(Source.alias), col(Source.alias_slug)).where(
    col(Source.slug).in_(bindparam("slugs", expanding=True))
)


async def source_names(connection: AsyncConnection, slugs: Collection[str]) -> dict[str, SourceNames]:
    """The names of sources, by their own slug."""
    if not slugs:
        return {}
    rows = await connection.execute(_NAMES, {"slugs": list(slugs)})
    return {row.slug: SourceNames(*row) for row in rows}


async def find_routes(connection: AsyncConnection, slugs: Collection[str]) -> set[str]:
    """Which of these slugs are routes."""
    if not slugs:
        return set()
    return set((await connection.execute(select(col(Route.slug)).where(col(Route.slug).in_(list(slugs))))).scalars())


async def place_geometries(connection: AsyncConnection, slugs: Collection[str]) -> dict[str, dict[str, Any]]:
    """The GeoJSON geometry of places, by slug: their own, else their centroid; those without either are left out."""
    columns = (col(Place.slug), col(Place.geometry), col(Place.longitude), col(Place.latitude))
    rows = await connection.execute(select(*columns).where(col(Place.slug).in_(list(slugs)), col(Place.west).is_not(None)))
    return {row.slug: row.geometry or {"type": "Point", "coordinates": [row.longitude, row.latitude]} for row in rows}


async def route_geometries(connection: AsyncConnection, slugs: Collection[str], level: int) -> dict[str, dict[str, Any]]:
    """The GeoJSON geometry of routes as a clearance may know it, by slug; those without one are left out."""
    if not slugs:
        return {}
    rows = await connection.execute(select(col(Route.slug), col(Route.geometry)).where(col(Route.slug).in_(list(slugs))))
    return {row.slug: _visible_geometry(row.geometry, level) for row in rows if row.geometry is not None}


def _visible_geometry(geometry: dict[str, Any], level: int) -> dict[str, Any]:
    return coarsen(geometry) if level < Label.AMBER.level else geometry


def place_filter(column: Any, slug_or_code: str, *, within: bool) -> ColumnElement[bool]:
    """The condition that a column names a place, or it or one of its descendants.

    One place is compared with, not looked for in a set, so that an index keeps its order.
    """
    if ":" in slug_or_code:
        scheme, code = slug_or_code.split(":", 1)
        named = select(col(PlaceCode.place_id)).where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code) == code)
    else:
        named = select(col(Place.id)).where(col(Place.slug) == slug_or_code)
    at = named.scalar_subquery()
    if not within:
        return col(column) == at
    return col(column).in_(select(col(PlaceAncestor.place_id)).where(col(PlaceAncestor.ancestor_id) == at))


def places_in_country(country: str) -> Select[Any]:
    """A subquery of the identifiers of the places of a country."""
    return select(col(Place.id)).where(col(Place.country) == country)


_DEGREES = re.compile(r" *[+-]?\d+(\.\d*)?([eE][+-]?\d+)? *", re.ASCII)


def _degrees(text: str) -> float:
    if not _DEGREES.fullmatch(text):
        raise ValueError
    return float(text)


def parse_bbox(bbox: str) -> BBox:
    """The box of `west,south,east,north` (RFC 7946); 422 naming `bbox` for anything else."""
    try:
        west, south, east, north = (_degrees(part) for part in bbox.split(","))
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
            raise ValueError
    except ValueError:
        raise invalid_field("?bbox", "must be west,south,east,north in degrees of WGS 84, such as 36.5,35.9,37.7,36.9") from None
    return west, south, east, north


def places_in_box(bbox: str) -> Select[Any]:
    """A subquery of the places whose box meets `west,south,east,north` (RFC 7946); west > east crosses the antimeridian.

    422 naming `bbox` for anything else.
    """
    west, south, east, north = parse_bbox(bbox)
    across = and_(col(Place.west) <= east, col(Place.east) >= west)
    if west > east:
        across = or_(col(Place.west) <= east, col(Place.east) >= west)
    return select(col(Place.id)).where(across, col(Place.south) <= north, col(Place.north) >= south)


def _links(collection: str, slug: str) -> dict[str, str]:
    return {"self": f"/v1/{collection}/{slug}"}


def _serve_place(row: RowMapping, parents: Mapping[UUID, str], codes: Mapping[UUID, list[dict[str, str]]]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "slug": row["slug"],
        "name": row["name"],
        "parent": parents.get(row["parent_id"]),
        "country": row["country"],
        "codes": codes.get(row["id"], []),
        "centroid": None if row["longitude"] is None else [row["longitude"], row["latitude"]],
        "geometry": row["geometry"],
        "links": _links("places", row["slug"]),
    }


def _serve_source(row: RowMapping, level: int) -> dict[str, Any]:
    slug, name = SourceNames(row["slug"], row["name"], row["alias"], row["alias_slug"]).visible_at(level)
    masked = slug != row["slug"]
    return {
        "id": str(row["id"]),
        "slug": slug,
        "name": name,
        **{each: row[each] for each in ("type", "reliability", "first_reliability", "party_to_conflict", "alias")},
        "organisation": None if masked else row["organisation"],
        "redacted": ["slug", "name", "organisation"] if masked else [],
        "links": _links("sources", slug),
    }


def _serve_route(row: RowMapping, level: int) -> dict[str, Any]:
    hidden = level < Label.AMBER.level and row["geometry"] is not None
    return {
        "id": str(row["id"]),
        "slug": row["slug"],
        "name": row["name"],
        "mode": row["mode"],
        "from": row["origin"],
        "to": row["destination"],
        "geometry": None if row["geometry"] is None else _visible_geometry(row["geometry"], level),
        "redacted": ["geometry"] if hidden else [],
        "links": _links("routes", row["slug"]),
    }


async def load_reference_page(
    connection: AsyncConnection,
    model: type[Place | Source | Route],
    where: Sequence[ColumnElement[bool]],
    *,
    after: UUID | None,
    limit: int,
    level: int,
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page in order of entry: the served records, the last identifier when there are more, and the ledger's head."""
    columns: list[ColumnElement[Any]] = list(table_of(model).c)
    if model is Source:
        columns += [grade_in_force().label("reliability"), _first_grade().label("first_reliability")]
    rows, last, revision = await fetch_page(connection, select(*columns).where(*where), key="id", after=after, limit=limit, level=level)
    return await _served(connection, model, rows, level), last, revision


async def load_reference_record(
    connection: AsyncConnection, model: type[Place | Source | Route], where: ColumnElement[bool], level: int
) -> dict[str, Any] | None:
    """One record as served; None when there is none."""
    items, _, _ = await load_reference_page(connection, model, [where], after=None, limit=1, level=level)
    return items[0] if items else None


async def _served(
    connection: AsyncConnection, model: type[Place | Source | Route], rows: Sequence[RowMapping], level: int
) -> list[dict[str, Any]]:
    if model is Source:
        return [_serve_source(row, level) for row in rows]
    if model is Route:
        return [_serve_route(row, level) for row in rows]
    ids = [row["id"] for row in rows]
    parents = {row["parent_id"] for row in rows} - {None}
    above = select(col(Place.id), col(Place.slug)).where(col(Place.id).in_(parents))
    slugs = {row.id: row.slug for row in await connection.execute(above)}
    codes: dict[UUID, list[dict[str, str]]] = {}
    coded = select(PlaceCode).where(col(PlaceCode.place_id).in_(ids)).order_by(col(PlaceCode.scheme), col(PlaceCode.code))
    for row in await connection.execute(coded):
        codes.setdefault(row.place_id, []).append({"scheme": row.scheme, "code": row.code})
    return [_serve_place(row, slugs, codes) for row in rows]


def record_filter(model: type[Place | Source | Route], slug: str, level: int) -> ColumnElement[bool]:
    """The condition for one record by slug, or for a place by `scheme:code`, as a reader of that level calls it."""
    if model is Source:
        return matches_slug(slug, level)
    if model is Place and ":" in slug:
        return place_filter(Place.id, slug, within=False)
    return col(model.slug) == slug
