"""Moving a report's label: `/v1/reports/{id}/label` and `/v1/label-proposals`."""

from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import Curator, DatabaseDep, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.domain.times import rfc3339
from app.domain.tlp import Label
from app.http.cursors import Cursor
from app.http.lists import ListEnvelope
from app.http.openapi import AMEND_ERRORS, IDEMPOTENCY_KEY, body_schema, json_request_body, problem_responses
from app.http.query_params import Limit, PageCursor
from app.http.request_body import validated_body
from app.http.responses import page_response
from app.ledger.models import LedgerEntry
from app.reports.labels import change_label, confirm_declassification, load_proposal_page, proposal_body
from app.reports.models import LabelProposal
from app.reports.schemas import Reason

router = APIRouter(tags=["Reporting"])

PROPOSAL_CURSOR = Cursor("proposals", UUID)

ReportId = Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000009"])]
ProposalId = Annotated[UUID, Path(description="Identifier of the proposal.", examples=["01900000-0000-7000-8008-000000000001"])]


class LabelIn(BaseModel):
    """The label that a report is to have (TLP 2.0), and why."""

    model_config = ConfigDict(extra="forbid")

    sensitivity: Label
    reason: Reason


class LabelOut(BaseModel):
    """A label that was moved."""

    seq: int | None = Field(description="Its number in the ledger as this reader sees it; null where he does not see it.")
    type: Literal["label"]
    report: str
    indicator: str
    sensitivity: Label
    before: Label
    reason: str
    recorded_at: str
    recorded_by: str
    links: dict[str, str]


class ProposalOut(BaseModel):
    """A lower label that waits for another key."""

    id: str
    report: str
    sensitivity: Label
    before: Label
    reason: str
    proposed_by: str
    created_at: str
    links: dict[str, str]


class ProposalPage(ListEnvelope[ProposalOut]):
    """A page of proposals."""


def _moved(change: LedgerEntry, caller: Curator) -> WriteResult:
    detail = change.detail or {}
    at = f"/v1/reports/{change.report_id}"
    told: dict[str, Any] = {
        "seq": getattr(change, f"seq_{caller.clearance}"),
        "type": "label",
        "report": str(change.report_id),
        "indicator": str(change.indicator_id),
        "sensitivity": detail["sensitivity"],
        "before": detail["before"],
        "reason": change.reason,
        "recorded_at": rfc3339(change.recorded_at),
        "recorded_by": change.recorded_by,
        "links": {"report": at, "indicator": f"/v1/indicators/{change.indicator_id}"},
    }
    return WriteResult(201, orjson.dumps(told), at)


@router.post(
    "/reports/{id}/label",
    status_code=201,
    summary="Raise or lower the label of a report",
    response_model=LabelOut,
    responses=AMEND_ERRORS | {202: {"model": ProposalOut, "description": "A lower label waits for another key to confirm it."}},
    openapi_extra=json_request_body(body_schema(LabelIn), {"Restrict": {"sensitivity": "amber", "reason": "It shows where people hide."}}),
)
async def change_report_label(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    sent: Annotated[LabelIn, Depends(validated_body(LabelIn))],
    id: ReportId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Raise a report's label: it takes effect at once (201). Those who may not see it any more get a tombstone without content, and
    earlier entries about it are withheld from them. A lower label is proposed (202) and takes effect when another key confirms it.

    Needs the scope `curate`. The label may be above the key's own clearance; then the key does not see the report again.
    """

    async def write(session: AsyncSession) -> WriteResult:
        done = await change_label(session, caller, id, sent.sensitivity, sent.reason, settings)
        if isinstance(done, LabelProposal):
            return WriteResult(202, orjson.dumps(proposal_body(done)), "/v1/label-proposals")
        return _moved(done, caller)

    return await idempotent_write(request, caller, write)


@router.get(
    "/label-proposals",
    summary="Which labels are to be lowered?",
    response_model=ProposalPage,
    responses=problem_responses(401, 403, 422, 503),
)
async def list_label_proposals(
    request: Request, caller: Curator, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100
) -> Response:
    """Lower labels that wait for another key, oldest first. Needs the scope `curate`."""
    after = PROPOSAL_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        items, last, revision = await load_proposal_page(connection, after=after, limit=limit, level=caller.level)
    documents = [orjson.dumps(item).decode() for item in items]
    return page_response(
        request, documents, next_cursor=PROPOSAL_CURSOR.encode(last, revision), revision=revision, private=True, cacheable=False
    )


@router.post(
    "/label-proposals/{id}/confirmation",
    status_code=201,
    summary="Confirm that a label is lowered",
    response_model=LabelOut,
    responses=problem_responses(401, 403, 404, 409, 422, 503),
    openapi_extra={"parameters": [IDEMPOTENCY_KEY]},
)
async def confirm_label_proposal(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    id: ProposalId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Lower a report's label as another key has proposed: it is a new entry where the record becomes visible. Needs `curate`."""

    async def write(session: AsyncSession) -> WriteResult:
        return _moved(await confirm_declassification(session, caller, id, settings), caller)

    return await idempotent_write(request, caller, write)
