"""Locks on a database that another process could hold."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def locked_ledger(database_url: str) -> AsyncIterator[None]:
    """Hold the lock of the ledger's writer, as a writer that hangs would."""
    if database_url.startswith("sqlite"):
        holder = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
        # In a thread: the application of the test may be amid a write, which ends only while the event loop runs.
        await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")
        holder.close()
    else:
        other = await asyncpg.connect(database_url)
        async with other.transaction():
            await other.execute("SELECT * FROM ledger_head FOR UPDATE")
            yield
        await other.close()
