"""One request and its answer, the same for both clients: what is sent, what is tried again, what is kept."""

import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import uuid4

import httpx
import orjson

from app.client.records import FieldError, LifelineError, Outcome, Page, R

JSON = "application/json"
RETRIED = frozenset({429, 502, 503, 504})
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
READ_SECONDS = 30.0
CONNECT_SECONDS = 10.0
TIMEOUT = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
# Answers kept for conditional requests.
MOST_KEPT = 64

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how its answer is read."""

    read: Callable[[Any], T]
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, client: httpx.Client | httpx.AsyncClient, kept: "Kept") -> httpx.Request:
        """The request to send; the same each time that it is tried."""
        if self.body is not None:
            return client.build_request("POST", self.path, content=orjson.dumps(self.body), headers={"Content-Type": JSON, **self.headers})
        params = {name: str(each).lower() if isinstance(each, bool) else each for name, each in self.params.items() if each is not None}
        timeout = httpx.Timeout(READ_SECONDS + float(params.get("wait", 0)), connect=CONNECT_SECONDS)
        request = client.build_request("GET", self.path, params=params, timeout=timeout)
        if (etag := kept.etag(str(request.url))) is not None:
            request.headers["If-None-Match"] = etag
        return request


def get(read: Callable[[Any], T], path: str, **params: Any) -> Call[T]:
    """A GET, with the parameters that are not None."""
    return Call(read, path, params)


def post(read: Callable[[Any], T], path: str, body: Any) -> Call[T]:
    """A POST of JSON."""
    return Call(read, path, body=body, headers={"Idempotency-Key": str(uuid4())})


class Kept:
    """Answers that a 304 refers to, the last ones used."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def etag(self, url: str) -> str | None:
        """The ETag of what is kept of an address."""
        found = self._answers.get(url)
        return found[0] if found else None

    def content(self, answer: httpx.Response) -> bytes:
        """The body of an answer, or of the one before that it says still holds; keeps it."""
        url = str(answer.request.url)
        if answer.status_code == 304:
            self._answers.move_to_end(url)
            return self._answers[url][1]
        if answer.request.method == "GET" and "etag" in answer.headers:
            self._answers[url] = (answer.headers["etag"], answer.content)
            self._answers.move_to_end(url)
            if len(self._answers) > MOST_KEPT:
                self._answers.popitem(last=False)
        return answer.content


def read(call: Call[T], answer: httpx.Response, kept: Kept) -> T:
    """What an answer says; LifelineError for an error, and for what is no answer to what was asked."""
    if answer.status_code >= 400:
        try:
            problem = answer.json()
            errors = [FieldError.model_validate(each) for each in problem.get("errors") or []]
            raise LifelineError(answer.status_code, problem["title"], problem.get("detail"), errors)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise LifelineError(answer.status_code, answer.reason_phrase, None, []) from None
    if answer.has_redirect_location:
        # Not gone after, since the key would go along.
        raise LifelineError(answer.status_code, answer.reason_phrase, f"It has moved: ask {answer.headers['location']}", [])
    content = kept.content(answer)
    try:
        return call.read(orjson.loads(content))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise LifelineError(answer.status_code, answer.reason_phrase, "The answer is not one to what was asked.", []) from None


def pause(attempt: int, answer: httpx.Response | None) -> float:
    """Seconds before trying again: what the service asks for, else twice as long each time, a random part of it."""
    asked = answer.headers.get("Retry-After", "") if answer is not None else ""
    if asked.isdecimal():
        return min(float(asked), LONGEST_PAUSE_SECONDS)
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempt, 10), LONGEST_PAUSE_SECONDS) * (0.5 + random.random() / 2)  # noqa: S311 - no secret


def page_of(of: type[R]) -> Callable[[Any], Page[R]]:
    """Reads a page of some records."""
    return Page[of].model_validate  # type: ignore[valid-type]


def outcomes(answer: Any) -> list[Outcome]:
    """Reads what became of a list of reports."""
    return [Outcome.model_validate(each) for each in answer["items"]]


def headers(key: str | None) -> dict[str, str]:
    """The headers of every request with a key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


class Client:
    """What both clients are made with: `attempts` is how often a request is tried, None for ever; `timeout` is per wait, in seconds."""

    def __init__(self, attempts: int | None) -> None:
        self._attempts = attempts
        self._kept = Kept()

    def gives_up(self, attempt: int) -> bool:
        """Whether a try, counted from 0, was the last."""
        return self._attempts is not None and attempt + 1 >= self._attempts
