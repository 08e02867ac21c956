"""`/v1/indicators`, a list for each kind, and the history of an indicator."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.fast_list_route import FastListRoute
from app.access.principal import Principal
from app.assessment.policy import Policy
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.view import View
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, LIST_RESPONSES, SUFFIX, ListQuery, Page, list_response, negotiate_format
from app.http.openapi import READ_ERRORS
from app.http.problems import invalid_field, not_found
from app.http.query_params import AsOf, KnownAt, PageCursor
from app.http.responses import json_response, page_response
from app.indicators.history import load_history
from app.indicators.queries import load_indicator, load_indicator_page
from app.indicators.schemas import (
    ALL_FILTERS,
    KIND_FILTERS,
    KIND_PAGES,
    HistoryPage,
    IndicatorDetail,
    IndicatorFilters,
    IndicatorPage,
    PolicyBasis,
)
from app.ledger.queries import resolve_time_point
from app.reference.names import Lang, localise
from app.reference.queries import find_sources
from app.reference.schemas import Grade, Slug
from app.reference.suggestions import describe_unknown, require_known_filters
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import current_revision

router = APIRouter(tags=["Indicators"], route_class=FastListRoute)

INDICATOR_CURSOR = Cursor("indicators", UUID)
HISTORY_CURSOR = Cursor("history", int)

Identifier = Annotated[UUID, Path(description="Identifier of the indicator.", examples=["01900000-0000-702e-b881-6381f574fbf4"])]


async def _list_response(
    request: Request, caller: Principal, database: Database, settings: Settings, filters: IndicatorFilters, kind: str | None
) -> Response:
    async def fetch(cursor: str | None, limit: int) -> Page:
        after = INDICATOR_CURSOR.decode(cursor)
        wanted = filters if limit == filters.limit else filters.model_copy(update={"limit": limit})
        async with database.read() if filters.known_at is None else database.snapshot() as connection:
            view = View(caller.level, await resolve_time_point(connection, filters.as_of, filters.known_at), settings.horizons)
            documents, last, revision = await load_indicator_page(connection, wanted, kind, view, after=after)
            if not documents:
                await require_known_filters(connection, filters, caller.level, view.time_point)
            documents = await localise(connection, documents, filters.lang, view.time_point)
        return documents, INDICATOR_CURSOR.encode(last, revision), revision

    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    listing = ListQuery("indicators", fetch, level=caller.level, kind=kind, as_of=filters.as_of, known_at=filters.known_at, hxl=filters.hxl)
    return await list_response(request, listing, format_, cursor=filters.cursor, limit=filters.limit)


@router.get("/indicators" + SUFFIX, include_in_schema=False)
@router.get("/indicators", summary="List indicators", response_model=IndicatorPage, responses=LIST_RESPONSES)
async def list_indicators(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    filters: Annotated[ALL_FILTERS, Query()],  # type: ignore[valid-type]
) -> Response:
    """List indicators of all kinds: the assessed value with its range, agreement and provenance, in order of identifier."""
    return await _list_response(request, caller, database, settings, filters, None)


@router.get("/indicators/{id}", summary="Get an indicator with its reports", response_model=IndicatorDetail, responses=READ_ERRORS)
async def get_indicator(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Identifier,  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
    basis: Annotated[PolicyBasis | None, Query(description="`no_parties`: leave out reports of parties to the conflict.")] = None,
    min_reliability: Annotated[Grade | None, Query(description="Leave out reports of sources with a worse grade; F ranks below C.")] = None,
    without: Annotated[Slug | None, Query(description="Leave out reports of this source, and those that rely on it as origin.")] = None,
    lang: Lang = None,
) -> Response:
    """Get one indicator with its standing reports and their relation to the preferred one, and the reports left out with the reason.

    With `basis`, `min_reliability` or `without`, its reports are assessed again without those left out, and `assessment.policy` says so.
    At most 1,000 reports are listed, the last recorded, besides those that stand; `links.reports` lists all.
    """
    async with database.snapshot() as connection:
        view = View(caller.level, await resolve_time_point(connection, as_of, known_at), settings.horizons)
        policy = Policy(basis is not None, min_reliability)
        if without is not None:
            source = (await find_sources(connection, [without], caller.level, caller.organisation)).get(without)
            if source is None:
                details = await describe_unknown(connection, "source", [without], caller.level)
                raise invalid_field("?without", details[without])
            policy = replace(policy, without=source.id, without_slug=without)
        found = await load_indicator(connection, id, view, policy)
        if found is None:
            raise not_found("indicator")
        (body,) = await localise(connection, [found[0]], lang, view.time_point)
        revision = await current_revision(connection, caller.level)
    return json_response(request, body.encode(), modified=found[1], revision=revision)


@router.get("/indicators/{id}/history", summary="List changes of an indicator", response_model=HistoryPage, responses=READ_ERRORS)
async def get_indicator_history(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Identifier,  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
    cursor: PageCursor = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Ledger entries to examine for one page.")] = 50,
) -> Response:
    """List how the assessment of an indicator changed, oldest first: each step names the ledger entry and what it changed.

    Entries that changed nothing, such as a report that agrees, are no steps, so that a page may have fewer steps than `limit`.
    """
    after = HISTORY_CURSOR.decode(cursor)
    async with database.snapshot() as connection:
        view = View(caller.level, await resolve_time_point(connection, as_of, known_at), settings.horizons)
        found = await load_history(connection, id, view, after=after, limit=limit)
    if found is None:
        raise not_found("indicator")
    steps, last, revision = found
    documents = [orjson.dumps(step).decode() for step in steps]
    next_cursor = HISTORY_CURSOR.encode(last, revision)
    return page_response(request, documents, next_cursor=next_cursor, as_of=as_of, revision=revision)


def _add_list_of(kind: Kind[Any]) -> None:
    filters_model = KIND_FILTERS[kind.name]

    async def list_kind(
        request: Request,
        caller: CallerDep,
        database: DatabaseDep,
        settings: SettingsDep,
        filters: Annotated[filters_model, Query()],  # type: ignore[valid-type]
    ) -> Response:
        return await _list_response(request, caller, database, settings, filters, kind.name)

    router.add_api_route(
        f"/{kind.collection}",
        list_kind,
        methods=["GET"],
        operation_id=f"list_{kind.collection.replace('-', '_')}",
        summary=f"List {kind.title[0].lower()}{kind.title[1:]}",
        description=kind.description,
        response_model=KIND_PAGES[kind.name],
        responses=LIST_RESPONSES,
    )
    router.add_api_route(f"/{kind.collection}{SUFFIX}", list_kind, methods=["GET"], include_in_schema=False)


for _kind in KINDS.values():
    _add_list_of(_kind)
