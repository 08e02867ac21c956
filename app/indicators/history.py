"""How a reading moved: step by step, each naming the change that moved it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.envelope import Assessment
from app.assessment.models import Indicator, IndicatorSource
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.indicators.past import PastAssessment, assess_at
from app.ledger.models import LedgerEntry
from app.ledger.queries import SUPERSEDED
from app.reports.models import Report
from app.settings import Settings
from app.storage.paging import current_revision
from app.storage.types import table_of


def _changes(indicator: UUID, level: int) -> Select[Any]:
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"].label("seq")
    sources = select(col(IndicatorSource.source_id)).where(
        col(IndicatorSource.indicator_id) == indicator, col(IndicatorSource.level) <= level
    )
    columns = (
        col(LedgerEntry.global_seq),
        position,
        col(LedgerEntry.type),
        col(LedgerEntry.redacted_below),
        col(LedgerEntry.report_id),
        col(LedgerEntry.reason),
    )
    about = or_(
        col(LedgerEntry.indicator_id) == indicator,
        # Who may not know of what a correction supersedes does not see it leave.
        and_(col(LedgerEntry.from_indicator_id) == indicator, col(LedgerEntry.redacted_below) <= level),
        col(LedgerEntry.source_id).in_(sources),
    )
    # Nor who may not know of it any more. Apart from the rest, which are steps into indexes of one table.
    left = col(LedgerEntry.from_indicator_id)
    known = or_(left.is_(None), left != indicator, SUPERSEDED.c.level <= level)
    return (
        select(*columns, col(LedgerEntry.recorded_at), col(Report.level).label("report_level"), SUPERSEDED.c.level.label("old_level"))
        .outerjoin(Report, col(Report.id) == col(LedgerEntry.report_id))
        .outerjoin(SUPERSEDED, SUPERSEDED.c.id == col(Report.supersedes))
        .where(about, known, position.is_not(None))
    )


async def list_history(
    connection: AsyncConnection,
    indicator: UUID,
    *,
    after: int | None,
    limit: int,
    level: int,
    moment: TimePoint,
    settings: Settings,
) -> tuple[list[dict[str, Any]], int | None, int] | None:
    """A page of steps, oldest first; the seq to go on from when there are more; the head of the ledger.

    None when this level sees no such indicator. Changes that moved nothing (a report that agrees) are no steps.
    """
    revision = await current_revision(connection, level)
    about = (await connection.execute(select(*table_of(Indicator).c).where(col(Indicator.id) == indicator))).one_or_none()
    changes = _changes(indicator, level).order_by(col(LedgerEntry.global_seq))
    if moment.through_global_seq is not None:
        changes = changes.where(col(LedgerEntry.global_seq) <= moment.through_global_seq)
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    before: Assessment | None = None
    if after is not None:
        last_seen = (
            await connection.execute(changes.where(position <= after).order_by(None).order_by(position.desc()).limit(1))
        ).one_or_none()
        if last_seen is not None:
            before = await _reading(connection, indicator, TimePoint(moment.as_of, last_seen.global_seq), level, settings)
        changes = changes.where(position > after)
    rows = (await connection.execute(changes.limit(limit + 1))).all()
    if about is None or (not rows and after is None):
        return None
    steps: list[dict[str, Any]] = []
    for row in rows[:limit]:
        reading = await _reading(connection, indicator, TimePoint(moment.as_of, row.global_seq), level, settings)
        moved = _moved(KINDS[about.kind].range_fields, before, reading)
        if moved and reading is not None:
            steps.append(_step(row, reading, moved, level))
        before = reading
    return steps, rows[limit - 1].seq if len(rows) > limit else None, revision


async def _reading(connection: AsyncConnection, indicator: UUID, moment: TimePoint, level: int, settings: Settings) -> Assessment | None:
    past: PastAssessment | None = (await assess_at(connection, [indicator], settings, moment, level)).get(indicator)
    return None if past is None else past.assessment


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
    return moved


def _step(row: Any, reading: Assessment, moved: list[str], level: int) -> dict[str, Any]:
    plain = level < row.redacted_below
    # What was told under a label that was raised since is not told any more.
    seen = row.report_id is not None and row.report_level <= level
    type_ = row.type if not plain else "report" if seen else "tombstone"
    # Nor why a statement was corrected that was raised since: the reason may repeat it.
    told = row.type != "correction" or row.old_level is None or row.old_level <= level
    return {
        "seq": row.seq,
        "type": type_,
        "report": str(row.report_id) if seen else None,
        "reason": None if plain or not told or (row.report_id is not None and not seen) else row.reason,
        "recorded_at": rfc3339(row.recorded_at),
        "moved": moved,
        "value": reading.value,
        "agreement": reading.agreement,
        "preferred": str(reading.preferred.id) if reading.preferred else None,
    }
