"""Adding reference data. What is added is never changed or removed; a slug that is taken answers 409."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import exists, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import SQLModel, col
from uuid_utils.compat import uuid7

from app.domain.times import utc_now
from app.http.problems import FieldProblem, Problem, invalid_field
from app.reference.geometry import bbox_of
from app.reference.models import MIN_EFFECTIVE_FROM, Place, PlaceAncestor, PlaceCode, Route, Source, SourceGrade
from app.reference.queries import find_places
from app.reference.records import alias_slug
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.storage.types import table_of


async def _must_be_new(session: AsyncSession, model: type[Place | Source | Route], slug: str) -> None:
    taken = col(model.slug) == slug
    if model is Source:
        taken = or_(taken, col(Source.alias_slug) == slug)
    if await session.scalar(select(exists().where(taken))):
        raise Problem(409, f"There is a {model.__tablename__} with the slug {slug}.", kind="exists")


async def add_place(session: AsyncSession, sent: PlaceIn, identifier: UUID | None = None) -> UUID:
    """Add a place with its codes and its line of ancestors; 409 for a taken slug or code, 422 for an unknown parent.

    Here and below, `identifier` is one to keep, which must be new; one is made unless it is given.
    """
    await _must_be_new(session, Place, sent.slug)
    parent = None
    if sent.parent is not None:
        parent = (await find_places(await session.connection(), [sent.parent])).get(sent.parent)
        if parent is None:
            raise invalid_field("/parent", "there is no such place")
    codes = list({(code.scheme, code.code): code for code in sent.codes}.values())
    for code in codes:
        if await session.get(PlaceCode, (code.scheme, code.code)) is not None:
            raise Problem(409, f"The code {code.scheme}:{code.code} belongs to another place.", kind="exists")
    place = _place(sent, identifier or uuid7(), parent.id if parent else None, parent.country if parent else None)
    session.add(place)
    await session.flush()
    session.add_all([PlaceCode(scheme=code.scheme, code=code.code, place_id=place.id) for code in codes])
    session.add(PlaceAncestor(ancestor_id=place.id, place_id=place.id))
    if parent is not None:
        above = select(col(PlaceAncestor.ancestor_id), literal(place.id)).where(col(PlaceAncestor.place_id) == parent.id)
        await session.execute(insert(PlaceAncestor).from_select(["ancestor_id", "place_id"], above))
    await session.flush()
    return place.id


def _place(sent: PlaceIn, identifier: UUID, parent: UUID | None, country: str | None) -> Place:
    bounds = bbox_of(sent.geometry) if sent.geometry else bbox_of({"coordinates": sent.centroid}) if sent.centroid else (None,) * 4
    return Place(
        id=identifier,
        slug=sent.slug,
        name=sent.name,
        parent_id=parent,
        country=sent.country or country,
        longitude=sent.centroid[0] if sent.centroid else None,
        latitude=sent.centroid[1] if sent.centroid else None,
        geometry=sent.geometry,
        west=bounds[0],
        south=bounds[1],
        east=bounds[2],
        north=bounds[3],
        created_at=utc_now(),
    )


@dataclass(frozen=True, slots=True)
class _Above:
    """A place that others are put into: its country, and itself with all that contain it."""

    country: str | None
    line: tuple[UUID, ...]


async def add_places(session: AsyncSession, places: Sequence[tuple[PlaceIn, UUID | None]]) -> list[bool | FieldProblem]:
    """Add many places at once, parents before their children, each with an identifier to keep or None.

    Answers for each whether it was added: True, False for one whose slug is there already, or what is wrong with it.
    The cost is some statements for all of them together.
    """
    connection = await session.connection()
    known = await find_places(connection, {name for sent, _ in places for name in (sent.slug, sent.parent) if name is not None})
    lines = await _lines(connection, {each.id for each in known.values()})
    above = {name: _Above(each.country, lines[each.id]) for name, each in known.items()}
    taken = await _taken(connection, {(code.scheme, code.code) for sent, _ in places for code in sent.codes})
    rows: list[dict[str, Any]] = []
    codes: list[dict[str, Any]] = []
    answers: list[bool | FieldProblem] = []
    for sent, identifier in places:
        if sent.slug in above:
            answers.append(False)
            continue
        own = list(dict.fromkeys((code.scheme, code.code) for code in sent.codes))
        parent = above.get(sent.parent) if sent.parent is not None else _Above(None, ())
        if parent is None:
            answers.append(FieldProblem(pointer="/parent", detail="there is no such place"))
        elif held := [code for code in own if code in taken]:
            answers.append(FieldProblem(pointer="/codes", detail=f"the code {':'.join(held[0])} belongs to another place"))
        else:
            place = _place(sent, identifier or uuid7(), parent.line[-1] if parent.line else None, parent.country)
            rows.append(place.model_dump())
            codes += [{"scheme": scheme, "code": code, "place_id": place.id} for scheme, code in own]
            taken.update(own)
            within = _Above(place.country, (*parent.line, place.id))
            above |= {sent.slug: within} | {f"{scheme}:{code}": within for scheme, code in own}
            lines[place.id] = within.line
            answers.append(True)
    if rows:
        await session.execute(insert(table_of(Place)), rows)
        ancestors = [{"ancestor_id": each, "place_id": row["id"]} for row in rows for each in lines[row["id"]]]
        await session.execute(insert(table_of(PlaceAncestor)), ancestors)
    if codes:
        await session.execute(insert(table_of(PlaceCode)), codes)
    return answers


async def _lines(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, tuple[UUID, ...]]:
    """Places with all that contain them; the place itself comes last."""
    lines: dict[UUID, tuple[UUID, ...]] = dict.fromkeys(ids, ())
    wanted = select(col(PlaceAncestor.place_id), col(PlaceAncestor.ancestor_id)).where(col(PlaceAncestor.place_id).in_(list(ids)))
    for place, ancestor in await connection.execute(wanted):
        if place != ancestor:
            lines[place] += (ancestor,)
    return {place: (*line, place) for place, line in lines.items()}


async def _taken(connection: AsyncConnection, codes: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    taken: set[tuple[str, str]] = set()
    for scheme in {scheme for scheme, _ in codes}:
        of_scheme = [code for each, code in codes if each == scheme]
        held = select(col(PlaceCode.code)).where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code).in_(of_scheme))
        taken |= {(scheme, code) for code in (await connection.execute(held)).scalars()}
    return taken


async def add_source(session: AsyncSession, sent: SourceIn, identifier: UUID | None = None) -> UUID:
    """Add a source with its first grade; 409 for a taken slug."""
    await _must_be_new(session, Source, sent.slug)
    party = sent.type == "armed_actor" if sent.party_to_conflict is None else sent.party_to_conflict
    id_ = identifier or uuid7()
    source = Source(
        id=id_,
        slug=sent.slug,
        name=sent.name,
        type=sent.type,
        party_to_conflict=party,
        alias=sent.alias,
        alias_slug=alias_slug(id_) if sent.alias is not None else None,
        organisation=sent.organisation,
        created_at=utc_now(),
    )
    await _add(session, source)
    await _add(session, SourceGrade(source_id=source.id, global_seq=0, effective_from=MIN_EFFECTIVE_FROM, reliability=sent.reliability))
    return source.id


async def add_route(session: AsyncSession, sent: RouteIn, identifier: UUID | None = None) -> UUID:
    """Add a route; 409 for a taken slug."""
    await _must_be_new(session, Route, sent.slug)
    route = Route(id=identifier or uuid7(), created_at=utc_now(), **sent.model_dump())
    await _add(session, route)
    return route.id


async def _add(session: AsyncSession, row: SQLModel) -> None:
    session.add(row)
    await session.flush()
