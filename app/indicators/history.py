"""The history of an indicator: each change of its assessment, with the ledger entry that caused it."""

import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.envelope import Assessment
from app.assessment.models import Indicator, IndicatorSource
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.times import rfc3339
from app.domain.view import View
from app.indicators.past import PastAssessment, assess_at
from app.ledger.evidence import OUTCOMES, evidence_changes
from app.ledger.models import LedgerEntry, seq_column
from app.ledger.queries import SUPERSEDED
from app.reports.models import Report
from app.storage.paging import current_revision
from app.storage.slices import end_slice

# An indicator by itself takes as long as several that are loaded together.
WORK_PER_STEP = 5


def _select_entries(indicator: UUID, place: UUID, level: int, first: int, of_evidence: Collection[int]) -> Select[Any]:
    """Select the entries that concern an indicator, and those about its place and its sources after its first one.

    `of_evidence` are those about evidence on other indicators.
    """
    sources = select(col(IndicatorSource.source_id)).where(
        col(IndicatorSource.indicator_id) == indicator, col(IndicatorSource.level) <= level
    )
    columns: tuple[Any, ...] = (
        col(LedgerEntry.global_seq),
        seq_column(level).label("seq"),
        col(LedgerEntry.type),
        col(LedgerEntry.redacted_below),
        col(LedgerEntry.report_id),
        col(LedgerEntry.judgement_id),
        col(LedgerEntry.reason),
        col(LedgerEntry.recorded_at),
        col(Report.level).label("report_level"),
        SUPERSEDED.c.level.label("superseded_level"),
    )
    concerns_indicator = or_(
        col(LedgerEntry.indicator_id) == indicator,
        # A clearance that must not learn what a correction supersedes does not see it leave this indicator.
        and_(col(LedgerEntry.from_indicator_id) == indicator, col(LedgerEntry.redacted_below) <= level),
        and_(col(LedgerEntry.source_id).in_(sources), col(LedgerEntry.global_seq) > first),
        and_(col(LedgerEntry.record_id) == place, col(LedgerEntry.global_seq) > first),
        *([col(LedgerEntry.global_seq).in_(of_evidence)] if of_evidence else []),
    )
    # Nor if the superseded report was raised above it later. A condition of its own, because it needs joined tables: inside the `or_`
    # it would keep the database from using the indexes of the ledger.
    left = col(LedgerEntry.from_indicator_id)
    may_leave = or_(left.is_(None), left != indicator, SUPERSEDED.c.level <= level)
    return (
        select(*columns)
        .outerjoin(Report, col(Report.id) == col(LedgerEntry.report_id))
        .outerjoin(SUPERSEDED, SUPERSEDED.c.id == col(Report.supersedes))
        .where(concerns_indicator, may_leave, seq_column(level).is_not(None))
    )


async def load_history(
    connection: AsyncConnection, indicator: UUID, view: View, *, after: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None, int] | None:
    """Return the steps after a seq, oldest first, the seq to continue after if there are more, and the revision.

    `limit` counts entries, of which those that changed nothing are no steps. None if the view has no such indicator.
    """
    revision = await current_revision(connection, view.level)
    seen = select(func.min(col(IndicatorSource.first_global_seq))).where(
        col(IndicatorSource.indicator_id) == indicator, col(IndicatorSource.level) <= view.level
    )
    identity = select(col(Indicator.kind), col(Indicator.place_id), seen.scalar_subquery()).where(col(Indicator.id) == indicator)
    known = (await connection.execute(identity)).one_or_none()
    if known is None:
        return None
    kind, place, first = known
    rested = await connection.execute(evidence_changes().where(OUTCOMES.c.indicator_id == indicator))
    of_evidence = [global_seq for _, level, global_seq in rested if level <= view.level]
    entries = _select_entries(indicator, place, view.level, first or sys.maxsize, of_evidence).order_by(col(LedgerEntry.global_seq))
    if view.time_point.through_global_seq is not None:
        entries = entries.where(col(LedgerEntry.global_seq) <= view.time_point.through_global_seq)
    before: Assessment | None = None
    if after is not None:
        seq = seq_column(view.level)
        last = (await connection.execute(entries.where(seq <= after).order_by(None).order_by(seq.desc()).limit(1))).one_or_none()
        if last is not None:
            known_before = await _assessed_through(connection, indicator, view, last.global_seq)
            before = None if known_before is None else known_before.assessment
        entries = entries.where(seq > after)
    rows = (await connection.execute(entries.limit(limit + 1))).all()
    if not rows and after is None:
        return None
    steps: list[dict[str, Any]] = []
    for row in rows[:limit]:
        past = await _assessed_through(connection, indicator, view, row.global_seq)
        assessment = None if past is None else past.assessment
        await end_slice(WORK_PER_STEP)
        moved = _moved(KINDS[kind].range_fields, before, assessment)
        if moved and past is not None:
            steps.append(_step(row, past, moved))
        before = assessment
    return steps, rows[limit - 1].seq if len(rows) > limit else None, revision


async def _assessed_through(connection: AsyncConnection, indicator: UUID, view: View, global_seq: int) -> PastAssessment | None:
    then = replace(view, time_point=TimePoint(view.time_point.as_of, global_seq))
    return (await assess_at(connection, [indicator], then)).get(indicator)


def _moved(range_fields: frozenset[str], before: Assessment | None, after: Assessment | None) -> list[str]:
    if after is None:
        return []
    old = (before.value if before else None) or {}
    new = after.value or {}
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    moved = []
    if changed - range_fields:
        moved.append("value")
    if changed & range_fields:
        moved.append("range")
    if (before.agreement if before else None) != after.agreement:
        moved.append("agreement")
    if _judged(before) != _judged(after):
        moved.append("judgement")
    return moved


def _judged(assessment: Assessment | None) -> tuple[UUID, bool] | None:
    return (assessment.judgement.id, assessment.lapsed) if assessment and assessment.judgement else None


def _step(row: Any, past: PastAssessment, moved: list[str]) -> dict[str, Any]:
    assessment, level = past.assessment, past.level
    redacted = level < row.redacted_below and row.report_id is not None
    # A report that was raised above this clearance later is not named any more.
    visible = row.report_id is not None and row.report_level <= level
    # The reason of a correction may repeat the superseded report, which may have been raised.
    tells_reason = row.type != "correction" or row.superseded_level is None or row.superseded_level <= level
    # So may that of a judgement repeat a report that it relies on.
    tells_reason &= not any(each.id == row.judgement_id and each.shown_from > level for each in past.inputs.judgements)
    return {
        "seq": row.seq,
        "type": row.type if not redacted else "report" if visible else "tombstone",
        "report": str(row.report_id) if visible else None,
        "reason": row.reason if not redacted and tells_reason and (row.report_id is None or visible) else None,
        "recorded_at": rfc3339(row.recorded_at),
        "moved": moved,
        "value": assessment.value,
        "agreement": assessment.agreement,
        "preferred": str(assessment.preferred.id) if assessment.preferred else None,
        "judgement": str(assessment.judgement.id) if assessment.judgement else None,
    }
