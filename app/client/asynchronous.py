"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from app.client.calls import RETRIED, TIMEOUT, Call, Client, T, get, headers, outcomes, page_of, pause, post, read
from app.client.records import Change, Indicator, Outcome, Page, Place, R, Record, Report, Route, Source


class AsyncLifeline(Client):
    """The same for asyncio: its calls are awaited, its lists iterated with `async for`."""

    def __init__(
        self, url: str, key: str | None = None, *, attempts: int | None = 5, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(attempts)
        self._http = httpx.AsyncClient(base_url=url, headers=headers(key), timeout=TIMEOUT, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _do(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            answer = None
            try:
                answer = await self._http.send(call.request(self._http, self._kept))
            except httpx.TransportError:
                if self.gives_up(attempt):
                    raise
            if answer is not None and (answer.status_code not in RETRIED or self.gives_up(attempt)):
                return read(call, answer, self._kept)
            await asyncio.sleep(pause(attempt, answer))
            attempt += 1

    async def _all(self, of: type[R], path: str, filters: Mapping[str, Any]) -> AsyncIterator[R]:
        cursor: str | None = None
        while True:
            page = await self._do(get(page_of(of), path, **{"limit": 1000, **filters, "cursor": cursor}))
            for each in page.items:
                yield each
            cursor = page.next
            if cursor is None:
                return

    def indicators(self, **filters: Any) -> AsyncIterator[Indicator]:
        """Every indicator that fits filters such as `kind`, `place`, `within`, `as_of`, page by page."""
        return self._all(Indicator, "/v1/indicators", filters)

    async def indicator(self, id: str, **moment: Any) -> Indicator:  # noqa: A002 - the field's name on the wire
        """One indicator with every report that it is read from."""
        return await self._do(get(Indicator.model_validate, f"/v1/indicators/{id}", **moment))

    async def situation(self, place: str, **moment: Any) -> Record:
        """How it is at a place: people trapped, soonest run-out, routes closed; `as_of` says when."""
        return await self._do(get(Record.model_validate, f"/v1/situations/{place}", **moment))

    def reports(self, **filters: Any) -> AsyncIterator[Report]:
        """Every statement that fits, in the order of recording."""
        return self._all(Report, "/v1/reports", filters)

    async def report(self, id: str, **moment: Any) -> Report:  # noqa: A002 - the field's name on the wire
        """One statement."""
        return await self._do(get(Report.model_validate, f"/v1/reports/{id}", **moment))

    def places(self, **filters: Any) -> AsyncIterator[Place]:
        """Every place that fits."""
        return self._all(Place, "/v1/places", filters)

    async def record(self, collection: str, slug: str) -> Record:
        """One place, source or route by its slug, as it is served; `collection` is `places`, `sources` or `routes`."""
        return await self._do(get(Record.model_validate, f"/v1/{collection}/{slug}"))

    async def place(self, slug: str) -> Place:
        """One place, by its slug or `scheme:code`."""
        return await self._do(get(Place.model_validate, f"/v1/places/{slug}"))

    def sources(self, **filters: Any) -> AsyncIterator[Source]:
        """Every source that fits."""
        return self._all(Source, "/v1/sources", filters)

    def routes(self, **filters: Any) -> AsyncIterator[Route]:
        """Every route that fits."""
        return self._all(Route, "/v1/routes", filters)

    async def changes(self, after: str | None = None, *, wait: int = 0, limit: int = 100, **filters: Any) -> Page[Change]:
        """What was recorded after a cursor; `wait` holds the request so many seconds (0 to 30) until something is."""
        return await self._do(get(page_of(Change), "/v1/changes", after=after, wait=wait or None, limit=limit, **filters))

    async def follow(self, after: str | None = None, *, wait: int = 25, **filters: Any) -> AsyncIterator[Page[Change]]:
        """Pages of changes for ever, as they come, each at least one long: keep `next` together with what you made of its `items`."""
        while True:
            page = await self.changes(after, wait=wait, **filters)
            after = page.next
            if page.items:
                yield page

    async def send(self, report: Mapping[str, Any]) -> Report:
        """Report one statement; answers it as stored, or the same one that was recorded before."""
        return await self._do(post(Report.model_validate, "/v1/reports", report))

    async def send_all(self, reports: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Report up to 1,000 statements; answers what became of each."""
        return await self._do(post(outcomes, "/v1/reports", list(reports)))

    async def correct(self, id: str, report: Mapping[str, Any], reason: str) -> Report:  # noqa: A002 - the field's name on the wire
        """Supersede a report by a whole new one."""
        return await self._do(post(Report.model_validate, f"/v1/reports/{id}/correction", {**report, "reason": reason}))

    async def retract(self, id: str, reason: str) -> Record:  # noqa: A002 - the field's name on the wire
        """Withdraw a report."""
        return await self._do(post(Record.model_validate, f"/v1/reports/{id}/retraction", {"reason": reason}))
