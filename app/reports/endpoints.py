"""`/v1/reports`: list, read and record reports."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field
from sqlalchemy import ColumnElement, or_
from sqlmodel import col

from app.access.dependencies import CallerDep, DatabaseDep, Reporter, SettingsDep
from app.access.fast_list_route import FastListRoute
from app.access.idempotency import sent_write
from app.domain.times import DateOrTime, start_of
from app.domain.view import View
from app.http.content_negotiation import Format
from app.http.cursors import Cursor
from app.http.lists import GEOGRAPHIC_FORMATS, LIST_RESPONSES, SUFFIX, ListQuery, Page, PastListFilters, list_response, negotiate_format
from app.http.openapi import READ_ERRORS, WRITE_ERRORS, create_operation
from app.http.problems import invalid_field, not_found
from app.http.query_params import AsOf, BoundingBox, KnownAt, SearchWords
from app.http.request_body import json_body
from app.http.responses import json_response
from app.http.state import app_state
from app.indicators.schemas import KindName
from app.ledger.models import LedgerEntry
from app.ledger.queries import first_global_seq_since, pin_to_head, resolve_time_point
from app.reference.past_places import place_conditions_at, placed
from app.reference.queries import source_id_of
from app.reference.schemas import Slug
from app.reference.suggestions import require_known_filters
from app.reports.examples import REPORTS
from app.reports.group import ReportWrite
from app.reports.models import Report
from app.reports.queries import declassified_for, load_report, load_report_page, status_in
from app.reports.result_schemas import Outcomes, RecordedReport
from app.reports.schemas import REPORT_MODELS, ReportDetail, ReportOut, ReportPage, ReportStatus
from app.reports.search import has_words
from app.reports.service import Submission
from app.reports.validation import validate
from app.storage.paging import current_revision

router = APIRouter(route_class=FastListRoute)

REPORT_CURSOR = Cursor("reports", UUID)

MAX_REPORTS = 1000


class ReportFilters(PastListFilters):
    """Filters of lists of reports."""

    indicator: Annotated[
        UUID | None, Field(description="Only reports about this indicator.", examples=["01900000-0000-702e-b881-6381f574fbf4"])
    ] = None
    kind: Annotated[KindName | None, Field(description="Only reports of this kind.", examples=["supply_runout"])] = None
    source: Annotated[Slug | None, Field(description="Only reports of this source, by its slug.", examples=["un-envoy-syria"])] = None
    status: Annotated[ReportStatus | None, Field(description="Only reports with this status.", examples=["standing"])] = None
    updated_since: Annotated[
        DateOrTime | None, Field(description="Recorded at or after this time; a date means its start in UTC.", examples=["2016-10-05"])
    ] = None
    bbox: BoundingBox = None
    q: SearchWords = None


def _conditions(filters: ReportFilters, view: View) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if filters.indicator is not None:
        where.append(col(Report.indicator_id) == filters.indicator)
    if filters.kind is not None:
        where.append(col(Report.kind) == filters.kind)
    if filters.source is not None:
        where.append(col(Report.source_id) == source_id_of(filters.source, view.level))
    if filters.q is not None:
        where.append(has_words(filters.q))
    if filters.status is not None:
        where.append(status_in(view) == filters.status)
        if filters.status != "standing":
            where.append(col(Report.ended_global_seq).is_not(None))
    if filters.updated_since is not None:
        since = start_of(filters.updated_since)
        declassified = declassified_for(view.level, col(LedgerEntry.recorded_at) >= since)
        where.append(or_(col(Report.global_seq) >= first_global_seq_since(since), declassified))
    return where


@router.get("/reports" + SUFFIX, include_in_schema=False)
@router.get("/reports", tags=["Reports"], summary="List reports", response_model=ReportPage, responses=LIST_RESPONSES)
async def list_reports(request: Request, caller: CallerDep, database: DatabaseDep, filters: Annotated[ReportFilters, Query()]) -> Response:
    """List reports in the order in which they were recorded, superseded and retracted ones included."""
    format_ = negotiate_format(request, GEOGRAPHIC_FORMATS, filters.format)
    pinned: View | None = None

    async def fetch(cursor: str | None, limit: int) -> Page:
        nonlocal pinned
        async with database.read() as connection:
            view = pinned or View(caller.level, await resolve_time_point(connection, filters.as_of, filters.known_at))
            if pinned is None and format_ is not Format.JSON:
                # All pages of an export show one time point, without reports that are recorded meanwhile.
                pinned = view = await pin_to_head(connection, view)
            where = await place_conditions_at(connection, Report.place_id, **placed(filters), time_point=view.time_point)
            where, after = where + _conditions(filters, view), REPORT_CURSOR.decode(cursor)
            bodies, last, revision = await load_report_page(connection, where, view, after=after, limit=limit)
            if not bodies:
                await require_known_filters(connection, filters, caller.level, view.time_point)
                if filters.indicator is not None:
                    about = [col(Report.indicator_id) == filters.indicator]
                    if not (await load_report_page(connection, about, View(caller.level), after=None, limit=1))[0]:
                        raise invalid_field("?indicator", "no report about it: send the id of an indicator in /v1/indicators")
        return [orjson.dumps(body).decode() for body in bodies], REPORT_CURSOR.encode(last, revision), revision

    query = ListQuery("reports", fetch, level=caller.level, as_of=filters.as_of, known_at=filters.known_at, hxl=filters.hxl)
    return await list_response(request, query, format_, cursor=filters.cursor, limit=filters.limit)


@router.get("/reports/{id}", tags=["Reports"], summary="Get a report", response_model=ReportDetail, responses=READ_ERRORS)
async def get_report(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    id: Annotated[UUID, Path(description="Identifier of the report.", examples=["01900000-0000-7000-8004-000000000007"])],  # noqa: A002 - the field's name on the wire
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """Return a report as it was sent, with its provenance; `status` and `amended` say whether it still stands, and why not."""
    async with database.snapshot() as connection:
        view = View(caller.level, await resolve_time_point(connection, as_of, known_at))
        found = await load_report(connection, id, view)
        revision = await current_revision(connection, caller.level)
    if found is None:
        raise not_found("report")
    return json_response(request, orjson.dumps(found), revision=revision)


_EXAMPLES = REPORTS | {"A list of two": list(REPORTS.values())[:2]}
_RESPONSES = WRITE_ERRORS | {
    200: {"model": ReportOut, "description": "The statement was recorded before: the report that stands for it."},
    207: {"model": Outcomes, "description": "The results for a list, one per report."},
}
_CREATE_REPORTS = create_operation(
    *REPORT_MODELS.values(), name="ReportIn", responses=_RESPONSES, examples=_EXAMPLES, max_items=MAX_REPORTS
)


@router.post("/reports", tags=["Reporting"], summary="Create reports", response_model=RecordedReport, **_CREATE_REPORTS)
async def create_reports(
    request: Request,
    caller: Reporter,
    settings: SettingsDep,
    body: Annotated[Any, Depends(json_body)],
    atomic: Annotated[bool, Query(description="For a list: if one report is invalid, record none (422).")] = False,
) -> Response:
    """Record one statement (201 and `Location`), or a list of up to 1,000 (207, with one result per report).

    Needs the scope `report`. A statement that stands already (same source, kind, place, subject, `stated_at`, value and `url`) gets 200
    and the report that stands for it, if the key may read it; otherwise it is recorded like a new one. After 201 the report is on disk.
    """
    single = not isinstance(body, list)
    bodies: list[Any] = [body] if single else body
    if not 1 <= len(bodies) <= MAX_REPORTS:
        raise invalid_field("", f"send 1 to {MAX_REPORTS} reports in a list")
    reports = [validate(each, settings) for each in bodies]

    submission = Submission(caller, reports, all_or_nothing=single or atomic)
    sent = sent_write(request, caller, partial(ReportWrite, submission=submission, single=single, atomic=atomic))
    return (await app_state(request).write_groups.submit(sent, len(reports))).response()
