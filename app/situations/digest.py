"""Changes in a place: between two times of statements, or since a revision of what was recorded. Pure but for loading."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.envelope import Assessment
from app.assessment.judgements import Judgement, latest_judgement
from app.assessment.loading import load_reports, reports_at, visible_at
from app.assessment.statement import Statement
from app.assessment.terms import in_order_of_time
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop
from app.domain.times import start_of
from app.domain.view import View
from app.indicators.past import PastAssessment
from app.ledger.models import LedgerEntry, seq_column
from app.reports.models import Report
from app.situations.checks import Said, is_checked, moved_later, value_of
from app.situations.evidence import Evidence
from app.situations.urgency import MAX_QUIET_DAYS
from app.storage.paging import chunks

# In the order of a digest.
HEADINGS = {
    "new": gettext_noop("New"),
    "corrected": gettext_noop("Corrected"),
    "withdrawn": gettext_noop("Withdrawn"),
    "overtaken": gettext_noop("Overtaken"),
    "contested": gettext_noop("Newly contested"),
    "moved_later": gettext_noop("Moved later without a delivery"),
    "silent": gettext_noop("Gone silent"),
}
# Of a period, the last recorded.
MAX_REPORTS = 1000


@dataclass(frozen=True, slots=True)
class Period:
    """Both sides of a digest: a place at two views; `since` is the time of the first.

    `after_revision` is that of the first, None where the views differ by what was stated.
    """

    before: View
    after: View
    since: datetime
    after_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One change of one indicator: the reports that make it, or the judgement, and the values before and after it."""

    change: str
    of: PastAssessment
    reports: Sequence[Statement]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    was: str | None = None
    gone_silent_days: int = 0
    judgement: Judgement | None = None


@dataclass(slots=True)
class Changes:
    """The reports of a period: both states of each that the reader sees now, and the reports that correct others.

    It is `cut` if there were more than MAX_REPORTS.
    """

    cut: bool = False
    before: dict[UUID, Statement] = field(default_factory=dict)
    after: dict[UUID, Statement] = field(default_factory=dict)
    corrections: dict[UUID, UUID] = field(default_factory=dict)
    indicators: dict[UUID, UUID] = field(default_factory=dict)


async def load_changes(connection: AsyncConnection, indicators: Collection[UUID], period: Period) -> Changes:
    """Load the reports on some indicators that were stated, or about which something was recorded, in a period."""
    level, then = period.after.level, period.after.time_point
    ids: dict[UUID, None] = {}
    for some in chunks(indicators):
        if period.after_revision is None:
            assert period.before.time_point.as_of is not None
            stated = (col(Report.stated_at) > period.before.time_point.as_of, *reports_at(then), *visible_at(level, then))
            wanted: Select[Any] = (
                select(col(Report.id)).where(col(Report.indicator_id).in_(some), *stated).order_by(col(Report.global_seq).desc())
            )
        else:
            wanted = select(col(LedgerEntry.report_id)).where(
                col(LedgerEntry.indicator_id).in_(some), col(LedgerEntry.report_id).is_not(None), seq_column(level) > period.after_revision
            )
            if then.through_global_seq is not None:
                wanted = wanted.where(col(LedgerEntry.global_seq) <= then.through_global_seq)
            wanted = wanted.order_by(col(LedgerEntry.global_seq).desc())
        ids |= dict.fromkeys((await connection.execute(wanted.limit(MAX_REPORTS + 1))).scalars())
    changes = Changes(cut=len(ids) > MAX_REPORTS)
    ids = dict.fromkeys(list(ids)[:MAX_REPORTS])
    rows = [
        row
        for some in chunks(ids)
        for column in (col(Report.id), col(Report.supersedes))
        for row in await connection.execute(
            select(col(Report.id), col(Report.supersedes)).where(
                column.in_(some), col(Report.supersedes).is_not(None), *visible_at(level, then), *reports_at(then)
            )
        )
    ]
    changes.corrections = {row.supersedes: row.id for row in rows}
    ids |= dict.fromkeys((*changes.corrections, *changes.corrections.values()))
    states = [await load_reports(connection, ids, each) for each in (period.before.time_point, then)]
    changes.before, changes.after = ({id_: each for id_, each in state.items() if each.level <= level} for state in states)
    for some in chunks(changes.after):
        where = select(col(Report.id), col(Report.indicator_id)).where(col(Report.id).in_(some))
        changes.indicators |= {row.id: row.indicator_id for row in await connection.execute(where)}
    return changes


def build_items(before: Evidence, after: Evidence, changes: Changes, period: Period) -> list[Item]:
    """Return the changes of a place in the order of HEADINGS, each then in the order of a situation, each then by its reports."""
    corrected = list(_of_reports(after, changes, period))
    told = {item.reports[-1].id for item in corrected if item.new is not None}
    found = [*corrected, *_new(before, after, changes, told), *_of_assessments(before, after, changes), *_silence(before, after, period)]
    found += [*_moved(before, after, {each.of.inputs.subject.id for each in found}), *_of_judgements(before, after, period)]
    order, position = list(HEADINGS), {each: at for at, each in enumerate(after)}

    def sort_key(item: Item) -> tuple[int, int, list[tuple[datetime, UUID]]]:
        # The last part because reports come from the database in an order that hidden ones may change.
        return order.index(item.change), position[item.of.inputs.subject.id], [(each.time, each.id) for each in item.reports]

    return sorted(found, key=sort_key)


def shown_level(items: Sequence[Item], before: Evidence) -> int:
    """Return the highest level of what changes show: reports, judgements, and what the values before and after them rest on."""
    levels = [each.level for item in items for each in item.reports]
    for item in items:
        for assessment in (item.of.assessment, _assessment(before, item.of.inputs.subject.id)):
            levels += [each.level for each in assessment.standing]
            # Of a judgement that was withdrawn, too.
            levels += [each.shown_from for each in (item.judgement, assessment.judgement) if item.judgement and each]
    return max(levels, default=0)


def _ended(statement: Statement | None, level: int) -> bool:
    return statement is None or statement.is_retracted_for(level) or statement.is_superseded_for(level)


def _of_reports(after: Evidence, changes: Changes, period: Period) -> Iterator[Item]:
    level = period.after.level
    for id_, each in changes.after.items():
        of, was = after.get(changes.indicators[id_]), changes.before.get(id_)
        # Corrections have no time of their own among statements: a report is superseded as of any time.
        if of is None or (period.after_revision is not None and was is not None and _ended(was, level)):
            continue
        correction = changes.after.get(changes.corrections.get(id_, id_))
        if each.is_superseded_for(level) and correction is not None and correction is not each:
            same = changes.indicators[correction.id] == changes.indicators[id_]
            yield Item("corrected", of, [each, correction], value_of(each), value_of(correction) if same else None)
        elif each.is_retracted_for(level):
            yield Item("withdrawn", of, [each], value_of(each), None)


def _new(before: Evidence, after: Evidence, changes: Changes, told: Collection[UUID]) -> Iterator[Item]:
    said: dict[UUID, list[Statement]] = {}
    for id_, each in changes.after.items():
        of = after.get(changes.indicators[id_])
        if of is not None and id_ not in told and _ended(changes.before.get(id_), of.level) and not _ended(each, of.level):
            said.setdefault(changes.indicators[id_], []).append(each)
    for indicator, reports in said.items():
        was = _assessment(before, indicator)
        yield Item("new", after[indicator], in_order_of_time(reports), was.value, after[indicator].assessment.value, was.agreement)


def _assessment(evidence: Evidence, indicator: UUID) -> Assessment:
    return evidence[indicator].assessment if indicator in evidence else Assessment()


def _of_assessments(before: Evidence, after: Evidence, changes: Changes) -> Iterator[Item]:
    of_place = {
        id_: Said(orjson.loads(each.document()), KINDS[each.inputs.subject.kind], _visible(each), each.assessment)
        for id_, each in after.items()
        if is_checked(KINDS[each.inputs.subject.kind])
    }
    for id_, of in after.items():
        was, now = _assessment(before, id_), of.assessment
        overtaken = {each.id for each, relation in was.relations if relation == "overtaken"}
        for each, relation in now.relations:
            if relation == "overtaken" and each.id not in overtaken:
                yield Item("overtaken", of, [each], value_of(each), now.value)
        if now.agreement == "contested" and was.agreement != "contested":
            against = [each for each, relation in now.relations if relation in ("preferred", "contradicts")]
            yield Item("contested", of, against, was.value, now.value, was.agreement)
        pair = moved_later(of_place[id_], list(of_place.values())) if id_ in of_place else None
        if pair is not None and pair[1].id in changes.after and pair[1].id not in changes.before:
            yield Item("moved_later", of, pair, value_of(pair[0]), value_of(pair[1]))


def _moved(before: Evidence, after: Evidence, told: Collection[UUID]) -> Iterator[Item]:
    """Yield the assessments that something else than reports on them moved, as an outcome does."""
    for id_, of in after.items():
        was, now = _assessment(before, id_), of.assessment
        if id_ not in told and was.value != now.value and was.value is not None and now.value is not None:
            yield Item("new", of, [], was.value, now.value, was.agreement)


def _judged_before(of: PastAssessment | None, period: Period) -> Judgement | None:
    """Return the judgement that stood before a period; among times of statements, one that was withdrawn in the period did."""
    last = None if of is None else latest_judgement(of.inputs.judgements, of.level)
    if of is None or last is None or last.retraction is None:
        return None if of is None else of.assessment.judgement
    withdrawn_at = start_of(last.retraction["recorded_at"])
    return last if last.shown_from <= of.level and period.since < withdrawn_at <= period.after.at else None


def _of_judgements(before: Evidence, after: Evidence, period: Period) -> Iterator[Item]:
    for id_, of in after.items():
        was, now = _judged_before(before.get(id_), period), of.assessment.judgement
        old = None if was is None else was.value.model_dump(mode="json")
        if now is not None and (was is None or was.id != now.id):
            change = "corrected" if was is not None and now.corrects == str(was.id) else "new"
            yield Item(change, of, [], old, now.value.model_dump(mode="json"), judgement=now)
        elif now is None and was is not None and any(each.id == was.id and each.retraction for each in of.inputs.judgements):
            yield Item("withdrawn", of, [], old, None, judgement=was)


def _visible(of: PastAssessment) -> list[Statement]:
    return [each for each in of.inputs.statements if each.level <= of.level]


def _silence(before: Evidence, after: Evidence, period: Period) -> Iterator[Item]:
    """Yield the newest indicator of a place that fell silent in the period, after what was said before it or in it."""
    newest_then, newest = _newest(before), _newest(after)
    if newest is None:
        return
    time, of = newest
    if all(_quiet_days(each[0], period.since) > MAX_QUIET_DAYS for each in (newest_then, newest) if each is not None):
        return
    if (days := _quiet_days(time, period.after.at)) > MAX_QUIET_DAYS:
        last = [each for each in _visible(of) if each.time == time and not _ended(each, of.level)]
        yield Item("silent", of, last[-1:], of.assessment.value, of.assessment.value, gone_silent_days=days)


def _quiet_days(newest: datetime, at: datetime) -> int:
    return (at.date() - newest.date()).days


def _newest(evidence: Evidence) -> tuple[datetime, PastAssessment] | None:
    """Return the time of the newest sound report, of the newest of all where none is sound, and its indicator."""
    for name in ("newest_sound_at", "newest_at"):
        if times := [(time, each) for each in evidence.values() if (time := getattr(each.assessment, name)) is not None]:
            return max(times, key=lambda each: each[0])
    return None
