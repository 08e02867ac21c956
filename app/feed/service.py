"""Many waiting readers, one query: what they wait for is fetched once for all that stand at the same place."""

import asyncio
from collections import OrderedDict
from typing import Any

from app.db import Database
from app.feed.queries import EVERYTHING, Selection, Served, changes_after

Page = tuple[list[Served], int, int]

MOST_PAGES = 256


class Feed:
    """The ledger as one process serves it to waiting readers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages: OrderedDict[tuple[Any, ...], asyncio.Task[Page]] = OrderedDict()

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end: nobody is to wait any longer."""
        return self._database.signal.closed

    def version(self) -> int | None:
        """The version of the database, to be asked for before a page."""
        return self._database.signal.version()

    async def page(self, seq: int, *, limit: int, level: int, selection: Selection = EVERYTHING) -> Page:
        """As `changes_after`; readers who ask for the same at the same version share one query."""
        version = self.version()
        if version is None:
            return await self._fetch(seq, limit, level, selection)
        key = (version, seq, limit, level, selection)
        task = self._pages.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch(seq, limit, level, selection))
            self._pages[key] = task
            task.add_done_callback(lambda done: self._forget_failed(key, done))
            while len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
        # One reader who goes away does not take the page from the others.
        return await asyncio.shield(task)

    async def _fetch(self, seq: int, limit: int, level: int, selection: Selection) -> Page:
        async with self._database.read() as connection:
            return await changes_after(connection, seq, limit=limit, level=level, selection=selection)

    def _forget_failed(self, key: tuple[Any, ...], done: asyncio.Task[Page]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._pages.pop(key, None)

    async def wait(self, since: int | None, seconds: float) -> None:
        """Wait until something is committed after `since`, or for so long."""
        await self._database.signal.changed(since, seconds)
