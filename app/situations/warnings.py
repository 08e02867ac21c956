"""Warnings that fall due, soonest first; those past due are listed until their outcome is recorded."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.models import Indicator, IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.time_point import LATEST
from app.domain.view import View
from app.indicators.past import documents_at, has_statement, past_state
from app.indicators.queries import revision_for, visible_at
from app.storage.paging import current_revision

# The due date of a warning, and its indicator.
Position = tuple[date, UUID]


async def load_warnings(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    view: View,
    *,
    within_days: int,
    after: Position | None,
    limit: int,
) -> tuple[list[str], Position | None, int]:
    """Return a page of warnings as JSON, the last position if there are more, and the revision.

    `where` has conditions on the places of stored documents; for a view of an earlier time point, on those of indicators.
    """
    revision = await current_revision(connection, view.level)
    today = view.at.date()
    last_day = today + min(timedelta(days=within_days), date.max - today)
    if view.time_point == LATEST:
        found = await _stored(connection, where, view.level, last_day, after, limit + 1)
    else:
        past = await _past(connection, where, view, last_day)
        found = [each for each in past if after is None or each[0] > after][: limit + 1]
    items = [_item(due, document, view.at) for (due, _), document in found[:limit]]
    return items, found[limit - 1][0] if len(found) > limit else None, revision


async def _stored(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], level: int, last_day: date, after: Position | None, limit: int
) -> list[tuple[Position, str]]:
    due, identifier = col(IndicatorProjection.due_date), col(IndicatorProjection.indicator_id)
    statement = select(due, identifier, col(IndicatorProjection.document), revision_for(level)).where(
        *visible_at(level), due <= last_day, *where
    )
    if after is not None:
        statement = statement.where(or_(due > after[0], and_(due == after[0], identifier > after[1])))
    rows = await connection.execute(statement.order_by(due, identifier).limit(limit))
    return [((row[0], row[1]), with_revision(row.document, row.revision)) for row in rows]


async def _past(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, last_day: date
) -> list[tuple[Position, str]]:
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    if (state := await past_state(connection, view)) is None:
        return []
    statement = select(col(Indicator.id)).where(col(Indicator.kind).in_(kinds), *where, has_statement(view))
    ids = (await connection.execute(statement)).scalars().all()
    past = await documents_at(connection, ids, view, state)
    return sorted(
        ((each.due_date, id_), each.document) for id_, each in past.items() if each.due_date is not None and each.due_date <= last_day
    )


def _item(due: date, document: str, at: datetime) -> str:
    days_left = (due - at.date()).days
    head: dict[str, Any] = {"due": due.isoformat(), "days_left": days_left, "past_due": days_left < 0}
    return f'{orjson.dumps(head).decode()[:-1]},"indicator":{document}}}'
