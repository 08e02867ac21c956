"""Verification of everything that the database holds, for `lifeline verify` and for backups."""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncConnection

from app.assessment.verify import Horizons, verify_projections
from app.ledger.verify import verify_chain
from app.storage.sqlite_integrity import verify_sqlite_file


async def verify_all(connection: AsyncConnection, horizons: Horizons) -> AsyncIterator[str]:
    """Yield one line for each problem of the SQLite file, else of the ledger and the indicators, in a transaction that sees one state."""
    corrupt = False
    async for problem in verify_sqlite_file(connection):
        corrupt = True
        yield problem
    if corrupt:
        return
    async for problem in verify_chain(connection):
        yield problem
    async for problem in verify_projections(connection, horizons):
        yield problem
