"""`/v1/situations`, `/v1/warnings`, `/v1/sources/{slug}/record`, `/v1/ledger/head`: what a duty officer and an auditor open first."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.times import end_of, end_of_today, rfc3339
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, SUFFIX, GeographicFormat, ListQuery, Page, format_responses, list_response, negotiate_format
from app.http.openapi import LIST_ERRORS, READ_ERRORS
from app.http.problems import not_found
from app.http.query_params import AsOf, CountryFilter, KnownAt, Limit, PageCursor, PlaceFilter, Within
from app.http.responses import json_response
from app.ledger.queries import resolve_time_point
from app.reference.models import Place, PlaceAncestor
from app.reference.queries import find_places, find_sources, place_filter, places_in_country
from app.situations.schemas import Situation, SituationPage, TrackRecord, WarningPage
from app.situations.service import get_situation, list_situations
from app.situations.track_record import track_record
from app.situations.warnings import list_warnings
from app.storage.paging import revision_of

router = APIRouter()

SITUATION_CURSOR = Cursor("situations", UUID)
WARNING_CURSOR = Cursor("warnings", tuple[date, UUID])
# What sources and the ledger are held to comes after what they say.
accounts = APIRouter()

IN_FORMATS = LIST_ERRORS | format_responses(GEOGRAPHIC_FORMATS)


def _at(as_of: str | None) -> datetime:
    return end_of(as_of) if as_of else end_of_today()


def _places(column: object, place: str | None, *, within: bool, country: str | None) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if place is not None:
        where.append(place_filter(column, place, within=within))
    if country is not None:
        where.append(col(column).in_(places_in_country(country)))
    return where


@router.get("/situations" + SUFFIX, include_in_schema=False)
@router.get(
    "/situations",
    tags=["Situations"],
    summary="Where is it worst?",
    response_model=SituationPage,
    responses=IN_FORMATS,
)
async def list_all_situations(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Every place that has indicators, each with its people trapped, its soonest run-out and its routes. Nothing is added up."""
    where = _places(Place.id, place, within=within, country=country)
    at = _at(as_of)

    async def fetch(cursor: str | None, limit: int) -> Page:
        after = SITUATION_CURSOR.decode(cursor)
        async with database.snapshot() as connection:
            moment = await resolve_time_point(connection, as_of, known_at)
            items, last, revision = await list_situations(
                connection, where, after=after, limit=limit, level=caller.level, moment=moment, at=at, settings=settings
            )
        return [orjson.dumps(item).decode() for item in items], SITUATION_CURSOR.encode(last, revision), revision

    chosen = negotiate_format(request, GEOGRAPHIC_FORMATS, format)
    listing = ListQuery("situations", fetch, level=caller.level, private=caller.key_id is not None, as_of=as_of)
    return await list_response(request, listing, chosen, cursor=cursor, limit=limit)


@router.get("/situations/{place}", tags=["Situations"], summary="How is it in one place?", response_model=Situation, responses=READ_ERRORS)
async def get_one_situation(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    place: Annotated[str, Path(max_length=100, description="Slug, or `scheme:code`.", examples=["aleppo-east"])],
    within: Annotated[bool, Query(description="Take the place's descendants too; each item names its own place.")] = False,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """People trapped by concept, supplies with days left, routes closed of routes known, and what is contested, as of a time."""
    async with database.snapshot() as connection:
        facts = (await find_places(connection, [place])).get(place)
        if facts is None:
            raise not_found("place")
        moment = await resolve_time_point(connection, as_of, known_at)
        places = await _with_descendants(connection, facts.id) if within else [facts.id]
        found = await get_situation(connection, places, facts, level=caller.level, moment=moment, at=_at(as_of), settings=settings)
        revision = await revision_of(connection, caller.level)
    return json_response(request, orjson.dumps(found), private=caller.key_id is not None, revision=revision)


async def _with_descendants(connection: AsyncConnection, place: UUID) -> list[UUID]:
    below = select(col(PlaceAncestor.place_id)).where(col(PlaceAncestor.ancestor_id) == place).order_by(col(PlaceAncestor.place_id))
    return list((await connection.execute(below)).scalars())


@router.get("/warnings" + SUFFIX, include_in_schema=False)
@router.get(
    "/warnings",
    tags=["Situations"],
    summary="What runs out next?",
    response_model=WarningPage,
    responses=IN_FORMATS,
)
async def list_all_warnings(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    within_days: Annotated[int, Query(ge=0, le=3650, description="Falling due up to so many days from `as_of`.", examples=[14])] = 7,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
    format: GeographicFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Supply run-outs that fall due, soonest first; those past due stay until an outcome is set."""
    on = IndicatorProjection if as_of is None and known_at is None else Indicator
    where = _places(on.place_id, place, within=within, country=country)
    at = _at(as_of)

    async def fetch(cursor: str | None, limit: int) -> Page:
        after = WARNING_CURSOR.decode(cursor)
        async with database.snapshot() as connection:
            moment = await resolve_time_point(connection, as_of, known_at)
            items, last, revision = await list_warnings(
                connection,
                where,
                within_days=within_days,
                after=after,
                limit=limit,
                level=caller.level,
                moment=moment,
                at=at,
                settings=settings,
            )
        return items, WARNING_CURSOR.encode(last, revision), revision

    chosen = negotiate_format(request, GEOGRAPHIC_FORMATS, format)
    listing = ListQuery("warnings", fetch, level=caller.level, private=caller.key_id is not None, as_of=as_of)
    return await list_response(request, listing, chosen, cursor=cursor, limit=limit)


@accounts.get(
    "/sources/{slug}/record",
    tags=["Places, sources, routes"],
    summary="How often was a source right?",
    response_model=TrackRecord,
    responses=READ_ERRORS,
)
async def get_track_record(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["un-envoy-syria"])],
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """Of a source's warnings that fell due, how many materialised, were averted or overtaken, and the days between forecast and fact."""
    at = _at(as_of)
    async with database.snapshot() as connection:
        source = (await find_sources(connection, [slug], caller.level)).get(slug)
        if source is None:
            raise not_found("source")
        moment = await resolve_time_point(connection, as_of, known_at)
        record = await track_record(connection, source.id, level=caller.level, moment=moment, at=at)
        revision = await revision_of(connection, caller.level)
    body = orjson.dumps({"source": slug, "as_of": rfc3339(at), **record})
    return json_response(request, body, private=caller.key_id is not None, revision=revision)
