"""Corrections, retractions, outcomes and grades: what is added to the ledger about what stands in it."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import Curator, ReporterOrCurator, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.principal import Principal
from app.domain.times import rfc3339
from app.http.openapi import AMEND_ERRORS, body_schema, json_request_body
from app.http.problems import FieldProblem
from app.http.request_body import json_body, validated_body
from app.ledger.models import LedgerEntry
from app.reports.amendments import record_grade, record_outcome
from app.reports.endpoints import write_result
from app.reports.schemas import (
    CORRECTION_MODELS,
    GradeIn,
    GradeOut,
    OutcomeIn,
    OutcomeOut,
    ReportOut,
    RetractionIn,
    RetractionOut,
)
from app.reports.service import correct_report, retract_report
from app.reports.validation import validate

router = APIRouter(tags=["Reporting"])


def _told(change: LedgerEntry, caller: Principal, **more: Any) -> dict[str, Any]:
    return {
        "seq": getattr(change, f"seq_{caller.clearance}"),
        "type": change.type,
        **more,
        "reason": change.reason,
        "recorded_at": rfc3339(change.recorded_at),
        "recorded_by": change.recorded_by,
    }


@router.post(
    "/reports/{id}/correction",
    status_code=201,
    summary="Correct a report",
    response_model=ReportOut,
    responses=AMEND_ERRORS,
    openapi_extra=json_request_body(
        body_schema(*CORRECTION_MODELS.values()),
        {
            "Fewer people": {
                "kind": "trapped_population",
                "place": "aleppo-east",
                "source": "un-ocha",
                "stated_at": "2016-07-25",
                "value": {"concept": "trapped", "people_low": 250000, "people_high": 270000},
                "provenance": {"method": "expert_estimate", "credibility": 2},
                "sensitivity": "clear",
                "reason": "The upper figure was misread.",
            }
        },
    ),
)
async def create_report_correction(
    request: Request,
    caller: ReporterOrCurator,
    settings: SettingsDep,
    body: Annotated[Any, Depends(json_body)],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000002"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Append a whole report that supersedes this one, and the reason. The original stays readable, marked `superseded`.

    Needs the scope `report` for what the key's own organisation sent, else `curate`. What is superseded or retracted already: 409.
    """
    reason, report = None, body
    if isinstance(body, dict):
        reason, report = body.get("reason"), {name: value for name, value in body.items() if name != "reason"}
    sent = validate(report, settings)
    if not isinstance(reason, str) or not 1 <= len(reason) <= 2000:
        wrong = FieldProblem(pointer="/reason", detail="say why, in 1 to 2,000 characters")
        sent = [*sent, wrong] if isinstance(sent, list) else [wrong]

    async def write(session: AsyncSession) -> WriteResult:
        return write_result(await correct_report(session, caller, id, sent, str(reason), settings))

    return await idempotent_write(request, caller, write)


@router.post(
    "/reports/{id}/retraction",
    status_code=201,
    summary="Withdraw a report",
    response_model=RetractionOut,
    responses=AMEND_ERRORS,
    openapi_extra=json_request_body(body_schema(RetractionIn), {"Withdrawn": {"reason": "The source withdrew the statement."}}),
)
async def create_report_retraction(
    request: Request,
    caller: ReporterOrCurator,
    settings: SettingsDep,
    sent: Annotated[RetractionIn, Depends(validated_body(RetractionIn))],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000015"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Withdraw this report. It stays readable, marked `retracted`, and is read no longer.

    Needs the scope `report` for what the key's own organisation sent, else `curate`. What is superseded or retracted already: 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        change = await retract_report(session, caller, id, sent.reason, settings)
        at = {"report": f"/v1/reports/{id}", "indicator": f"/v1/indicators/{change.indicator_id}"}
        told = _told(change, caller, report=str(id), indicator=str(change.indicator_id))
        return WriteResult(201, orjson.dumps(told | {"links": at}), at["report"])

    return await idempotent_write(request, caller, write)


@router.post(
    "/indicators/{id}/outcome",
    status_code=201,
    summary="Say what became of a warning",
    response_model=OutcomeOut,
    responses=AMEND_ERRORS,
    openapi_extra=json_request_body(
        body_schema(OutcomeIn),
        {
            "Overtaken": {
                "outcome": "overtaken",
                "reason": "A passage was fought open before the day that was named.",
                "report": "01900000-0000-7000-8004-000000000014",
            }
        },
    ),
)
async def create_indicator_outcome(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    sent: Annotated[OutcomeIn, Depends(validated_body(OutcomeIn))],
    id: Annotated[UUID, Path(description="Identifier of the indicator.", examples=["01900000-0000-7187-a269-9d9131ab3a26"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Set what became of the warning that a supply run-out reads, with a reason and the report that shows it. Needs `curate`.

    It holds until a later report is preferred. Indicators of kinds that do not warn answer 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        change = await record_outcome(
            session, caller, id, outcome=sent.outcome, reason=sent.reason, report_id=sent.report, settings=settings
        )
        at = {"indicator": f"/v1/indicators/{id}", "report": f"/v1/reports/{sent.report}"}
        told = _told(change, caller, indicator=str(id), outcome=sent.outcome, report=str(sent.report))
        return WriteResult(201, orjson.dumps(told | {"links": at}), at["indicator"])

    return await idempotent_write(request, caller, write)


@router.post(
    "/sources/{slug}/grades",
    status_code=201,
    summary="Grade a source anew",
    response_model=GradeOut,
    responses=AMEND_ERRORS,
    openapi_extra=json_request_body(
        body_schema(GradeIn), {"Less reliable": {"reliability": "D", "reason": "Two statements proved wrong."}}
    ),
)
async def create_source_grade(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    sent: Annotated[GradeIn, Depends(validated_body(GradeIn))],
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["regional-news-site"])],
) -> Response:
    """Change a source's reliability from now on. Needs `curate`.

    Current readings follow at once; past ones keep the grade then in force.
    """

    async def write(session: AsyncSession) -> WriteResult:
        change = await record_grade(session, caller, slug, reliability=sent.reliability, reason=sent.reason, settings=settings)
        detail = change.detail or {}
        told = _told(change, caller, source=slug, reliability=sent.reliability, before=detail["before"])
        return WriteResult(201, orjson.dumps(told | {"links": {"source": f"/v1/sources/{slug}"}}), f"/v1/sources/{slug}")

    return await idempotent_write(request, caller, write)
