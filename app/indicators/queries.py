"""Indicators looked up: stored documents by indexed columns, those as recorded earlier assessed again."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, String, Table, or_, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.deciding import deciding_reports
from app.assessment.document import render_report, with_revision
from app.assessment.inputs import AssessmentInputs, load_inputs
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource
from app.assessment.policy import NO_POLICY, Policy
from app.assessment.statement import Statement
from app.assessment.terms import grade_rank
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST
from app.domain.times import start_of
from app.domain.tlp import LABELS
from app.domain.view import View
from app.indicators.past import assess_at, list_at, matches
from app.indicators.schemas import IndicatorFilters
from app.indicators.steps import AS_OF, STEPS, complete_documents, select_steps, step_documents, step_where
from app.reference.bounding_box import parse_bbox
from app.reference.past_places import place_conditions_at, placed
from app.reference.queries import place_conditions, places_in_box, source_id_of
from app.storage.database import snapshot_on
from app.storage.paging import PagedQuery, current_revision, fetch_rows, paged_query
from app.storage.types import table_of

# Reports that the document of one indicator lists, the last recorded; /v1/reports?indicator= lists all.
MAX_LISTED_REPORTS = 1000


def revision_for(level: int) -> ColumnElement[Any]:
    """Return the column with the revision of a document for a clearance."""
    return table_of(IndicatorProjection).c[f"revision_{LABELS[level]}"].label("revision")


def visible_at(level: int) -> list[ColumnElement[bool]]:
    """Return the conditions for the one row of each indicator that a clearance sees."""
    sources = table_of(IndicatorSource).c
    # An indicator on which nothing stands may be one whose only report was raised out of the reader's sight.
    seen = select(sources.level).where(sources.indicator_id == col(IndicatorProjection.indicator_id), sources.level <= level).limit(1)
    shown = or_(col(IndicatorProjection.agreement).is_not(None), seen.correlate(IndicatorProjection).scalar_subquery().is_not(None))
    return [col(IndicatorProjection.min_clearance) <= level, col(IndicatorProjection.max_clearance) >= level, shown]


def _identity_conditions(
    filters: IndicatorFilters, kind: str | None, table: type[IndicatorProjection] | type[Indicator]
) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    given = filters.model_dump(exclude_none=True)
    for name in {each.filter_field for each in KINDS.values()} & given.keys():
        kinds = sorted(each.name for each in KINDS.values() if each.filter_field == name)
        where += [col(table.kind).in_(kinds), col(table.filter_key) == given[name]]
    wanted = kind or given.get("kind")
    if wanted is not None:
        where.append(col(table.kind) == wanted)
    projected = table is IndicatorProjection
    where += place_conditions(table.place_id, filters.place, within=filters.within, country=None if projected else filters.country)
    if filters.country is not None and projected:
        where.append(col(IndicatorProjection.country) == filters.country)
    if filters.bbox is not None:
        where.append(col(table.place_id).in_(places_in_box(parse_bbox(filters.bbox))))
    return where


def _assessment_conditions(filters: IndicatorFilters, level: int, at: Any, stored: Table) -> list[ColumnElement[bool]]:
    """Return the conditions on the columns of documents that are stored; `at` is the time that staleness is counted from."""
    where: list[ColumnElement[bool]] = []
    status = getattr(filters, "status", None)
    if filters.source is not None:
        where.append(stored.c.preferred_source_id == source_id_of(filters.source, level))
    if filters.agreement is not None:
        where.append(stored.c.agreement == filters.agreement)
    elif not filters.include_empty:
        where.append(stored.c.agreement.is_not(None))
    if status is not None:
        where.append(stored.c.state == status)
    if filters.min_reliability is not None:
        ranks = range(grade_rank(filters.min_reliability) + 1)
        where.append(stored.c.preferred_grade_rank.in_(ranks))
    if filters.updated_since is not None:
        where.append(col(IndicatorProjection.recorded_at) >= start_of(filters.updated_since))
    if filters.stale is not None:
        stale = stored.c.stale_after < at
        # A value that leads without becoming stale is not stale.
        lasts = stored.c.stale_after.is_(None) & stored.c.preferred_grade_rank.is_not(None)
        where.append(stale if filters.stale else ~stale | lasts)
    return where


async def load_indicator_page(
    connection: AsyncConnection, filters: IndicatorFilters, kind: str | None, view: View, *, after: UUID | None
) -> tuple[list[str], UUID | None, int]:
    """Return a page of documents as JSON in order of identifier, the last identifier if there are more, and the revision."""
    if view.time_point.through_global_seq is not None:
        revision = await current_revision(connection, view.level)
        where = await place_conditions_at(connection, Indicator.place_id, **placed(filters), time_point=view.time_point)
        where += _identity_conditions(filters.model_copy(update=dict.fromkeys(placed(filters))), kind, Indicator)
        documents, last = await list_at(connection, filters, where, view, after=after)
        return documents, last, revision
    if view.time_point.as_of is not None:
        return await _load_past_page(connection, filters, kind, view, view.time_point.as_of, after)
    # Building a query takes longer than running it. One that depends on the current time must not be reused.
    build = _paged_query.__wrapped__ if filters.stale is not None else _paged_query
    query = build(filters.model_copy(update=_PAGE_FIELDS), kind, view)
    rows, more, revision = await fetch_rows(connection, query, after=after, limit=filters.limit)
    documents = [with_revision(row[1], row[2]) for row in rows]
    return documents, UUID(str(rows[-1][0])) if more else None, revision


# Fields of the filters that do not change the query.
_PAGE_FIELDS = {"cursor": None, "limit": 0, "format": None, "lang": None, "hxl": True}


@lru_cache(maxsize=64)
def _paged_query(filters: IndicatorFilters, kind: str | None, view: View) -> PagedQuery:
    # As text, because converting every identifier to a UUID takes time and only the last one is needed.
    identifier = type_coerce(col(IndicatorProjection.indicator_id), String).label("indicator_id")
    statement = select(identifier, col(IndicatorProjection.document), revision_for(view.level)).where(
        *visible_at(view.level),
        *_identity_conditions(filters, kind, IndicatorProjection),
        *_assessment_conditions(filters, view.level, view.at, table_of(IndicatorProjection)),
    )
    return paged_query(statement, key=table_of(IndicatorProjection).c.indicator_id, level=view.level)


async def _load_past_page(
    connection: AsyncConnection, filters: IndicatorFilters, kind: str | None, view: View, as_of: datetime, after: UUID | None
) -> tuple[list[str], UUID | None, int]:
    """Return a page as of a time from the steps that are kept, in a snapshot unless one statement is enough."""
    query = _paged_steps(filters.model_copy(update=_PAGE_FIELDS | {"as_of": None}), kind, view.level)
    since = start_of(filters.updated_since) if filters.updated_since is not None else None
    rows, more, revision = await fetch_rows(connection, query, after=after, limit=filters.limit, as_of=as_of)
    if since is None and (complete := complete_documents(rows)) is not None:
        return complete, UUID(str(rows[-1].indicator_id)) if more else None, revision
    documents: list[str] = []
    async with snapshot_on(connection):
        while True:
            rows, more, revision = await fetch_rows(connection, query, after=after, limit=filters.limit - len(documents), as_of=as_of)
            documents += [
                each.document
                for each in await step_documents(connection, rows, view)
                if (matches(each.assessed, filters, view) if each.assessed else since is None or each.recorded_at >= since)
            ]
            if not more:
                return documents, None, revision
            after = UUID(str(rows[-1].indicator_id))
            if len(documents) == filters.limit:
                return documents, after, revision


@lru_cache(maxsize=64)
def _paged_steps(filters: IndicatorFilters, kind: str | None, level: int) -> PagedQuery:
    statement = select_steps(level).where(
        *_identity_conditions(filters, kind, IndicatorProjection), step_where(*_assessment_conditions(filters, level, AS_OF, STEPS))
    )
    return paged_query(statement, key=table_of(IndicatorProjection).c.indicator_id, level=level)


async def load_indicator(
    connection: AsyncConnection, indicator: UUID, view: View, policy: Policy = NO_POLICY
) -> tuple[str, datetime] | None:
    """Return one indicator with its reports as JSON, assessed under a policy, and the time of its last change.

    None if the view has no such indicator.
    """
    if view.time_point == LATEST:
        statement = select(col(IndicatorProjection.document), revision_for(view.level)).where(
            col(IndicatorProjection.indicator_id) == indicator, *visible_at(view.level)
        )
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        document = with_revision(row.document, row.revision)
        inputs = (await load_inputs(connection, [indicator], view.horizons))[indicator]
    else:
        past = (await assess_at(connection, [indicator], view)).get(indicator)
        if past is None:
            return None
        document, inputs = past.document(), past.inputs
    recent = await load_all(connection, [indicator], view.time_point, level=view.level, limit=MAX_LISTED_REPORTS)
    shown = _with_reports(orjson.loads(document), inputs, recent.get(indicator, []), view, policy)
    return orjson.dumps(shown).decode(), inputs.last_changes[view.level].recorded_at


def _with_reports(
    document: dict[str, Any], inputs: AssessmentInputs, recent: Sequence[Statement], view: View, policy: Policy
) -> dict[str, Any]:
    statements = list({each.global_seq: each for each in [*recent, *inputs.statements] if each.level <= view.level}.values())
    assessment = inputs.assess(view.level, policy, statements)
    if policy != NO_POLICY:
        document |= orjson.loads(inputs.render(view.level, assessment))
    evidence = [each.evidence for each in inputs.outcomes if each.counts_for(view.level)]
    deciding = deciding_reports(
        assessment, evidence, len(statements), lambda left: inputs.assess(view.level, policy, statements, without=left)
    )
    listed = {each.id for each in recent} | {each.id for each in assessment.standing}
    related = [(each, {"relation": relation}) for each, relation in assessment.relations if each.id in listed]
    left_out = [(each, {"reason": reason}) for each, reason in assessment.left_out if each.id in listed]
    return document | {
        "assessment": document["assessment"] | {"deciding": [str(each.id) for each in deciding]},
        "reports": [render_report(each, view.level) | more for each, more in related],
        "left_out": [render_report(each, view.level) | more for each, more in left_out],
    }
