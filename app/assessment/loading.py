"""Statements loaded from the ledger for reading, now or as at a moment."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, ScalarSelect, Select, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorSource
from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.domain.tlp import TOP
from app.ledger.models import LedgerEntry
from app.reference.queries import source_names, sources_by_id
from app.reports.models import Report
from app.storage.types import table_of

CHUNK = 500


def _by(moment: TimePoint) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if moment.as_of is not None:
        where.append(col(Report.stated_at) <= moment.as_of)
    if moment.through_global_seq is not None:
        where.append(col(Report.global_seq) <= moment.through_global_seq)
    return where


def _perhaps_standing(moment: TimePoint) -> ColumnElement[bool]:
    # Ended for those who see its own label as well as for those above, and by then: such a report cannot stand.
    above = or_(
        and_(col(Report.retracted_from_level).is_(None), col(Report.superseded_from_level) > col(Report.level)),
        col(Report.retracted_from_level) > col(Report.level),
    )
    return and_(
        col(Report.ended_global_seq).is_not(None),
        above if moment.through_global_seq is None else or_(above, col(Report.ended_global_seq) > moment.through_global_seq),
    )


def _latest(moment: TimePoint) -> ScalarSelect[int]:
    return (
        select(col(Report.global_seq))
        .where(
            col(Report.indicator_id) == col(IndicatorSource.indicator_id),
            col(Report.source_id) == col(IndicatorSource.source_id),
            col(Report.facet) == col(IndicatorSource.facet),
            col(Report.level) == col(IndicatorSource.level),
            col(Report.ended_global_seq).is_(None),
            *_by(moment),
        )
        .order_by(col(Report.stated_at).desc(), col(Report.global_seq).desc())
        .limit(1)
        .correlate(IndicatorSource)
        .scalar_subquery()
    )


@lru_cache(maxsize=32)
def _that_may_stand(moment: TimePoint) -> tuple[Select[Any], Select[Any]]:
    some: BindParameter[UUID] = bindparam("indicators", expanding=True)
    numbers = select(_latest(moment)).select_from(IndicatorSource).where(col(IndicatorSource.indicator_id).in_(some))
    reports = select(*table_of(Report).c)
    return (
        reports.where(col(Report.global_seq).in_(numbers)),
        reports.where(col(Report.indicator_id).in_(some), _perhaps_standing(moment), *_by(moment)),
    )


async def load_latest(connection: AsyncConnection, indicators: Collection[UUID], moment: TimePoint = LATEST) -> dict[UUID, list[Statement]]:
    """What may stand on each indicator, at any clearance: the latest of each voice, and what is ended only above its own label.

    The cost follows the number of voices, not the length of the history.
    """
    wanted = list(indicators)
    rows: dict[int, Any] = {}
    if moment.through_global_seq is not None:
        # A report whose label was lowered since stands before those that its voice had at that time.
        lowered = select(col(Report.indicator_id)).where(col(Report.lowest_level) < col(Report.submitted_level)).distinct()
        for start in range(0, len(wanted), CHUNK):
            moved = lowered.where(col(Report.indicator_id).in_(wanted[start : start + CHUNK]))
            every = select(*table_of(Report).c).where(col(Report.indicator_id).in_(moved), *_by(moment))
            rows |= {row.global_seq: row for row in await connection.execute(every)}
    for start in range(0, len(wanted), CHUNK):
        for statement in _that_may_stand(moment):
            asked = {"indicators": wanted[start : start + CHUNK]}
            rows |= {row.global_seq: row for row in await connection.execute(statement, asked)}
    return await _statements(connection, list(rows.values()), moment)


async def load_all(
    connection: AsyncConnection, indicators: Collection[UUID], moment: TimePoint = LATEST, *, level: int = TOP, most: int | None = None
) -> dict[UUID, list[Statement]]:
    """Every statement on each indicator that a clearance may see, or of all of them the `most` last recorded."""
    rows: list[Any] = []
    wanted = list(indicators)
    for start in range(0, len(wanted), CHUNK):
        where = [col(Report.indicator_id).in_(wanted[start : start + CHUNK]), *([col(Report.level) <= level] if level < TOP else [])]
        statement = select(*table_of(Report).c).where(*where, *_by(moment)).order_by(col(Report.global_seq).desc()).limit(most)
        rows.extend(await connection.execute(statement))
    return await _statements(connection, rows, moment)


async def ends_at(connection: AsyncConnection, rows: Sequence[Any], moment: TimePoint) -> dict[UUID, tuple[int | None, int | None]]:
    """From which level on reports were superseded and retracted at a moment, by report."""
    ended = {row.id: row for row in rows if row.ended_global_seq is not None}
    if moment.through_global_seq is None:
        return {each: (row.superseded_from_level, row.retracted_from_level) for each, row in ended.items()}
    levels: dict[UUID, tuple[int | None, int | None]] = {}
    ids = list(ended)
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        newer = select(col(Report.supersedes), col(Report.lowest_level)).where(
            col(Report.supersedes).in_(some), col(Report.global_seq) <= moment.through_global_seq
        )
        superseding: list[tuple[Any, int]] = [(row[0], row[1]) for row in await connection.execute(newer)]
        for superseded, level in superseding:
            found = max(level, ended[superseded].level)
            before = levels.get(superseded, (None, None))[0]
            levels[superseded] = (found if before is None else min(before, found), None)
        retracted = select(col(LedgerEntry.report_id)).where(
            col(LedgerEntry.report_id).in_(some),
            col(LedgerEntry.type) == "retraction",
            col(LedgerEntry.global_seq) <= moment.through_global_seq,
        )
        withdrawn: list[Any] = list((await connection.execute(retracted)).scalars())
        for report_id in withdrawn:
            levels[report_id] = (levels.get(report_id, (None, None))[0], ended[report_id].level)
    return levels


async def _levels(connection: AsyncConnection, rows: Sequence[Any], moment: TimePoint) -> dict[UUID, int]:
    """The labels in force of reports that were lowered: today's, but nobody sees them before the lowering let him."""
    if moment.through_global_seq is None:
        return {}
    lowered = {row.id: row for row in rows if row.lowest_level < row.submitted_level}
    lowest = {each: row.submitted_level for each, row in lowered.items()}
    ids = list(lowered)
    for start in range(0, len(ids), CHUNK):
        told = select(col(LedgerEntry.report_id), col(LedgerEntry.level)).where(
            col(LedgerEntry.report_id).in_(ids[start : start + CHUNK]),
            col(LedgerEntry.type) == "label",
            col(LedgerEntry.global_seq) <= moment.through_global_seq,
        )
        changes: list[Any] = list(await connection.execute(told))
        for report_id, level in changes:
            lowest[report_id] = min(level, lowest[report_id])
    return {each: max(row.level, lowest[each]) for each, row in lowered.items()}


async def _statements(connection: AsyncConnection, rows: Sequence[Any], moment: TimePoint) -> dict[UUID, list[Statement]]:
    sources = await sources_by_id(connection, {row.source_id for row in rows}, moment)
    names = await source_names(connection, {slug for row in rows for slug in row.via})
    ends = await ends_at(connection, rows, moment)
    levels = await _levels(connection, rows, moment)
    found: dict[UUID, list[Statement]] = {}
    for row in rows:
        superseded_level, retracted_level = ends.get(row.id, (None, None))
        found.setdefault(row.indicator_id, []).append(
            Statement(
                number=row.global_seq,
                id=row.id,
                source=sources[row.source_id],
                value=KINDS[row.kind].value_model.model_validate(row.value),
                stated_at=row.stated_at,
                recorded_at=row.recorded_at,
                credibility=row.credibility,
                method=row.method,
                via=[names[slug] for slug in row.via],
                url=row.url,
                title=row.title,
                quote=row.quote,
                language=row.language,
                licence=row.licence,
                level=levels.get(row.id, row.level),
                superseded_level=superseded_level,
                retracted_level=retracted_level,
            )
        )
    return found
