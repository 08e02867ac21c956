"""Reads from PostgreSQL replicas, which may lag, but never from an older state than the client has already seen."""

import asyncio
import time
from contextlib import AsyncExitStack

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.domain.tlp import LABELS
from app.storage.commit_notifier import Head
from app.storage.consistency import ConsistencyRequirement, current_requirement
from app.storage.database_errors import DATABASE_ERRORS

POLL_SECONDS = 0.01
# After one request has waited for a lagging replica without success, others do not wait for this time.
LAG_BACKOFF_SECONDS = 0.5
ERROR_BACKOFF_SECONDS = 2.0
PROBE_TIMEOUT_SECONDS = 1.0

log = structlog.get_logger(__name__)


class Replica:
    """One or more replicas behind one engine. `wait_seconds` is how long a read waits for one to catch up."""

    def __init__(self, engine: AsyncEngine, *, wait_seconds: float) -> None:
        self.engine = engine
        self._wait_seconds = wait_seconds
        self._lagging_until = 0.0
        self._failing_until = 0.0

    async def connect(self, exit_stack: AsyncExitStack, known: Head | None) -> AsyncConnection | None:
        """Open a connection until the stack exits, or return None if the primary must answer the current request.

        `known` is the head of the primary, as far as this process knows it.
        """
        requirement, now = current_requirement(), time.monotonic()
        if now < self._failing_until or (requirement.latest_required and now < self._lagging_until):
            return None
        try:
            async with AsyncExitStack() as attempt:
                connection = await attempt.enter_async_context(self.engine.connect())
                if not await self._caught_up(connection, requirement, known):
                    return None
                exit_stack.push_async_exit(attempt.pop_all())
                return connection
        except DATABASE_ERRORS as error:
            log.warning("replica_unavailable", error=type(error).__name__)
            self._failing_until = time.monotonic() + ERROR_BACKOFF_SECONDS
            return None

    async def applied_global_seq(self) -> int | None:
        """Return the number of the last ledger entry that the replica has, or None if it does not answer within a second."""
        if time.monotonic() < self._failing_until:
            return None
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS), self.engine.connect() as connection:
                global_seq: int = (await connection.execute(text("SELECT global_seq FROM ledger_head"))).scalar_one()
        except DATABASE_ERRORS:
            return None
        return global_seq

    async def _caught_up(self, connection: AsyncConnection, requirement: ConsistencyRequirement, known: Head | None) -> bool:
        level = requirement.level
        statement = text(f"SELECT commit_count, public_changes, coalesce(seq_{LABELS[level]}, 0) AS seq FROM ledger_head")  # noqa: S608
        deadline = time.monotonic() + self._wait_seconds
        while True:
            applied = (await connection.execute(statement)).one()
            is_latest = known is None or applied.commit_count >= known.commit
            if (is_latest or not requirement.latest_required) and applied.seq >= requirement.min_revision:
                # A commit that this clearance does not see must not keep its responses out of the cache.
                lacks = known is not None and (applied.public_changes < known.public_changes or applied.seq < known.seqs[level])
                requirement.is_latest = requirement.is_latest and not lacks
                return True
            if time.monotonic() >= deadline:
                if not is_latest:
                    self._lagging_until = time.monotonic() + LAG_BACKOFF_SECONDS
                return False
            await asyncio.sleep(POLL_SECONDS)
