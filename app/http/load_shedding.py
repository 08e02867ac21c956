"""How many requests a process takes on at once: what comes beyond is told to come again, before memory grows.

Kept answers and health checks pass by this, so both are given however full it is. Requests that wait for changes are counted
apart, so that they never take the place of a write. Where answers take long while many are under way, fewer are let in, so that what is
let in is answered before its client gives up.
"""

import math
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import MEDIA_TYPE, RETRY_AFTER_SECONDS, Problem

UNLIMITED_PATHS = ("/health/", "/metrics")
# Seconds from a whole request to the head of its answer beyond which a crowd is too large.
MAX_LATENCY_SECONDS = 1.0
OVERLOADED = Problem(
    503,
    "Too many requests at once; try again.",
    kind="overloaded",
    headers={"Retry-After": RETRY_AFTER_SECONDS, "Cache-Control": "no-store"},
)


@dataclass(slots=True)
class ConcurrencyLimiter:
    """So many places, each taken by somebody. From half full on nobody holds more than a quarter of them.

    Fewer are given while answers take longer than `LONG_WAIT_SECONDS`, an eighth of `most` at least: half for each such time in which one
    did, one more for every ten that did not (additive increase, multiplicative decrease, as TCP does against congestion: RFC 5681).
    """

    max_limit: int
    in_flight: int = 0
    by_caller: Counter[bytes] = field(default_factory=Counter)
    limit: float = field(init=False)
    _lowered_at: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self.limit = self.max_limit

    def acquire(self, caller: bytes) -> bool:
        """Take a place for a caller; False where there is none for this one."""
        given = int(self.limit)
        if self.in_flight >= given or (self.in_flight >= given // 2 and self.by_caller[caller] >= max(1, given // 4)):
            return False
        self.in_flight += 1
        self.by_caller[caller] += 1
        return True

    def release(self, caller: bytes) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self.by_caller[caller] -= 1
        if not self.by_caller[caller]:
            del self.by_caller[caller]

    def record_latency(self, seconds: float) -> None:
        """Take from how long an answer took whether there are too many at once."""
        if seconds <= MAX_LATENCY_SECONDS:
            self.limit = min(self.max_limit, self.limit + 0.1)
        # One that takes long by itself, as an import does, says nothing of a crowd.
        elif self.in_flight >= self.limit / 2 and (now := time.monotonic()) - self._lowered_at >= MAX_LATENCY_SECONDS:
            self.limit = max(1, self.max_limit / 8, self.limit / 2)
            self._lowered_at = now


class LoadSheddingMiddleware:
    """Lets requests through while there are places for them, and answers 503 with Retry-After otherwise."""

    def __init__(self, app: ASGIApp, *, max_concurrent_requests: int, max_open_streams: int) -> None:
        self._app = app
        # Writes stand in a queue for their turn; they leave half of the places to readers.
        self.writes = ConcurrencyLimiter(max(1, max_concurrent_requests // 2))
        self.reads = ConcurrencyLimiter(max(1, max_concurrent_requests - max_concurrent_requests // 2))
        self.long_polls = ConcurrencyLimiter(max_open_streams)
        self.shed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 503."""
        if scope["type"] != "http" or scope["path"].startswith(UNLIMITED_PATHS):
            await self._app(scope, receive, send)
            return
        places, caller = self._places(scope), _caller(scope)
        if not places.acquire(caller):
            self.shed += 1
            await _refuse(scope, send)
            return
        began = time.monotonic()

        async def receive_timed() -> Message:
            nonlocal began
            message = await receive()
            # A body that comes slowly is its sender's time.
            began = time.monotonic()
            return message

        async def send_timed(message: Message) -> None:
            if message["type"] == "http.response.start" and places is not self.long_polls:
                places.record_latency(time.monotonic() - began)
            await send(message)

        try:
            await self._app(scope, receive if places is self.reads else receive_timed, send_timed)
        finally:
            places.release(caller)

    def _places(self, scope: Scope) -> ConcurrencyLimiter:
        if scope["method"] not in ("GET", "HEAD"):
            return self.writes
        waits = scope["path"] == "/v1/stream" or (scope["path"] == "/v1/changes" and b"wait=" in unquote_to_bytes(scope["query_string"]))
        return self.long_polls if waits else self.reads


def _caller(scope: Scope) -> bytes:
    """Who asks, as far as fairness goes: the key that is sent, else the address."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    return (scope["client"] or ("",))[0].encode()


async def _refuse(scope: Scope, send: Send) -> None:
    body = orjson.dumps(OVERLOADED.body(scope["path"]))
    headers = [(name.lower().encode(), value.encode()) for name, value in OVERLOADED.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": OVERLOADED.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
