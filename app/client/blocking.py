"""The client for programs that wait for each answer."""

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from app.client.calls import RETRIED, TIMEOUT, Call, Client, T, get, headers, outcomes, page_of, pause, post, read
from app.client.records import Change, Indicator, Outcome, Page, Place, R, Record, Report, Route, Source


class Lifeline(Client):
    """A Lifeline at an address; `key` is a key of it, which reading what is `clear` does not need."""

    def __init__(self, url: str, key: str | None = None, *, attempts: int | None = 5, transport: httpx.BaseTransport | None = None) -> None:
        super().__init__(attempts)
        self._http = httpx.Client(base_url=url, headers=headers(key), timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _do(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            answer = None
            try:
                answer = self._http.send(call.request(self._http, self._kept))
            except httpx.TransportError:
                if self.gives_up(attempt):
                    raise
            if answer is not None and (answer.status_code not in RETRIED or self.gives_up(attempt)):
                return read(call, answer, self._kept)
            time.sleep(pause(attempt, answer))
            attempt += 1

    def _all(self, of: type[R], path: str, filters: Mapping[str, Any]) -> Iterator[R]:
        cursor: str | None = None
        while True:
            page = self._do(get(page_of(of), path, **{"limit": 1000, **filters, "cursor": cursor}))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def indicators(self, **filters: Any) -> Iterator[Indicator]:
        """Every indicator that fits filters such as `kind`, `place`, `within`, `as_of`, page by page."""
        return self._all(Indicator, "/v1/indicators", filters)

    def indicator(self, id: str, **moment: Any) -> Indicator:  # noqa: A002 - the field's name on the wire
        """One indicator with every report that it is read from."""
        return self._do(get(Indicator.model_validate, f"/v1/indicators/{id}", **moment))

    def situation(self, place: str, **moment: Any) -> Record:
        """How it is at a place: people trapped, soonest run-out, routes closed; `as_of` says when."""
        return self._do(get(Record.model_validate, f"/v1/situations/{place}", **moment))

    def reports(self, **filters: Any) -> Iterator[Report]:
        """Every statement that fits, in the order of recording."""
        return self._all(Report, "/v1/reports", filters)

    def report(self, id: str, **moment: Any) -> Report:  # noqa: A002 - the field's name on the wire
        """One statement."""
        return self._do(get(Report.model_validate, f"/v1/reports/{id}", **moment))

    def places(self, **filters: Any) -> Iterator[Place]:
        """Every place that fits."""
        return self._all(Place, "/v1/places", filters)

    def record(self, collection: str, slug: str) -> Record:
        """One place, source or route by its slug, as it is served; `collection` is `places`, `sources` or `routes`."""
        return self._do(get(Record.model_validate, f"/v1/{collection}/{slug}"))

    def place(self, slug: str) -> Place:
        """One place, by its slug or `scheme:code`."""
        return self._do(get(Place.model_validate, f"/v1/places/{slug}"))

    def sources(self, **filters: Any) -> Iterator[Source]:
        """Every source that fits."""
        return self._all(Source, "/v1/sources", filters)

    def routes(self, **filters: Any) -> Iterator[Route]:
        """Every route that fits."""
        return self._all(Route, "/v1/routes", filters)

    def changes(self, after: str | None = None, *, wait: int = 0, limit: int = 100, **filters: Any) -> Page[Change]:
        """What was recorded after a cursor; `wait` holds the request so many seconds (0 to 30) until something is."""
        return self._do(get(page_of(Change), "/v1/changes", after=after, wait=wait or None, limit=limit, **filters))

    def follow(self, after: str | None = None, *, wait: int = 25, **filters: Any) -> Iterator[Page[Change]]:
        """Pages of changes for ever, as they come, each at least one long: keep `next` together with what you made of its `items`."""
        while True:
            page = self.changes(after, wait=wait, **filters)
            after = page.next
            if page.items:
                yield page

    def send(self, report: Mapping[str, Any]) -> Report:
        """Report one statement; answers it as stored, or the same one that was recorded before."""
        return self._do(post(Report.model_validate, "/v1/reports", report))

    def send_all(self, reports: Sequence[Mapping[str, Any]]) -> list[Outcome]:
        """Report up to 1,000 statements; answers what became of each."""
        return self._do(post(outcomes, "/v1/reports", list(reports)))

    def correct(self, id: str, report: Mapping[str, Any], reason: str) -> Report:  # noqa: A002 - the field's name on the wire
        """Supersede a report by a whole new one."""
        return self._do(post(Report.model_validate, f"/v1/reports/{id}/correction", {**report, "reason": reason}))

    def retract(self, id: str, reason: str) -> Record:  # noqa: A002 - the field's name on the wire
        """Withdraw a report."""
        return self._do(post(Record.model_validate, f"/v1/reports/{id}/retraction", {"reason": reason}))
