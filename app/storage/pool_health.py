"""Whether readers stand in a queue for connections to a database that is up."""

import math
import time
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

# What the database said so lately counts as an answer of now.
ANSWERED_SECONDS = 1.0


class PoolHealth:
    """The queue before the connections of one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._answered_at = -math.inf
        event.listen(engine.sync_engine, "after_cursor_execute", self._answered)

    def _answered(self, *_: Any) -> None:
        self._answered_at = time.monotonic()

    @property
    def saturated_but_responsive(self) -> bool:
        """Whether there is no connection left, and the database has answered on one within the last second: it is up, and busy."""
        pool = cast(QueuePool, self._engine.pool)
        return pool.checkedout() >= pool.size() and time.monotonic() - self._answered_at < ANSWERED_SECONDS
