"""Load the statements on indicators from the ledger, at any time point."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, CompoundSelect, ScalarSelect, Uuid, and_, bindparam, literal, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.assessment.outcomes import Outcome
from app.assessment.relevance import EVERYTHING, MARGIN, first_cut, is_replaced, needed_since
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import DATE_LENGTH, day_at, end_of
from app.domain.tlp import MAX_LEVEL
from app.ledger.models import LedgerEntry
from app.reference.queries import place_timezones, source_names, sources_by_id, sources_by_real_slug
from app.reports.models import Report
from app.storage.paging import chunks
from app.storage.types import UtcDateTime, table_of


def reports_at(time_point: TimePoint) -> list[ColumnElement[bool]]:
    """Return the conditions for reports stated and recorded by a time point."""
    where: list[ColumnElement[bool]] = []
    if time_point.as_of is not None:
        where.append(col(Report.stated_at) <= time_point.as_of)
    if time_point.through_global_seq is not None:
        where.append(col(Report.global_seq) <= time_point.through_global_seq)
    return where


def _standing_though_ended(time_point: TimePoint) -> ColumnElement[bool]:
    # A report that is superseded or retracted at its own level stands for no clearance. One that was reinstated has neither level.
    superseded = col(Report.superseded_from_level)
    above = or_(
        and_(col(Report.retracted_from_level).is_(None), or_(superseded.is_(None), superseded > col(Report.level))),
        col(Report.retracted_from_level) > col(Report.level),
    )
    if time_point.through_global_seq is not None:
        above = or_(above, col(Report.ended_global_seq) > time_point.through_global_seq)
    return and_(col(Report.ended_global_seq).is_not(None), above)


def _latest_of_source(time_point: TimePoint, *where: ColumnElement[bool]) -> ScalarSelect[int]:
    return (
        select(col(Report.global_seq))
        .where(
            col(Report.indicator_id) == col(IndicatorSource.indicator_id),
            col(Report.source_id) == col(IndicatorSource.source_id),
            col(Report.facet) == col(IndicatorSource.facet),
            col(Report.level) == col(IndicatorSource.level),
            col(Report.ended_global_seq).is_(None),
            *reports_at(time_point),
            *where,
        )
        .order_by(col(Report.effective_at).desc(), col(Report.global_seq).desc())
        .limit(1)
        .correlate(IndicatorSource)
        .scalar_subquery()
    )


@lru_cache(maxsize=32)
def _select_latest(time_point: TimePoint) -> CompoundSelect[Any]:
    ids: BindParameter[UUID] = bindparam("ids", expanding=True)
    latest = select(_latest_of_source(time_point)).select_from(IndicatorSource).where(col(IndicatorSource.indicator_id).in_(ids))
    reports = select(*table_of(Report).c)
    return union_all(
        reports.where(col(Report.global_seq).in_(latest)),
        reports.where(col(Report.indicator_id).in_(ids), _standing_though_ended(time_point), *reports_at(time_point)),
    )


async def load_latest(
    connection: AsyncConnection, indicators: Collection[UUID], time_point: TimePoint = LATEST
) -> dict[UUID, list[Statement]]:
    """Load the latest statement of each source for each facet and level; the cost grows with the number of sources, not of reports.

    Load also those that were reinstated, and those that stand only below the level from which they are superseded or retracted.
    """
    rows = await _latest_rows(connection, indicators, time_point)
    return _by_indicator(rows, await _statements(connection, rows, time_point))


async def _latest_rows(connection: AsyncConnection, indicators: Collection[UUID], time_point: TimePoint) -> list[Any]:
    rows: dict[int, Any] = {}
    for ids in chunks(indicators):
        rows |= {row.global_seq: row for row in await connection.execute(_select_latest(time_point), {"ids": ids})}
    return list(rows.values())


# Indicators in one statement: those of a group of reports share few, while a statement for any number of them would be compiled each time.
CUTS_PER_STATEMENT = 16


@lru_cache(maxsize=64)
def _select_since(time_point: TimePoint, count: int) -> CompoundSelect[Any]:
    """Select the reports on some indicators, each since a time, and before it the latest endless report of each source, facet and level."""
    cuts = [(bindparam(f"indicator_{at}", type_=Uuid), bindparam(f"since_{at}", type_=UtcDateTime)) for at in range(count)]
    since = or_(*(and_(col(Report.indicator_id) == indicator, col(Report.effective_at) >= since) for indicator, since in cuts))
    endless = [
        select(_latest_of_source(time_point, table_of(Report).c.endless, col(Report.effective_at) < since))
        .select_from(IndicatorSource)
        .where(col(IndicatorSource.indicator_id) == indicator)
        for indicator, since in cuts
    ]
    recent, before = (select(literal(is_before).label("is_before"), *table_of(Report).c) for is_before in (0, 1))
    return union_all(recent.where(since, *reports_at(time_point)), before.where(col(Report.global_seq).in_(union_all(*endless))))


async def load_relevant(
    connection: AsyncConnection,
    kinds: Mapping[UUID, str],
    horizons: Mapping[str, timedelta],
    outcomes: Mapping[UUID, Sequence[Outcome]],
    from_times: Mapping[UUID, datetime],
    timezones: Mapping[UUID, str],
    time_point: TimePoint = LATEST,
) -> dict[UUID, list[Statement]]:
    """Load every statement that can matter to the assessments of some indicators, given with their kinds and their places' time zones.

    The cost grows with the reports since the newest sound one less the horizon, and since the oldest that passes no horizon and still may
    stand; see `app.assessment.relevance`. Of an indicator with a time in `from_times`, every report since then matters as well.
    """
    latest_rows = await _latest_rows(connection, kinds, time_point)
    newest: dict[UUID, datetime] = {}
    for row in latest_rows:
        newest[row.indicator_id] = max(row.effective_at, newest.get(row.indicator_id, row.effective_at))
    built: dict[int, Statement] = {}
    found: dict[UUID, list[Statement]] = {}
    pending = {each: first_cut(min(time, from_times.get(each, time)), horizons[kinds[each]]) for each, time in newest.items()}
    pending |= dict.fromkeys((each for each in newest if KINDS[kinds[each]].reads_all), EVERYTHING)
    if time_point.through_global_seq is not None:
        # A report that was declassified later had a higher level then, of which its source may have no other report.
        pending |= dict.fromkeys(await _declassified(connection, kinds), EVERYTHING)
    while pending:
        rows, endless_rows = await _load_since(connection, pending, time_point)
        wanted = {row.global_seq: row for row in (*latest_rows, *rows, *endless_rows) if row.global_seq not in built}
        built |= await _statements(connection, list(wanted.values()), time_point, timezones)
        latest, endless = _by_indicator(latest_rows, built), _by_indicator(endless_rows, built)
        found |= {each: [] for each in pending} | _by_indicator(rows, built)
        earlier: dict[UUID, datetime] = {}
        for each, since in pending.items():
            kind, loaded = KINDS[kinds[each]], found[each]
            lasting = [other for other in latest.get(each, ()) if kind.is_endless(other.value) and other.time < since]
            needed = needed_since(kind, latest.get(each, ()), loaded, since, horizons[kind.name], outcomes.get(each, ()))
            alive = [other.time - MARGIN for other in (*lasting, *endless.get(each, ())) if not is_replaced(kind, other, loaded, since)]
            needed = max(EVERYTHING, min([needed, *alive]))
            if needed < since:
                earlier[each] = needed
        pending = earlier
    return found


async def _declassified(connection: AsyncConnection, indicators: Collection[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    for ids in chunks(indicators):
        lowered = col(Report.lowest_level) < col(Report.submitted_level)
        found |= set(await connection.scalars(select(col(Report.indicator_id)).where(lowered, col(Report.indicator_id).in_(ids))))
    return found


async def _load_since(connection: AsyncConnection, cuts: Mapping[UUID, datetime], time_point: TimePoint) -> tuple[list[Any], list[Any]]:
    found: tuple[list[Any], list[Any]] = [], []
    items = list(cuts.items())
    while items:
        some, items = items[:CUTS_PER_STATEMENT], items[CUTS_PER_STATEMENT:]
        # Of two sizes only, so that a statement is compiled once; the last one stands for those that are not there.
        some += [some[-1]] * (CUTS_PER_STATEMENT - len(some) if len(some) > 1 else 0)
        parameters = {
            name: value for at, pair in enumerate(some) for name, value in zip((f"indicator_{at}", f"since_{at}"), pair, strict=True)
        }
        for row in await connection.execute(_select_since(time_point, len(some)), parameters):
            found[row.is_before].append(row)
    return found


async def load_all(
    connection: AsyncConnection,
    indicators: Collection[UUID],
    time_point: TimePoint = LATEST,
    *,
    level: int = MAX_LEVEL,
    limit: int | None = None,
) -> dict[UUID, list[Statement]]:
    """Load every statement that a clearance may see; with a `limit`, only that many, the last recorded."""
    rows: list[Any] = []
    for ids in chunks(indicators):
        where = [col(Report.indicator_id).in_(ids), *([col(Report.level) <= level] if level < MAX_LEVEL else [])]
        statement = select(*table_of(Report).c).where(*where, *reports_at(time_point))
        latest = statement if limit is None else statement.order_by(col(Report.global_seq).desc()).limit(limit)
        rows.extend(await connection.execute(latest))
    return _by_indicator(rows, await _statements(connection, rows, time_point))


async def load_reports(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint = LATEST) -> dict[UUID, Statement]:
    """Load some statements, by identifier."""
    rows = [
        row
        for some in chunks(ids)
        for row in await connection.execute(select(*table_of(Report).c).where(col(Report.id).in_(some), *reports_at(time_point)))
    ]
    return {each.id: each for each in (await _statements(connection, rows, time_point)).values()}


async def ends_at(connection: AsyncConnection, rows: Sequence[Any], time_point: TimePoint) -> dict[UUID, tuple[int | None, int | None]]:
    """Return the lowest levels for which reports were superseded and retracted at a time point, by report."""
    ended = {row.id: row for row in rows if row.ended_global_seq is not None}
    if time_point.through_global_seq is None:
        return {each: (row.superseded_from_level, row.retracted_from_level) for each, row in ended.items()}
    levels: dict[UUID, tuple[int | None, int | None]] = {}
    for ids in chunks(ended):
        newer = select(col(Report.supersedes), col(Report.lowest_level)).where(
            col(Report.supersedes).in_(ids), col(Report.global_seq) <= time_point.through_global_seq
        )
        for superseded, newer_level in await connection.execute(newer):
            assert superseded is not None
            level = max(newer_level, ended[superseded].level)
            before = levels.get(superseded, (None, None))[0]
            levels[superseded] = (level if before is None else min(before, level), None)
        retracted = select(col(LedgerEntry.report_id), col(LedgerEntry.type)).where(
            col(LedgerEntry.report_id).in_(ids),
            col(LedgerEntry.type).in_(("retraction", "reinstatement")),
            col(LedgerEntry.global_seq) <= time_point.through_global_seq,
        )
        for report_id, type_ in await connection.execute(retracted.order_by(col(LedgerEntry.global_seq))):
            assert report_id is not None
            level_ = ended[report_id].level if type_ == "retraction" else None
            levels[report_id] = (levels.get(report_id, (None, None))[0], level_)
    return levels


async def effective_levels(connection: AsyncConnection, rows: Sequence[Any], time_point: TimePoint) -> dict[UUID, int]:
    """Return the effective level of declassified reports: the current level, but never below the level at that time."""
    if time_point.through_global_seq is None:
        return {}
    declassified = {row.id: row for row in rows if row.lowest_level < row.submitted_level}
    lowest = {each: row.submitted_level for each, row in declassified.items()}
    for ids in chunks(declassified):
        changes = select(col(LedgerEntry.report_id), col(LedgerEntry.level)).where(
            col(LedgerEntry.report_id).in_(ids),
            col(LedgerEntry.type) == "label",
            col(LedgerEntry.global_seq) <= time_point.through_global_seq,
        )
        for report_id, level in await connection.execute(changes):
            assert report_id is not None
            lowest[report_id] = min(level, lowest[report_id])
    return {each: max(row.level, lowest[each]) for each, row in declassified.items()}


_COPIED = (
    *("global_seq", "id", "stated_at", "recorded_at", "credibility", "method", "directness", "relays"),
    *("url", "title", "quote", "language", "licence"),
)


def _by_indicator(rows: Sequence[Any], built: Mapping[int, Statement]) -> dict[UUID, list[Statement]]:
    found: dict[UUID, list[Statement]] = {}
    for row in rows:
        found.setdefault(row.indicator_id, []).append(built[row.global_seq])
    return found


async def _statements(
    connection: AsyncConnection, rows: Sequence[Any], time_point: TimePoint, timezones: Mapping[UUID, str] | None = None
) -> dict[int, Statement]:
    """Build the statements of rows, by the number of their entry."""
    if not rows:
        return {}
    sources = await sources_by_id(connection, {row.source_id for row in rows}, time_point)
    names = await source_names(connection, {slug for row in rows for slug in row.via}, time_point)
    origins = await sources_by_real_slug(connection, {row.origin for row in rows if row.origin is not None}, time_point)
    timezones = timezones or await place_timezones(connection, {row.place_id for row in rows}, time_point)
    ends = await ends_at(connection, rows, time_point)
    levels = await effective_levels(connection, rows, time_point)
    found: dict[int, Statement] = {}
    for row in rows:
        superseded_from_level, retracted_from_level = ends.get(row.id, (None, None))
        time = row.observed_to or row.stated_text
        statement = Statement(
            source=sources[row.source_id],
            value=KINDS[row.kind].value_model.model_validate(row.value),
            via=[names[slug] for slug in row.via],
            origin=origins[row.origin] if row.origin is not None else None,
            observed_to=end_of(row.observed_to) if row.observed_to else None,
            day=day_at(time, timezones[row.place_id]),
            date_only=len(time) == DATE_LENGTH,
            level=levels.get(row.id, row.level),
            superseded_from_level=superseded_from_level,
            retracted_from_level=retracted_from_level,
            **{name: getattr(row, name) for name in _COPIED},
        )
        found[row.global_seq] = statement
    return found
