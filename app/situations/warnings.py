"""Open warnings, soonest first: those that fall due, and those past due until their outcome is recorded."""

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
from app.domain.kinds.base import UNDATED
from app.domain.time_point import LATEST
from app.domain.view import View
from app.indicators.past import documents_at, has_statement, past_state
from app.indicators.queries import revision_for, visible_at
from app.storage.paging import current_revision

# Warnings past due by more days are listed as unresolved.
MAX_PAST_DUE_DAYS = 30

# The day of a warning, UNDATED if it has none, and its indicator.
Position = tuple[date, UUID]


async def load_warnings(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    view: View,
    *,
    within_days: int,
    unresolved: bool,
    after: Position | None,
    limit: int,
) -> tuple[list[str], Position | None, int]:
    """Return a page of warnings as JSON, the last position if there are more, and the revision.

    With `unresolved`, only those past due by more than MAX_PAST_DUE_DAYS; else those due `within_days`, undated ones first.
    `where` has conditions on the places of stored documents; for a view of an earlier time point, on those of indicators.
    """
    revision = await current_revision(connection, view.level)
    today = view.at.date()
    oldest = today - timedelta(days=MAX_PAST_DUE_DAYS)
    days = (
        (UNDATED + timedelta(days=1), oldest - timedelta(days=1))
        if unresolved
        else (oldest, today + min(timedelta(days=within_days), date.max - today))
    )
    if view.time_point == LATEST:
        found = await _stored(connection, where, view.level, days, not unresolved, after, limit + 1)
    else:
        past = await _past(connection, where, view, days, not unresolved)
        found = [each for each in past if after is None or each[0] > after][: limit + 1]
    items = [_item(day, document, view.at) for (day, _), document in found[:limit]]
    return items, found[limit - 1][0] if len(found) > limit else None, revision


async def _stored(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    level: int,
    days: tuple[date, date],
    undated: bool,
    after: Position | None,
    limit: int,
) -> list[tuple[Position, str]]:
    day, identifier = col(IndicatorProjection.warning_day), col(IndicatorProjection.indicator_id)
    listed = or_(day.between(*days), *([day == UNDATED] if undated else []))
    statement = select(day, identifier, col(IndicatorProjection.document), revision_for(level)).where(*visible_at(level), listed, *where)
    if after is not None:
        statement = statement.where(or_(day > after[0], and_(day == after[0], identifier > after[1])))
    rows = await connection.execute(statement.order_by(day, identifier).limit(limit))
    return [((row[0], row[1]), with_revision(row.document, row.revision)) for row in rows]


async def _past(
    connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, days: tuple[date, date], undated: bool
) -> list[tuple[Position, str]]:
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    if (state := await past_state(connection, view)) is None:
        return []
    statement = select(col(Indicator.id)).where(col(Indicator.kind).in_(kinds), *where, has_statement(view))
    past = await documents_at(connection, (await connection.execute(statement)).scalars().all(), view, state)
    found = [((each.warning_day, id_), each.document) for id_, each in past.items() if each.warning_day is not None]
    return sorted(each for each in found if days[0] <= each[0][0] <= days[1] or (undated and each[0][0] == UNDATED))


def _item(day: date, document: str, at: datetime) -> str:
    days_left = None if day == UNDATED else (day - at.date()).days
    due = None if day == UNDATED else day.isoformat()
    head: dict[str, Any] = {"due": due, "days_left": days_left, "past_due": days_left is not None and days_left < 0}
    return f'{orjson.dumps(head).decode()[:-1]},"indicator":{document}}}'
