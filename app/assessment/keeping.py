"""Make the steps of indicators again that changes moved, a few in one transaction, so that other writers wait little."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, func, insert, select, union, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.assessment.inputs import AssessmentInputs, LastChange, load_inputs, load_outcomes, load_subjects
from app.assessment.judgement_inputs import load_judgements
from app.assessment.loading import load_all
from app.assessment.models import IndicatorProjection, IndicatorSource, IndicatorStep
from app.assessment.projection import projection_rows
from app.assessment.statement import Statement
from app.assessment.steps import Row, seen_at, step_rows
from app.assessment.windows import Window, load_relevant
from app.domain.kinds import KINDS
from app.domain.time_point import TimePoint
from app.domain.tlp import MAX_LEVEL
from app.ledger.evidence import OUTCOMES
from app.reference.models import MIN_EFFECTIVE_FROM, SourceGrade
from app.reference.records import SourceRecord
from app.reports.models import Report
from app.storage.paging import chunks
from app.storage.types import table_of

# For one transaction, which ends where it has taken this time: each step takes about 0.5 ms, or more where many reports matter.
MAX_SECONDS = 0.03
# Of one indicator.
MAX_STEPS = 30
# Indicators whose reports are loaded together, and reports of one from which on those that matter are selected.
MAX_STEP_INDICATORS = 10
MAX_LOADED_REPORTS = 60
# How long steps are made without a turn for other requests; with more turns, writes would wait longer for the database.
MAX_TURN_SECONDS = 0.02

_PROJECTIONS, _STEPS, _GRADES = table_of(IndicatorProjection), table_of(IndicatorStep), table_of(SourceGrade)
_NEXT = (
    select(_PROJECTIONS.c.indicator_id, func.min(_PROJECTIONS.c.kept_until).label("kept_until"))
    .where(_PROJECTIONS.c.kept_until.is_not(None))
    .group_by(_PROJECTIONS.c.indicator_id)
    .order_by(_PROJECTIONS.c.indicator_id)
    .limit(MAX_STEP_INDICATORS)
)
_NEVER = datetime.max.replace(tzinfo=UTC)
_DELETE = delete(_STEPS).where(
    _STEPS.c.indicator_id == bindparam("of"), _STEPS.c.since >= bindparam("since"), _STEPS.c.since < bindparam("end")
)
_SET_KEPT = (
    update(_PROJECTIONS)
    .where(_PROJECTIONS.c.indicator_id == bindparam("of"))
    .values(kept_until=bindparam("until"), newest_step=bindparam("newest"))
)
_NO_CHANGE = LastChange(0, MIN_EFFECTIVE_FROM)

Horizons = Mapping[str, timedelta]


async def keep_steps(session: AsyncSession, horizons: Horizons) -> bool:
    """Make steps again that were moved; return whether there were any."""
    connection = await session.connection()
    moved = {row.indicator_id: row.kept_until for row in await connection.execute(_NEXT)}
    histories = await load_histories(connection, moved, horizons)
    steps: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    started = turn = monotonic()
    for indicator, since in moved.items():
        history = histories.get(indicator)
        if kept and (history is None or monotonic() > started + MAX_SECONDS):
            break
        is_long = history is None
        times = history.times(since) if history is not None else await select_times(connection, indicator, since, MAX_STEPS + 1)
        began = monotonic()
        if is_long and times:
            history = await load_slice(connection, indicator, times[:MAX_STEPS], horizons)
        until = times[MAX_STEPS] if len(times) > MAX_STEPS else None
        before: dict[int, tuple[Any, ...]] = {}
        # As long as loading took, which is for nothing otherwise.
        end = max(2 * monotonic() - began, began + MAX_SECONDS) if is_long else started + MAX_SECONDS
        for number, at in enumerate(times[:MAX_STEPS]):
            if number and monotonic() > end:
                until = at
                break
            rows = await rows_at(connection, indicator, at, horizons, history)
            steps += step_rows(rows, at, before)
            before = seen_at(rows)
            if monotonic() > turn + MAX_TURN_SECONDS:
                await asyncio.sleep(0)
                turn = monotonic()
        newest = None if until is not None else times[-1] if times else since
        kept.append({"of": indicator, "since": since, "end": until or _NEVER, "until": until, "newest": newest})
        if is_long:
            break
    if kept:
        await connection.execute(_DELETE, [{name: each[name] for name in ("of", "since", "end")} for each in kept])
        await connection.execute(_SET_KEPT, [{name: each[name] for name in ("of", "until", "newest")} for each in kept])
    if steps:
        await connection.execute(insert(_STEPS), steps)
    return bool(kept)


@dataclass(frozen=True, slots=True)
class History:
    """Every report, outcome and judgement of an indicator, and the grades of those sources whose grade or party to the conflict changed.

    With a `window`, reports are those that matter as of a time, and those stated later; `lowest` is the lowest label of all by that time.
    """

    inputs: AssessmentInputs
    grades: Mapping[UUID, Sequence[Row]]
    window: Window | None = None
    lowest: int | None = None

    def times(self, since: datetime = MIN_EFFECTIVE_FROM) -> list[datetime]:
        """Return the times at which the assessment may change, from a time on."""
        said = [*self.inputs.statements, *(each.evidence for each in self.inputs.outcomes)]
        times = {*(each.stated_at for each in said), *(each.recorded_at for each in self.inputs.judgements)}
        sources = {source.id for each in said for source in (each.source, each.origin) if source is not None}
        times |= {grade["effective_from"] for each in sources for grade in self.grades.get(each, ())}
        return sorted(each for each in times if each >= since and each > MIN_EFFECTIVE_FROM)

    def rows_at(self, at: datetime) -> list[dict[str, Any]] | None:
        """Assess the indicator as of a time; return the projection rows of the clearances that see a report by then. Pure.

        Return None if reports may matter that are not among those of the window.
        """
        statements = self._by(at, self.inputs.statements)
        if not statements:
            return []
        outcomes = [
            replace(each, evidence=self._graded(each.evidence, at)) for each in self.inputs.outcomes if each.evidence.stated_at <= at
        ]
        if (window := self.window) is not None:
            # Reports of the window with its latest, of which some may be so no more, and all that is stated since.
            now = Window(window.since, statements, [*self._by(at, window.latest), *statements], self._by(at, window.endless))
            if now.needed_since(KINDS[self.inputs.subject.kind], self.inputs.horizon, outcomes) < window.since:
                return None
        lowest = min(each.level for each in statements)
        if self.lowest is not None:
            lowest = min(lowest, self.lowest)
        seen = dict.fromkeys(range(lowest, MAX_LEVEL + 1), _NO_CHANGE)
        judgements = [each for each in self.inputs.judgements if each.recorded_at <= at]
        return projection_rows(replace(self.inputs, statements=statements, outcomes=outcomes, judgements=judgements, last_changes=seen))

    def _by(self, at: datetime, said: Iterable[Statement]) -> list[Statement]:
        return [self._graded(each, at) for each in said if each.stated_at <= at]

    def _graded(self, each: Statement, at: datetime) -> Statement:
        origin = None if each.origin is None else self._source(each.origin, at)
        source = self._source(each.source, at)
        return each if source is each.source and origin is each.origin else replace(each, source=source, origin=origin)

    def _source(self, source: SourceRecord, at: datetime) -> SourceRecord:
        if source.id not in self.grades:
            return source
        in_force: dict[str, Any] = {}
        for grade in self.grades[source.id]:
            if grade["effective_from"] <= at:
                in_force |= {name: grade[name] for name in ("reliability", "party_to_conflict") if grade[name] is not None}
        return replace(source, **in_force)


async def load_histories(connection: AsyncConnection, ids: Collection[UUID], horizons: Horizons) -> dict[UUID, History]:
    """Load the history of each of some indicators, given MAX_LOADED_REPORTS reports at most."""
    numbers = select(col(Report.indicator_id)).where(col(Report.indicator_id).in_(bindparam("ids", expanding=True)))
    numbers = numbers.group_by(col(Report.indicator_id)).having(func.count() <= MAX_LOADED_REPORTS)
    short = list((await connection.execute(numbers, {"ids": list(ids)})).scalars()) if ids else []
    if not short:
        return {}
    subjects = await load_subjects(connection, short)
    outcomes = await load_outcomes(connection, {each: subject.kind for each, subject in subjects.items()})
    judgements = await load_judgements(connection, subjects)
    statements = await load_all(connection, short)
    said = [each for own in statements.values() for each in own] + [each.evidence for own in outcomes.values() for each in own]
    changed = await _changed_grades(connection, said)
    found: dict[UUID, History] = {}
    for each, subject in subjects.items():
        inputs = (statements.get(each, []), outcomes.get(each, []), judgements.get(each, []))
        found[each] = History(AssessmentInputs(subject, horizons[subject.kind], *inputs), changed)
    return found


async def _changed_grades(connection: AsyncConnection, said: Iterable[Statement]) -> dict[UUID, list[Row]]:
    grades: dict[UUID, list[Row]] = {}
    for some in chunks({source.id for each in said for source in (each.source, each.origin) if source is not None}):
        of_some = select(*_GRADES.c).where(_GRADES.c.source_id.in_(some)).order_by(_GRADES.c.effective_from, _GRADES.c.global_seq)
        for row in (await connection.execute(of_some)).mappings():
            grades.setdefault(row["source_id"], []).append(row)
    return {each: own for each, own in grades.items() if len(own) > 1}


async def load_slice(connection: AsyncConnection, indicator: UUID, times: Sequence[datetime], horizons: Horizons) -> History | None:
    """Load what matters to an indicator at the first of some times, and what is stated until the last; None where that may not suffice."""
    first, last = times[0], times[-1]
    subjects = await load_subjects(connection, [indicator])
    subject, horizon = subjects[indicator], horizons[subjects[indicator].kind]
    kinds, zones = {indicator: subject.kind}, {subject.place.id: subject.place.timezone}
    outcomes = (await load_outcomes(connection, kinds)).get(indicator, [])
    by_then = [each for each in outcomes if each.evidence.stated_at <= first]
    windows = await load_relevant(connection, kinds, horizons, {indicator: by_then}, {}, zones, TimePoint(first))
    later = (await load_all(connection, [indicator], TimePoint(last), stated_after=first)).get(indicator, [])
    judged = await load_judgements(connection, subjects)
    if judged or indicator not in windows or any(each.time < windows[indicator].since for each in later):
        return None
    window = windows[indicator]
    said = [*window.loaded, *later]
    seen = [*said, *window.latest, *window.endless, *(each.evidence for each in outcomes)]
    grades = await _changed_grades(connection, seen)
    return History(AssessmentInputs(subject, horizon, said, outcomes), grades, window, await _lowest_level(connection, indicator, first))


async def _lowest_level(connection: AsyncConnection, indicator: UUID, as_of: datetime) -> int | None:
    seen = select(func.min(col(Report.level))).where(col(Report.indicator_id) == indicator, col(Report.stated_at) <= as_of)
    found: int | None = (await connection.execute(seen)).scalar_one()
    return found


async def select_times(
    connection: AsyncConnection, indicator: UUID, since: datetime = MIN_EFFECTIVE_FROM, limit: int | None = None
) -> list[datetime]:
    """Return the times at which the assessment of an indicator may change, from a time on, or the first of them."""
    stated = col(Report.stated_at)
    parts: tuple[Select[Any], ...] = (
        select(stated.label("at")).where(col(Report.indicator_id) == indicator, stated >= since),
        select(stated.label("at"))
        .join(OUTCOMES, OUTCOMES.c.report_id == col(Report.id))
        .where(OUTCOMES.c.indicator_id == indicator, OUTCOMES.c.type == "outcome", stated >= since),
        select(_GRADES.c.effective_from.label("at"))
        .join(IndicatorSource, col(IndicatorSource.source_id) == _GRADES.c.source_id)
        .where(col(IndicatorSource.indicator_id) == indicator, _GRADES.c.effective_from >= since, _GRADES.c.global_seq > 0),
    )
    # Each by itself, so that the first of a long history are found by an index.
    first = (each.distinct().order_by(each.selected_columns.at).limit(limit).subquery() for each in parts)
    times = union(*(select(each.c.at) for each in first)).subquery()
    found = set((await connection.execute(select(times.c.at).order_by(times.c.at).limit(limit))).scalars())
    # When a judgement was first recorded is no column.
    judged = await load_judgements(connection, await load_subjects(connection, [indicator]))
    found |= {each.recorded_at for each in judged.get(indicator, ()) if each.recorded_at >= since}
    return sorted(found)[:limit]


async def rows_at(
    connection: AsyncConnection, indicator: UUID, as_of: datetime, horizons: Horizons, history: History | None = None
) -> list[dict[str, Any]]:
    """Assess an indicator as of a time as `History.rows_at` does, from a history if it suffices, else from the reports that matter then."""
    if history is not None and (found := history.rows_at(as_of)) is not None:
        return found
    inputs = (await load_inputs(connection, [indicator], horizons, TimePoint(as_of)))[indicator]
    if (lowest := await _lowest_level(connection, indicator, as_of)) is None:
        return []
    return projection_rows(replace(inputs, last_changes=dict.fromkeys(range(lowest, MAX_LEVEL + 1), _NO_CHANGE)))
