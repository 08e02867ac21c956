"""Changes of places, sources and routes, and with them of the indicators that show them."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Path, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.dependencies import Curator, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal
from app.assessment.stale import assess_stale
from app.http.openapi import AMEND_ERRORS, patch_operation, problem_responses
from app.http.problems import Problem, not_found
from app.http.representations import matches_etag
from app.http.request_body import json_body
from app.reference.bodies import load_reference_record, record_filter
from app.reference.models import Place, ReferenceModel, Route, Source
from app.reference.schemas import PlaceOut, PlacePatch, RouteOut, RoutePatch, SourceOut, SourcePatch
from app.reference.updates import change_record
from app.settings import Settings

router = APIRouter(tags=["Places, sources, routes"], responses=AMEND_ERRORS | problem_responses(412))

Patch = Annotated[Any, Depends(json_body)]
IfMatch = Annotated[
    str | None, Header(max_length=1000, description="`ETag` of the record as you read it; if it has changed since, the patch gets 412.")
]


async def _patch(
    request: Request, caller: Principal, settings: Settings, model: ReferenceModel, slug: str, patch: Any, etag: str | None
) -> Response:
    async def write(session: AsyncSession) -> WriteResult:
        connection, where = await session.connection(), record_filter(model, slug, caller.level)
        identifier: UUID | None = await session.scalar(select(col(model.id)).where(where))
        if identifier is None:
            raise not_found(str(model.__tablename__))
        record = await load_reference_record(connection, model, where, caller.level)
        if etag is not None and not matches_etag(etag, orjson.dumps(record)):
            detail = "The record has changed since you read it: read it again, and send the patch with its new ETag."
            raise Problem(412, detail, kind="changed")
        if await change_record(session, caller, model, identifier, patch):
            await assess_stale(session, settings.horizons, identifier)
            record = await load_reference_record(connection, model, col(model.id) == identifier, caller.level)
        return WriteResult(200, orjson.dumps(record))

    return await idempotent_write(request, caller, write)


@router.patch("/places/{slug}", summary="Change a place", response_model=PlaceOut, openapi_extra=patch_operation(PlacePatch))
async def change_place(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    patch: Patch,
    slug: Annotated[str, Path(max_length=100, description="Slug of the place, or `scheme:code`.", examples=["aleppo-east"])],
    if_match: IfMatch = None,
) -> Response:
    """Change a place by a JSON Merge Patch (RFC 7396): null removes a field. Needs the scope `curate`.

    Readers of the past still see it as it was, with `known_at`. Its indicators follow at once, beyond the first 20 within seconds. `slug`
    never changes; the code of another place gets 409. With another `parent`, a country or time zone that was the old parent's becomes the
    new one's unless the patch has it; the places inside keep theirs.
    """
    return await _patch(request, caller, settings, Place, slug, patch, if_match)


@router.patch("/sources/{slug}", summary="Change a source", response_model=SourceOut, openapi_extra=patch_operation(SourcePatch))
async def change_source(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    patch: Patch,
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["un-envoy-syria"])],
    if_match: IfMatch = None,
) -> Response:
    """Change a source by a JSON Merge Patch (RFC 7396): null removes a field. Needs the scope `curate`.

    `party_to_conflict` counts from now on, as grades do: `as_of` before keeps what was in force. `slug` never changes, `reliability`
    changes by `POST /v1/sources/{slug}/grades`, and a protected source stays protected.
    """
    return await _patch(request, caller, settings, Source, slug, patch, if_match)


@router.patch("/routes/{slug}", summary="Change a route", response_model=RouteOut, openapi_extra=patch_operation(RoutePatch))
async def change_route(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    patch: Patch,
    slug: Annotated[str, Path(max_length=64, description="Slug of the route.", examples=["castello-road"])],
    if_match: IfMatch = None,
) -> Response:
    """Change a route by a JSON Merge Patch (RFC 7396): null removes a field. Needs the scope `curate`. `slug` never changes."""
    return await _patch(request, caller, settings, Route, slug, patch, if_match)
