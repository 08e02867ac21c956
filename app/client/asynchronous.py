"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Self

import httpx

from .calls import RETRY_STATUSES, Call, Client, get, get_page, one_report, parse_response, post, retry_delay
from .records import (
    Brief,
    Change,
    Digest,
    Draft,
    Indicator,
    Page,
    Place,
    R,
    Record,
    Report,
    ReportResult,
    ReportResults,
    Route,
    Situation,
    Source,
)


class AsyncLifeline(Client):
    """The same methods as `Lifeline`: await calls, iterate lists with `async for`."""

    def __init__(
        self, url: str, key: str | None = None, *, attempts: int | None = 5, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(key, attempts)
        self._http = httpx.AsyncClient(base_url=url, headers=self._headers, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _execute(self, call: Call[R]) -> R:
        attempt = 0
        while True:
            response = None
            try:
                response = await self._http.send(call.request(self._http, self._cache))
            except httpx.TransportError:
                if self._is_last(attempt):
                    raise
            if response is not None and (response.status_code not in RETRY_STATUSES or self._is_last(attempt)):
                return parse_response(call, response, self._cache)
            await asyncio.sleep(retry_delay(attempt, response))
            attempt += 1

    async def _list(self, record: type[R], path: str, filters: Mapping[str, Any]) -> AsyncIterator[R]:
        params = {"limit": 1000, **filters}
        while True:
            page = await self._execute(get_page(record, path, **params))
            for each in page.items:
                yield each
            if page.next is None:
                return
            params["cursor"] = page.next

    def indicators(self, **filters: Any) -> AsyncIterator[Indicator]:
        """Iterate over all indicators that match filters such as `kind`, `place`, `within`, `as_of`."""
        return self._list(Indicator, "/v1/indicators", filters)

    async def indicator(self, indicator_id: str, **params: Any) -> Indicator:
        """Return an indicator with every report behind it; `as_of` selects an earlier time."""
        return await self._execute(get(Indicator, f"/v1/indicators/{indicator_id}", **params))

    async def situation(self, place: str, **params: Any) -> Situation:
        """Return the situation of a place: people trapped, soonest run-out, routes closed; `as_of` selects an earlier time."""
        return await self._execute(get(Situation, f"/v1/situations/{place}", **params))

    async def digest(self, place: str, since: str | int, **params: Any) -> Digest:
        """Return what changed in a place since a time of statements, or since a revision of what was recorded."""
        return await self._execute(get(Digest, f"/v1/situations/{place}/digest", since=since, **params))

    async def brief(self, place: str, *, markdown: bool = False, **params: Any) -> Brief:
        """Return a text about a place with numbered citations; `lang` is `ar`, `en`, `es` or `fr`."""
        return await self._execute(get(Brief, f"/v1/situations/{place}/brief.{'md' if markdown else 'txt'}", **params))

    def reports(self, **filters: Any) -> AsyncIterator[Report]:
        """Iterate over all matching reports, in the order of recording."""
        return self._list(Report, "/v1/reports", filters)

    async def report(self, report_id: str, **params: Any) -> Report:
        """Return a report."""
        return await self._execute(get(Report, f"/v1/reports/{report_id}", **params))

    def places(self, **filters: Any) -> AsyncIterator[Place]:
        """Iterate over all matching places."""
        return self._list(Place, "/v1/places", filters)

    async def record(self, collection: str, slug: str) -> Record:
        """Return a record of `places`, `sources` or `routes` by its slug."""
        return await self._execute(get(Record, f"/v1/{collection}/{slug}"))

    async def place(self, slug: str) -> Place:
        """Return a place by its slug or `scheme:code`."""
        return await self._execute(get(Place, f"/v1/places/{slug}"))

    def sources(self, **filters: Any) -> AsyncIterator[Source]:
        """Iterate over all matching sources."""
        return self._list(Source, "/v1/sources", filters)

    def routes(self, **filters: Any) -> AsyncIterator[Route]:
        """Iterate over all matching routes."""
        return self._list(Route, "/v1/routes", filters)

    async def changes(self, after: str | None = None, *, wait: int = 0, limit: int = 100, **filters: Any) -> Page[Change]:
        """Return the changes after a cursor; without any, wait up to `wait` seconds (0 to 30) for the first."""
        return await self._execute(get_page(Change, "/v1/changes", after=after, wait=wait or None, limit=limit, **filters))

    async def follow(self, after: str | None = None, *, wait: int = 25, **filters: Any) -> AsyncIterator[Page[Change]]:
        """Yield non-empty pages of changes without end; save `next` together with the result of processing `items`."""
        while True:
            page = await self.changes(after, wait=wait, **filters)
            after = page.next
            if page.items:
                yield page

    async def send(self, report: Mapping[str, Any]) -> Report:
        """Record a report; return it as stored, also if it was recorded before."""
        return await self._execute(post(Report, "/v1/reports", one_report(report)))

    async def send_all(self, reports: Sequence[Mapping[str, Any]]) -> list[ReportResult]:
        """Record up to 1,000 reports; return the result of each."""
        return (await self._execute(post(ReportResults, "/v1/reports", list(reports)))).items

    async def correct(self, report_id: str, report: Mapping[str, Any], reason: str) -> Report:
        """Replace a report by a complete new one."""
        return await self._execute(post(Report, f"/v1/reports/{report_id}/correction", {**report, "reason": reason}))

    async def retract(self, report_id: str, reason: str) -> Record:
        """Retract a report."""
        return await self._execute(post(Record, f"/v1/reports/{report_id}/retraction", {"reason": reason}))

    async def reinstate(self, report_id: str, reason: str) -> Record:
        """Undo the retraction of a report."""
        return await self._execute(post(Record, f"/v1/reports/{report_id}/reinstatement", {"reason": reason}))

    async def judge(self, indicator_id: str, judgement: Mapping[str, Any]) -> Record:
        """Record a judgement on an indicator."""
        return await self._execute(post(Record, f"/v1/indicators/{indicator_id}/judgements", judgement))

    async def retract_judgement(self, judgement_id: str, reason: str) -> Record:
        """Retract a judgement."""
        return await self._execute(post(Record, f"/v1/judgements/{judgement_id}/retraction", {"reason": reason}))

    def drafts(self, **filters: Any) -> AsyncIterator[Draft]:
        """List proposed reports."""
        return self._list(Draft, "/v1/drafts", filters)

    async def draft(self, report: Mapping[str, Any]) -> Draft:
        """Propose a report, for a person to confirm."""
        return await self._execute(post(Draft, "/v1/drafts", report))

    async def confirm_draft(self, draft_id: str) -> Report:
        """Record a draft as a report."""
        return await self._execute(post(Report, f"/v1/drafts/{draft_id}/confirmation", None))

    async def reject_draft(self, draft_id: str, reason: str) -> Draft:
        """Reject a draft."""
        return await self._execute(post(Draft, f"/v1/drafts/{draft_id}/rejection", {"reason": reason}))

    async def read_article(self, text: str, publisher: str, published_at: str, url: str | None = None) -> Record:
        """Read the statements of an English article: `drafts` with their `report` and `spans`, and what is `unclear`."""
        article = {"text": text, "publisher": publisher, "published_at": published_at, "url": url}
        return await self._execute(post(Record, "/v1/drafts/from-text", article))
