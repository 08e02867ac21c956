"""`/v1/places`, `/v1/sources` and `/v1/routes`: the reference data."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel
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
from app.http.openapi import CURATE_ERRORS, READ_ERRORS, create_operation
from app.http.problems import not_found
from app.http.query_params import BoundingBox, CountryFilter, Hashtags, KnownAt, Limit, PageCursor, PlaceFilter, SearchWords, Within
from app.http.request_body import validated_body
from app.http.responses import json_response
from app.ledger.queries import resolve_time_point
from app.reference import schemas
from app.reference.bodies import Filter, load_reference_page, load_reference_record, record_filter
from app.reference.bounding_box import parse_bbox
from app.reference.models import Place, ReferenceModel, Route, Source
from app.reference.names import Lang, in_language
from app.reference.past_places import place_conditions_at
from app.reference.queries import places_in_box
from app.reference.rows import is_within
from app.reference.schemas import PlaceIn, PlaceOut, PlacePage, RouteIn, RouteOut, RoutePage, SourceIn, SourceOut, SourcePage
from app.reference.search import name_filter
from app.reference.service import add_place, add_route, add_source
from app.reference.suggestions import body_in_place, require_known_filters
from app.storage.paging import current_revision

router = APIRouter(tags=["Places, sources, routes"])

GEOGRAPHIC_RESPONSES = READ_ERRORS | format_responses(GEOGRAPHIC_FORMATS)
TABULAR_RESPONSES = READ_ERRORS | format_responses(TABULAR_FORMATS)

Body = TypeVar("Body", bound=BaseModel)


class PageRequest:
    """The page of a list that a request asks for."""

    def __init__(
        self,
        request: Request,
        caller: CallerDep,
        database: DatabaseDep,
        cursor: PageCursor = None,
        limit: Limit = 100,
        known_at: KnownAt = None,
        lang: Lang = None,
        hxl: Hashtags = True,
        q: SearchWords = None,
    ) -> None:
        self._request, self._caller, self._database, self._cursor, self._limit = request, caller, database, cursor, limit
        self._known_at, self._lang, self._hxl, self._words = known_at, lang, hxl, q

    async def response(
        self,
        model: ReferenceModel,
        filters: Sequence[Filter],
        offered: Sequence[Format],
        format_: str | None,
        place: str | None = None,
        *,
        within: bool = False,
    ) -> Response:
        """Return the records that fit, in the negotiated format."""
        level, name = self._caller.level, str(model.__tablename__)
        codec = Cursor(name, UUID)
        if self._words is not None:
            filters = [*filters, name_filter(model, self._words, level)]

        async def fetch(cursor: str | None, limit: int) -> Page:
            async with self._database.read() as connection:
                time_point = await resolve_time_point(connection, None, self._known_at)
                where = await place_conditions_at(connection, Place.id, place, within=within, country=None, time_point=time_point)
                bodies, last, revision = await load_reference_page(
                    *(connection, model, where),
                    after=codec.decode(cursor),
                    limit=limit,
                    level=level,
                    time_point=time_point,
                    filters=filters,
                )
                if not bodies:
                    await require_known_filters(connection, self._request.query_params, level, time_point)
            return [_in_language(body, self._lang).decode() for body in bodies], codec.encode(last, revision), revision

        query = ListQuery(f"{name}s", fetch, level=level, hxl=self._hxl)
        chosen = negotiate_format(self._request, offered, format_)
        return await list_response(self._request, query, chosen, cursor=self._cursor, limit=self._limit)


PageDep = Annotated[PageRequest, Depends()]


async def _get(
    request: Request,
    caller: Principal,
    database: DatabaseDep,
    model: ReferenceModel,
    slug: str,
    known_at: str | None,
    lang: str | None,
) -> Response:
    async with database.snapshot() as connection:
        time_point = await resolve_time_point(connection, None, known_at)
        where = record_filter(model, slug, caller.level)
        if model is Place:
            (where,) = await place_conditions_at(connection, Place.id, slug, within=False, country=None, time_point=time_point)
        body = await load_reference_record(connection, model, where, caller.level, time_point)
        revision = await current_revision(connection, caller.level)
    if body is None:
        raise not_found(str(model.__tablename__))
    return json_response(request, _in_language(body, lang), revision=revision)


def _in_language(body: dict[str, Any], lang: str | None) -> bytes:
    return orjson.dumps(body | {"name": in_language(body["name"], body["names"], lang)})


async def _create(
    request: Request, caller: Principal, body: Body, model: ReferenceModel, add: Callable[[AsyncSession, Principal, Body], Awaitable[UUID]]
) -> Response:
    async def write(session: AsyncSession) -> WriteResult:
        identifier = await add(session, caller, body)
        record = await load_reference_record(await session.connection(), model, col(model.id) == identifier, caller.level)
        assert record is not None
        return WriteResult(201, orjson.dumps(record), record["links"]["self"])

    return await idempotent_write(request, caller, write)


@router.get("/places" + SUFFIX, include_in_schema=False)
@router.get("/places", summary="List places", response_model=PlacePage, responses=GEOGRAPHIC_RESPONSES)
async def list_places(
    page: PageDep,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
    bbox: BoundingBox = None,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """List places in the order in which they were created: countries, administrative units, sites and informal areas, with their codes."""
    filters = [] if country is None else [Filter(col(Place.country) == country, lambda record: record["country"] == country)]
    if bbox is not None:
        box = parse_bbox(bbox)
        filters.append(Filter(col(Place.id).in_(places_in_box(box)), lambda record: is_within(record, box)))
    return await page.response(Place, filters, GEOGRAPHIC_FORMATS, format, place, within=within)


@router.get("/places/{slug}", summary="Get a place", response_model=PlaceOut, responses=READ_ERRORS)
async def get_place(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[str, Path(max_length=100, description="Slug of the place, or `scheme:code`.", examples=["aleppo-east"])],
    known_at: KnownAt = None,
    lang: Lang = None,
) -> Response:
    """Return a place by its slug, or by a code together with its scheme (`pcode:SY02`)."""
    return await _get(request, caller, database, Place, slug, known_at, lang)


@router.post("/places", summary="Create a place", response_model=PlaceOut, **create_operation(PlaceIn, responses=CURATE_ERRORS))
async def create_place(
    request: Request, caller: Curator, body: Annotated[PlaceIn, Depends(body_in_place(PlaceIn, "parent", "successor_of"))]
) -> Response:
    """Create a place. Needs the scope `curate`. A slug or code that exists gets 409."""
    return await _create(request, caller, body, Place, add_place)


@router.get("/sources" + SUFFIX, include_in_schema=False)
@router.get("/sources", summary="List sources", response_model=SourcePage, responses=TABULAR_RESPONSES)
async def list_sources(
    page: PageDep,
    type: Annotated[schemas.SourceType | None, Query(description="Only sources of this type.", examples=["un"])] = None,  # noqa: A002 - the field's name on the wire
    format: TabularFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """List sources in the order in which they were created, each with its current reliability (Admiralty scale).

    Below the clearance `amber` a protected source has its alias as name, and a slug that does not reveal the real one.
    """
    filters = [] if type is None else [Filter(col(Source.type) == type, lambda record: record["type"] == type)]
    return await page.response(Source, filters, TABULAR_FORMATS, format)


@router.get("/sources/{slug}", summary="Get a source", response_model=SourceOut, responses=READ_ERRORS)
async def get_source(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["un-envoy-syria"])],
    known_at: KnownAt = None,
    lang: Lang = None,
) -> Response:
    """Return a source by the slug that the caller's clearance sees."""
    return await _get(request, caller, database, Source, slug, known_at, lang)


@router.post("/sources", summary="Create a source", response_model=SourceOut, **create_operation(SourceIn, responses=CURATE_ERRORS))
async def create_source(request: Request, caller: Curator, body: Annotated[SourceIn, Depends(validated_body(SourceIn))]) -> Response:
    """Create a source. Needs the scope `curate`. A slug that exists gets 409."""
    return await _create(request, caller, body, Source, add_source)


@router.get("/routes" + SUFFIX, include_in_schema=False)
@router.get("/routes", summary="List routes", response_model=RoutePage, responses=GEOGRAPHIC_RESPONSES)
async def list_routes(
    page: PageDep,
    mode: Annotated[schemas.RouteMode | None, Query(description="Only routes of this mode.", examples=["road"])] = None,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """List routes in the order in which they were created. Below the clearance `amber` their geometry is rounded to 0.1 degree."""
    filters = [] if mode is None else [Filter(col(Route.mode) == mode, lambda record: record["mode"] == mode)]
    return await page.response(Route, filters, GEOGRAPHIC_FORMATS, format)


@router.get("/routes/{slug}", summary="Get a route", response_model=RouteOut, responses=READ_ERRORS)
async def get_route(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[str, Path(max_length=64, description="Slug of the route.", examples=["castello-road"])],
    known_at: KnownAt = None,
    lang: Lang = None,
) -> Response:
    """Return a route by its slug. `/v1/route-closures` says whether it is open."""
    return await _get(request, caller, database, Route, slug, known_at, lang)


@router.post("/routes", summary="Create a route", response_model=RouteOut, **create_operation(RouteIn, responses=CURATE_ERRORS))
async def create_route(request: Request, caller: Curator, body: Annotated[RouteIn, Depends(validated_body(RouteIn))]) -> Response:
    """Create a route. Needs the scope `curate`. A slug that exists gets 409."""
    return await _create(request, caller, body, Route, add_route)
