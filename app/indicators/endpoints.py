"""`/v1/indicators`, the typed views of it, and how each reading moved."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.fast_list_route import FastListRoute
from app.access.principal import Principal
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, SUFFIX, ListQuery, Page, format_responses, list_response, negotiate_format
from app.http.openapi import LIST_ERRORS, READ_ERRORS
from app.http.problems import not_found
from app.http.query_params import AsOf, KnownAt, PageCursor
from app.http.responses import json_response, page_response
from app.indicators.history import list_history
from app.indicators.queries import get_indicator, list_indicators
from app.indicators.schemas import ALL_FILTERS, KIND_FILTERS, KIND_PAGES, HistoryPage, IndicatorDetail, IndicatorFilters, IndicatorPage
from app.ledger.queries import resolve_time_point
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import revision_of

router = APIRouter(tags=["Indicators"], route_class=FastListRoute)

INDICATOR_CURSOR = Cursor("indicators", UUID)
HISTORY_CURSOR = Cursor("history", int)

IN_FORMATS = LIST_ERRORS | format_responses(GEOGRAPHIC_FORMATS)

Identifier = Annotated[UUID, Path(description="Identifier of the indicator.", examples=["01900000-0000-702e-b881-6381f574fbf4"])]


async def _page(
    request: Request, caller: Principal, database: Database, settings: Settings, filters: IndicatorFilters, kind: str | None
) -> Response:
    async def fetch(cursor: str | None, limit: int) -> Page:
        after = INDICATOR_CURSOR.decode(cursor)
        wanted = filters if limit == filters.limit else filters.model_copy(update={"limit": limit})
        async with database.read() if filters.as_of is None and filters.known_at is None else database.snapshot() as connection:
            moment = await resolve_time_point(connection, filters.as_of, filters.known_at)
            documents, last, revision = await list_indicators(
                connection, wanted, kind, after=after, level=caller.level, moment=moment, settings=settings
            )
        return documents, INDICATOR_CURSOR.encode(last, revision), revision

    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    listing = ListQuery("indicators", fetch, level=caller.level, private=caller.key_id is not None, kind=kind, as_of=filters.as_of)
    return await list_response(request, listing, format_, cursor=filters.cursor, limit=filters.limit)


@router.get("/indicators" + SUFFIX, include_in_schema=False)
@router.get("/indicators", summary="What is known?", response_model=IndicatorPage, responses=IN_FORMATS)
async def list_all_indicators(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    filters: Annotated[ALL_FILTERS, Query()],  # type: ignore[valid-type]
) -> Response:
    """Every indicator, whatever its kind: the assessed reading of what sources say, with value, range, agreement and provenance."""
    return await _page(request, caller, database, settings, filters, None)


@router.get("/indicators/{id}", summary="What stands behind one figure?", response_model=IndicatorDetail, responses=READ_ERRORS)
async def get_one_indicator(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Identifier,  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """One indicator with every report read and its relation to the reading, and every report left out with the reason.

    Of a history longer than 1,000 reports the last recorded are listed; `links.reports` has them all.
    """
    async with database.snapshot() as connection:
        moment = await resolve_time_point(connection, as_of, known_at)
        found = await get_indicator(connection, id, level=caller.level, moment=moment, settings=settings)
        revision = await revision_of(connection, caller.level)
    if found is None:
        raise not_found("indicator")
    body, modified = found
    return json_response(request, body, private=caller.key_id is not None, modified=modified, revision=revision)


@router.get("/indicators/{id}/history", summary="How did the reading move?", response_model=HistoryPage, responses=READ_ERRORS)
async def get_history(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Identifier,  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: PageCursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Changes looked at a page.")] = 50,
) -> Response:
    """How the reading moved, oldest first: each step names the change that moved it and what moved.

    A change that moved nothing, such as a report that agrees, is no step, so a page may have fewer steps than `limit`.
    """
    after = HISTORY_CURSOR.decode(cursor)
    async with database.snapshot() as connection:
        moment = await resolve_time_point(connection, as_of, known_at)
        found = await list_history(connection, id, after=after, limit=limit, level=caller.level, moment=moment, settings=settings)
    if found is None:
        raise not_found("indicator")
    steps, last, revision = found
    following = HISTORY_CURSOR.encode(last, revision)
    documents = [orjson.dumps(step).decode() for step in steps]
    return page_response(request, documents, next_cursor=following, as_of=as_of, revision=revision, private=caller.key_id is not None)


def _add_typed_view(kind: Kind[Any]) -> None:
    filters_model = KIND_FILTERS[kind.name]

    async def typed_view(
        request: Request,
        caller: CallerDep,
        database: DatabaseDep,
        settings: SettingsDep,
        filters: Annotated[filters_model, Query()],  # type: ignore[valid-type]
    ) -> Response:
        return await _page(request, caller, database, settings, filters, kind.name)

    router.add_api_route(
        f"/{kind.collection}",
        typed_view,
        methods=["GET"],
        operation_id=f"list_{kind.collection.replace('-', '_')}",
        summary=kind.title,
        description=kind.description,
        response_model=KIND_PAGES[kind.name],
        responses=IN_FORMATS,
    )
    router.add_api_route(f"/{kind.collection}{SUFFIX}", typed_view, methods=["GET"], include_in_schema=False)


for _kind in KINDS.values():
    _add_typed_view(_kind)
