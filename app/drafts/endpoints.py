"""`/v1/drafts`: make, list, correct, confirm and reject drafts, and read an article into proposals."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import DatabaseDep, Reporter, ReporterOrCurator, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.drafts import article, service
from app.drafts.models import Draft
from app.drafts.preview import preview_report
from app.drafts.schemas import ArticleIn, DraftOut, DraftPage, DraftPatch, DraftStatus, PreviewOut, ReadingOut
from app.http.cursors import Cursor
from app.http.openapi import (
    AMEND_ERRORS,
    IDEMPOTENT,
    SCOPED_LIST_ERRORS,
    SCOPED_READ_ERRORS,
    WRITE_ERRORS,
    Responses,
    create_operation,
    problem_responses,
)
from app.http.query_params import Limit, PageCursor
from app.http.request_body import json_body, validated_body
from app.http.responses import JSON, json_response, page_response
from app.reports.examples import REPORTS
from app.reports.results import report_result
from app.reports.schemas import REPORT_MODELS, ReportOut, RetractionIn
from app.reports.validation import validate
from app.settings import Settings

router = APIRouter(tags=["Drafts"])

DRAFT_CURSOR = Cursor("drafts", UUID)
DraftId = Annotated[UUID, Path(description="Identifier of the draft.", examples=["01900000-0000-7000-8009-000000000001"])]
IfMatch = Annotated[
    str | None, Header(max_length=1000, description="`ETag` of the draft as you read it; if it has changed since, the request gets 412.")
]
ConfirmedId = Annotated[UUID, Path(description="Draft to confirm.", examples=["01900000-0000-7000-8009-000000000002"])]
RejectedId = Annotated[UUID, Path(description="Draft to reject.", examples=["01900000-0000-7000-8009-000000000003"])]
_EXISTING: Responses = {200: {"model": ReportOut, "description": "The statement was recorded before: the report that stands for it."}}


async def _result(session: AsyncSession, draft: Draft, level: int, settings: Settings, status: int) -> WriteResult:
    (body,) = await service.draft_bodies(await session.connection(), [draft], level, settings)
    return WriteResult(status, orjson.dumps(body), body["links"]["self"] if status == 201 else None)


@router.post(
    "/drafts",
    summary="Create a draft",
    response_model=DraftOut,
    **create_operation(*REPORT_MODELS.values(), name="ReportIn", examples=REPORTS),
)
async def create_draft(request: Request, caller: Reporter, settings: SettingsDep, body: Annotated[Any, Depends(json_body)]) -> Response:
    """Propose a report, for a person to look at. Needs the scope `report`. It is checked as a report is, and is in no ledger.

    Keys with the scope `report` see it, if they are cleared for its label, which is at least `green`. It is deleted after 30 days,
    unless configured otherwise.
    """

    async def write(session: AsyncSession) -> WriteResult:
        draft = await service.add_draft(session, caller, validate(body, settings), settings)
        return await _result(session, draft, caller.level, settings, 201)

    return await idempotent_write(request, caller, write)


@router.post(
    "/drafts/preview",
    summary="Preview a report",
    response_model=PreviewOut,
    **create_operation(*REPORT_MODELS.values(), name="ReportIn", examples=REPORTS, responses=AMEND_ERRORS, idempotent=False)
    | {"status_code": 200},
)
async def create_preview(
    caller: ReporterOrCurator,
    database: DatabaseDep,
    settings: SettingsDep,
    body: Annotated[Any, Depends(json_body)],
    corrects: Annotated[UUID | None, Query(description="The report that it would correct.")] = None,
) -> Response:
    """Return what a report would change: its indicator and the level of its place, before and after. Records nothing.

    It is checked as a report is. Needs the scope `report` or `curate`.
    """
    found = await preview_report(database, caller, validate(body, settings), corrects, settings)
    return Response(orjson.dumps(found), headers={"Cache-Control": "no-store"}, media_type=JSON)


@router.get("/drafts", summary="List drafts", response_model=DraftPage, responses=SCOPED_LIST_ERRORS)
async def list_drafts(
    request: Request,
    caller: Reporter,
    database: DatabaseDep,
    settings: SettingsDep,
    status: Annotated[DraftStatus | None, Query(description="Only drafts with this status.", examples=["proposed"])] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """List the drafts that the key may see, oldest first. Needs the scope `report`."""
    after = DRAFT_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        page = await service.load_draft_page(connection, caller, settings, status=status, after=after, limit=limit)
    bodies, last, revision = page
    documents = [orjson.dumps(body).decode() for body in bodies]
    return page_response(request, documents, next_cursor=DRAFT_CURSOR.encode(last, revision), revision=revision, cacheable=False)


@router.get("/drafts/{id}", summary="Get a draft", response_model=DraftOut, responses=SCOPED_READ_ERRORS)
async def get_draft(request: Request, caller: Reporter, database: DatabaseDep, settings: SettingsDep, id: DraftId) -> Response:  # noqa: A002 - wire name
    """Return a draft with the organisations that wrote it and decided on it. Needs the scope `report`."""
    async with database.read_latest() as connection:
        body = await service.load_draft(connection, caller, id, settings)
    return json_response(request, orjson.dumps(body), cacheable=False)


@router.patch(
    "/drafts/{id}",
    summary="Correct a draft",
    response_model=DraftOut,
    **create_operation(DraftPatch, responses=AMEND_ERRORS | problem_responses(412)) | {"status_code": 200},
)
async def change_draft(
    request: Request,
    caller: Reporter,
    settings: SettingsDep,
    patch: Annotated[Any, Depends(json_body)],
    id: DraftId,  # noqa: A002 - wire name
    if_match: IfMatch = None,
) -> Response:
    """Change the report of a draft by a JSON Merge Patch (RFC 7396). Needs the scope `report`.

    The result is checked as a report is. Its label never becomes lower. A draft that was confirmed or rejected gets 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        return await _result(
            session, await service.correct_draft(session, caller, id, patch, settings, if_match), caller.level, settings, 200
        )

    return await idempotent_write(request, caller, write)


@router.post(
    "/drafts/{id}/confirmation",
    status_code=201,
    summary="Confirm a draft",
    response_model=ReportOut,
    responses=problem_responses(401, 403, 404, 409, 412, 422, 503) | _EXISTING,
    openapi_extra=IDEMPOTENT,
)
async def confirm_draft(
    request: Request,
    caller: Reporter,
    settings: SettingsDep,
    id: ConfirmedId,  # noqa: A002 - wire name
    if_match: IfMatch = None,
) -> Response:
    """Record a draft as a report, as if the key had sent it. Needs the scope `report`, and where so configured a second person.

    The report names the organisation that drafted it (`drafted_by`) and the one that confirmed it (`recorded_by`), and has the label of the
    draft. A statement that stands already gets 200 and its report.
    """

    async def write(session: AsyncSession) -> WriteResult:
        return report_result(await service.confirm_draft(session, caller, id, settings, if_match))

    return await idempotent_write(request, caller, write)


@router.post(
    "/drafts/{id}/rejection",
    summary="Reject a draft",
    response_model=DraftOut,
    **create_operation(RetractionIn, responses=AMEND_ERRORS) | {"status_code": 200},
)
async def create_draft_rejection(
    request: Request,
    caller: Reporter,
    settings: SettingsDep,
    body: Annotated[RetractionIn, Depends(validated_body(RetractionIn))],
    id: RejectedId,  # noqa: A002 - wire name
) -> Response:
    """Reject a draft with a reason, which is shown until the draft is deleted. Needs the scope `report`."""

    async def write(session: AsyncSession) -> WriteResult:
        return await _result(session, await service.reject_draft(session, caller, id, body.reason, settings), caller.level, settings, 200)

    return await idempotent_write(request, caller, write)


@router.post(
    "/drafts/from-text",
    summary="Read an article into proposals",
    response_model=ReadingOut,
    **create_operation(ArticleIn, responses=WRITE_ERRORS, idempotent=False) | {"status_code": 200},
)
async def create_reading(
    caller: Reporter,
    database: DatabaseDep,
    settings: SettingsDep,
    content: Annotated[Any, Depends(json_body)],
) -> Response:
    """Return the statements that an English article makes, each with the words behind each field. Stores nothing. Needs the scope `report`.

    Nothing is guessed: what may mean two things (`300.000`, two places in a sentence, a denial, a caseload) is listed under `unclear` and
    proposed as nothing. `In three weeks` counts from the day of the statement that the text names, not from publication.
    """
    async with database.read_latest() as connection:
        read = await article.prepare(connection, content, caller.level, settings)
    return Response(orjson.dumps(await asyncio.to_thread(read)), headers={"Cache-Control": "no-store"}, media_type=JSON)
