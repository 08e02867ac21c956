"""Verify stored documents against the ledger."""

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col
from zstandard import ZstdError

from app.assessment.inputs import load_inputs
from app.assessment.keeping import History, load_histories, rows_at, select_times
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource, IndicatorStep, StaleRecord
from app.assessment.projection import projection_rows, replace_rows
from app.assessment.steps import Row, seen_at, stored_content
from app.ledger.verify import indicators_changed_since
from app.reference.models import MIN_EFFECTIVE_FROM
from app.storage.public_changes import COUNT_PUBLIC_CHANGE
from app.storage.types import table_of

MAX_INDICATORS_PER_STEP = 200
# Of an indicator with a long history.
MAX_CHECKED_TIMES = 3

Horizons = Mapping[str, timedelta]


async def _steps(connection: AsyncConnection, since: int = 0) -> AsyncIterator[list[UUID]]:
    after: UUID | None = None
    while True:
        page = select(col(Indicator.id)).order_by(col(Indicator.id)).limit(MAX_INDICATORS_PER_STEP)
        if since:
            page = page.where(col(Indicator.id).in_(indicators_changed_since(since)))
        ids = list((await connection.execute(page if after is None else page.where(col(Indicator.id) > after))).scalars())
        if not ids:
            return
        yield ids
        after = ids[-1]


async def _rows_from_ledger(connection: AsyncConnection, ids: list[UUID], horizons: Horizons) -> dict[UUID, list[dict[str, Any]]]:
    inputs = await load_inputs(connection, ids, horizons)
    # All statements, not only those that may stand, in order to verify that selection, too.
    statements = await load_all(connection, ids)
    for each, found in inputs.items():
        found.statements = statements.get(each, [])
    return {each: projection_rows(found) for each, found in inputs.items()}


async def verify_projections(connection: AsyncConnection, horizons: Horizons, since: int = 0) -> AsyncIterator[str]:
    """Assess the indicators that entries after a number changed from the ledger; yield a line for each whose stored documents differ."""
    async for ids in _steps(connection, since):
        try:
            expected = await _rows_from_ledger(connection, ids, horizons)
        except (KeyError, ValueError):
            # An altered report is invalid for its kind or names a missing record: find its indicator.
            expected = {}
            for each in ids:
                with suppress(KeyError, ValueError):
                    expected |= await _rows_from_ledger(connection, [each], horizons)
        stored: dict[UUID, list[dict[str, Any]]] = {each: [] for each in ids}
        rows = select(*table_of(IndicatorProjection).c).where(col(IndicatorProjection.indicator_id).in_(ids))
        for row in (await connection.execute(rows.order_by(col(IndicatorProjection.min_clearance)))).mappings():
            stored[row["indicator_id"]].append(dict(row))
        histories = await load_histories(connection, expected, horizons)
        wrong_steps = {each for each in expected if await _step_differs(connection, each, stored[each], histories.get(each), horizons)}
        for each in ids:
            if each not in expected:
                yield f"indicator {each}: its reports cannot be read"
            elif _documents(stored[each]) != _documents(expected[each]) and not await _is_stale(connection, each):
                yield f"indicator {each}: the stored documents differ from the ledger"
            elif each in wrong_steps and not await _is_stale(connection, each):
                yield f"indicator {each}: the steps that are kept of it differ from the ledger"


async def _step_differs(
    connection: AsyncConnection, indicator: UUID, rows: Sequence[Row], history: History | None, horizons: Horizons
) -> bool:
    """Assess an indicator again as of the times from which another step may be kept, of a long history as of a few of them."""
    until = rows[0]["kept_until"] if rows else MIN_EFFECTIVE_FROM
    made = history.times() if history is not None else await select_times(connection, indicator)
    times = [each for each in made if until is None or each < until]
    some = times if history is not None or len(times) < MAX_CHECKED_TIMES else sorted(random.sample(times, MAX_CHECKED_TIMES))
    steps = table_of(IndicatorStep)
    stored = (await connection.execute(select(steps).where(steps.c.indicator_id == indicator).order_by(steps.c.since))).mappings().all()
    shown: dict[int, tuple[Any, ...]] = {}
    left = list(reversed(stored))
    for at in some:
        while left and left[-1]["since"] <= at:
            try:
                shown |= seen_at([left.pop()], lambda step: stored_content(step["document"]))
            except ZstdError:
                return True
        if shown != seen_at(await rows_at(connection, indicator, at, horizons, history)):
            return True
    return False


def _documents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {"kept_until": None, "newest_step": None} for row in rows]


async def _is_stale(connection: AsyncConnection, indicator: UUID) -> bool:
    """Return whether the service has not yet assessed an indicator again since its place or a source changed."""
    stale, places, sources = table_of(StaleRecord).c, table_of(Indicator).c, table_of(IndicatorSource).c
    of_place = select(places.place_id).where(places.id == indicator)
    shown = union_all(of_place, select(sources.source_id).where(sources.indicator_id == indicator))
    return (await connection.execute(select(stale.record_id).where(stale.record_id.in_(shown)).limit(1))).first() is not None


async def reassess_all(session: AsyncSession, horizons: Horizons) -> int:
    """Assess every indicator again, as after a change of the horizons; return how many there are."""
    count = 0
    connection = await session.connection()
    async for ids in _steps(connection):
        rows = await _rows_from_ledger(connection, ids, horizons)
        await replace_rows(session, ids, [row for each in ids for row in rows[each]])
        count += len(ids)
    # No entry of the ledger shows it.
    await connection.execute(COUNT_PUBLIC_CHANGE)
    return count
