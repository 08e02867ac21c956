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
from app.assessment.envelope import Outcome, Reading, read
from app.assessment.loading import CHUNK, load_latest
from app.assessment.models import Indicator, Voice
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.time_point import NOW, Moment
from app.domain.tlp import LABELS, TOP
from app.ledger.models import Change
from app.reference.queries import place_facts
from app.reports.models import Report
from app.settings import Settings
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class Touch:
    """The last change to an indicator that a clearance sees: its seq there, and when it was recorded."""

    revision: int
    recorded_at: datetime


@dataclass(slots=True)
class Basis:
    """What one indicator is about, what was said on it, what became of it, and who saw it change last.

    `touches` has the clearances, 0 to 4, that see the indicator at all.
    """

    about: Subject
    topic: str
    horizon: timedelta
    statements: Sequence[Statement] = ()
    outcomes: Sequence[Outcome] = ()
    touches: dict[int, Touch] = field(default_factory=dict)

    def read(self, level: int) -> Reading:
        """The reading for a clearance."""
        return read(KINDS[self.about.kind], self.statements, level=level, horizon=self.horizon, outcomes=self.outcomes)

    def render(self, level: int, reading: Reading) -> str:
        """The document for a clearance, without its revision."""
        return render(self.about, reading, self.touches[level].recorded_at, level)


def horizon_of(kind: str, settings: Settings) -> timedelta:
    """How long a statement of a kind stands behind the newest of its indicator."""
    return timedelta(days=settings.horizon_days.get(kind, KINDS[kind].horizon_days))


# Statements are put together once, or once a moment: to do that costs as much as to run them.
INDICATORS = select(*table_of(Indicator).c).where(col(Indicator.id).in_(bindparam("ids", expanding=True)))
_CHANGES = select(*(table_of(Change).c[name] for name in ("number", "recorded_at", *(f"seq_{label}" for label in LABELS)))).where(
    col(Change.number).in_(bindparam("numbers", expanding=True))
)


async def load_bases(connection: AsyncConnection, ids: Collection[UUID], settings: Settings, moment: Moment = NOW) -> dict[UUID, Basis]:
    """The bases of some indicators, from the ledger alone: with what may stand of their statements."""
    wanted = list(ids)
    rows: list[Any] = []
    for start in range(0, len(wanted), CHUNK):
        rows += await connection.execute(INDICATORS, {"ids": wanted[start : start + CHUNK]})
    places = await place_facts(connection, {row.place_id for row in rows})
    statements = await load_latest(connection, wanted, moment)
    outcomes = await load_outcomes(connection, {row.id: row.kind for row in rows}, moment)
    touches = await _load_touches(connection, wanted, moment)
    return {
        row.id: Basis(
            about=Subject(row.id, row.kind, row.subject, places[row.place_id]),
            topic=row.topic,
            horizon=horizon_of(row.kind, settings),
            statements=statements.get(row.id, []),
            outcomes=outcomes.get(row.id, []),
            touches=touches.get(row.id, {}),
        )
        for row in rows
    }


async def load_outcomes(connection: AsyncConnection, kinds: Mapping[UUID, str], moment: Moment = NOW) -> dict[UUID, list[Outcome]]:
    """What became of the warnings of some indicators, given with their kinds."""
    wanted = [each for each, kind in kinds.items() if KINDS[kind].has_outcome]
    found: dict[UUID, list[Outcome]] = {}
    for start in range(0, len(wanted), CHUNK):
        for row in await connection.execute(_outcomes(moment), {"indicators": wanted[start : start + CHUNK]}):
            found.setdefault(row.indicator_id, []).append(Outcome(row.number, row.level, row.detail["outcome"]))
    return found


@lru_cache(maxsize=32)
def _outcomes(moment: Moment) -> Select[Any]:
    these = col(Change.indicator_id).in_(bindparam("indicators", expanding=True))
    return select(*table_of(Change).c).where(these, col(Change.type) == "outcome", *_by(moment), *_shown_by(moment))


def _by(moment: Moment) -> list[ColumnElement[bool]]:
    return [] if moment.upto is None else [col(Change.number) <= moment.upto]


def _shown_by(moment: Moment) -> list[ColumnElement[bool]]:
    # Before its evidence was stated nobody knew of an outcome.
    if moment.as_of is None:
        return []
    evidence = exists().where(col(Report.id) == col(Change.report_id), col(Report.stated_at) <= moment.as_of).correlate(Change)
    return [or_(col(Change.type) != "outcome", evidence)]


async def _load_touches(connection: AsyncConnection, wanted: Sequence[UUID], moment: Moment) -> dict[UUID, dict[int, Touch]]:
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
        changes |= {row["number"]: row for row in found.mappings()}
    touches: dict[UUID, dict[int, Touch]] = {}
    for indicator, levels in last.items():
        for level in range(TOP + 1):
            seen = [number for at, number in levels.items() if at <= level]
            if seen:
                change = changes[max(seen)]
                touches.setdefault(indicator, {})[level] = Touch(change[f"seq_{LABELS[level]}"], change["recorded_at"])
    return touches


@lru_cache(maxsize=32)
def _last_changes(moment: Moment) -> list[Select[Any]]:
    some: BindParameter[UUID] = bindparam("indicators", expanding=True)
    # One step into an index for each indicator and label, however many changes there are.
    levels = union_all(*(select(literal(level, Integer).label("level")) for level in range(TOP + 1))).subquery("levels")
    last = (
        select(func.max(col(Change.number)))
        .where(col(Change.indicator_id) == col(Indicator.id), col(Change.level) == levels.c.level, *_by(moment), *_shown_by(moment))
        .correlate(Indicator, levels)
        .scalar_subquery()
    )
    spoken = select(col(Indicator.id), levels.c.level, last).select_from(Indicator).join(levels, true())
    # Who may not know of what a correction supersedes does not see it leave.
    leaves_from = case((col(Change.plain_below) > col(Change.level), col(Change.plain_below)), else_=col(Change.level))
    left = select(col(Change.from_indicator_id), leaves_from, col(Change.number)).where(
        col(Change.from_indicator_id).in_(some), *_by(moment)
    )
    # A grade that came into force after `as_of` moves nothing that was read before.
    in_force = [] if moment.as_of is None else [col(Change.recorded_at) <= moment.as_of]
    regraded = (
        select(func.max(col(Change.number)))
        .where(and_(col(Change.source_id) == col(Voice.source_id), col(Change.number) > col(Voice.number)), *_by(moment), *in_force)
        .correlate(Voice)
        .scalar_subquery()
    )
    voices = select(col(Voice.indicator_id), col(Voice.level), regraded).where(col(Voice.indicator_id).in_(some))
    if moment.upto is not None:
        voices = voices.where(col(Voice.number) <= moment.upto)
    return [spoken.where(col(Indicator.id).in_(some)), left, voices]
