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
from app.domain.kinds.base import LAST_UNDATED, undated_day
from app.domain.time_point import LATEST
from app.domain.view import View
from app.indicators.past import documents_at, has_statement, past_state
from app.indicators.queries import revision_for, visible_at
from app.indicators.steps import STEPS, select_steps, step_documents, step_where
from app.storage.paging import current_revision

# Warnings past due by more days are listed as unresolved, as are undated ones stated more days ago.
MAX_PAST_DUE_DAYS = 30

# The day of a warning, as `Kind.warning_day` gives it, and its indicator.
Position = tuple[date, UUID]
# First and last days.
Spans = Sequence[tuple[date, date]]


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

    With `unresolved`, only those past due by more than MAX_PAST_DUE_DAYS, or undated and older; else those due `within_days`. Undated
    ones come first.
    `where` has conditions on the places of stored documents; for a view of an earlier time point, on those of indicators.
    """
    revision = await current_revision(connection, view.level)
    today = view.at.date()
    oldest = today - timedelta(days=MAX_PAST_DUE_DAYS)
    newest, first_dated = oldest - timedelta(days=1), LAST_UNDATED + timedelta(days=1)
    if unresolved:
        spans = [(date.min, undated_day(newest)), (first_dated, newest)]
    else:
        until = today + min(timedelta(days=within_days), date.max - today)
        spans = [(undated_day(oldest), LAST_UNDATED), (max(oldest, first_dated), until)]
    if view.time_point == LATEST:
        found = await _stored(connection, where, view.level, spans, after, limit + 1)
    else:
        past = await _past(connection, where, view, spans)
        found = [each for each in past if after is None or each[0] > after][: limit + 1]
    items = [_item(day, document, view.at) for (day, _), document in found[:limit]]
    return items, found[limit - 1][0] if len(found) > limit else None, revision


async def _stored(
    connection: AsyncConnection,
    where: Sequence[ColumnElement[bool]],
    level: int,
    spans: Spans,
    after: Position | None,
    limit: int,
) -> list[tuple[Position, str]]:
    day, identifier = col(IndicatorProjection.warning_day), col(IndicatorProjection.indicator_id)
    listed = or_(*(day.between(*each) for each in spans))
    statement = select(day, identifier, col(IndicatorProjection.document), revision_for(level)).where(*visible_at(level), listed, *where)
    if after is not None:
        statement = statement.where(or_(day > after[0], and_(day == after[0], identifier > after[1])))
    rows = await connection.execute(statement.order_by(day, identifier).limit(limit))
    return [((row[0], row[1]), with_revision(row.document, row.revision)) for row in rows]


async def _past(connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View, spans: Spans) -> list[tuple[Position, str]]:
    kinds = [name for name, kind in KINDS.items() if kind.has_outcome]
    if view.time_point.through_global_seq is None:
        listed = or_(*(STEPS.c.warning_day.between(*each) for each in spans))
        steps = (
            select_steps(view.level)
            .add_columns(STEPS.c.warning_day)
            .where(col(IndicatorProjection.kind).in_(kinds), *where, step_where(listed))
        )
        rows = (await connection.execute(steps, {"as_of": view.time_point.as_of})).all()
        dated = [
            ((each.assessed.warning_day if each.assessed else each.row.warning_day, UUID(str(each.row.indicator_id))), each.document)
            for each in await step_documents(connection, rows, view)
        ]
        return _within(spans, dated)
    if (state := await past_state(connection, view)) is None:
        return []
    statement = select(col(Indicator.id)).where(col(Indicator.kind).in_(kinds), *where, has_statement(view))
    past = await documents_at(connection, (await connection.execute(statement)).scalars().all(), view, state)
    return _within(spans, [((each.warning_day, id_), each.document) for id_, each in past.items()])


def _within(spans: Spans, found: Sequence[tuple[tuple[date | None, UUID], str]]) -> list[tuple[Position, str]]:
    """Return the documents whose warnings are due within spans of days, the soonest first."""
    dated = [((day, id_), document) for (day, id_), document in found if day is not None]
    return sorted(each for each in dated if any(first <= each[0][0] <= last for first, last in spans))


def _item(day: date, document: str, at: datetime) -> str:
    is_dated = day > LAST_UNDATED
    days_left = (day - at.date()).days if is_dated else None
    due = day.isoformat() if is_dated else None
    head: dict[str, Any] = {"due": due, "days_left": days_left, "past_due": days_left is not None and days_left < 0}
    return f'{orjson.dumps(head).decode()[:-1]},"indicator":{document}}}'
