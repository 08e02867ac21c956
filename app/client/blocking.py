"""The blocking client."""

import time
from collections.abc import Iterator, Mapping, Sequence
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


class Lifeline(Client):
    """Lifeline's API at a URL, with a key or, for records labelled `clear`, without.

    Broken connections, 429, 502, 503 and 504 are retried, a POST with the same `Idempotency-Key`. Error responses raise LifelineError.
    """

    def __init__(self, url: str, key: str | None = None, *, attempts: int | None = 5, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(key, attempts)
        self._http = httpx.Client(base_url=url, headers=self._headers, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _execute(self, call: Call[R]) -> R:
        attempt = 0
        while True:
            response = None
            try:
                response = self._http.send(call.request(self._http, self._cache))
            except httpx.TransportError:
                if self._is_last(attempt):
                    raise
            if response is not None and (response.status_code not in RETRY_STATUSES or self._is_last(attempt)):
                return parse_response(call, response, self._cache)
            time.sleep(retry_delay(attempt, response))
            attempt += 1

    def _list(self, record: type[R], path: str, filters: Mapping[str, Any]) -> Iterator[R]:
        params = {"limit": 1000, **filters}
        while True:
            page = self._execute(get_page(record, path, **params))
            yield from page.items
            if page.next is None:
                return
            params["cursor"] = page.next

    def indicators(self, **filters: Any) -> Iterator[Indicator]:
        """Iterate over all indicators that match filters such as `kind`, `place`, `within`, `as_of`."""
        return self._list(Indicator, "/v1/indicators", filters)

    def indicator(self, indicator_id: str, **params: Any) -> Indicator:
        """Return an indicator with every report behind it; `as_of` selects an earlier time."""
        return self._execute(get(Indicator, f"/v1/indicators/{indicator_id}", **params))

    def situation(self, place: str, **params: Any) -> Situation:
        """Return the situation of a place: people trapped, soonest run-out, routes closed; `as_of` selects an earlier time."""
        return self._execute(get(Situation, f"/v1/situations/{place}", **params))

    def digest(self, place: str, since: str | int, **params: Any) -> Digest:
        """Return what changed in a place since a time of statements, or since a revision of what was recorded."""
        return self._execute(get(Digest, f"/v1/situations/{place}/digest", since=since, **params))

    def brief(self, place: str, *, markdown: bool = False, **params: Any) -> Brief:
        """Return a text about a place with numbered citations; `lang` is `ar`, `en`, `es` or `fr`."""
        return self._execute(get(Brief, f"/v1/situations/{place}/brief.{'md' if markdown else 'txt'}", **params))

    def reports(self, **filters: Any) -> Iterator[Report]:
        """Iterate over all matching reports, in the order of recording."""
        return self._list(Report, "/v1/reports", filters)

    def report(self, report_id: str, **params: Any) -> Report:
        """Return a report."""
        return self._execute(get(Report, f"/v1/reports/{report_id}", **params))

    def places(self, **filters: Any) -> Iterator[Place]:
        """Iterate over all matching places."""
        return self._list(Place, "/v1/places", filters)

    def record(self, collection: str, slug: str) -> Record:
        """Return a record of `places`, `sources` or `routes` by its slug."""
        return self._execute(get(Record, f"/v1/{collection}/{slug}"))

    def place(self, slug: str) -> Place:
        """Return a place by its slug or `scheme:code`."""
        return self._execute(get(Place, f"/v1/places/{slug}"))

    def sources(self, **filters: Any) -> Iterator[Source]:
        """Iterate over all matching sources."""
        return self._list(Source, "/v1/sources", filters)

    def routes(self, **filters: Any) -> Iterator[Route]:
        """Iterate over all matching routes."""
        return self._list(Route, "/v1/routes", filters)

    def changes(self, after: str | None = None, *, wait: int = 0, limit: int = 100, **filters: Any) -> Page[Change]:
        """Return the changes after a cursor; without any, wait up to `wait` seconds (0 to 30) for the first."""
        return self._execute(get_page(Change, "/v1/changes", after=after, wait=wait or None, limit=limit, **filters))

    def follow(self, after: str | None = None, *, wait: int = 25, **filters: Any) -> Iterator[Page[Change]]:
        """Yield non-empty pages of changes without end; save `next` together with the result of processing `items`."""
        while True:
            page = self.changes(after, wait=wait, **filters)
            after = page.next
            if page.items:
                yield page

    def send(self, report: Mapping[str, Any]) -> Report:
        """Record a report; return it as stored, also if it was recorded before."""
        return self._execute(post(Report, "/v1/reports", one_report(report)))

    def send_all(self, reports: Sequence[Mapping[str, Any]]) -> list[ReportResult]:
        """Record up to 1,000 reports; return the result of each."""
        return self._execute(post(ReportResults, "/v1/reports", list(reports))).items

    def correct(self, report_id: str, report: Mapping[str, Any], reason: str) -> Report:
        """Replace a report by a complete new one."""
        return self._execute(post(Report, f"/v1/reports/{report_id}/correction", {**report, "reason": reason}))

    def retract(self, report_id: str, reason: str) -> Record:
        """Retract a report."""
        return self._execute(post(Record, f"/v1/reports/{report_id}/retraction", {"reason": reason}))

    def reinstate(self, report_id: str, reason: str) -> Record:
        """Undo the retraction of a report."""
        return self._execute(post(Record, f"/v1/reports/{report_id}/reinstatement", {"reason": reason}))

    def judge(self, indicator_id: str, judgement: Mapping[str, Any]) -> Record:
        """Record a judgement on an indicator."""
        return self._execute(post(Record, f"/v1/indicators/{indicator_id}/judgements", judgement))

    def retract_judgement(self, judgement_id: str, reason: str) -> Record:
        """Retract a judgement."""
        return self._execute(post(Record, f"/v1/judgements/{judgement_id}/retraction", {"reason": reason}))

    def drafts(self, **filters: Any) -> Iterator[Draft]:
        """List proposed reports."""
        return self._list(Draft, "/v1/drafts", filters)

    def draft(self, report: Mapping[str, Any]) -> Draft:
        """Propose a report, for a person to confirm."""
        return self._execute(post(Draft, "/v1/drafts", report))

    def confirm_draft(self, draft_id: str) -> Report:
        """Record a draft as a report."""
        return self._execute(post(Report, f"/v1/drafts/{draft_id}/confirmation", None))

    def reject_draft(self, draft_id: str, reason: str) -> Draft:
        """Reject a draft."""
        return self._execute(post(Draft, f"/v1/drafts/{draft_id}/rejection", {"reason": reason}))

    def read_article(self, text: str, publisher: str, published_at: str, url: str | None = None) -> Record:
        """Read the statements of an English article: `drafts` with their `report` and `spans`, and what is `unclear`."""
        article = {"text": text, "publisher": publisher, "published_at": published_at, "url": url}
        return self._execute(post(Record, "/v1/drafts/from-text", article))
