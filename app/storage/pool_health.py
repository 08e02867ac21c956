"""Whether a connection pool is exhausted although the database responds."""

import math
import time
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

# A statement that completed within this time shows that the database responds.
RESPONSIVE_SECONDS = 1.0


class PoolHealth:
    """Watches the pool of one engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._completed_at = -math.inf
        event.listen(engine.sync_engine, "after_cursor_execute", self._on_completed)

    def _on_completed(self, *_: Any) -> None:
        self._completed_at = time.monotonic()

    @property
    def saturated_but_responsive(self) -> bool:
        """Whether every connection is in use and a statement completed within the last second."""
        pool = cast(QueuePool, self._engine.pool)
        return pool.checkedout() >= pool.size() and time.monotonic() - self._completed_at < RESPONSIVE_SECONDS
