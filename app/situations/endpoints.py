"""`/v1/situations`, `/v1/warnings` and `/v1/sources/{slug}/record`."""

from datetime import date
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.fast_list_route import FastListRoute
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.time_point import TimePoint
from app.domain.times import rfc3339
from app.domain.view import View
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, LIST_RESPONSES, SUFFIX, ListQuery, Page, PastListFilters, list_response, negotiate_format
from app.http.openapi import READ_ERRORS
from app.http.problems import not_found
from app.http.query_params import AsOf, KnownAt
from app.http.responses import json_response
from app.ledger.queries import resolve_time_point
from app.reference.models import Place
from app.reference.names import Lang, localise
from app.reference.past_places import find_places_then, place_conditions_at, place_tree, placed
from app.reference.queries import find_sources
from app.reference.suggestions import require_known_filters
from app.situations.kept import find_situation, keep_situation, situation_stamp
from app.situations.schemas import Situation, SituationPage, TrackRecord, WarningPage
from app.situations.service import load_situation, load_situations
from app.situations.track_record import load_track_record
from app.situations.warnings import load_warnings
from app.storage.paging import current_revision

router = APIRouter(tags=["Situations"], route_class=FastListRoute)

SITUATION_CURSOR = Cursor("situations", tuple[int, date, int, UUID])
WARNING_CURSOR = Cursor("warnings", tuple[date, UUID])
# A router of its own, because its tag comes later in the OpenAPI document.
track_records = APIRouter(tags=["Places, sources, routes"])


class SituationFilters(PastListFilters):
    """Filters of the list of situations."""

    lang: Lang = None


class PlaceFilters(BaseModel):
    """Choices of what the situation of a place includes, and as of when."""

    within: Annotated[bool, Field(description="Include the descendants of the place; each item names its own place.")] = False
    as_of: AsOf = None
    known_at: KnownAt = None
    lang: Lang = None


class WarningFilters(SituationFilters):
    """Filters of the list of warnings."""

    # An example of a day on which some of the demo's are due.
    as_of: Annotated[AsOf, Field(examples=["2016-08-20"])] = None
    within_days: Annotated[int, Field(ge=0, le=3650, description="Maximum days from `as_of` to the due date.", examples=[14])] = 7
    unresolved: Annotated[
        bool,
        Field(description="Instead, list the warnings without an outcome that are past due, or without a date, for more than 30 days."),
    ] = False


@router.get("/situations" + SUFFIX, include_in_schema=False)
@router.get("/situations", summary="List situations", response_model=SituationPage, responses=LIST_RESPONSES)
async def list_situations(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    filters: Annotated[SituationFilters, Query()],
) -> Response:
    """List the situation of each place that has indicators, the most urgent first: level, people, supplies, routes, what is contested.

    Dormant places come last; then level, silence, the soonest due date and the people held decide.

    Figures are never added up, because concepts and places overlap.
    """

    async def fetch(cursor: str | None, limit: int) -> Page:
        after = SITUATION_CURSOR.decode(cursor)
        async with database.snapshot() as connection:
            view = View(caller.level, await resolve_time_point(connection, filters.as_of, filters.known_at), settings.horizons)
            where = await place_conditions_at(connection, Place.id, **placed(filters), time_point=view.time_point)
            found, last, revision = await load_situations(connection, where, view, after=after, limit=limit)
            if not found:
                await require_known_filters(connection, filters, caller.level, view.time_point)
            items = await localise(connection, found, filters.lang, view.time_point)
        return items, SITUATION_CURSOR.encode(last, revision), revision

    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    listing = ListQuery("situations", fetch, level=caller.level, as_of=filters.as_of, known_at=filters.known_at, hxl=filters.hxl)
    return await list_response(request, listing, format_, cursor=filters.cursor, limit=filters.limit)


@router.get("/situations/{place}", summary="Get the situation of a place", response_model=Situation, responses=READ_ERRORS)
async def get_situation(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    place: Annotated[str, Path(max_length=100, description="Slug of a place, or `scheme:code`.", examples=["aleppo-east"])],
    filters: Annotated[PlaceFilters, Query()],
) -> Response:
    """Get the situation of one place: people by concept, supplies with days left, routes, what is contested, and what to check.

    `checks` flag figures that are not plausible together, from what the caller sees; they change none.
    """
    async with database.read() as connection:
        view = View(caller.level, await resolve_time_point(connection, filters.as_of, filters.known_at), settings.horizons)
        stamp = await situation_stamp(connection, place, view, filters.lang)
        if stamp is not None and (kept := find_situation(connection, stamp)) is not None:
            return json_response(request, kept, revision=stamp.revision)
    async with database.snapshot() as connection:
        found = (await find_places_then(connection, [place], view.time_point)).get(place)
        if found is None:
            raise not_found("place")
        stamp = await situation_stamp(connection, place, view, filters.lang)
        ids = await _with_descendants(connection, found.id, view.time_point) if filters.within else [found.id]
        situation = orjson.dumps(await load_situation(connection, ids, found, view, filters.lang)).decode()
        (body,) = await localise(connection, [situation], filters.lang, view.time_point)
        revision = await current_revision(connection, caller.level)
        if stamp is not None:
            keep_situation(connection, stamp, body.encode())
    return json_response(request, body.encode(), revision=revision)


async def _with_descendants(connection: AsyncConnection, place: UUID, time_point: TimePoint) -> list[UUID]:
    tree = await place_tree(connection, time_point)
    return sorted(set((await connection.execute(tree.below(place))).scalars()))


@router.get("/warnings" + SUFFIX, include_in_schema=False)
@router.get("/warnings", summary="List warnings", response_model=WarningPage, responses=LIST_RESPONSES)
async def list_warnings(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    filters: Annotated[WarningFilters, Query()],
) -> Response:
    """List open warnings, such as supply run-outs, by due date; warnings of hours or days without a date come first.

    Those past due, and those without a date from their statement on, are listed for 30 days, then with `unresolved=true`, until their
    outcome is recorded.
    """
    table = IndicatorProjection if filters.known_at is None else Indicator

    async def fetch(cursor: str | None, limit: int) -> Page:
        after = WARNING_CURSOR.decode(cursor)
        async with database.snapshot() as connection:
            view = View(caller.level, await resolve_time_point(connection, filters.as_of, filters.known_at), settings.horizons)
            where = await place_conditions_at(connection, table.place_id, **placed(filters), time_point=view.time_point)
            items, last, revision = await load_warnings(
                connection, where, view, within_days=filters.within_days, unresolved=filters.unresolved, after=after, limit=limit
            )
            if not items:
                await require_known_filters(connection, filters, caller.level, view.time_point)
            items = await localise(connection, items, filters.lang, view.time_point)
        return items, WARNING_CURSOR.encode(last, revision), revision

    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    listing = ListQuery("warnings", fetch, level=caller.level, as_of=filters.as_of, known_at=filters.known_at, hxl=filters.hxl)
    return await list_response(request, listing, format_, cursor=filters.cursor, limit=filters.limit)


@track_records.get("/sources/{slug}/record", summary="Get the track record of a source", response_model=TrackRecord, responses=READ_ERRORS)
async def get_source_record(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["un-envoy-syria"])],
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """Get the outcomes of a source's warnings that fell due, and the days between forecast and event of those that came true."""
    async with database.snapshot() as connection:
        source = (await find_sources(connection, [slug], caller.level)).get(slug)
        if source is None:
            raise not_found("source")
        view = View(caller.level, await resolve_time_point(connection, as_of, known_at), settings.horizons)
        record = await load_track_record(connection, source.id, view)
        revision = await current_revision(connection, caller.level)
    body = orjson.dumps({"source": slug, "as_of": rfc3339(view.at), **record})
    return json_response(request, body, revision=revision)
