"""Reading from replicas of PostgreSQL, which may be behind: never from a state older than the reader has seen."""

import asyncio
import time
from contextlib import AsyncExitStack

import asyncpg
import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.domain.tlp import LABELS
from app.storage.consistency import ConsistencyRequirement, current_requirement

POLL_SECONDS = 0.01
# Once it was waited for in vain, others do not wait as well.
LAG_BACKOFF_SECONDS = 0.5
ERROR_BACKOFF_SECONDS = 2.0
# Who asks how far behind it is does not wait for it as long as a reader may.
PROBE_TIMEOUT_SECONDS = 1.0
REPLICA_ERRORS = (OSError, DBAPIError, PoolTimeoutError, asyncpg.PostgresError, asyncpg.InternalClientError)

log = structlog.get_logger(__name__)


class Replica:
    """One or more replicas behind one engine. `wait_seconds` is how long a read waits for one to catch up."""

    def __init__(self, engine: AsyncEngine, *, wait_seconds: float) -> None:
        self.engine = engine
        self._wait_seconds = wait_seconds
        self._behind_until = 0.0
        self._resting_until = 0.0

    async def connect(self, given_back: AsyncExitStack, writes: int | None) -> AsyncConnection | None:
        """A connection for the request under way, given back at the stack's end; None where the primary is to answer.

        `writes` is the number of the last commit on the primary that was heard of.
        """
        asked, now = current_requirement(), time.monotonic()
        if now < self._resting_until or (asked.latest_required and now < self._behind_until):
            return None
        try:
            async with AsyncExitStack() as held:
                connection = await held.enter_async_context(self.engine.connect())
                if not await self._caught_up(connection, asked, writes):
                    return None
                given_back.push_async_exit(held.pop_all())
                return connection
        except REPLICA_ERRORS as error:
            log.warning("replica_unavailable", error=type(error).__name__)
            self._resting_until = time.monotonic() + ERROR_BACKOFF_SECONDS
            return None

    async def applied_global_seq(self) -> int | None:
        """The number of the last entry of the ledger that the replica has; None when it does not answer within a second."""
        if time.monotonic() < self._resting_until:
            return None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS), self.engine.connect() as connection:
                number: int = (await connection.execute(text("SELECT global_seq FROM ledger_head"))).scalar_one()
        except REPLICA_ERRORS:
            return None
        return number

    async def _caught_up(self, connection: AsyncConnection, asked: ConsistencyRequirement, writes: int | None) -> bool:
        """Whether the replica has all that the reader has seen, waiting for it a little."""
        label = LABELS[asked.level]
        deadline = time.monotonic() + self._wait_seconds
        while True:
            here = (await connection.execute(text(f"SELECT commit_count, seq_{label} AS seq FROM ledger_head"))).one()  # noqa: S608 - a fixed name
            newest = writes is None or here.commit_count >= writes
            if (newest or not asked.latest_required) and (here.seq or 0) >= asked.min_revision:
                asked.is_latest = asked.is_latest and newest
                return True
            if time.monotonic() >= deadline:
                if not newest:
                    self._behind_until = time.monotonic() + LAG_BACKOFF_SECONDS
                return False
            await asyncio.sleep(POLL_SECONDS)
