"""Following another Lifeline by its changes, over a line that may break: nothing is missed, nothing comes twice, nothing goes round.

Each page of changes is applied in one transaction together with the cursor of the next, so whatever is cut off, the next run goes
on where this one stands. Places, sources and routes come with the first entry that names them, and with the first run all that are
there. Identifiers, provenance and who recorded what are kept; `app.exchange.replication.apply` says how an entry is known again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.client import AsyncLifeline, Change, LifelineError, Page
from app.domain.kinds import KINDS
from app.domain.times import utc_now
from app.exchange.imports.reference import TABLES, add_reference, reference_errors
from app.exchange.replication.apply import ApplyResult, AuthorFor, EntryApplier
from app.exchange.replication.models import Upstream
from app.http.problems import FieldProblem
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

PAGE = 200
REFERENCE_PAGE = 1000
AT_ONCE = 4
# What a record is (`place`, `source`, `route`), and the record as served.
Named = tuple[str, Mapping[str, Any]]


class ReplicationError(RuntimeError):
    """What another Lifeline says cannot be taken here; nothing of that page was written."""


class Follower:
    """Follows one upstream into one database. `teller` says as whom its entries are recorded."""

    def __init__(self, url: str, client: AsyncLifeline, database: Database, author_for: AuthorFor, settings: Settings) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._database = database
        self._applier = EntryApplier(author_for, settings)

    async def once(self) -> AsyncIterator[ApplyResult]:
        """Apply what is there, page by page, up to the head."""
        while True:
            applied, last = await self._step(0)
            yield applied
            if last:
                return

    async def follow(self, wait: int) -> AsyncIterator[ApplyResult]:
        """The same, and what comes: each request is held up to `wait` seconds (0 to 30)."""
        while True:
            applied, _ = await self._step(wait)
            yield applied

    async def _step(self, wait: int) -> tuple[ApplyResult, bool]:
        async with self._database.read() as connection:
            cursor = (await connection.execute(select(col(Upstream.cursor)).where(col(Upstream.url) == self._url))).scalar_one_or_none()
        if cursor is None:
            await self._all_reference()
        try:
            page = await self._client.changes(cursor, wait=wait, limit=PAGE)
        except LifelineError as error:
            if cursor is not None and error.status == 422:
                reason = error.errors[0].detail if error.errors else error.detail
                raise ReplicationError(
                    f"{self._url} does not know where this stands: {reason}. Add --restart to go through it anew."
                ) from None
            raise
        applied = await self._apply(page, cursor)
        return applied, len(page.items) < PAGE

    async def _apply(self, page: Page[Change], cursor: str | None) -> ApplyResult:
        if page.next == cursor:
            return ApplyResult()
        named = await self._named_by(page.items)
        async with self._database.write() as session:
            upstream = await session.get(Upstream, self._url)
            if (upstream.cursor if upstream else None) != cursor:
                # Another process follows too, and was here first.
                return ApplyResult()
            await self._take(session, named)
            applied = await self._applier.apply(session, [_entry(each) for each in page.items])
            if applied.refused:
                at, wrong = applied.refused[0]
                what = "; ".join(f"{each.pointer}: {each.detail}" for each in wrong)
                raise ReplicationError(f"Entry {page.items[at].seq} of {self._url} cannot be taken in: {what}")
            await session.merge(Upstream(url=self._url, cursor=page.next, updated_at=utc_now()))
        return applied

    async def _take(self, session: AsyncSession, named: list[Named]) -> None:
        for what, served in named:
            if wrong := reference_errors(what, served):
                raise ReplicationError(
                    f"The {what} {served.get('slug')} of {self._url} cannot be taken in: {wrong[0].pointer} {wrong[0].detail}"
                )
        for (what, served), answer in zip(named, await add_reference(session, named), strict=True):
            if isinstance(answer, FieldProblem):
                raise ReplicationError(f"The {what} {served['slug']} of {self._url} cannot be taken in: {answer.detail}")

    async def _all_reference(self) -> None:
        """On the first run: all places, sources and routes, since fetching each by itself takes a request."""
        waiting: list[Named] = []
        lists = (("place", self._client.places()), ("source", self._client.sources()), ("route", self._client.routes()))
        for what, records in lists:
            lot: list[Named] = []
            async for record in records:
                lot.append((what, record.model_dump(by_alias=True)))
                if len(lot) == REFERENCE_PAGE:
                    waiting = await self._take_lot([*waiting, *lot])
                    lot = []
            waiting = await self._take_lot([*waiting, *lot])

    async def _take_lot(self, lot: list[Named]) -> list[Named]:
        """Add some; answers places whose parent comes later."""
        good = [(what, served) for what, served in lot if not reference_errors(what, served)]
        async with self._database.write() as session:
            answers = await add_reference(session, good)
        return [
            each for each, answer in zip(good, answers, strict=True) if isinstance(answer, FieldProblem) and answer.pointer == "/parent"
        ]

    async def _named_by(self, changes: Iterable[Change]) -> list[Named]:
        """The records that changes name and that are not here, parents first."""
        sought: dict[str, set[str]] = {what: set() for what in TABLES}
        for change in changes:
            if change.source is not None:
                sought["source"].add(change.source)
            if change.report is not None:
                sought["place"].add(change.report["place"])
                sought["source"] |= {change.report["source"], *change.report["provenance"]["via"]}
                kind = KINDS.get(change.report["kind"])
                for name, what in kind.references.items() if kind else ():
                    if change.report["value"].get(name):
                        sought[what].add(change.report["value"][name])
        found: list[Named] = []
        for what, slugs in sought.items():
            async with self._database.read() as connection:
                missing = sorted(slugs - await _here(connection, what, slugs))
            turn = asyncio.Semaphore(AT_ONCE)
            fetched = await asyncio.gather(*(self._fetch(what, slug, turn) for slug in missing))
            found += {served["slug"]: (what, served) for every in fetched for served in every}.values()
        return found

    async def _fetch(self, what: str, slug: str, turn: asyncio.Semaphore) -> list[Mapping[str, Any]]:
        """A record, and before it the places that contain it and are not here."""
        line: list[Mapping[str, Any]] = []
        following: str | None = slug
        while following is not None:
            async with turn:
                served = (await self._client.record(f"{what}s", following)).model_dump(by_alias=True)
            line.insert(0, served)
            parent = served.get("parent")
            following = None
            if parent is not None:
                async with self._database.read() as connection:
                    following = None if await _here(connection, "place", {parent}) else parent
        return line


async def _here(connection: AsyncConnection, what: str, slugs: set[str]) -> set[str]:
    table = table_of(TABLES[what]).c
    return set((await connection.execute(select(table.slug).where(table.slug.in_(slugs)))).scalars())


def _entry(change: Change) -> dict[str, Any]:
    return change.model_dump(by_alias=True)


async def reset_cursor(database: Database, url: str) -> None:
    """Go through an upstream anew at the next run: what is here already is known again."""
    async with database.write() as session:
        upstream = await session.get(Upstream, url.rstrip("/"))
        if upstream is not None:
            upstream.cursor = None
