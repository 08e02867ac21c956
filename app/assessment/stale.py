"""Assess the indicators of changed places and sources again, in steps that are short for other writers and survive a crash."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Select, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.assessment.inputs import load_inputs
from app.assessment.keeping import keep_steps
from app.assessment.models import IndicatorProjection, IndicatorSource, StaleRecord
from app.assessment.projection import projection_rows, replace_rows
from app.domain.tlp import MAX_LEVEL
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

# A step takes about 40 ms.
MAX_STEP_INDICATORS = 20
# A process that changed a record may have died, or be a command.
POLL_SECONDS = 5.0
MIN_POLL_SECONDS = 0.2
# Of the time that a step takes. The longer one is for the past while others record, because reads can do without what is kept of it.
PAUSE, PAUSE_WHILE_RECORDING = 3, 20

log = structlog.get_logger(__name__)


async def assess_stale(session: AsyncSession, horizons: Mapping[str, timedelta], record: UUID | None = None) -> bool:
    """Assess the next indicators of a changed place or source again, of any or a given one; return whether there were any."""
    stale = table_of(StaleRecord)
    first = select(stale).order_by(stale.c.record_id).limit(1)
    row = (await session.execute(first if record is None else first.where(stale.c.record_id == record))).one_or_none()
    if row is None:
        return False
    ids, level, after = await _next_indicators(await session.connection(), row)
    inputs = await load_inputs(await session.connection(), ids, horizons)
    await replace_rows(session, ids, [each for own in inputs.values() for each in projection_rows(own)])
    of_record = stale.c.record_id == row.record_id
    if level > MAX_LEVEL:
        await session.execute(delete(stale).where(of_record))
    else:
        await session.execute(update(stale).where(of_record).values(level=level, after=after))
    return True


async def _next_indicators(connection: AsyncConnection, row: Any) -> tuple[list[UUID], int, UUID | None]:
    """Return the next indicators, and the level and identifier to continue after.

    What each clearance sees comes before what it does not see; otherwise how soon a document follows would reveal hidden ones.
    """
    projections, sources = table_of(IndicatorProjection).c, table_of(IndicatorSource).c
    found: list[UUID] = []
    level, after = row.level, row.after
    while level <= MAX_LEVEL and len(found) < MAX_STEP_INDICATORS:
        left, some = MAX_STEP_INDICATORS - len(found), set[UUID]()
        for column, *of_record in (
            (projections.indicator_id, projections.place_id == row.record_id, projections.min_clearance == level),
            (sources.indicator_id, sources.source_id == row.record_id, sources.level == level),
        ):
            ids = select(column).distinct().where(*of_record).order_by(column).limit(left)
            some |= set((await connection.execute(ids if after is None else ids.where(column > after))).scalars())
        found += sorted(some)
        level, after = (level, max(some)) if len(some) == left else (level + 1, None)
    return list(dict.fromkeys(found)), level, after


@asynccontextmanager
async def assessing_stale(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Assess what is stale, and make steps that changes moved again, in the background while the block runs."""
    task = asyncio.create_task(_run(database, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(database: Database, settings: Settings) -> None:
    notifier = database.commit_notifier
    while not notifier.closed:
        version = notifier.version()
        try:
            for make, left, pause_while_recording in _WORK:
                while not notifier.closed and await _is_left(database, left):
                    began = time.monotonic()
                    async with database.write() as session:
                        await make(session, settings.horizons)
                    took, recorded = time.monotonic() - began, notifier.version(MAX_LEVEL)
                    # Longer than others have waited, because SQLite keeps no queue of writers.
                    await asyncio.sleep(PAUSE * took)
                    if notifier.version(MAX_LEVEL) != recorded:
                        await asyncio.sleep((pause_while_recording - PAUSE) * took)
        except (SQLAlchemyError, OSError) as error:
            log.warning("stale_indicators_not_assessed", error=type(error).__name__)
            await asyncio.sleep(POLL_SECONDS)
        await notifier.wait_for_commit(version, POLL_SECONDS)
        # Looking after each commit would cost readers more than what is found a moment later.
        await asyncio.sleep(MIN_POLL_SECONDS)


async def _is_left(database: Database, left: Select[Any]) -> bool:
    async with database.read_latest() as connection:
        return (await connection.execute(left)).first() is not None


_MOVED = col(IndicatorProjection.indicator_id)
# The work, the statement that finds whether anything is left, and the pause while others record.
_WORK = (
    (assess_stale, select(col(StaleRecord.record_id)).limit(1), PAUSE),
    (keep_steps, select(_MOVED).where(col(IndicatorProjection.kept_until).is_not(None)).order_by(_MOVED).limit(1), PAUSE_WHILE_RECORDING),
)
