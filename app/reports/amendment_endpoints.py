"""Corrections, retractions and reinstatements of reports, outcomes of warnings and grades of sources."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.dependencies import Curator, ReporterOrCurator, SettingsDep
from app.access.idempotency import WriteResult, idempotent_write
from app.http.openapi import AMEND_ERRORS, create_operation
from app.http.problems import FieldProblem
from app.http.request_body import json_body, validated_body
from app.reports.amendments import record_grade, record_outcome, reinstate_report
from app.reports.references import InvalidReport
from app.reports.result_schemas import RecordedReport
from app.reports.results import entry_result, report_result
from app.reports.schemas import (
    CORRECTION_MODELS,
    GradeIn,
    GradeOut,
    OutcomeIn,
    OutcomeOut,
    ReinstatementIn,
    ReinstatementOut,
    RetractionIn,
    RetractionOut,
)
from app.reports.service import correct_report, retract_report
from app.reports.validation import validate

router = APIRouter(tags=["Reporting"], responses=AMEND_ERRORS)


@router.post(
    "/reports/{id}/correction",
    summary="Correct a report",
    response_model=RecordedReport,
    **create_operation(*CORRECTION_MODELS.values(), name="CorrectionIn"),
)
async def create_report_correction(
    request: Request,
    caller: ReporterOrCurator,
    settings: SettingsDep,
    body: Annotated[Any, Depends(json_body)],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000002"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Record a complete report that supersedes this one, with the reason. The original stays readable, with the status `superseded`.

    It gets at least the label of the original; a lower one becomes a proposal that a second person confirms. Needs the scope `report` for
    a report of the key's own organisation, else `curate`. A superseded or retracted report gets 409.
    """
    reason, report = None, body
    if isinstance(body, dict):
        reason, report = body.get("reason"), {name: value for name, value in body.items() if name != "reason"}
    correction = validate(report, settings)
    if not isinstance(reason, str) or not 1 <= len(reason) <= 2000:
        problem = FieldProblem(pointer="/reason", detail="say in 1 to 2,000 characters why the report is corrected")
        correction = InvalidReport([*(correction if isinstance(correction, list) else []), problem], report)

    async def write(session: AsyncSession) -> WriteResult:
        return report_result(await correct_report(session, caller, id, correction, str(reason), settings))

    return await idempotent_write(request, caller, write)


@router.post("/reports/{id}/retraction", summary="Retract a report", response_model=RetractionOut, **create_operation(RetractionIn))
async def create_report_retraction(
    request: Request,
    caller: ReporterOrCurator,
    settings: SettingsDep,
    body: Annotated[RetractionIn, Depends(validated_body(RetractionIn))],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000015"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Withdraw a report. It stays readable, with the status `retracted`, and no longer counts in its indicator.

    Needs the scope `report` for a report of the key's own organisation, else `curate`. A superseded or retracted report gets 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        entry = await retract_report(session, caller, id, body.reason, settings)
        return entry_result(entry, caller, "report", report=str(id), indicator=str(entry.indicator_id))

    return await idempotent_write(request, caller, write)


@router.post(
    "/reports/{id}/reinstatement", summary="Undo a retraction", response_model=ReinstatementOut, **create_operation(ReinstatementIn)
)
async def create_report_reinstatement(
    request: Request,
    caller: ReporterOrCurator,
    settings: SettingsDep,
    body: Annotated[ReinstatementIn, Depends(validated_body(ReinstatementIn))],
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000015"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Undo the retraction of a report: it stands again and counts in its indicator. What was assessed meanwhile stays readable.

    Needs the scope `report` for a report of the key's own organisation, else `curate`. A report that is not retracted gets 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        entry = await reinstate_report(session, caller, id, body.reason, settings)
        return entry_result(entry, caller, "report", report=str(id), indicator=str(entry.indicator_id))

    return await idempotent_write(request, caller, write)


@router.post(
    "/indicators/{id}/outcome", summary="Record the outcome of a warning", response_model=OutcomeOut, **create_operation(OutcomeIn)
)
async def create_indicator_outcome(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Annotated[OutcomeIn, Depends(validated_body(OutcomeIn))],
    id: Annotated[UUID, Path(description="Identifier of the indicator.", examples=["01900000-0000-7187-a269-9d9131ab3a26"])],  # noqa: A002 - the field's name on the wire
) -> Response:
    """Record whether the warning of an indicator came true, with a reason and the report that shows it. Needs the scope `curate`.

    It ends the warnings stated before the report. The report stands and is about the same place; one that claims relief shows no
    `materialised`. Indicators of kinds without warnings get 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        entry = await record_outcome(session, caller, id, body, settings)
        return entry_result(entry, caller, "indicator", indicator=str(id), outcome=body.outcome, report=str(body.report))

    return await idempotent_write(request, caller, write)


@router.post("/sources/{slug}/grades", summary="Grade a source", response_model=GradeOut, **create_operation(GradeIn))
async def create_source_grade(
    request: Request,
    caller: Curator,
    settings: SettingsDep,
    body: Annotated[GradeIn, Depends(validated_body(GradeIn))],
    slug: Annotated[str, Path(max_length=64, description="Slug of the source.", examples=["regional-news-site"])],
) -> Response:
    """Change the reliability of a source from now on. Needs the scope `curate`. The current grade gets 409.

    Current indicators change at once; `as_of` before now keeps the grade that was in force.
    """

    async def write(session: AsyncSession) -> WriteResult:
        entry = await record_grade(session, caller, slug, body, settings)
        before = (entry.detail or {})["before"]
        return entry_result(entry, caller, "source", source=slug, reliability=body.reliability, before=before)

    return await idempotent_write(request, caller, write, long=True)
