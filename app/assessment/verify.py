"""Verify stored documents against the ledger."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.assessment.inputs import load_inputs
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource, StaleRecord
from app.assessment.projection import projection_rows, replace_rows
from app.ledger.verify import indicators_changed_since
from app.storage.public_changes import COUNT_PUBLIC_CHANGE
from app.storage.types import table_of

MAX_INDICATORS_PER_STEP = 200

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
        for each in ids:
            if each not in expected:
                yield f"indicator {each}: its reports cannot be read"
            elif stored[each] != expected[each] and not await _is_stale(connection, each):
                yield f"indicator {each}: the stored documents differ from the ledger"


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
