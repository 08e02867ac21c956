"""Load the statements on indicators from the ledger, at any time point."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, ColumnElement, CompoundSelect, ScalarSelect, Subquery, and_, bindparam, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.kinds.values import Value
from app.domain.time_point import LATEST, TimePoint
from app.domain.times import DATE_LENGTH, day_at, end_of
from app.domain.tlp import LABELS, LEVELS, MAX_LEVEL
from app.ledger.models import LedgerEntry
from app.reference.queries import place_timezones, source_names, sources_by_id, sources_by_real_slug
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.paging import chunks
from app.storage.types import table_of

_COPIED = (
    *("global_seq", "id", "stated_at", "recorded_at", "credibility", "method", "directness", "relays"),
    *("url", "title", "quote", "language", "licence"),
)
_REPORTS = table_of(Report).c
# Without those that no assessment reads.
COLUMNS = tuple(
    _REPORTS[name]
    for name in (
        *_COPIED,
        *("indicator_id", "place_id", "source_id", "kind", "value", "via", "origin", "stated_text", "observed_to", "effective_at"),
        *("level", "submitted_level", "highest_level", "superseded_from_level", "retracted_from_level", "ended_global_seq"),
    )
)


def reports_at(time_point: TimePoint) -> list[ColumnElement[bool]]:
    """Return the conditions for reports stated and recorded by a time point."""
    where: list[ColumnElement[bool]] = []
    if time_point.as_of is not None:
        where.append(col(Report.stated_at) <= time_point.as_of)
    if time_point.through_global_seq is not None:
        where.append(col(Report.global_seq) <= time_point.through_global_seq)
    return where


def visible_at(level: int, time_point: TimePoint, reports: Any = _REPORTS) -> list[ColumnElement[bool]]:
    """Return the conditions for reports that a clearance sees now and saw at a time point."""
    if time_point.through_global_seq is None:
        return [reports.level <= level]
    entries = table_of(LedgerEntry).c
    by_then = (entries.report_id == reports.id, entries.type == "label", entries.global_seq <= time_point.through_global_seq)
    last = select(entries.detail["sensitivity"].as_string()).where(*by_then).order_by(entries.global_seq.desc()).limit(1)
    label = last.correlate(reports.id.table).scalar_subquery()
    then = or_(label.in_(LABELS[: level + 1]), and_(label.is_(None), reports.submitted_level <= level))
    return [reports.level <= level, or_(reports.highest_level <= level, then)]


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


def latest_of_source(time_point: TimePoint, *where: ColumnElement[bool]) -> ScalarSelect[int]:
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
    latest = select(latest_of_source(time_point)).select_from(IndicatorSource).where(col(IndicatorSource.indicator_id).in_(ids))
    reports = select(*COLUMNS)
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
    rows = await load_latest_rows(connection, indicators, time_point)
    return by_indicator(rows, await build_statements(connection, rows, time_point))


async def load_latest_rows(connection: AsyncConnection, indicators: Collection[UUID], time_point: TimePoint) -> list[Any]:
    rows: dict[int, Any] = {}
    for ids in chunks(indicators):
        found = await execute_direct(connection, _select_latest(time_point), {"ids": ids}, built_once=time_point == LATEST)
        rows |= {row.global_seq: row for row in found}
    return list(rows.values())


def _newest(where: Sequence[ColumnElement[bool]], limit: int | None) -> Subquery:
    return select(col(Report.global_seq)).where(*where).order_by(col(Report.global_seq).desc()).limit(limit).subquery()


async def load_all(
    connection: AsyncConnection,
    indicators: Collection[UUID],
    time_point: TimePoint = LATEST,
    *,
    level: int = MAX_LEVEL,
    limit: int | None = None,
    limit_by: Mapping[UUID, str] | None = None,
    stated_after: datetime | None = None,
) -> dict[UUID, list[Statement]]:
    """Load every statement that a clearance may see, or those stated after a time.

    With a `limit`, load that many, the last recorded; of each group where `limit_by` has those of the indicators.
    """
    rows: list[Any] = []
    for ids in chunks(indicators):
        where = [col(Report.indicator_id).in_(ids), *([col(Report.level) <= level] if level < MAX_LEVEL else [])]
        where += [] if stated_after is None else [col(Report.stated_at) > stated_after]
        where += reports_at(time_point)
        if limit_by is not None:
            groups = [[each for each in ids if limit_by[each] == group] for group in {limit_by[each] for each in ids}]
            newest = [_newest([col(Report.indicator_id).in_(each), *where], limit) for each in groups]
            where = [col(Report.global_seq).in_(union_all(*(select(each.c.global_seq) for each in newest)))]
        statement = select(*COLUMNS).where(*where)
        latest = statement if limit is None or limit_by is not None else statement.order_by(col(Report.global_seq).desc()).limit(limit)
        rows.extend(await connection.execute(latest))
    return by_indicator(rows, await build_statements(connection, rows, time_point))


async def load_reports(connection: AsyncConnection, ids: Collection[UUID], time_point: TimePoint = LATEST) -> dict[UUID, Statement]:
    """Load some statements, by identifier."""
    rows = [
        row
        for some in chunks(ids)
        for row in await connection.execute(select(*COLUMNS).where(col(Report.id).in_(some), *reports_at(time_point)))
    ]
    return {each.id: each for each in (await build_statements(connection, rows, time_point)).values()}


async def ends_at(connection: AsyncConnection, rows: Sequence[Any], time_point: TimePoint) -> dict[UUID, tuple[int | None, int | None]]:
    """Return the lowest levels for which reports were superseded and retracted at a time point, by report."""
    ended = {row.id: row for row in rows if row.ended_global_seq is not None}
    if time_point.through_global_seq is None:
        return {each: (row.superseded_from_level, row.retracted_from_level) for each, row in ended.items()}
    levels: dict[UUID, tuple[int | None, int | None]] = {}
    for ids in chunks(ended):
        entries = table_of(LedgerEntry).c
        labelled = (entries.report_id == col(Report.id), entries.type == "label", entries.global_seq <= time_point.through_global_seq)
        lowest = select(func.min(entries.level)).where(*labelled).correlate(Report).scalar_subquery()
        newer = select(col(Report.supersedes), col(Report.submitted_level), lowest).where(
            col(Report.supersedes).in_(ids), col(Report.global_seq) <= time_point.through_global_seq
        )
        for superseded, submitted, lowered in await connection.execute(newer):
            assert superseded is not None
            level = max(submitted if lowered is None else min(submitted, lowered), ended[superseded].level)
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
    """Return the effective level of reports whose label was once higher: the current level, but never below the level at that time."""
    if time_point.through_global_seq is None:
        return {}
    declassified = {row.id: row for row in rows if row.level < row.highest_level}
    then = {each: row.submitted_level for each, row in declassified.items()}
    for ids in chunks(declassified):
        changes = select(col(LedgerEntry.report_id), col(LedgerEntry.detail)).where(
            col(LedgerEntry.report_id).in_(ids),
            col(LedgerEntry.type) == "label",
            col(LedgerEntry.global_seq) <= time_point.through_global_seq,
        )
        for report_id, detail in await connection.execute(changes.order_by(col(LedgerEntry.global_seq))):
            assert report_id is not None
            assert detail is not None
            then[report_id] = LEVELS[detail["sensitivity"]]
    return {each: max(row.level, then[each]) for each, row in declassified.items()}


def by_indicator(rows: Sequence[Any], built: Mapping[int, Statement]) -> dict[UUID, list[Statement]]:
    found: dict[UUID, list[Statement]] = {}
    for row in rows:
        found.setdefault(row.indicator_id, []).append(built[row.global_seq])
    return found


@lru_cache(maxsize=10_000)
def _value(kind: str, stored: bytes) -> Value:
    # Sources repeat what they said, and each report on an indicator is assessed with those before it.
    value: Value = KINDS[kind].value_model.model_validate(orjson.loads(stored))
    return value


async def build_statements(
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
            value=_value(row.kind, orjson.dumps(row.value)),
            via=[names[slug] for slug in row.via],
            origin=origins[row.origin] if row.origin is not None else None,
            observed_to=end_of(row.observed_to) if row.observed_to else None,
            day=day_at(time, timezones[row.place_id]),
            date_only=len(time) == DATE_LENGTH,
            level=levels.get(row.id, row.level),
            superseded_from_level=superseded_from_level,
            retracted_from_level=retracted_from_level,
            # By their position: a long history costs what its rows cost.
            **dict(zip(_COPIED, row, strict=False)),
        )
        found[row.global_seq] = statement
    return found
