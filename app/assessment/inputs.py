"""Load everything that an assessment is computed from out of the ledger, at any time point."""

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

from app.assessment.document import IndicatorIdentity, render
from app.assessment.envelope import Assessment, assess
from app.assessment.judgement_inputs import load_judgements, spoken_of_since
from app.assessment.judgements import Judgement
from app.assessment.loading import load_reports
from app.assessment.models import Indicator, IndicatorSource
from app.assessment.outcomes import Outcome
from app.assessment.policy import NO_POLICY, Policy
from app.assessment.statement import Statement
from app.assessment.windows import load_relevant
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import MAX_LEVEL
from app.ledger.evidence import OUTCOMES, evidence_changes
from app.ledger.models import SEQ_COLUMNS, LedgerEntry, first_recorded
from app.reference.queries import places_by_id
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.paging import chunks
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class LastChange:
    """The last change to an indicator that a clearance sees, by its seq in that clearance's ledger.

    It is `dated` if it counts from a time of its own, so that assessments as of earlier times have an earlier last change.
    """

    revision: int
    recorded_at: datetime
    dated: bool = False


@dataclass(slots=True)
class AssessmentInputs:
    """The statements on one indicator, the outcomes of its warnings, its judgements, and the last change that each clearance sees."""

    subject: IndicatorIdentity
    horizon: timedelta
    statements: list[Statement] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    last_changes: dict[int, LastChange] = field(default_factory=dict)
    # Of all statements under no policy, by clearance and with the statements, because alerts ask for those again.
    _assessed: dict[int, tuple[list[Statement], Assessment]] = field(default_factory=dict)

    def assess(
        self,
        level: int,
        policy: Policy = NO_POLICY,
        statements: Sequence[Statement] | None = None,
        without: Collection[UUID] = frozenset(),
    ) -> Assessment:
        """Assess the indicator for a clearance under a policy, from its statements or others, `without` some and what rests on them."""
        kind = KINDS[self.subject.kind]
        whole = policy is NO_POLICY and not without and (statements is None or len(statements) == len(self.statements))
        if whole and level in self._assessed and self._assessed[level][0] is self.statements:
            return self._assessed[level][1]
        some = [each for each in (self.statements if statements is None else statements) if each.id not in without]
        outcomes = [each for each in self.outcomes if each.evidence.id not in without]
        found = assess(kind, some, level=level, horizon=self.horizon, outcomes=outcomes, judgements=self.judgements, policy=policy)
        if whole:
            self._assessed[level] = self.statements, found
        return found

    def changing_levels(self) -> set[int | None]:
        """Return the levels at which a clearance sees other statements, outcomes or judgements than the one below it; None among them."""
        said = [*self.statements, *(outcome.evidence for outcome in self.outcomes)]
        levels = {end for each in said for end in (each.level, each.superseded_from_level, each.retracted_from_level)}
        levels |= {each.level for each in self.outcomes} | {end for each in self.judgements for end in (each.level, each.shown_from)}
        return levels

    def render(self, level: int, assessment: Assessment) -> str:
        """Render the document for a clearance, without its revision."""
        return render(self.subject, assessment, self.last_changes[level].recorded_at, level)


# Types of the entries that count from a time of their own: the time of the evidence, and that of recording.
DATED = ("outcome", "grade")

# Statements are built once, or once for each time point, because building one costs as much as running it.
_INDICATORS = select(*table_of(Indicator).c).where(col(Indicator.id).in_(bindparam("ids", expanding=True)))
_ENTRIES = select(*(table_of(LedgerEntry).c[name] for name in ("global_seq", "type", "recorded_at", *SEQ_COLUMNS))).where(
    col(LedgerEntry.global_seq).in_(bindparam("ids", expanding=True))
)


async def load_subjects(
    connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint = LATEST
) -> dict[UUID, IndicatorIdentity]:
    """Load the identities of some indicators, with their places as known at a time point."""
    rows = [row for some in chunks(ids) for row in await connection.execute(_INDICATORS, {"ids": some})]
    places = await places_by_id(connection, {row.place_id for row in rows}, time_point)
    return {row.id: IndicatorIdentity(row.id, row.kind, row.subject, row.filter_key, places[row.place_id]) for row in rows}


async def load_inputs(
    connection: AsyncConnection, ids: Collection[UUID], horizons: Mapping[str, timedelta], time_point: TimePoint = LATEST
) -> dict[UUID, AssessmentInputs]:
    """Load the inputs of some indicators, with the statements that may stand, from the ledger alone."""
    subjects = await load_subjects(connection, ids, time_point)
    last_changes = await load_last_changes(connection, ids, time_point)
    return await build_inputs(connection, subjects, last_changes, horizons, time_point)


async def build_inputs(
    connection: AsyncConnection,
    subjects: Mapping[UUID, IndicatorIdentity],
    last_changes: Mapping[UUID, dict[int, LastChange]],
    horizons: Mapping[str, timedelta],
    time_point: TimePoint = LATEST,
) -> dict[UUID, AssessmentInputs]:
    """Build the inputs of indicators, loading their statements, outcomes and judgements."""
    kinds = {each: subject.kind for each, subject in subjects.items()}
    outcomes = await load_outcomes(connection, kinds, time_point)
    judgements = await load_judgements(connection, subjects, time_point)
    since = await spoken_of_since(connection, judgements, time_point)
    timezones = {each.place.id: each.place.timezone for each in subjects.values()}
    windows = await load_relevant(connection, kinds, horizons, outcomes, since, timezones, time_point)
    return {
        each: AssessmentInputs(
            subject,
            horizons[subject.kind],
            list(windows[each].loaded) if each in windows else [],
            outcomes.get(each, []),
            judgements.get(each, []),
            last_changes.get(each, {}),
        )
        for each, subject in subjects.items()
    }


async def load_outcomes(
    connection: AsyncConnection, kinds: Mapping[UUID, str], time_point: TimePoint = LATEST
) -> dict[UUID, list[Outcome]]:
    """Load the outcomes of the warnings of some indicators, given with their kinds."""
    rows = [
        row
        for ids in chunks(each for each, kind in kinds.items() if KINDS[kind].has_outcome)
        for row in await execute_direct(connection, _select_outcomes(time_point), {"ids": ids}, built_once=time_point == LATEST)
    ]
    evidence = await load_reports(connection, {row.report_id for row in rows}, time_point) if rows else {}
    found: dict[UUID, list[Outcome]] = {}
    for row in rows:
        if row.report_id in evidence:
            first = first_recorded(row.recorded_at, row.detail)
            outcome = Outcome(first, row.level, row.detail["outcome"], evidence[row.report_id])
            found.setdefault(row.indicator_id, []).append(outcome)
    return found


@lru_cache(maxsize=32)
def _select_outcomes(time_point: TimePoint) -> Select[Any]:
    ids = col(LedgerEntry.indicator_id).in_(bindparam("ids", expanding=True))
    return select(*table_of(LedgerEntry).c).where(ids, col(LedgerEntry.type) == "outcome", *_entries_at(time_point))


def _recorded_by(time_point: TimePoint) -> list[ColumnElement[bool]]:
    return [] if time_point.through_global_seq is None else [col(LedgerEntry.global_seq) <= time_point.through_global_seq]


def _entries_at(time_point: TimePoint) -> list[ColumnElement[bool]]:
    if time_point.as_of is None:
        return _recorded_by(time_point)
    # An outcome counts from the time at which its evidence was stated. If that was raised since, it must not tell that time.
    shown_from = or_(col(Report.stated_at) <= time_point.as_of, col(Report.level) > col(LedgerEntry.level))
    evidence = exists().where(col(Report.id) == col(LedgerEntry.report_id), shown_from)
    shown = or_(col(LedgerEntry.type) != "outcome", evidence.correlate(LedgerEntry))
    return [*_recorded_by(time_point), shown]


async def load_last_changes(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint) -> dict[UUID, dict[int, LastChange]]:
    """Load the last change of each indicator for each clearance that sees it."""
    last: dict[UUID, dict[int, int]] = {}
    # Every clearance that sees an indicator sees its place change.
    places: dict[UUID, int] = {}
    for some in chunks(ids):
        for statement in _select_last_changes(time_point):
            for indicator, level, global_seq in await connection.execute(statement, {"ids": some}):
                if global_seq is not None and level is None:
                    places[indicator] = global_seq
                elif global_seq is not None:
                    levels = last.setdefault(indicator, {})
                    levels[level] = max(global_seq, levels.get(level, 0))
    wanted = sorted({*places.values(), *(global_seq for levels in last.values() for global_seq in levels.values())})
    entries = {row.global_seq: row for some in chunks(wanted) for row in await connection.execute(_ENTRIES, {"ids": some})}
    found: dict[UUID, dict[int, LastChange]] = {}
    for indicator, levels in last.items():
        for level in range(MAX_LEVEL + 1):
            visible = [global_seq for entry_level, global_seq in levels.items() if entry_level <= level]
            if visible:
                entry = entries[max(*visible, places.get(indicator, 0))]
                found.setdefault(indicator, {})[level] = LastChange(
                    getattr(entry, SEQ_COLUMNS[level]), entry.recorded_at, entry.type in DATED
                )
    return found


@lru_cache(maxsize=32)
def _select_last_changes(time_point: TimePoint) -> tuple[Select[Any], ...]:
    ids: BindParameter[UUID] = bindparam("ids", expanding=True)
    # One index lookup for each indicator and level, however many entries there are.
    levels = union_all(*(select(literal(level, Integer).label("level")) for level in range(MAX_LEVEL + 1))).subquery("levels")
    last = (
        select(func.max(col(LedgerEntry.global_seq)))
        .where(col(LedgerEntry.indicator_id) == col(Indicator.id), col(LedgerEntry.level) == levels.c.level, *_entries_at(time_point))
        .correlate(Indicator, levels)
        .scalar_subquery()
    )
    own = select(col(Indicator.id), levels.c.level, last).select_from(Indicator).join(levels, true()).where(col(Indicator.id).in_(ids))
    # A clearance that must not learn what a correction supersedes does not see it leave this indicator.
    visible_from = case(
        (col(LedgerEntry.redacted_below) > col(LedgerEntry.level), col(LedgerEntry.redacted_below)), else_=col(LedgerEntry.level)
    )
    left = select(col(LedgerEntry.from_indicator_id), visible_from, col(LedgerEntry.global_seq)).where(
        col(LedgerEntry.from_indicator_id).in_(ids), *_recorded_by(time_point)
    )
    # A grade given after `as_of` changed no assessment as of that time.
    later_names = col(LedgerEntry.type) == "source"
    in_force = [] if time_point.as_of is None else [or_(later_names, col(LedgerEntry.recorded_at) <= time_point.as_of)]
    last_grade = (
        select(func.max(col(LedgerEntry.global_seq)))
        .where(
            and_(
                col(LedgerEntry.source_id) == col(IndicatorSource.source_id),
                col(LedgerEntry.global_seq) > col(IndicatorSource.first_global_seq),
            ),
            *_recorded_by(time_point),
            *in_force,
        )
        .correlate(IndicatorSource)
        .scalar_subquery()
    )
    graded = select(col(IndicatorSource.indicator_id), col(IndicatorSource.level), last_grade).where(
        col(IndicatorSource.indicator_id).in_(ids)
    )
    if time_point.through_global_seq is not None:
        graded = graded.where(col(IndicatorSource.first_global_seq) <= time_point.through_global_seq)
    evidence = evidence_changes().where(OUTCOMES.c.indicator_id.in_(ids), *_recorded_by(time_point))
    of_place = select(func.max(col(LedgerEntry.global_seq))).where(
        col(LedgerEntry.record_id) == col(Indicator.place_id), *_recorded_by(time_point)
    )
    places = select(col(Indicator.id), literal(None), of_place.correlate(Indicator).scalar_subquery()).where(col(Indicator.id).in_(ids))
    return own, left, graded, evidence, places
