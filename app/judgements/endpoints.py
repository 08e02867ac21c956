"""Judgements on indicators: record, correct, retract and read them."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import CallerDep, Curator, DatabaseDep, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal
from app.domain.tlp import MAX_LEVEL
from app.domain.view import View
from app.http.cursors import Cursor
from app.http.openapi import AMEND_ERRORS, READ_ERRORS, create_operation
from app.http.query_params import KnownAt, Limit, PageCursor
from app.http.request_body import json_body, validated_body
from app.http.responses import json_response, page_response
from app.judgements.queries import judgement_body, load_judged, require_judgement, visible_judgements
from app.judgements.schemas import JudgementCorrectionIn, JudgementIn, JudgementOut, JudgementPage, JudgementRetractionIn
from app.judgements.service import correct_judgement, record_judgement, retract_judgement
from app.ledger.queries import resolve_time_point
from app.settings import Settings
from app.storage.paging import current_revision

router = APIRouter(tags=["Judgements"])

_operation = partial(create_operation, responses=AMEND_ERRORS)
JUDGEMENT_CURSOR = Cursor("judgements", UUID)

Identifier = Annotated[UUID, Path(description="Identifier of the judgement.", examples=["01900000-0000-7000-8010-000000000001"])]
IndicatorId = Annotated[UUID, Path(description="Identifier of the indicator.", examples=["01900000-0000-702e-b881-6381f574fbf4"])]
Body = Annotated[Any, Depends(json_body)]


async def _result(session: AsyncSession, caller: Principal, identifier: UUID, settings: Settings) -> WriteResult:
    # As of the highest clearance that it may have, because a label above the sender's own hides it from the sender.
    connection = await session.connection()
    inputs, judgement = await require_judgement(connection, identifier, View(MAX_LEVEL, horizons=settings.horizons))
    body = judgement_body(inputs, judgement, max(caller.level, judgement.shown_from))
    return WriteResult(201, orjson.dumps(body), body["links"]["self"])


@router.post("/indicators/{id}/judgements", summary="Record a judgement", response_model=JudgementOut, **_operation(JudgementIn))
async def create_judgement(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Body,
    id: IndicatorId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Record an analyst's own conclusion on an indicator. Needs the scope `curate`.

    It is shown beside the assessment, which it never changes, and supersedes the judgement before it. It lapses once a sound report that
    was stated later contradicts it. At the confidence `moderate` or `high`, the level of urgency is computed from it, unless it is
    `unlikely` or less.
    """

    async def write(session: AsyncSession) -> WriteResult:
        return await _result(session, caller, await record_judgement(session, caller, id, body, settings), settings)

    return await idempotent_write(request, caller, write)


@router.post("/judgements/{id}/correction", summary="Correct a judgement", response_model=JudgementOut, **_operation(JudgementCorrectionIn))
async def create_judgement_correction(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Body,
    id: Identifier,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Record a complete judgement in the place of another, with the reason. The original stays readable, with the status `superseded`.

    It gets at least the label of the original. A superseded or retracted judgement gets 409. Needs the scope `curate`.
    """

    async def write(session: AsyncSession) -> WriteResult:
        return await _result(session, caller, await correct_judgement(session, caller, id, body, settings), settings)

    return await idempotent_write(request, caller, write)


@router.post("/judgements/{id}/retraction", summary="Retract a judgement", response_model=JudgementOut, **_operation(JudgementRetractionIn))
async def create_judgement_retraction(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Annotated[JudgementRetractionIn, Depends(validated_body(JudgementRetractionIn))],
    id: Annotated[UUID, Path(description="Identifier of the judgement.", examples=["01900000-0000-7000-8010-000000000002"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Withdraw a judgement. It stays readable, with the status `retracted`; the one before it does not stand again.

    A superseded or retracted judgement gets 409. Needs the scope `curate`.
    """

    async def write(session: AsyncSession) -> WriteResult:
        await retract_judgement(session, caller, id, body.reason, settings)
        return await _result(session, caller, id, settings)

    return await idempotent_write(request, caller, write)


@router.get("/judgements/{id}", summary="Get a judgement", response_model=JudgementOut, responses=READ_ERRORS)
async def get_judgement(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: Identifier,  # noqa: A002 - the field's name on the wire
    known_at: KnownAt = None,
) -> Response:
    """Get a judgement with its status, its correction and its withdrawal."""
    async with database.snapshot() as connection:
        view = View(caller.level, await resolve_time_point(connection, None, known_at), settings.horizons)
        inputs, judgement = await require_judgement(connection, id, view)
        revision = await current_revision(connection, caller.level)
    return json_response(request, orjson.dumps(judgement_body(inputs, judgement, caller.level)), revision=revision)


@router.get("/indicators/{id}/judgements", summary="List judgements on an indicator", response_model=JudgementPage, responses=READ_ERRORS)
async def list_judgements(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    id: IndicatorId,  # noqa: A002 - the field's name on the wire
    known_at: KnownAt = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """List the judgements on an indicator in the order in which they were recorded, superseded and retracted ones included."""
    after = JUDGEMENT_CURSOR.decode(cursor)
    async with database.snapshot() as connection:
        view = View(caller.level, await resolve_time_point(connection, None, known_at), settings.horizons)
        inputs = await load_judged(connection, id, view)
        revision = await current_revision(connection, caller.level)
    visible = visible_judgements(inputs, caller.level)
    begin = next((at for at, each in enumerate(visible, 1) if each.id == after), 0)
    page = [orjson.dumps(judgement_body(inputs, each, caller.level)).decode() for each in visible[begin : begin + limit]]
    last = visible[begin + limit - 1].id if len(visible) > begin + limit else None
    return page_response(request, page, next_cursor=JUDGEMENT_CURSOR.encode(last, revision), as_of=None, revision=revision)
