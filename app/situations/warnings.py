"""Supply run-outs that fall due, soonest first; those past due stay until somebody says what became of them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.loading import CHUNK
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST, TimePoint
from app.indicators.past import assess_at
from app.indicators.queries import revision_for, visible_at
from app.settings import Settings
from app.storage.paging import current_revision

Position = tuple[date, UUID]


async def list_warnings(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    *,
    within_days: int,
    after: Position | None,
    limit: int,
    level: int,
    moment: TimePoint,
    at: datetime,
    settings: Settings,
) -> tuple[list[str], Position | None, int]:
    """A page of warnings due up to `within_days` after the day of `at`; where to go on when there are more; the ledger's head.

    `where` holds conditions on the places of stored readings, for a moment that is past on those of indicators.
    """
    revision = await current_revision(connection, level)
    last_day = at.date() + min(timedelta(days=within_days), date.max - at.date())
    if moment == LATEST:
        found = await _stored(connection, where, last_day, after, limit + 1, level)
    else:
        every = await _past(connection, where, last_day, level, moment, settings)
        found = [each for each in every if after is None or each[0] > after][: limit + 1]
    items = [_item(due, document, at) for (due, _), document in found[:limit]]
    return items, found[limit - 1][0] if len(found) > limit else None, revision


async def _stored(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], last_day: date, after: Position | None, most: int, level: int
) -> list[tuple[Position, str]]:
    due, identifier = col(IndicatorProjection.due_date), col(IndicatorProjection.indicator_id)
    statement = select(due, identifier, col(IndicatorProjection.document), revision_for(level)).where(
        *visible_at(level), due <= last_day, *where
    )
    if after is not None:
        statement = statement.where(or_(due > after[0], and_(due == after[0], identifier > after[1])))
    rows = await connection.execute(statement.order_by(due, identifier).limit(most))
    return [((row[0], row[1]), with_revision(row.document, row.revision)) for row in rows]


async def _past(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], last_day: date, level: int, moment: TimePoint, settings: Settings
) -> list[tuple[Position, str]]:
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    ids = list((await connection.execute(select(col(Indicator.id)).where(col(Indicator.kind).in_(kinds), *where))).scalars())
    found: list[tuple[Position, str]] = []
    for start in range(0, len(ids), CHUNK):
        past = await assess_at(connection, ids[start : start + CHUNK], settings, moment, level)
        found += [
            ((one.due_date, each), one.document()) for each, one in past.items() if one.due_date is not None and one.due_date <= last_day
        ]
    return sorted(found)


def _item(due: date, document: str, at: datetime) -> str:
    left = (due - at.date()).days
    head: dict[str, Any] = {"due": due.isoformat(), "days_left": left, "past_due": left < 0}
    return f'{orjson.dumps(head).decode()[:-1]},"indicator":{document}}}'
