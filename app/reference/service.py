"""Create and change places, sources and routes; each creation and each change is an entry of the ledger."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.principal import Principal
from app.domain.identifiers import uuid7
from app.http.problems import FieldProblem, Problem, invalid
from app.ledger.appender import LedgerAppender, open_appender
from app.ledger.hash_chain import entry_body
from app.ledger.models import RECORD, LedgerEntry, first_recorded_detail
from app.reference.models import (
    MIN_EFFECTIVE_FROM,
    Extent,
    Place,
    PlaceAncestor,
    PlaceCode,
    RecordText,
    ReferenceModel,
    Route,
    Source,
    SourceGrade,
)
from app.reference.queries import UNKNOWN_PLACE, ancestors_of, find_places
from app.reference.records import REVEAL_FROM, alias_slug
from app.reference.rows import (
    Record,
    extent_rows,
    is_restricted,
    place_record,
    place_row,
    place_shape,
    route_record,
    route_row,
    source_record,
    source_row,
    text_rows,
)
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.suggestions import unknown_place
from app.storage.types import table_of

_newest = UUID(int=0)


def _next_id() -> UUID:
    """Return an identifier that sorts after the last one of this process: lists keep the order of creation, and all records are public."""
    global _newest  # noqa: PLW0603 - one sequence for each process
    _newest = uuid7(later_than=_newest)
    return _newest


async def add_place(session: AsyncSession, caller: Principal, place: PlaceIn, identifier: UUID | None = None) -> UUID:
    """Add a place; raise 409 for a slug or code that exists, 422 for an unknown parent.

    Here and below, `identifier` is one to keep, which must be unused; by default a new one.
    """
    identifier = identifier or _next_id()
    (result,) = await add_places(session, caller, [(place, identifier)])
    if result is False:
        raise _exists(Place, place.slug)
    if isinstance(result, FieldProblem) and result.pointer == "/codes":
        raise Problem(409, f"{result.detail}.", kind="exists")
    if isinstance(result, FieldProblem):
        connection, named = await session.connection(), {"/parent": place.parent, "/successor_of": place.successor_of}
        problems = [each for pointer, text in named.items() for each in await unknown_place(connection, pointer, text, 0)]
        raise invalid(problems or [result])
    return identifier


def _exists(model: ReferenceModel, slug: str) -> Problem:
    return Problem(409, f"A {model.__tablename__} with the slug {slug} exists: choose another slug.", kind="exists")


@dataclass(frozen=True, slots=True)
class Container:
    """A place that others are added to: its slug, country and time zone, and its ancestors and, last, itself."""

    slug: str | None
    country: str | None
    timezone: str
    path: tuple[UUID, ...]


_TOP = Container(None, None, "UTC", ())


async def add_places(
    session: AsyncSession,
    caller: Principal,
    places: Sequence[tuple[PlaceIn, UUID | None]],
    first_recorded: Mapping[UUID, datetime] | None = None,
) -> list[bool | FieldProblem]:
    """Add many places with a few statements, parents before their children, each with an identifier to keep or None.

    Return one result per place: True if it was added, False if its slug exists, else what is wrong. `first_recorded` are the times at
    which another Lifeline recorded some, by identifier: codes that other places have here are left out of these.
    """
    appender = await open_appender(session)
    connection = await session.connection()
    containers = await load_containers(connection, {name for place, _ in places for name in (place.slug, place.parent, place.successor_of)})
    taken = await existing_codes(connection, {(code.scheme, code.code) for place, _ in places for code in place.codes})
    rows: list[dict[str, Any]] = []
    codes: list[dict[str, Any]] = []
    ancestors: list[dict[str, Any]] = []
    extents: list[dict[str, Any]] = []
    texts: list[dict[str, Any]] = []
    entries: list[LedgerEntry] = []
    results: list[bool | FieldProblem] = []
    for sent, given in places:
        place = sent
        if place.slug in containers:
            results.append(False)
            continue
        identifier = given or _next_id()
        if first_recorded is not None:
            place = place.model_copy(update={"codes": [each for each in place.codes if (each.scheme, each.code) not in taken]})
        parent = containers.get(place.parent) if place.parent is not None else _TOP
        record = resolve_place(identifier, place, containers)
        own = {(code.scheme, code.code) for code in place.codes}
        if isinstance(record, FieldProblem) or parent is None:
            assert isinstance(record, FieldProblem)
            results.append(record)
        elif conflicts := sorted(own & taken):
            results.append(FieldProblem(pointer="/codes", detail=code_taken(conflicts[0])))
        else:
            container = Container(place.slug, record["country"], record["timezone"], (*parent.path, identifier))
            containers |= dict.fromkeys([place.slug, *(":".join(code) for code in own)], container)
            taken |= own
            parent_id = parent.path[-1] if parent.path else None
            rows.append({"id": identifier, "parent_id": parent_id, "created_at": appender.recorded_at, **place_row(record)})
            codes += code_rows(identifier, record)
            extents += extent_rows(identifier, place_shape(record))
            texts += text_rows("place", record)
            ancestors += [{"ancestor_id": each, "place_id": identifier} for each in container.path]
            entries.append(append_version(appender, caller, "place", record, (first_recorded or {}).get(identifier)))
            results.append(True)
    for model, added in ((Place, rows), (PlaceAncestor, ancestors), (PlaceCode, codes), (Extent, extents), (RecordText, texts)):
        if added:
            await session.execute(insert(table_of(model)), added)
    await appender.flush(session, entries)
    return results


def resolve_place(identifier: UUID, place: PlaceIn, containers: Mapping[str, Container]) -> Record | FieldProblem:
    """Return the record of a place whose references are looked up, or the first that is unknown."""
    for pointer, name in (("/parent", place.parent), ("/successor_of", place.successor_of)):
        if name is not None and name not in containers:
            return FieldProblem(pointer=pointer, detail=UNKNOWN_PLACE)
    parent = _TOP if place.parent is None else containers[place.parent]
    record = place_record(identifier, place, parent.slug, parent.country, parent.timezone)
    return record if place.successor_of is None else record | {"successor_of": containers[place.successor_of].slug}


def code_taken(code: tuple[str, str]) -> str:
    """Return what is wrong with a code that another place has."""
    return f"the code {':'.join(code)} belongs to another place"


def code_rows(identifier: UUID, record: Record) -> list[dict[str, Any]]:
    """Return the rows of the codes of a place."""
    return [each | {"place_id": identifier} for each in record["codes"]]


async def load_containers(connection: AsyncConnection, names: Collection[str | None]) -> dict[str, Container]:
    """Return the places that names refer to, as the parents of others."""
    known = await find_places(connection, {each for each in names if each is not None})
    paths = await ancestors_of(connection, {each.id for each in known.values()})
    return {name: Container(each.slug, each.country, each.timezone, (*paths[each.id] - {each.id}, each.id)) for name, each in known.items()}


async def existing_codes(connection: AsyncConnection, codes: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of some codes that a place has."""
    existing: set[tuple[str, str]] = set()
    for scheme in {scheme for scheme, _ in codes}:
        among = [code for each, code in codes if each == scheme]
        found = select(col(PlaceCode.code)).where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code).in_(among))
        existing |= {(scheme, code) for code in (await connection.execute(found)).scalars()}
    return existing


async def add_source(
    session: AsyncSession, caller: Principal, source: SourceIn, identifier: UUID | None = None, first_recorded_at: datetime | None = None
) -> UUID:
    """Add a source with its first grade; raise 409 for a slug that exists. `first_recorded_at` is when another Lifeline recorded it."""
    appender = await open_appender(session)
    identifier = identifier or _next_id()
    await _require_new(session, Source, source.slug, or_(col(Source.slug) == source.slug, col(Source.alias_slug) == source.slug))
    record = source_record(identifier, source)
    row = {"id": identifier, "created_at": appender.recorded_at, **source_row(record)}
    await session.execute(insert(table_of(Source)), [row])
    await session.execute(insert(table_of(RecordText)), text_rows("source", record))
    grade = {"reliability": source.reliability, "party_to_conflict": record["party_to_conflict"]}
    first = {"source_id": identifier, "global_seq": 0, "effective_from": MIN_EFFECTIVE_FROM, **grade}
    await session.execute(insert(table_of(SourceGrade)), [first])
    await appender.flush(session, [append_version(appender, caller, "source", record, first_recorded_at)])
    return identifier


async def add_route(
    session: AsyncSession, caller: Principal, route: RouteIn, identifier: UUID | None = None, first_recorded_at: datetime | None = None
) -> UUID:
    """Add a route; raise 409 for a slug that exists. `first_recorded_at` is when another Lifeline recorded it."""
    appender = await open_appender(session)
    identifier = identifier or _next_id()
    await _require_new(session, Route, route.slug, col(Route.slug) == route.slug)
    record = route_record(identifier, route)
    await session.execute(insert(table_of(Route)), [{"id": identifier, "created_at": appender.recorded_at, **route_row(record)}])
    await session.execute(insert(table_of(RecordText)), text_rows("route", record))
    if route.geometry is not None:
        await session.execute(insert(table_of(Extent)), extent_rows(identifier, route.geometry, is_route=True))
    await appender.flush(session, [append_version(appender, caller, "route", record, first_recorded_at)])
    return identifier


async def _require_new(session: AsyncSession, model: ReferenceModel, slug: str, taken: Any) -> None:
    if await session.scalar(select(exists().where(taken))):
        raise _exists(model, slug)


def append_version(
    appender: LedgerAppender,
    caller: Principal,
    type_: str,
    record: Record,
    first_recorded_at: datetime | None = None,
    *,
    previous: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> LedgerEntry:
    """Append a new version of a record; `previous` is the entry of the one before, if any."""
    identifier, restricted = UUID(record["id"]), is_restricted(type_, record)
    entry = appender.new_entry(
        type_,
        caller,
        record_id=identifier,
        source_id=identifier if type_ == "source" else None,
        previous_global_seq=previous,
        level=0,
        redacted_below=REVEAL_FROM if restricted else 0,
        detail={RECORD: record, **(detail or {}), **first_recorded_detail(first_recorded_at)},
    )
    aliases = {record["slug"]: alias_slug(identifier)} if restricted and type_ == "source" else None
    appender.append(entry, entry_body(entry, None, record["slug"] if type_ == "source" else None), aliases)
    return entry
