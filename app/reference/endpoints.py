"""`/v1/places`, `/v1/sources`, `/v1/routes`: the reference data."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.dependencies import CallerDep, Curator, DatabaseDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal
from app.http.content_negotiation import Format
from app.http.cursors import Cursor
from app.http.lists import (
    GEOGRAPHIC_FORMATS,
    SUFFIX,
    TABULAR_FORMATS,
    GeographicFormat,
    ListQuery,
    Page,
    TabularFormat,
    format_responses,
    list_response,
    negotiate_format,
)
from app.http.openapi import CURATE_ERRORS, READ_ERRORS, body_schema, json_request_body
from app.http.problems import not_found
from app.http.query_params import BoundingBox, CountryFilter, Limit, PageCursor, PlaceFilter, Within
from app.http.request_body import validated_body
from app.http.responses import json_response
from app.reference.bodies import load_reference_page, load_reference_record, record_filter
from app.reference.models import Place, Route, Source
from app.reference.queries import place_filter, places_in_box
from app.reference.schemas import (
    Mode,
    PlaceIn,
    PlaceOut,
    PlacePage,
    RouteIn,
    RouteOut,
    RoutePage,
    SourceIn,
    SourceOut,
    SourcePage,
    SourceType,
)
from app.reference.service import add_place, add_route, add_source
from app.storage.paging import current_revision

router = APIRouter()

ALL_FORMATS = READ_ERRORS | format_responses(GEOGRAPHIC_FORMATS)
AS_TABLES = READ_ERRORS | format_responses(TABULAR_FORMATS)

Sent = TypeVar("Sent", bound=BaseModel)

SlugPath = Annotated[str, Path(max_length=64, description="The slug.")]


async def _page(
    request: Request,
    caller: Principal,
    database: DatabaseDep,
    model: type[Place | Source | Route],
    where: Sequence[ColumnElement[bool]],
    cursor: str | None,
    limit: int,
    format_: Format,
) -> Response:
    codec = Cursor(model.__tablename__, UUID)

    async def fetch(cursor: str | None, limit: int) -> Page:
        after = codec.decode(cursor)
        async with database.read() as connection:
            items, last, revision = await load_reference_page(connection, model, where, after=after, limit=limit, level=caller.level)
        return [orjson.dumps(item).decode() for item in items], codec.encode(last, revision), revision

    listing = ListQuery(f"{model.__tablename__}s", fetch, level=caller.level, private=caller.key_id is not None)
    return await list_response(request, listing, format_, cursor=cursor, limit=limit)


async def _one(request: Request, caller: Principal, database: DatabaseDep, model: type[Place | Source | Route], slug: str) -> Response:
    async with database.snapshot() as connection:
        found = await load_reference_record(connection, model, record_filter(model, slug, caller.level), caller.level)
        revision = await current_revision(connection, caller.level)
    if found is None:
        raise not_found(str(model.__tablename__))
    return json_response(request, orjson.dumps(found), private=caller.key_id is not None, revision=revision)


async def _add(
    request: Request,
    caller: Principal,
    sent: Sent,
    model: type[Place | Source | Route],
    add: Callable[[AsyncSession, Sent], Awaitable[UUID]],
) -> Response:
    async def write(session: AsyncSession) -> WriteResult:
        added = await add(session, sent)
        record = await load_reference_record(await session.connection(), model, col(model.id) == added, caller.level)
        assert record is not None
        return WriteResult(201, orjson.dumps(record), record["links"]["self"])

    return await idempotent_write(request, caller, write)


@router.get("/places" + SUFFIX, include_in_schema=False)
@router.get(
    "/places",
    summary="Which places are known?",
    tags=["Places, sources, routes"],
    response_model=PlacePage,
    responses=ALL_FORMATS,
)
async def list_places(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
    bbox: BoundingBox = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Places in order of entry: countries, administrative units, sites and informal areas, with their codes."""
    where: list[ColumnElement[bool]] = []
    if place is not None:
        where.append(place_filter(Place.id, place, within=within))
    if country is not None:
        where.append(col(Place.country) == country)
    if bbox is not None:
        where.append(col(Place.id).in_(places_in_box(bbox)))
    return await _page(request, caller, database, Place, where, cursor, limit, negotiate_format(request, GEOGRAPHIC_FORMATS, format))


@router.get("/places/{slug}", summary="One place", tags=["Places, sources, routes"], response_model=PlaceOut, responses=READ_ERRORS)
async def get_place(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[str, Path(max_length=100, description="The slug, or `scheme:code`.", examples=["aleppo-east"])],
) -> Response:
    """A place by its slug, or by a code together with its scheme (`pcode:SY02`)."""
    return await _one(request, caller, database, Place, slug)


PLACE_EXAMPLE = {"slug": "aleppo-sukkari", "name": "As-Sukkari", "parent": "aleppo-east", "centroid": [37.138, 36.177]}
SOURCE_EXAMPLE = {"slug": "aleppo-local-council", "name": "Aleppo local council", "type": "local_council", "reliability": "C"}
ROUTE_EXAMPLE = {"slug": "bab-al-hawa-crossing", "name": "Bab al-Hawa crossing", "mode": "crossing", "from": "Reyhanli", "to": "Idleb"}


@router.post(
    "/places",
    status_code=201,
    summary="Add a place",
    tags=["Places, sources, routes"],
    response_model=PlaceOut,
    responses=CURATE_ERRORS,
    openapi_extra=json_request_body(body_schema(PlaceIn), {"An area inside eastern Aleppo": PLACE_EXAMPLE}),
)
async def create_place(request: Request, caller: Curator, sent: Annotated[PlaceIn, Depends(validated_body(PlaceIn))]) -> Response:
    """Add a place. Needs the scope `curate`. A slug or code that is taken answers 409."""
    return await _add(request, caller, sent, Place, add_place)


@router.get("/sources" + SUFFIX, include_in_schema=False)
@router.get(
    "/sources",
    summary="Who makes statements?",
    tags=["Places, sources, routes"],
    response_model=SourcePage,
    responses=AS_TABLES,
)
async def list_sources(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    type: Annotated[SourceType | None, Query(description="Only sources of this type.", examples=["un"])] = None,  # noqa: A002 - the field's name on the wire
    cursor: PageCursor = None,
    limit: Limit = 100,
    format: TabularFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Sources in order of entry, each with the reliability grade now in force (Admiralty scale).

    Below the clearance `amber` a protected source shows under its alias, and under a slug that tells nothing of its own.
    """
    where = [] if type is None else [col(Source.type) == type]
    return await _page(request, caller, database, Source, where, cursor, limit, negotiate_format(request, TABULAR_FORMATS, format))


@router.get("/sources/{slug}", summary="One source", tags=["Places, sources, routes"], response_model=SourceOut, responses=READ_ERRORS)
async def get_source(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[SlugPath, Path(examples=["un-envoy-syria"])],
) -> Response:
    """A source by its slug."""
    return await _one(request, caller, database, Source, slug)


@router.post(
    "/sources",
    status_code=201,
    summary="Add a source",
    tags=["Places, sources, routes"],
    response_model=SourceOut,
    responses=CURATE_ERRORS,
    openapi_extra=json_request_body(body_schema(SourceIn), {"A local council": SOURCE_EXAMPLE}),
)
async def create_source(request: Request, caller: Curator, sent: Annotated[SourceIn, Depends(validated_body(SourceIn))]) -> Response:
    """Add a source. Needs the scope `curate`. A slug that is taken answers 409."""
    return await _add(request, caller, sent, Source, add_source)


@router.get("/routes" + SUFFIX, include_in_schema=False)
@router.get(
    "/routes",
    summary="Which routes are known?",
    tags=["Places, sources, routes"],
    response_model=RoutePage,
    responses=ALL_FORMATS,
)
async def list_routes(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    mode: Annotated[Mode | None, Query(description="Only routes of this mode.", examples=["road"])] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Routes in order of entry. Below the clearance `amber` their geometry is rounded to 0.1 degree."""
    where = [] if mode is None else [col(Route.mode) == mode]
    return await _page(request, caller, database, Route, where, cursor, limit, negotiate_format(request, GEOGRAPHIC_FORMATS, format))


@router.get("/routes/{slug}", summary="One route", tags=["Places, sources, routes"], response_model=RouteOut, responses=READ_ERRORS)
async def get_route(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[SlugPath, Path(examples=["castello-road"])],
) -> Response:
    """A route by its slug. Whether it is open is told by `/v1/route-closures`."""
    return await _one(request, caller, database, Route, slug)


@router.post(
    "/routes",
    status_code=201,
    summary="Add a route",
    tags=["Places, sources, routes"],
    response_model=RouteOut,
    responses=CURATE_ERRORS,
    openapi_extra=json_request_body(body_schema(RouteIn), {"A border crossing": ROUTE_EXAMPLE}),
)
async def create_route(request: Request, caller: Curator, sent: Annotated[RouteIn, Depends(validated_body(RouteIn))]) -> Response:
    """Add a route. Needs the scope `curate`. A slug that is taken answers 409."""
    return await _add(request, caller, sent, Route, add_route)
