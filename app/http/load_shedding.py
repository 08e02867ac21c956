"""Load shedding: a bound on how many requests a process works on at once; the others get a 503 before memory grows.

Cached responses and health checks are outside of it, so both are answered under any load. Long polls and streams, writes whose key is not
known to be valid yet, and forms of pages are counted apart from reads and writes. When responses become slow under load, the bound falls,
so that an accepted request is answered before its client gives up.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import RETRY_AFTER_SECONDS, Problem, send_problem
from app.http.rate_limit import KEY
from app.http.request_body import limit_body_time
from app.http.state import request_state

UNLIMITED_PATHS = ("/health/", "/metrics")
# From the complete request to the head of its response.
MAX_LATENCY_SECONDS = 1.0
OVERLOADED = Problem(503, "Too many requests at once; try again.", kind="overloaded", headers={"Retry-After": RETRY_AFTER_SECONDS})


@dataclass(slots=True)
class ConcurrencyLimiter:
    """A limit on requests in flight. Once half of it is used, no caller may have more than a quarter of it.

    The limit moves between an eighth of `max_limit` and `max_limit`: it halves when a response under load takes longer than
    `MAX_LATENCY_SECONDS`, and grows by one for every ten that do not (additive increase, multiplicative decrease, as in RFC 5681).
    """

    max_limit: int
    in_flight: int = 0
    by_caller: Counter[bytes] = field(default_factory=Counter)
    limit: float = field(init=False)
    _lowered_at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self.limit = self.max_limit

    def acquire(self, caller: bytes) -> bool:
        """Count a request of a caller in; False if it would exceed the limit."""
        limit = int(self.limit)
        if self.in_flight >= limit or (self.in_flight >= limit // 2 and self.by_caller[caller] >= max(1, limit // 4)):
            return False
        self.in_flight += 1
        self.by_caller[caller] += 1
        return True

    def release(self, caller: bytes) -> None:
        """Count a request of a caller out."""
        self.in_flight -= 1
        self.by_caller[caller] -= 1
        if not self.by_caller[caller]:
            del self.by_caller[caller]

    def record_latency(self, seconds: float) -> None:
        """Adjust the limit to the latency of one response."""
        if seconds <= MAX_LATENCY_SECONDS:
            self.limit = min(self.max_limit, self.limit + 0.1)
        # A single slow request, such as an import, is no sign of overload.
        elif self.in_flight >= self.limit / 2 and (now := time.monotonic()) - self._lowered_at >= MAX_LATENCY_SECONDS:
            self.limit = max(1, self.max_limit / 8, self.limit / 2)
            self._lowered_at = now


class LoadSheddingMiddleware:
    """Answers 503 with `Retry-After` to requests beyond the limit."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_concurrent_requests: int,
        max_open_streams: int,
        caller_of: Callable[[Scope], bytes],
        body_timeout_seconds: float,
    ) -> None:
        """`caller_of` returns whose share of a limit a request uses."""
        self._app = app
        self._caller_of = caller_of
        self._body_timeout_seconds = body_timeout_seconds
        # Half of the requests are left to others. A write waits for others at little cost, while each read holds a whole response.
        self.writes = ConcurrencyLimiter(max(1, max_concurrent_requests // 2))
        self.reads = ConcurrencyLimiter(max(1, max_concurrent_requests // 8))
        # Beside them: invented keys and unfinished forms must not take the places of reports. A key is verified before a body is read.
        self.unverified = ConcurrencyLimiter(max(1, max_concurrent_requests // 2))
        self.pages = ConcurrencyLimiter(max(1, max_concurrent_requests // 32))
        self.long_polls = ConcurrencyLimiter(max_open_streams)
        self.shed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(UNLIMITED_PATHS):
            await self._app(scope, receive, send)
            return
        caller = self._caller_of(scope)
        limiter = self._limiter(scope, caller)
        if not limiter.acquire(caller):
            self.shed += 1
            await send_problem(send, OVERLOADED, instance=scope["path"], head_only=scope["method"] == "HEAD")
            return
        started = time.monotonic()
        receive_in_time = receive if limiter is self.reads else limit_body_time(receive, self._body_timeout_seconds)

        def on_verified(key: bytes) -> None:
            nonlocal limiter, caller
            if limiter is self.unverified:
                if not self.writes.acquire(KEY + key):
                    self.shed += 1
                    raise replace(OVERLOADED)
                limiter.release(caller)
                limiter, caller = self.writes, KEY + key

        async def receive_timed() -> Message:
            nonlocal started
            message = await receive_in_time()
            # The time that a client takes to send its body is not counted.
            started = time.monotonic()
            return message

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start" and limiter is not self.long_polls:
                limiter.record_latency(time.monotonic() - started)
            await send(message)

        request_state(scope)["on_verified"] = on_verified
        try:
            await self._app(scope, receive if limiter is self.reads else receive_timed, send_timed)
        finally:
            limiter.release(caller)

    def _limiter(self, scope: Scope, caller: bytes) -> ConcurrencyLimiter:
        if scope["method"] not in ("GET", "HEAD"):
            if not scope["path"].startswith("/v1/"):
                return self.pages
            return self.writes if caller.startswith(KEY) else self.unverified
        waits = scope["path"] == "/v1/stream" or (scope["path"] == "/v1/changes" and b"wait=" in unquote_to_bytes(scope["query_string"]))
        return self.long_polls if waits else self.reads
