"""Follows another Lifeline by its changes, over a link that may fail.

Each page of changes is applied in one transaction with the cursor of the next page, so an interrupted run continues where it stopped,
and no change is missed or applied twice.
"""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select, update
from sqlmodel import col

from app.client import AsyncLifeline, Change, LifelineError, Page
from app.domain.times import utc_now
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.models import Upstream
from app.exchange.replication.results import ApplyResult, AuthorFor
from app.http.problems import FieldProblem
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

PAGE_CHANGES = 200


class ReplicationError(RuntimeError):
    """An upstream sent what this service cannot import; nothing of that page was written."""


class Follower:
    """Follows one upstream into one database. `author_for` is that of `EntryApplier`."""

    def __init__(self, url: str, client: AsyncLifeline, database: Database, author_for: AuthorFor, settings: Settings) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._database = database
        self._applier = EntryApplier(author_for, settings)

    async def follow(self, wait_seconds: int | None = None) -> AsyncIterator[ApplyResult]:
        """Apply the changes page by page: up to the head, or for ever if requests may wait (up to 30 seconds) for new changes."""
        while True:
            async with self._database.read() as connection:
                stored = select(col(Upstream.cursor)).where(col(Upstream.url) == self._url)
                cursor = (await connection.execute(stored)).scalar_one_or_none()
            page = await self._fetch_page(cursor, wait_seconds or 0)
            yield await self._apply(page, cursor)
            if wait_seconds is None and len(page.items) < PAGE_CHANGES:
                return

    async def _fetch_page(self, cursor: str | None, wait_seconds: int) -> Page[Change]:
        try:
            return await self._client.changes(cursor, wait=wait_seconds, limit=PAGE_CHANGES)
        except LifelineError as error:
            if cursor is None or error.status != 422:
                raise
            reason = error.errors[0].detail if error.errors else error.detail
            raise ReplicationError(
                f"{self._url} refuses the stored cursor: {reason}. Add --restart to read it from the beginning."
            ) from None

    async def _apply(self, page: Page[Change], cursor: str | None) -> ApplyResult:
        if page.next == cursor:
            return ApplyResult()
        async with self._database.write() as session:
            upstream = await session.get(Upstream, self._url)
            if (upstream.cursor if upstream else None) != cursor:
                # Another process follows the same upstream and applied this page first.
                return ApplyResult()
            applied = await self._applier.apply(session, [each.model_dump(by_alias=True) for each in page.items])
            for at, errors in applied.refused:
                raise self._error(f"Entry {page.items[at].seq}", errors)
            await session.merge(Upstream(url=self._url, cursor=page.next, updated_at=utc_now()))
        return applied

    def _error(self, what: str, errors: Sequence[FieldProblem]) -> ReplicationError:
        details = "; ".join(f"{each.pointer} {each.detail}".strip() for each in errors)
        return ReplicationError(f"{what} of {self._url} cannot be imported: {details}")


async def reset_cursor(database: Database, url: str) -> None:
    """Read an upstream from the beginning at the next run, which recognises what was applied before."""
    async with database.write() as session:
        await session.execute(update(table_of(Upstream)).where(col(Upstream.url) == url.rstrip("/")).values(cursor=None))
