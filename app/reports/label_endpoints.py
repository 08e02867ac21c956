"""`/v1/reports/{id}/label` and `/v1/label-proposals`: labels of reports."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import Curator, DatabaseDep, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal
from app.http.cursors import Cursor
from app.http.openapi import AMEND_ERRORS, IDEMPOTENT, SCOPED_LIST_ERRORS, create_operation, problem_responses
from app.http.query_params import Limit, PageCursor
from app.http.request_body import validated_body
from app.http.responses import page_response
from app.ledger.models import LedgerEntry
from app.reports.labels import change_label, confirm_declassification, load_proposal_page, proposal_body
from app.reports.models import LabelProposal
from app.reports.results import entry_result
from app.reports.schemas import LabelIn, LabelOut, ProposalOut, ProposalPage

router = APIRouter(tags=["Reporting"])

PROPOSAL_CURSOR = Cursor("proposals", UUID)

_RESPONSES = AMEND_ERRORS | {
    200: {"model": ProposalOut, "description": "The key has proposed the same already, which still waits."},
    202: {"model": ProposalOut, "description": "The lower label waits for another person to confirm it."},
}
_CONFIRM_ERRORS = problem_responses(401, 403, 404, 409, 422, 503)


def _label_result(entry: LedgerEntry, caller: Principal) -> WriteResult:
    detail = entry.detail or {}
    about = {"report": str(entry.report_id), "indicator": str(entry.indicator_id)}
    return entry_result(entry, caller, "report", **about, sensitivity=detail["sensitivity"], before=detail["before"])


@router.post(
    "/reports/{id}/label",
    summary="Change the label of a report",
    response_model=LabelOut,
    **create_operation(LabelIn, responses=_RESPONSES),
)
async def change_report_label(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Annotated[LabelIn, Depends(validated_body(LabelIn))],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000009"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Raise the label of a report at once (201), or propose to lower it (202), which takes effect when another person confirms it.

    Needs the scope `curate`. Readers below a raised label get a tombstone without content, and earlier entries about the report are
    withheld from them. The label may exceed the key's own clearance; the key then no longer sees the report.
    """

    async def write(session: AsyncSession) -> WriteResult:
        result, new = await change_label(session, caller, id, body.sensitivity, body.reason, settings)
        if isinstance(result, LabelProposal):
            return WriteResult(202 if new else 200, orjson.dumps(proposal_body(result)), "/v1/label-proposals")
        return _label_result(result, caller)

    return await idempotent_write(request, caller, write)


@router.get("/label-proposals", summary="List label proposals", response_model=ProposalPage, responses=SCOPED_LIST_ERRORS)
async def list_label_proposals(
    request: Request, caller: Curator, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100
) -> Response:
    """List the lower labels that wait for another person, oldest first. Needs the scope `curate`."""
    after = PROPOSAL_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        bodies, last, revision = await load_proposal_page(connection, after=after, limit=limit, level=caller.level)
    documents = [orjson.dumps(body).decode() for body in bodies]
    next_cursor = PROPOSAL_CURSOR.encode(last, revision)
    return page_response(request, documents, next_cursor=next_cursor, revision=revision, cacheable=False)


@router.post(
    "/label-proposals/{id}/confirmation",
    status_code=201,
    summary="Confirm a lower label",
    response_model=LabelOut,
    responses=_CONFIRM_ERRORS,
    openapi_extra=IDEMPOTENT,
)
async def confirm_label_proposal(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    id: Annotated[UUID, Path(description="Identifier of the proposal.", examples=["01900000-0000-7000-8008-000000000001"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Lower the label of a report as another person proposed. Needs the scope `curate`. Readers who now see the report get a new entry.

    Both keys name their `person`. A key of the same person, or one that a person made or rotated who can use the other, gets 403.
    """

    async def write(session: AsyncSession) -> WriteResult:
        return _label_result(await confirm_declassification(session, caller, id, settings), caller)

    return await idempotent_write(request, caller, write)
