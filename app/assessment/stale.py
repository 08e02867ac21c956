"""Assess the indicators of changed places and sources again, in steps that are short for other writers and survive a crash."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.assessment.inputs import load_inputs
from app.assessment.models import Indicator, IndicatorSource, StaleRecord
from app.assessment.projection import projection_rows, replace_rows
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

# Few enough that a step takes less than 100 ms.
MAX_STEP_INDICATORS = 25
# A process that changed a record may have died, or be a command.
POLL_SECONDS = 5.0

log = structlog.get_logger(__name__)


async def assess_stale(session: AsyncSession, horizons: Mapping[str, timedelta], record: UUID | None = None) -> bool:
    """Assess the next indicators of a changed place or source again, of any or a given one; return whether there were any."""
    stale = table_of(StaleRecord)
    first = select(stale).order_by(stale.c.record_id).limit(1)
    row = (await session.execute(first if record is None else first.where(stale.c.record_id == record))).one_or_none()
    if row is None:
        return False
    ids = await _next_indicators(await session.connection(), row.record_id, row.after)
    inputs = await load_inputs(await session.connection(), ids, horizons)
    await replace_rows(session, ids, [each for own in inputs.values() for each in projection_rows(own)])
    of_record = stale.c.record_id == row.record_id
    if len(ids) < MAX_STEP_INDICATORS:
        await session.execute(delete(stale).where(of_record))
    else:
        await session.execute(update(stale).where(of_record).values(after=ids[-1]))
    return True


async def _next_indicators(connection: AsyncConnection, record: UUID, after: UUID | None) -> list[UUID]:
    found: set[UUID] = set()
    for column, owner in ((col(Indicator.id), Indicator.place_id), (col(IndicatorSource.indicator_id), IndicatorSource.source_id)):
        ids = select(column).distinct().where(col(owner) == record).order_by(column).limit(MAX_STEP_INDICATORS)
        found |= set((await connection.execute(ids if after is None else ids.where(column > after))).scalars())
    return sorted(found)[:MAX_STEP_INDICATORS]


@asynccontextmanager
async def assessing_stale(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Assess what is stale in the background while the block runs."""
    task = asyncio.create_task(_run(database, settings))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(database: Database, settings: Settings) -> None:
    notifier = database.commit_notifier
    seen: Any = ()
    while not notifier.closed:
        head, version = notifier.head(), notifier.version()
        # Every change of the table counts as one that all readers may learn of.
        if head is None or head.access != seen:
            try:
                while await _has_stale(database) and not notifier.closed:
                    began = time.monotonic()
                    async with database.write() as session:
                        await assess_stale(session, settings.horizons)
                    # As long as others have waited, because SQLite keeps no queue of writers.
                    await asyncio.sleep(time.monotonic() - began)
                seen = None if head is None else head.access
            except (SQLAlchemyError, OSError) as error:
                log.warning("stale_indicators_not_assessed", error=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)
        if await notifier.wait_for_commit(version, POLL_SECONDS) == version:
            seen = ()


async def _has_stale(database: Database) -> bool:
    async with database.read_latest() as connection:
        return (await connection.execute(select(col(StaleRecord.record_id)).limit(1))).first() is not None
