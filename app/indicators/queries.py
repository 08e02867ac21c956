"""Readings looked up: stored documents by indexed columns, past ones from the ledger."""

from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, String, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import render_report, with_revision
from app.assessment.envelope import GRADES, grade_rank
from app.assessment.inputs import AssessmentInputs, load_inputs
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import end_of_today, start_of
from app.domain.tlp import LABELS
from app.indicators.past import assess_at, list_at
from app.indicators.schemas import IndicatorFilters
from app.reference.queries import place_filter, places_in_box, places_in_country, source_id_of
from app.settings import Settings
from app.storage.paging import PagedQuery, current_revision, fetch_rows, paged_query
from app.storage.types import table_of

# Reports behind one indicator that its document lists, the last recorded of them; all are at /v1/reports?indicator=.
MOST_LISTED = 1000


def revision_for(level: int) -> ColumnElement[Any]:
    """The column of an indicator's revision for a clearance."""
    return table_of(IndicatorProjection).c[f"revision_{LABELS[level]}"].label("revision")


def visible_at(level: int) -> list[ColumnElement[bool]]:
    """The condition for the one stored reading of each indicator that a clearance sees."""
    return [col(IndicatorProjection.min_clearance) <= level, col(IndicatorProjection.max_clearance) >= level]


def about(filters: IndicatorFilters, kind: str | None, on: type[IndicatorProjection] | type[Indicator]) -> list[ColumnElement[bool]]:
    """The conditions on what indicators are about: kind, topic, place."""
    where: list[ColumnElement[bool]] = []
    given = filters.model_dump(exclude_none=True)
    for topic in {each.filter_field for each in KINDS.values()} & given.keys():
        kinds = sorted(each.name for each in KINDS.values() if each.filter_field == topic)
        where += [col(on.kind).in_(kinds), col(on.filter_key) == given[topic]]
    wanted = kind or given.get("kind")
    if wanted is not None:
        where.append(col(on.kind) == wanted)
    if filters.place is not None:
        where.append(place_filter(on.place_id, filters.place, within=filters.within))
    if filters.country is not None:
        kept = on is IndicatorProjection
        where.append(
            col(IndicatorProjection.country) == filters.country if kept else col(on.place_id).in_(places_in_country(filters.country))
        )
    if filters.bbox is not None:
        where.append(col(on.place_id).in_(places_in_box(filters.bbox)))
    return where


def _reads(filters: IndicatorFilters, level: int) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    status = getattr(filters, "status", None)
    if filters.source is not None:
        where.append(col(IndicatorProjection.preferred_source_id) == source_id_of(filters.source, level))
    if filters.agreement is not None:
        where.append(col(IndicatorProjection.agreement) == filters.agreement)
    if status is not None:
        where.append(col(IndicatorProjection.state) == status)
    if filters.min_reliability is not None:
        ranks = [grade_rank(grade) for grade in GRADES if grade_rank(grade) <= grade_rank(filters.min_reliability)]
        where.append(col(IndicatorProjection.preferred_grade_rank).in_(ranks))
    if filters.updated_since is not None:
        where.append(col(IndicatorProjection.recorded_at) >= start_of(filters.updated_since))
    if filters.stale is not None:
        stale = col(IndicatorProjection.stale_after) < end_of_today()
        where.append(stale if filters.stale else ~stale)
    return where


async def list_indicators(
    connection: AsyncConnection,
    filters: IndicatorFilters,
    kind: str | None,
    *,
    after: UUID | None,
    level: int,
    moment: TimePoint,
    settings: Settings,
) -> tuple[list[str], UUID | None, int]:
    """A page of documents as JSON, in order of identifier; the last identifier when there are more; the head of the ledger."""
    if moment != LATEST:
        revision = await current_revision(connection, level)
        where = about(filters, kind, Indicator)
        past, last = await list_at(connection, filters, where, after=after, level=level, moment=moment, settings=settings)
        return past, last, revision
    # What looks at the clock is put together anew; the rest is put together once, which takes longer than to look it up.
    put_together = _pages.__wrapped__ if filters.stale is not None else _pages
    pages = put_together(filters.model_copy(update=_OF_ONE_PAGE), kind, level)
    rows, more, revision = await fetch_rows(connection, pages, after=after, limit=filters.limit)
    documents = [with_revision(row[1], row[2]) for row in rows]
    return documents, UUID(str(rows[-1][0])) if more else None, revision


_OF_ONE_PAGE = {"cursor": None, "limit": 0, "format": None}


@lru_cache(maxsize=64)
def _pages(filters: IndicatorFilters, kind: str | None, level: int) -> PagedQuery:
    # As the driver gives it: of a hundred identifiers the last alone is needed.
    identifier = type_coerce(col(IndicatorProjection.indicator_id), String).label("indicator_id")
    statement = select(identifier, col(IndicatorProjection.document), revision_for(level)).where(
        *visible_at(level), *about(filters, kind, IndicatorProjection), *_reads(filters, level)
    )
    return paged_query(statement, key=table_of(IndicatorProjection).c.indicator_id, level=level)


async def get_indicator(
    connection: AsyncConnection, indicator: UUID, *, level: int, moment: TimePoint, settings: Settings
) -> tuple[bytes, datetime] | None:
    """One indicator with the reports behind it, as JSON, and when it last changed; None when there is none that this level sees."""
    if moment == LATEST:
        statement = select(col(IndicatorProjection.document), revision_for(level)).where(
            col(IndicatorProjection.indicator_id) == indicator, *visible_at(level)
        )
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        document = with_revision(row.document, row.revision)
        basis = (await load_inputs(connection, [indicator], settings))[indicator]
    else:
        past = (await assess_at(connection, [indicator], settings, moment, level)).get(indicator)
        if past is None:
            return None
        document, basis = past.document(), past.inputs
    behind = await _behind(connection, basis, level, moment)
    return document[:-1].encode() + b"," + orjson.dumps(behind)[1:], basis.last_changes[level].recorded_at


async def _behind(connection: AsyncConnection, basis: AssessmentInputs, level: int, moment: TimePoint) -> dict[str, Any]:
    indicator = basis.subject.id
    recent = (await load_all(connection, [indicator], moment, level=level, most=MOST_LISTED)).get(indicator, [])
    both = {each.number: each for each in [*recent, *basis.statements]}
    reading = AssessmentInputs(basis.subject, basis.filter_key, basis.horizon, list(both.values()), basis.outcomes).assess(level)
    return {
        "reports": [
            render_report(each.statement, level) | {"relation": relation}
            for each, relation in zip(reading.standing, reading.relations, strict=True)
        ],
        "left_out": [render_report(statement, level) | {"reason": reason} for statement, reason in reading.left_out],
    }
