"""Requests, responses, retry delays and the ETag cache of both clients."""

import random
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic
from uuid import uuid4

import httpx
from pydantic_core import from_json, to_json

from .records import Brief, FieldError, LifelineError, Page, R

RETRY_STATUSES = frozenset({429, 502, 503, 504})
BASE_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 60.0
READ_TIMEOUT_SECONDS = 30.0
CONNECT_TIMEOUT_SECONDS = 10.0
MAX_CACHED_RESPONSES = 64


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A request and the model of its response; every attempt sends the same `idempotency_key`."""

    model: type[R]
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    idempotency_key: str = field(default_factory=lambda: str(uuid4()))

    def request(self, client: httpx.Client | httpx.AsyncClient, cache: "ETagCache") -> httpx.Request:
        """Build a POST if there is a body, otherwise a GET, conditional if the cache has its response."""
        timeout = httpx.Timeout(READ_TIMEOUT_SECONDS + float(self.params.get("wait", 0)), connect=CONNECT_TIMEOUT_SECONDS)
        if self.body is not None:
            headers = {"Content-Type": "application/json", "Idempotency-Key": self.idempotency_key}
            return client.build_request("POST", self.path, content=self.body, headers=headers, timeout=timeout)
        request = client.build_request("GET", self.path, params=self.params, timeout=timeout)
        if (etag := cache.etag(str(request.url))) is not None:
            request.headers["If-None-Match"] = etag
        return request


def get(model: type[R], path: str, **params: Any) -> Call[R]:
    """Make a GET; parameters that are None are left out."""
    return Call(model, path, {name: value for name, value in params.items() if value is not None})


def get_page(record: type[R], path: str, **params: Any) -> Call[Page[R]]:
    """Make a GET of a page of records."""
    return get(Page[record], path, **params)  # type: ignore[valid-type]


def post(model: type[R], path: str, body: Any) -> Call[R]:
    """Make a POST of JSON."""
    return Call(model, path, body=to_json(body))


def one_report(report: Any) -> Any:
    """Return a report to send; raise TypeError for several, which would be recorded, each with a result of its own."""
    if not isinstance(report, Mapping):
        raise TypeError("send() takes one report, a mapping: send a list with send_all()")
    return report


class ETagCache:
    """The last GET responses that had an ETag, by URL."""

    def __init__(self) -> None:
        self._responses: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def etag(self, url: str) -> str | None:
        """Return the ETag of the cached response, None without one."""
        return self._responses[url][0] if url in self._responses else None

    def content(self, response: httpx.Response) -> bytes:
        """Return the body of a response, after a 304 the cached one."""
        url = str(response.request.url)
        if response.status_code == 304:
            self._responses.move_to_end(url)
            return self._responses[url][1]
        if response.request.method == "GET" and "etag" in response.headers:
            self._responses[url] = (response.headers["etag"], response.content)
            self._responses.move_to_end(url)
            if len(self._responses) > MAX_CACHED_RESPONSES:
                self._responses.popitem(last=False)
        return response.content


def parse_response(call: Call[R], response: httpx.Response, cache: ETagCache) -> R:
    """Parse a response; raise LifelineError for an error, a redirect or an unexpected body."""
    if response.status_code >= 400:
        raise _parse_error(response)
    if response.has_redirect_location:
        # Not followed, because the key would be sent to the other address too.
        raise LifelineError(response.status_code, response.reason_phrase, f"The service has moved to {response.headers['location']}")
    try:
        content = cache.content(response)
        body = {"text": content.decode()} if issubclass(call.model, Brief) else from_json(content, allow_inf_nan=False)
        return call.model.model_validate(body)
    except (ValueError, LookupError):
        raise LifelineError(response.status_code, response.reason_phrase, "The response is not one of Lifeline's API.") from None


def _parse_error(response: httpx.Response) -> LifelineError:
    try:
        problem = from_json(response.content)
        errors = [FieldError.model_validate(each) for each in problem.get("errors") or []]
        return LifelineError(response.status_code, problem["title"], problem.get("detail"), errors)
    except (ValueError, LookupError, TypeError, AttributeError):
        return LifelineError(response.status_code, response.reason_phrase, None)


def retry_delay(attempt: int, response: httpx.Response | None) -> float:
    """Return seconds to wait before the next attempt: `Retry-After`, otherwise exponential backoff with jitter."""
    retry_after = response.headers.get("Retry-After", "") if response is not None else ""
    if retry_after.isdecimal():
        return min(float(retry_after), MAX_DELAY_SECONDS)
    return min(BASE_DELAY_SECONDS * 2.0 ** min(attempt, 10), MAX_DELAY_SECONDS) * (0.5 + random.random() / 2)  # noqa: S311 - no secret


class Client:
    """The state of both clients; `attempts` is the number of attempts a request, None for no limit."""

    def __init__(self, key: str | None, attempts: int | None) -> None:
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._attempts = attempts
        self._cache = ETagCache()

    def _is_last(self, attempt: int) -> bool:
        return self._attempts is not None and attempt + 1 >= self._attempts
