"""Statements loaded from the ledger for reading."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col, select

from app.db import table_of
from app.kinds import KINDS
from app.ledger.models import Report, Voice
from app.reading.statements import Statement
from app.reference.queries import source_names, sources_by_id

CHUNK = 500


def _standing_anywhere() -> ColumnElement[bool]:
    return and_(col(Report.superseded_level).is_(None), col(Report.retracted_level).is_(None))


def _ended_only_above_its_label() -> ColumnElement[bool]:
    return or_(col(Report.superseded_level) > col(Report.level), col(Report.retracted_level) > col(Report.level))


async def load_latest(connection: AsyncConnection, indicators: Collection[UUID]) -> dict[UUID, list[Statement]]:
    """What may stand on each indicator, at any clearance: the latest of each voice, and what is ended only above its own label.

    The cost follows the number of voices, not the length of the history.
    """
    latest = (
        select(col(Report.number))
        .where(
            col(Report.indicator_id) == col(Voice.indicator_id),
            col(Report.source_id) == col(Voice.source_id),
            col(Report.aspect) == col(Voice.aspect),
            col(Report.level) == col(Voice.level),
            _standing_anywhere(),
        )
        .order_by(col(Report.stated_at).desc(), col(Report.number).desc())
        .limit(1)
        .correlate(Voice)
        .scalar_subquery()
    )
    wanted = list(indicators)
    rows: dict[int, Any] = {}
    for start in range(0, len(wanted), CHUNK):
        some = wanted[start : start + CHUNK]
        numbers = select(latest).select_from(Voice).where(col(Voice.indicator_id).in_(some))
        for where in (
            col(Report.number).in_(numbers),
            and_(col(Report.indicator_id).in_(some), _ended_only_above_its_label()),
        ):
            found = await connection.execute(select(*table_of(Report).c).where(where))
            rows |= {row.number: row for row in found}
    return await _statements(connection, list(rows.values()))


async def load_all(connection: AsyncConnection, indicators: Collection[UUID]) -> dict[UUID, list[Statement]]:
    """Every statement on each indicator."""
    rows: list[Any] = []
    wanted = list(indicators)
    for start in range(0, len(wanted), CHUNK):
        where = col(Report.indicator_id).in_(wanted[start : start + CHUNK])
        rows.extend(await connection.execute(select(*table_of(Report).c).where(where)))
    return await _statements(connection, rows)


async def _statements(connection: AsyncConnection, rows: Sequence[Any]) -> dict[UUID, list[Statement]]:
    sources = await sources_by_id(connection, {row.source_id for row in rows})
    names = await source_names(connection, {slug for row in rows for slug in row.via})
    found: dict[UUID, list[Statement]] = {}
    for row in rows:
        found.setdefault(row.indicator_id, []).append(
            Statement(
                number=row.number,
                id=row.id,
                source=sources[row.source_id],
                value=KINDS[row.kind].value_model.model_validate(row.value),
                stated_at=row.stated_at,
                recorded_at=row.recorded_at,
                credibility=row.credibility,
                method=row.method,
                via=[(slug, names[slug]) for slug in row.via],
                url=row.url,
                title=row.title,
                quote=row.quote,
                language=row.language,
                licence=row.licence,
                level=row.level,
                superseded_level=row.superseded_level,
                retracted_level=row.retracted_level,
            )
        )
    return found
