"""Proof that each stored document is what the ledger says: every reading is made anew from the statements, and compared."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.assessment.inputs import load_inputs
from app.assessment.loading import load_all
from app.assessment.models import Indicator, IndicatorProjection
from app.assessment.projection import projection_rows, replace_rows
from app.ledger.verify import verify_chain, verify_sqlite_file
from app.settings import Settings
from app.storage.types import table_of

STEP = 200


async def verify_all(connection: AsyncConnection, settings: Settings) -> AsyncIterator[str]:
    """The file, the chains, the readings; yields one line for each thing that is not as it was written.

    What is read has to be one state, so the connection is in a transaction. A file that is damaged is not read any further.
    """
    damaged = False
    async for problem in verify_sqlite_file(connection):
        damaged = True
        yield problem
    if damaged:
        return
    async for problem in verify_chain(connection):
        yield problem
    async for problem in verify_projections(connection, settings):
        yield problem


async def _steps(connection: AsyncConnection) -> AsyncIterator[list[UUID]]:
    after: UUID | None = None
    while True:
        page = select(col(Indicator.id)).order_by(col(Indicator.id)).limit(STEP)
        some = list((await connection.execute(page if after is None else page.where(col(Indicator.id) > after))).scalars())
        if not some:
            return
        yield some
        after = some[-1]


async def _rows_from_ledger(connection: AsyncConnection, some: list[UUID], settings: Settings) -> dict[UUID, list[dict[str, Any]]]:
    bases = await load_inputs(connection, some, settings)
    # Every statement, not only those that may stand, so that the selection by which readings are stored is proved as well.
    statements = await load_all(connection, some)
    for each, basis in bases.items():
        basis.statements = statements.get(each, [])
    return {each: projection_rows(basis) for each, basis in bases.items()}


async def verify_projections(connection: AsyncConnection, settings: Settings) -> AsyncIterator[str]:
    """Read every indicator anew; yields one line for each whose stored documents are not what the ledger says."""
    async for some in _steps(connection):
        try:
            expected = await _rows_from_ledger(connection, some, settings)
        except (KeyError, ValueError):
            # A report that no kind can read, or that names what is not there: altered, so each is tried on its own.
            expected = {}
            for each in some:
                with suppress(KeyError, ValueError):
                    expected |= await _rows_from_ledger(connection, [each], settings)
        stored: dict[UUID, list[dict[str, Any]]] = {each: [] for each in some}
        kept = (
            select(*table_of(IndicatorProjection).c)
            .where(col(IndicatorProjection.indicator_id).in_(some))
            .order_by(col(IndicatorProjection.min_clearance))
        )
        for row in (await connection.execute(kept)).mappings():
            stored[row["indicator_id"]].append(dict(row))
        for each in some:
            if each not in expected:
                yield f"indicator {each}: what was said of it cannot be read"
            elif stored[each] != expected[each]:
                yield f"indicator {each}: the stored reading is not what the ledger says"


async def reassess_all(session: AsyncSession, settings: Settings) -> int:
    """Read every indicator anew and keep that, after a change of the horizons; answers how many there are."""
    count = 0
    connection = await session.connection()
    async for some in _steps(connection):
        rows = await _rows_from_ledger(connection, some, settings)
        await replace_rows(session, some, [row for each in some for row in rows[each]])
        count += len(some)
    return count
