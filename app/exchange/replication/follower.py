"""Follows another Lifeline by its changes, over a link that may fail.

Each page of changes is applied in one transaction with the cursor of the next page, so an interrupted run continues where it stopped,
and no change is missed or applied twice. Places, sources and routes are added on the first run, later with the first entry that names them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

from sqlalchemy import select, update
from sqlmodel import col

from app.client import AsyncLifeline, Change, LifelineError, Page
from app.domain.kinds import KINDS
from app.domain.times import utc_now
from app.exchange.replication.apply import AuthorFor, EntryApplier
from app.exchange.replication.models import Upstream
from app.exchange.replication.reference import TypedRecord, add_reference
from app.exchange.replication.results import ApplyResult
from app.http.problems import FieldProblem
from app.ledger.hash_chain import named_sources
from app.reference.models import MODELS
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

PAGE_CHANGES = 200
BATCH_SIZE = 1000
MAX_PARALLEL_REQUESTS = 4


class ReplicationError(RuntimeError):
    """An upstream sent what this service cannot import; nothing of that page was written."""


class Follower:
    """Follows one upstream into one database. `author_for` is that of `EntryApplier`."""

    def __init__(self, url: str, client: AsyncLifeline, database: Database, author_for: AuthorFor, settings: Settings) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._database = database
        self._applier = EntryApplier(author_for, settings)
        self._parallel = asyncio.Semaphore(MAX_PARALLEL_REQUESTS)

    async def follow(self, wait_seconds: int | None = None) -> AsyncIterator[ApplyResult]:
        """Apply the changes page by page: up to the head, or for ever if requests may wait (up to 30 seconds) for new changes."""
        while True:
            async with self._database.read() as connection:
                stored = select(col(Upstream.cursor)).where(col(Upstream.url) == self._url)
                cursor = (await connection.execute(stored)).scalar_one_or_none()
            if cursor is None:
                await self._copy_reference()
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
        records = await self._fetch_missing(page.items)
        async with self._database.write() as session:
            upstream = await session.get(Upstream, self._url)
            if (upstream.cursor if upstream else None) != cursor:
                # Another process follows the same upstream and applied this page first.
                return ApplyResult()
            for (type_, record), outcome in zip(records, await add_reference(session, records), strict=True):
                if isinstance(outcome, FieldProblem):
                    raise self._error(f"The {type_} {record['slug']}", [outcome])
            applied = await self._applier.apply(session, [each.model_dump(by_alias=True) for each in page.items])
            for at, errors in applied.refused:
                raise self._error(f"Entry {page.items[at].seq}", errors)
            await session.merge(Upstream(url=self._url, cursor=page.next, updated_at=utc_now()))
        return applied

    def _error(self, what: str, errors: Sequence[FieldProblem]) -> ReplicationError:
        details = "; ".join(f"{each.pointer} {each.detail}".strip() for each in errors)
        return ReplicationError(f"{what} of {self._url} cannot be imported: {details}")

    async def _copy_reference(self) -> None:
        """Add all places, sources and routes by pages: later each would take a request."""
        waiting: list[TypedRecord] = []
        batch: list[TypedRecord] = []
        lists = {"place": self._client.places(), "source": self._client.sources(), "route": self._client.routes()}
        for type_, records in lists.items():
            async for record in records:
                batch.append((type_, record.model_dump(by_alias=True)))
                if len(batch) == BATCH_SIZE:
                    waiting, batch = await self._add_batch([*waiting, *batch]), []
        await self._add_batch([*waiting, *batch])

    async def _add_batch(self, batch: Sequence[TypedRecord]) -> list[TypedRecord]:
        """Add records, and return the places whose parent comes later."""
        async with self._database.write() as session:
            outcomes = zip(batch, await add_reference(session, batch), strict=True)
        return [each for each, outcome in outcomes if isinstance(outcome, FieldProblem) and outcome.pointer == "/parent"]

    async def _fetch_missing(self, changes: Iterable[Change]) -> list[TypedRecord]:
        """Fetch the records that changes name and that do not exist here, parents first."""
        named: dict[str, set[str]] = {type_: set() for type_ in MODELS}
        for change in changes:
            if change.source is not None:
                named["source"].add(change.source)
            if (report := change.report) is not None:
                named["place"].add(report["place"])
                named["source"] |= set(named_sources(report))
                references = KINDS[report["kind"]].references if report["kind"] in KINDS else {}
                for name, type_ in references.items():
                    if report["value"].get(name):
                        named[type_].add(report["value"][name])
        found: list[TypedRecord] = []
        for type_, slugs in named.items():
            lines = await asyncio.gather(*(self._fetch_line(type_, slug) for slug in await self._missing(type_, slugs)))
            found += {record["slug"]: (type_, record) for line in lines for _, record in line}.values()
        return found

    async def _fetch_line(self, type_: str, slug: str) -> list[TypedRecord]:
        """Fetch a record, and before it the places that contain it and do not exist here."""
        async with self._parallel:
            record = (await self._client.record(f"{type_}s", slug)).model_dump(by_alias=True)
        parent = record.get("parent")
        before = await self._fetch_line("place", parent) if parent and await self._missing("place", {parent}) else []
        return [*before, (type_, record)]

    async def _missing(self, type_: str, slugs: set[str]) -> list[str]:
        """Return the slugs that no record here has, in order."""
        slug = col(MODELS[type_].slug)
        async with self._database.read() as connection:
            return sorted(slugs - set(await connection.scalars(select(slug).where(slug.in_(slugs)))))


async def reset_cursor(database: Database, url: str) -> None:
    """Read an upstream from the beginning at the next run, which recognises what was applied before."""
    async with database.write() as session:
        await session.execute(update(table_of(Upstream)).where(col(Upstream.url) == url.rstrip("/")).values(cursor=None))
