"""Many waiting readers, one query: what they wait for is fetched once for all that stand at the same place."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select

from app.access.dependencies import credential_expiry, credential_still_valid
from app.access.principal import Principal
from app.changes.queries import ALL_CHANGES, ChangeFilters, ServedChange, changes_after
from app.domain.times import utc_now
from app.storage.consistency import ConsistencyRequirement, current_requirement, set_current
from app.storage.database import DRAIN_SECONDS, Database
from app.storage.paging import head_seq

Page = tuple[list[ServedChange], int, int]
T = TypeVar("T")

# Characters of pages that are held for others who ask for the same.
MAX_SHARED_CHARACTERS = 16_000_000


class ChangeFeed:
    """The ledger as one process serves it to waiting readers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shared: dict[tuple[Any, ...], asyncio.Task[Page]] = {}
        self._shared_at: int | None = None
        self._shared_size = 0
        self._keys: dict[Principal, asyncio.Task[datetime | None]] = {}
        self._keys_at: int | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Wait a moment for what readers share: it goes on when all of them have gone away."""
        if self._running:
            await asyncio.wait(self._running, timeout=DRAIN_SECONDS)

    def _share(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    @property
    def stopping(self) -> bool:
        """Whether the process is about to end: nobody is to wait any longer."""
        return self._database.commit_notifier.closed

    def version(self) -> int | None:
        """The version of the database, to be asked for before a page."""
        return self._database.commit_notifier.version()

    async def head(self, level: int) -> int:
        """The seq of the last change that a clearance sees."""
        _require_latest()
        async with self._database.read() as connection:
            return (await connection.execute(select(head_seq(level)))).scalar_one() or 0

    async def page(self, seq: int, *, limit: int, level: int, selection: ChangeFilters = ALL_CHANGES) -> Page:
        """As `changes_after`; readers who ask for the same at the same version share one query."""
        version, seen = self.version(), current_requirement().min_revision
        if version is None:
            return await self._fetch(seq, limit, level, selection)
        if version != self._shared_at or self._shared_size > MAX_SHARED_CHARACTERS:
            self._shared, self._shared_at, self._shared_size = {}, version, 0
        key = (seq, limit, level, selection)
        task = self._shared.get(key)
        if task is None:
            self._shared[key] = task = self._share(self._fetch(seq, limit, level, selection))
            shared = self._shared
            task.add_done_callback(lambda done: self._fetched(shared, key, done))
        # One reader who goes away does not take the page from the others.
        found = task.result() if task.done() else await asyncio.shield(task)
        # He has heard of a commit elsewhere that this process has not heard of yet.
        return found if found[2] >= seen else await self._fetch(seq, limit, level, selection)

    async def _fetch(self, seq: int, limit: int, level: int, selection: ChangeFilters) -> Page:
        _require_latest()
        async with self._database.read() as connection:
            return await changes_after(connection, seq, limit=limit, level=level, selection=selection)

    def _fetched(self, shared: dict[tuple[Any, ...], asyncio.Task[Page]], key: tuple[Any, ...], done: asyncio.Task[Page]) -> None:
        if done.cancelled() or done.exception() is not None:
            shared.pop(key, None)
        elif shared is self._shared:
            self._shared_size += 1000 + sum(len(item.json) for item in done.result()[0])

    async def still_valid(self, caller: Principal) -> bool:
        """Whether what a caller sent holds still; readers with one secret ask once together at each version, since what ends it is a
        commit or the clock.
        """
        if caller.key_id is None:
            return True
        if caller.expires_at is not None and caller.expires_at <= utc_now():
            return False
        version = self.version()
        if version is None:
            return await credential_still_valid(caller, self._database)
        if version != self._keys_at:
            self._keys, self._keys_at = {}, version
        task = self._keys.get(caller)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            self._keys[caller] = task = self._share(credential_expiry(caller, self._database))
        until = task.result() if task.done() else await asyncio.shield(task)
        return until is None or until > utc_now()

    async def wait(self, since: int | None, seconds: float) -> bool:
        """Wait until something is committed after `since`, or for so long; whether something was, or the process is to end."""
        return await self._database.commit_notifier.wait_for_commit(since, seconds) != since or self.stopping


def _require_latest() -> None:
    # Who waits for what is new is told of it once: a replica that does not have it yet would let it pass.
    asked = current_requirement()
    set_current(ConsistencyRequirement(asked.min_revision, asked.level, latest_required=True))
