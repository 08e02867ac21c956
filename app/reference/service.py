"""Adding reference data. What is added is never changed or removed; a slug that is taken answers 409."""

from uuid import UUID

from sqlalchemy import exists, insert, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel, col
from uuid_utils.compat import uuid7

from app.errors import Problem, invalid_field
from app.reference.facts import alias_slug
from app.reference.geometry import box
from app.reference.models import ALWAYS, Place, PlaceAncestor, PlaceCode, Route, Source, SourceGrade
from app.reference.queries import find_places
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.times import utc_now


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
    bounds = box(sent.geometry) if sent.geometry else box({"coordinates": sent.centroid}) if sent.centroid else (None,) * 4
    place = Place(
        id=identifier or uuid7(),
        slug=sent.slug,
        name=sent.name,
        parent_id=parent.id if parent else None,
        country=sent.country or (parent.country if parent else None),
        longitude=sent.centroid[0] if sent.centroid else None,
        latitude=sent.centroid[1] if sent.centroid else None,
        geometry=sent.geometry,
        west=bounds[0],
        south=bounds[1],
        east=bounds[2],
        north=bounds[3],
        created_at=utc_now(),
    )
    session.add(place)
    await session.flush()
    session.add_all([PlaceCode(scheme=code.scheme, code=code.code, place_id=place.id) for code in codes])
    session.add(PlaceAncestor(ancestor_id=place.id, place_id=place.id))
    if parent is not None:
        above = select(col(PlaceAncestor.ancestor_id), literal(place.id)).where(col(PlaceAncestor.place_id) == parent.id)
        await session.execute(insert(PlaceAncestor).from_select(["ancestor_id", "place_id"], above))
    await session.flush()
    return place.id


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
    await _add(session, SourceGrade(source_id=source.id, number=0, effective_from=ALWAYS, reliability=sent.reliability))
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
