"""Statements compiled once a test process, not once a database: with a database for each test that would be a fifth of what all cost."""

from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import LRUCache


class SharedDialects:
    """Makes engines that go on with the dialect, and with what was compiled, of the first of their kind that connected."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Dialect, LRUCache[Any, Any]]] = {}

    def create_async_engine(self, address: str, **options: Any) -> AsyncEngine:
        """As SQLAlchemy's."""
        made = create_async_engine(address, **options)
        engine = made.sync_engine
        # A dialect knows the level of isolation of its engine.
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
        # What it would ask the database for at its first connection is known.
        engine.dialect.initialize = lambda _: None  # type: ignore[method-assign]
        engine.dialect = engine.pool._dialect = dialect
        engine._compiled_cache = compiled
