"""`/v1/indicators` and the typed views of it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from app.access.dependencies import Caller, CallerDep, DatabaseDep, SettingsDep
from app.answers import answer, decode_cursor, encode_cursor, page
from app.db import Database
from app.documentation import LIST_ERRORS, READ_ERRORS
from app.errors import not_found
from app.indicators.queries import get_indicator, list_indicators
from app.indicators.schemas import ALL_FILTERS, KIND_FILTERS, KIND_PAGES, IndicatorDetail, IndicatorFilters, IndicatorPage
from app.kinds import KINDS
from app.kinds.base import Kind

router = APIRouter(tags=["Indicators"])


async def _page(request: Request, caller: Caller, database: Database, filters: IndicatorFilters, kind: str | None) -> Response:
    after = decode_cursor(filters.cursor) if filters.cursor else None
    async with database.read() as connection:
        documents, last, revision = await list_indicators(connection, filters, kind, after=after, level=caller.level)
    body, headers = page(request, documents, next_cursor=encode_cursor(last) if last else None, as_of=None, revision=revision)
    return answer(request, body, private=caller.key_id is not None, headers=headers)


@router.get("/indicators", summary="What is known?", response_model=IndicatorPage, responses=LIST_ERRORS)
async def list_all_indicators(
    request: Request, caller: CallerDep, database: DatabaseDep, filters: Annotated[ALL_FILTERS, Query()]  # type: ignore[valid-type]
) -> Response:
    """Every indicator, whatever its kind: the assessed reading of what sources say, with value, range, agreement and provenance."""
    return await _page(request, caller, database, filters, None)


@router.get("/indicators/{id}", summary="What stands behind one figure?", response_model=IndicatorDetail, responses=READ_ERRORS)
async def get_one_indicator(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Annotated[UUID, Path(description="Identifier of the indicator.")],  # noqa: A002 - the field's name on the wire
) -> Response:
    """One indicator with every report read and its relation to the reading, and every report left out with the reason."""
    async with database.read() as connection:
        body = await get_indicator(connection, id, level=caller.level, settings=settings)
    if body is None:
        raise not_found("indicator")
    return answer(request, body, private=caller.key_id is not None)


def _add_typed_view(kind: Kind[Any]) -> None:
    filters_model = KIND_FILTERS[kind.name]

    async def typed_view(
        request: Request, caller: CallerDep, database: DatabaseDep, filters: Annotated[filters_model, Query()]  # type: ignore[valid-type]
    ) -> Response:
        return await _page(request, caller, database, filters, kind.name)

    router.add_api_route(
        f"/{kind.collection}",
        typed_view,
        methods=["GET"],
        operation_id=f"list_{kind.collection.replace('-', '_')}",
        summary=kind.title,
        description=kind.description,
        response_model=KIND_PAGES[kind.name],
        responses=LIST_ERRORS,
    )


for _kind in KINDS.values():
    _add_typed_view(_kind)
