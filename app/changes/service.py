"""The change feed of one process: clients that wait at the same position share one query."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from app.access.dependencies import credential_expiry, credential_still_valid
from app.access.principal import Principal
from app.changes.queries import ServedChange, changes_after
from app.changes.schemas import ALL_CHANGES, ChangeFilters
from app.domain.times import utc_now
from app.storage.commit_notifier import Version
from app.storage.consistency import current_requirement
from app.storage.database import DRAIN_SECONDS, Database
from app.storage.paging import current_revision

Page = tuple[list[ServedChange], int, int]
T = TypeVar("T")

# Size of the pages that are kept for other clients.
MAX_SHARED_CHARACTERS = 16_000_000


class ChangeFeed:
    """Serves changes to the waiting clients of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages: dict[tuple[Any, ...], asyncio.Task[Page]] = {}
        self._pages_characters = 0
        self._expiries: dict[Principal, asyncio.Task[datetime | None]] = {}
        self._expiries_version: Version | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait up to DRAIN_SECONDS for shared queries, which outlive the clients that started them."""
        if self._running:
            await asyncio.wait(self._running, timeout=DRAIN_SECONDS)

    def _share(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def stopping(self) -> bool:
        """Whether the process is shutting down, so that waiting clients must be released."""
        return self._database.commit_notifier.closed

    def version(self, level: int) -> Version | None:
        """Return the version of a clearance's ledger, to be read before a page and passed to `wait`; None if it is unknown."""
        return self._database.commit_notifier.version(level)

    async def head(self, level: int) -> int:
        """Return the position of the last change that a clearance sees."""
        current_requirement().require_latest()
        async with self._database.read() as connection:
            return await current_revision(connection, level)

    async def page(self, seq: int, *, limit: int, level: int, filters: ChangeFilters = ALL_CHANGES) -> Page:
        """Return what `changes_after` returns; clients that ask for the same page at the same version share one query."""
        version, min_revision = self.version(level), current_requirement().min_revision
        if version is None:
            return await self._fetch(seq, limit, level, filters)
        if self._pages_characters > MAX_SHARED_CHARACTERS:
            self._pages, self._pages_characters = {}, 0
        key = (version, seq, limit, level, filters)
        task = self._pages.get(key)
        if task is None:
            self._pages[key] = task = self._share(self._fetch(seq, limit, level, filters))
            pages = self._pages
            task.add_done_callback(lambda done: self._on_fetched(pages, key, done))
        # Shielded, because a client that disconnects must not cancel the query for the others.
        page = task.result() if task.done() else await asyncio.shield(task)
        # The client may have seen a newer revision than this process has heard of.
        return page if page[2] >= min_revision else await self._fetch(seq, limit, level, filters)

    async def _fetch(self, seq: int, limit: int, level: int, filters: ChangeFilters) -> Page:
        # Waiters are woken once per commit: a lagging replica would miss the change.
        current_requirement().require_latest()
        async with self._database.read() as connection:
            return await changes_after(connection, seq, limit=limit, level=level, filters=filters)

    def _on_fetched(self, pages: dict[tuple[Any, ...], asyncio.Task[Page]], key: tuple[Any, ...], done: asyncio.Task[Page]) -> None:
        if done.cancelled() or done.exception() is not None:
            pages.pop(key, None)
        elif pages is self._pages:
            self._pages_characters += 1000 + sum(len(change.json) for change in done.result()[0])

    async def still_valid(self, caller: Principal) -> bool:
        """Return whether the caller's credential is still valid.

        Clients with the same credential share one query per version of the keys, because only its change or the clock can end it.
        """
        if caller.key_id is None:
            return True
        if caller.expires_at is not None and caller.expires_at <= utc_now():
            return False
        head = self._database.commit_notifier.head()
        if head is None:
            return await credential_still_valid(caller, self._database)
        if head.access != self._expiries_version:
            self._expiries, self._expiries_version = {}, head.access
        task = self._expiries.get(caller)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            self._expiries[caller] = task = self._share(credential_expiry(caller, self._database))
        expiry = task.result() if task.done() else await asyncio.shield(task)
        return expiry is None or expiry > utc_now()

    async def wait(self, since: Version | None, seconds: float, level: int) -> bool:
        """Wait for a commit that a clearance may learn of, after the version `since`, or for shutdown; False if neither came in time."""
        return await self._database.commit_notifier.wait_for_commit(since, seconds, level) != since or self.stopping
