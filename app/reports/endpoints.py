"""`/v1/reports`: the statements themselves, and the one door by which they come in."""

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.dependencies import CallerDep, DatabaseDep, Reporter, SettingsDep
from app.access.fast_list_route import FastListRoute
from app.access.idempotency import WriteResult, idempotent_write
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.times import DateOrTime as Time
from app.domain.times import start_of
from app.http.content_negotiation import Format
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, SUFFIX, ListQuery, Page, PastListFilters, format_responses, list_response, negotiate_format
from app.http.openapi import LIST_ERRORS, READ_ERRORS, WRITE_ERRORS, body_schema, json_request_body
from app.http.problems import FieldProblem, invalid, invalid_field, not_found
from app.http.query_params import AsOf, BoundingBox, KnownAt
from app.http.request_body import json_body
from app.http.responses import json_response
from app.indicators.schemas import KindName
from app.ledger.models import LedgerEntry
from app.ledger.queries import first_global_seq_since, pin_to_head, resolve_time_point
from app.reference.queries import place_conditions, places_in_box, source_id_of
from app.reference.schemas import Slug
from app.reports.models import Report
from app.reports.queries import VisibleReport, declassified_for, load_report, load_report_page, report_body, status_at
from app.reports.schemas import SENT_MODELS, Outcomes, ReportDetail, ReportOut, ReportPage, Status
from app.reports.service import record_reports
from app.reports.validation import FieldErrors, validate
from app.storage.paging import current_revision

router = APIRouter(route_class=FastListRoute)

REPORT_CURSOR = Cursor("reports", UUID)

MOST = 1000


class ReportFilters(PastListFilters):
    """What lists of reports are filtered by."""

    indicator: Annotated[
        UUID | None, Field(description="Only reports on this indicator.", examples=["01900000-0000-702e-b881-6381f574fbf4"])
    ] = None
    kind: Annotated[KindName | None, Field(description="Only reports of this kind.", examples=["supply_runout"])] = None
    source: Annotated[Slug | None, Field(description="Slug of the source.", examples=["un-envoy-syria"])] = None
    status: Annotated[Status | None, Field(description="Whether the report stands.", examples=["standing"])] = None
    updated_since: Annotated[
        Time | None, Field(description="Recorded at or after this time; a date is its first moment.", examples=["2016-10-05"])
    ] = None
    bbox: BoundingBox = None


def _conditions(filters: ReportFilters, level: int, moment: TimePoint) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filters.indicator is not None:
        where.append(col(Report.indicator_id) == filters.indicator)
    if filters.kind is not None:
        where.append(col(Report.kind) == filters.kind)
    where += place_conditions(Report.place_id, filters.place, within=filters.within, country=filters.country)
    if filters.bbox is not None:
        where.append(col(Report.place_id).in_(places_in_box(filters.bbox)))
    if filters.source is not None:
        where.append(col(Report.source_id) == source_id_of(filters.source, level))
    if filters.status is not None:
        where.append(status_at(level, moment) == filters.status)
        if filters.status != "standing":
            where.append(col(Report.ended_global_seq).is_not(None))
    if filters.updated_since is not None:
        since = start_of(filters.updated_since)
        where.append(
            or_(col(Report.global_seq) >= first_global_seq_since(since), declassified_for(level, col(LedgerEntry.recorded_at) >= since))
        )
    return where


@router.get("/reports" + SUFFIX, include_in_schema=False)
@router.get(
    "/reports",
    tags=["Reports"],
    summary="Who said what?",
    response_model=ReportPage,
    responses=LIST_ERRORS | format_responses(GEOGRAPHIC_FORMATS),
)
async def list_reports(request: Request, caller: CallerDep, database: DatabaseDep, filters: Annotated[ReportFilters, Query()]) -> Response:
    """The statements themselves, in the order in which they were recorded, those superseded or retracted included and marked."""
    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    pinned: TimePoint | None = None

    async def fetch(cursor: str | None, limit: int) -> Page:
        nonlocal pinned
        after = REPORT_CURSOR.decode(cursor)
        async with database.read() as connection:
            moment = pinned or await resolve_time_point(connection, filters.as_of, filters.known_at)
            if pinned is None and format_ is not Format.JSON:
                # Many pages, one moment: what is recorded while they are read is in none of them.
                pinned = moment = await pin_to_head(connection, moment)
            where = _conditions(filters, caller.level, moment)
            items, last, revision = await load_report_page(connection, where, after=after, limit=limit, level=caller.level, moment=moment)
        return [orjson.dumps(item).decode() for item in items], REPORT_CURSOR.encode(last, revision), revision

    listing = ListQuery("reports", fetch, level=caller.level, private=caller.key_id is not None, as_of=filters.as_of)
    return await list_response(request, listing, format_, cursor=filters.cursor, limit=filters.limit)


@router.get("/reports/{id}", tags=["Reports"], summary="One statement", response_model=ReportDetail, responses=READ_ERRORS)
async def get_report(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000007"])],  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """One statement with its provenance, as it was sent; `status` and `amended` say whether it still stands, and why not."""
    async with database.snapshot() as connection:
        moment = await resolve_time_point(connection, as_of, known_at)
        found = await load_report(connection, id, caller.level, moment)
        revision = await current_revision(connection, caller.level)
    if found is None:
        raise not_found("report")
    return json_response(request, orjson.dumps(found), private=caller.key_id is not None, revision=revision)


_one = body_schema(*SENT_MODELS.values())
_EXAMPLES = {
    kind.title: {
        "kind": kind.name,
        "place": "aleppo-east",
        "source": "un-envoy-syria",
        "stated_at": "2016-07-28",
        "value": kind.example,
        "provenance": {"via": ["news-agency"], "method": "expert_estimate", "credibility": 2, "published_at": "2016-07-29"},
        "sensitivity": "clear",
    }
    for kind in KINDS.values()
}


@router.post(
    "/reports",
    tags=["Reporting"],
    status_code=201,
    summary="Report a statement, or up to 1,000",
    response_model=ReportOut,
    responses=WRITE_ERRORS
    | {
        200: {"model": ReportOut, "description": "The same statement was recorded before: the report that stands."},
        207: {"model": Outcomes, "description": "A list was sent: one outcome an item."},
    },
    openapi_extra=json_request_body(
        {"anyOf": [*_one["anyOf"], {"type": "array", "items": _one, "minItems": 1, "maxItems": MOST}]},
        _EXAMPLES | {"A list of two": list(_EXAMPLES.values())[:2]},
    ),
)
async def create_reports(
    request: Request,
    caller: Reporter,
    settings: SettingsDep,
    body: Annotated[Any, Depends(json_body)],
    atomic: Annotated[bool, Query(description="For a list: record all of it or, when one item is wrong, nothing (422).")] = False,
) -> Response:
    """Append one statement to the ledger (201 and `Location`), or a list of them (207, one outcome an item).

    Needs the scope `report`. The same statement sent twice (same source, kind, place, subject, stated_at, value and url)
    is recognised and answered 200 with the report that stands. Once 201 is sent, the report is on disk.
    """
    single = not isinstance(body, list)
    bodies: list[Any] = [body] if single else body
    if not 1 <= len(bodies) <= MOST:
        raise invalid_field("", f"a list has 1 to {MOST} reports")
    sent = [validate(each, settings) for each in bodies]

    async def write(session: AsyncSession) -> WriteResult:
        outcomes, revision = await record_reports(session, caller, sent, settings, all_or_nothing=single or atomic)
        refused = [(at, each) for at, each in enumerate(outcomes) if isinstance(each, list) and each]
        if single and refused:
            raise invalid(refused[0][1])
        if atomic and refused:
            raise invalid(FieldProblem(pointer=f"/{at}{each.pointer}", detail=each.detail) for at, wrong in refused for each in wrong)
        if single:
            return write_result(outcomes[0])
        return WriteResult(207, orjson.dumps(_outcomes(outcomes, revision)))

    return await idempotent_write(request, caller, write)


def write_result(outcome: VisibleReport | FieldErrors) -> WriteResult:
    """The answer for one recorded report."""
    assert isinstance(outcome, VisibleReport)
    served = report_body(outcome)
    return WriteResult(201 if outcome.created else 200, orjson.dumps(served), served["links"]["self"])


def _outcomes(outcomes: list[VisibleReport | FieldErrors], revision: int) -> dict[str, Any]:
    items = [_outcome(each) for each in outcomes]
    counts = {status: sum(item["status"] == status for item in items) for status in (201, 200, 422)}
    return {"items": items, "created": counts[201], "existing": counts[200], "refused": counts[422], "revision": revision}


def _outcome(outcome: VisibleReport | FieldErrors) -> dict[str, Any]:
    if not isinstance(outcome, VisibleReport):
        return {"status": 422, "problem": invalid(outcome).body()}
    report = outcome.report
    return {
        "status": 201 if outcome.created else 200,
        "id": str(report.id),
        "seq": outcome.seq,
        "indicator": str(report.indicator_id),
        "location": f"/v1/reports/{report.id}",
    }
