"""Create reference data, and change places."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import SQLModel, col

from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.domain.tlp import MAX_LEVEL
from app.http.problems import FieldProblem, Problem, invalid
from app.reference.geometry import EXACT_FROM, bbox_of, by_type, visible_geometry
from app.reference.models import MIN_EFFECTIVE_FROM, Extent, Place, PlaceAncestor, PlaceCode, ReferenceModel, Route, Source, SourceGrade
from app.reference.queries import UNKNOWN_PLACE, ancestors_of, find_places, place_geometry
from app.reference.records import alias_slug
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.suggestions import unknown_place
from app.storage.paging import chunks
from app.storage.types import table_of

_newest = UUID(int=0)


def _next_id() -> UUID:
    """Return an identifier that sorts after the last one of this process: lists keep the order of creation, and all records are public."""
    global _newest  # noqa: PLW0603 - one sequence for each process
    _newest = uuid7(later_than=_newest)
    return _newest


async def add_place(session: AsyncSession, place: PlaceIn, identifier: UUID | None = None) -> UUID:
    """Add a place; raise 409 for a slug or code that exists, 422 for an unknown parent.

    Here and below, `identifier` is one to keep, which must be unused; by default a new one.
    """
    identifier = identifier or _next_id()
    (result,) = await add_places(session, [(place, identifier)])
    if result is False:
        raise _exists(Place, place.slug)
    if isinstance(result, FieldProblem) and result.pointer == "/codes":
        raise Problem(409, f"{result.detail}.", kind="exists")
    if isinstance(result, FieldProblem):
        raise invalid(await unknown_place(await session.connection(), "/parent", place.parent, 0) or [result])
    return identifier


def _exists(model: ReferenceModel, slug: str) -> Problem:
    return Problem(409, f"A {model.__tablename__} with the slug {slug} exists: choose another slug.", kind="exists")


@dataclass(frozen=True, slots=True)
class _Container:
    """A place that others are added to: its country and time zone, and its ancestors and, last, itself."""

    country: str | None
    timezone: str
    path: tuple[UUID, ...]


async def add_places(session: AsyncSession, places: Sequence[tuple[PlaceIn, UUID | None]]) -> list[bool | FieldProblem]:
    """Add many places with a few statements, parents before their children, each with an identifier to keep or None.

    Return one result per place: True if it was added, False if its slug exists, else what is wrong.
    """
    connection = await session.connection()
    known = await find_places(connection, {name for place, _ in places for name in (place.slug, place.parent) if name is not None})
    paths = await ancestors_of(connection, {each.id for each in known.values()})
    containers = {name: _Container(each.country, each.timezone, (*paths[each.id] - {each.id}, each.id)) for name, each in known.items()}
    taken = await _existing_codes(connection, {(code.scheme, code.code) for place, _ in places for code in place.codes})
    rows: list[dict[str, Any]] = []
    codes: list[dict[str, Any]] = []
    ancestors: list[dict[str, Any]] = []
    results: list[bool | FieldProblem] = []
    for place, identifier in places:
        if place.slug in containers:
            results.append(False)
            continue
        own = list(dict.fromkeys((code.scheme, code.code) for code in place.codes))
        parent = containers.get(place.parent) if place.parent is not None else _Container(None, "UTC", ())
        if parent is None:
            results.append(FieldProblem(pointer="/parent", detail=UNKNOWN_PLACE))
        elif conflicts := [code for code in own if code in taken]:
            results.append(FieldProblem(pointer="/codes", detail=f"the code {':'.join(conflicts[0])} belongs to another place"))
        else:
            row = _place_row(place, identifier or _next_id(), parent)
            container = _Container(row["country"], row["timezone"], (*parent.path, row["id"]))
            containers |= dict.fromkeys([place.slug, *(f"{scheme}:{code}" for scheme, code in own)], container)
            taken.update(own)
            rows.append(row)
            codes += [{"scheme": scheme, "code": code, "place_id": row["id"]} for scheme, code in own]
            ancestors += [{"ancestor_id": each, "place_id": row["id"]} for each in container.path]
            results.append(True)
    extents = [each for row in rows for each in extent_rows(row["id"], place_geometry(row))]
    for model, added in ((Place, rows), (PlaceAncestor, ancestors), (PlaceCode, codes), (Extent, extents)):
        if added:
            await session.execute(insert(table_of(model)), added)
    return results


def _place_row(place: PlaceIn, identifier: UUID, parent: _Container) -> dict[str, Any]:
    return {
        "id": identifier,
        "slug": place.slug,
        "name": place.name,
        "parent_id": parent.path[-1] if parent.path else None,
        "country": place.country or parent.country,
        "timezone": place.timezone or parent.timezone,
        "longitude": place.centroid[0] if place.centroid else None,
        "latitude": place.centroid[1] if place.centroid else None,
        "geometry": place.geometry,
        "created_at": utc_now(),
    }


async def change_place(
    session: AsyncSession, identifier: UUID, *, name: str | None = None, parent: str | None = None, codes: Collection[str] = ()
) -> None:
    """Change the name or the parent of a place, or add codes to it; raise 422 for a parent that is unknown or inside the place."""
    connection = await session.connection()
    changed: dict[str, Any] = {} if name is None else {"name": name}
    if parent is not None:
        above = (await find_places(connection, [parent])).get(parent)
        path = (await ancestors_of(connection, [above.id]))[above.id] if above else set()
        if above is None or identifier in path:
            raise invalid([FieldProblem(pointer="/parent", detail=UNKNOWN_PLACE if above is None else f"{parent} is inside the place")])
        changed["parent_id"] = above.id
        former = (await ancestors_of(connection, [identifier]))[identifier] - {identifier}
        inside = select(col(PlaceAncestor.place_id)).where(col(PlaceAncestor.ancestor_id) == identifier)
        ids = list((await connection.execute(inside)).scalars())
        for some in chunks(ids):
            pairs = col(PlaceAncestor.place_id).in_(some), col(PlaceAncestor.ancestor_id).in_(former)
            await session.execute(delete(table_of(PlaceAncestor)).where(*pairs))
        rows = [{"ancestor_id": ancestor, "place_id": place} for place in ids for ancestor in path]
        await session.execute(insert(table_of(PlaceAncestor)), rows)
    if changed:
        await session.execute(update(table_of(Place)).where(col(Place.id) == identifier).values(changed))
    if codes:
        added = [code.partition(":") for code in codes]
        await session.execute(insert(table_of(PlaceCode)), [{"scheme": each[0], "code": each[2], "place_id": identifier} for each in added])


async def _existing_codes(connection: AsyncConnection, codes: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    existing: set[tuple[str, str]] = set()
    for scheme in {scheme for scheme, _ in codes}:
        among = [code for each, code in codes if each == scheme]
        found = select(col(PlaceCode.code)).where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code).in_(among))
        existing |= {(scheme, code) for code in (await connection.execute(found)).scalars()}
    return existing


async def add_source(session: AsyncSession, source: SourceIn, identifier: UUID | None = None) -> UUID:
    """Add a source with its first grade; raise 409 for a slug that exists."""
    identifier = identifier or _next_id()
    await _require_new(session, Source, source.slug, or_(col(Source.slug) == source.slug, col(Source.alias_slug) == source.slug))
    row = Source(
        id=identifier,
        slug=source.slug,
        name=source.name,
        type=source.type,
        party_to_conflict=source.type == "armed_actor" if source.party_to_conflict is None else source.party_to_conflict,
        alias=source.alias,
        alias_slug=alias_slug(identifier) if source.alias is not None else None,
        organisation=source.organisation,
        created_at=utc_now(),
    )
    await _insert(session, row)
    await _insert(
        session, SourceGrade(source_id=identifier, global_seq=0, effective_from=MIN_EFFECTIVE_FROM, reliability=source.reliability)
    )
    return identifier


async def add_route(session: AsyncSession, route: RouteIn, identifier: UUID | None = None) -> UUID:
    """Add a route; raise 409 for a slug that exists."""
    identifier = identifier or _next_id()
    await _require_new(session, Route, route.slug, col(Route.slug) == route.slug)
    await _insert(session, Route(id=identifier, created_at=utc_now(), **route.model_dump()))
    if route.geometry is not None:
        await session.execute(insert(table_of(Extent)), extent_rows(identifier, route.geometry, is_route=True))
    return identifier


def extent_rows(identifier: UUID, geometry: dict[str, Any] | None, *, is_route: bool = False) -> list[dict[str, Any]]:
    """Return the rows of the extents of a record: of a route, also those of its rounded geometry for clearances below EXACT_FROM."""
    if geometry is None:
        return []
    seen = [(0, EXACT_FROM - 1), (EXACT_FROM, MAX_LEVEL)] if is_route else [(0, MAX_LEVEL)]
    rows = []
    for low, high in seen:
        for type_, part in by_type(visible_geometry(geometry, low) if is_route else geometry).items():
            box = dict(zip(("west", "south", "east", "north"), bbox_of(part), strict=True))
            rows.append({"record_id": identifier, "type": type_, "min_clearance": low, "max_clearance": high, **box})
    return rows


async def _require_new(session: AsyncSession, model: ReferenceModel, slug: str, taken: Any) -> None:
    if await session.scalar(select(exists().where(taken))):
        raise _exists(model, slug)


async def _insert(session: AsyncSession, row: SQLModel) -> None:
    session.add(row)
    await session.flush()
