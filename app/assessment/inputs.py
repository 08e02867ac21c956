"""All that a reading is made from, taken from the ledger: now, or as at a moment."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import Subject, render
from app.assessment.envelope import Assessment, Outcome, assess
from app.assessment.loading import CHUNK, load_latest
from app.assessment.models import Indicator, IndicatorSource
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import LABELS, TOP
from app.ledger.models import LedgerEntry
from app.reference.queries import places_by_id
from app.reports.models import Report
from app.settings import Settings
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class LastChange:
    """The last change to an indicator that a clearance sees: its seq there, and when it was recorded."""

    revision: int
    recorded_at: datetime


@dataclass(slots=True)
class AssessmentInputs:
    """What one indicator is about, what was said on it, what became of it, and who saw it change last.

    `touches` has the clearances, 0 to 4, that see the indicator at all.
    """

    subject: Subject
    filter_key: str
    horizon: timedelta
    statements: Sequence[Statement] = ()
    outcomes: Sequence[Outcome] = ()
    last_changes: dict[int, LastChange] = field(default_factory=dict)

    def assess(self, level: int) -> Assessment:
        """The reading for a clearance."""
        return assess(KINDS[self.subject.kind], self.statements, level=level, horizon=self.horizon, outcomes=self.outcomes)

    def render(self, level: int, reading: Assessment) -> str:
        """The document for a clearance, without its revision."""
        return render(self.subject, reading, self.last_changes[level].recorded_at, level)


def horizon_of(kind: str, settings: Settings) -> timedelta:
    """How long a statement of a kind stands behind the newest of its indicator."""
    return timedelta(days=settings.horizon_days.get(kind, KINDS[kind].horizon_days))


# Statements are put together once, or once a moment: to do that costs as much as to run them.
INDICATORS = select(*table_of(Indicator).c).where(col(Indicator.id).in_(bindparam("ids", expanding=True)))
_CHANGES = select(*(table_of(LedgerEntry).c[name] for name in ("global_seq", "recorded_at", *(f"seq_{label}" for label in LABELS)))).where(
    col(LedgerEntry.global_seq).in_(bindparam("numbers", expanding=True))
)


async def load_inputs(
    connection: AsyncConnection, ids: Collection[UUID], settings: Settings, moment: TimePoint = LATEST
) -> dict[UUID, AssessmentInputs]:
    """The bases of some indicators, from the ledger alone: with what may stand of their statements."""
    wanted = list(ids)
    rows: list[Any] = []
    for start in range(0, len(wanted), CHUNK):
        rows += await connection.execute(INDICATORS, {"ids": wanted[start : start + CHUNK]})
    places = await places_by_id(connection, {row.place_id for row in rows})
    statements = await load_latest(connection, wanted, moment)
    outcomes = await load_outcomes(connection, {row.id: row.kind for row in rows}, moment)
    touches = await _load_touches(connection, wanted, moment)
    return {
        row.id: AssessmentInputs(
            subject=Subject(row.id, row.kind, row.subject, places[row.place_id]),
            filter_key=row.filter_key,
            horizon=horizon_of(row.kind, settings),
            statements=statements.get(row.id, []),
            outcomes=outcomes.get(row.id, []),
            last_changes=touches.get(row.id, {}),
        )
        for row in rows
    }


async def load_outcomes(connection: AsyncConnection, kinds: Mapping[UUID, str], moment: TimePoint = LATEST) -> dict[UUID, list[Outcome]]:
    """What became of the warnings of some indicators, given with their kinds."""
    wanted = [each for each, kind in kinds.items() if KINDS[kind].has_outcome]
    found: dict[UUID, list[Outcome]] = {}
    for start in range(0, len(wanted), CHUNK):
        for row in await connection.execute(_outcomes(moment), {"indicators": wanted[start : start + CHUNK]}):
            found.setdefault(row.indicator_id, []).append(Outcome(row.global_seq, row.level, row.detail["outcome"]))
    return found


@lru_cache(maxsize=32)
def _outcomes(moment: TimePoint) -> Select[Any]:
    these = col(LedgerEntry.indicator_id).in_(bindparam("indicators", expanding=True))
    return select(*table_of(LedgerEntry).c).where(these, col(LedgerEntry.type) == "outcome", *_by(moment), *_shown_by(moment))


def _by(moment: TimePoint) -> list[ColumnElement[bool]]:
    return [] if moment.through_global_seq is None else [col(LedgerEntry.global_seq) <= moment.through_global_seq]


def _shown_by(moment: TimePoint) -> list[ColumnElement[bool]]:
    # Before its evidence was stated nobody knew of an outcome.
    if moment.as_of is None:
        return []
    evidence = exists().where(col(Report.id) == col(LedgerEntry.report_id), col(Report.stated_at) <= moment.as_of).correlate(LedgerEntry)
    return [or_(col(LedgerEntry.type) != "outcome", evidence)]


async def _load_touches(connection: AsyncConnection, wanted: Sequence[UUID], moment: TimePoint) -> dict[UUID, dict[int, LastChange]]:
    last: dict[UUID, dict[int, int]] = {}
    for start in range(0, len(wanted), CHUNK):
        for statement in _last_changes(moment):
            for indicator, level, number in await connection.execute(statement, {"indicators": wanted[start : start + CHUNK]}):
                if number is not None:
                    levels = last.setdefault(indicator, {})
                    levels[level] = max(number, levels.get(level, 0))
    numbers = sorted({number for levels in last.values() for number in levels.values()})
    changes: dict[int, Any] = {}
    for start in range(0, len(numbers), CHUNK):
        found = await connection.execute(_CHANGES, {"numbers": numbers[start : start + CHUNK]})
        changes |= {row["global_seq"]: row for row in found.mappings()}
    touches: dict[UUID, dict[int, LastChange]] = {}
    for indicator, levels in last.items():
        for level in range(TOP + 1):
            seen = [number for at, number in levels.items() if at <= level]
            if seen:
                change = changes[max(seen)]
                touches.setdefault(indicator, {})[level] = LastChange(change[f"seq_{LABELS[level]}"], change["recorded_at"])
    return touches


@lru_cache(maxsize=32)
def _last_changes(moment: TimePoint) -> list[Select[Any]]:
    some: BindParameter[UUID] = bindparam("indicators", expanding=True)
    # One step into an index for each indicator and label, however many changes there are.
    levels = union_all(*(select(literal(level, Integer).label("level")) for level in range(TOP + 1))).subquery("levels")
    last = (
        select(func.max(col(LedgerEntry.global_seq)))
        .where(
            col(LedgerEntry.indicator_id) == col(Indicator.id), col(LedgerEntry.level) == levels.c.level, *_by(moment), *_shown_by(moment)
        )
        .correlate(Indicator, levels)
        .scalar_subquery()
    )
    spoken = select(col(Indicator.id), levels.c.level, last).select_from(Indicator).join(levels, true())
    # Who may not know of what a correction supersedes does not see it leave.
    leaves_from = case(
        (col(LedgerEntry.redacted_below) > col(LedgerEntry.level), col(LedgerEntry.redacted_below)), else_=col(LedgerEntry.level)
    )
    left = select(col(LedgerEntry.from_indicator_id), leaves_from, col(LedgerEntry.global_seq)).where(
        col(LedgerEntry.from_indicator_id).in_(some), *_by(moment)
    )
    # A grade that came into force after `as_of` moves nothing that was read before.
    in_force = [] if moment.as_of is None else [col(LedgerEntry.recorded_at) <= moment.as_of]
    regraded = (
        select(func.max(col(LedgerEntry.global_seq)))
        .where(
            and_(
                col(LedgerEntry.source_id) == col(IndicatorSource.source_id),
                col(LedgerEntry.global_seq) > col(IndicatorSource.first_global_seq),
            ),
            *_by(moment),
            *in_force,
        )
        .correlate(IndicatorSource)
        .scalar_subquery()
    )
    voices = select(col(IndicatorSource.indicator_id), col(IndicatorSource.level), regraded).where(
        col(IndicatorSource.indicator_id).in_(some)
    )
    if moment.through_global_seq is not None:
        voices = voices.where(col(IndicatorSource.first_global_seq) <= moment.through_global_seq)
    return [spoken.where(col(Indicator.id).in_(some)), left, voices]
