"""Cost of requests: a weight in the rate limit, and how many expensive ones run at once.

The weights follow from the URL and from what the reader's own ledger made necessary. A response from the cache costs one.
"""

import asyncio
from collections import Counter
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.content_negotiation import Format, parse_accept
from app.http.load_shedding import OVERLOADED
from app.http.problems import RETRY_AFTER_SECONDS, Problem, send_problem
from app.http.rate_limit import KEY, RateLimiter
from app.http.state import headers_of, request_state
from app.storage.slices import begin_work

# From this weight on a request is expensive.
MIN_EXPENSIVE = 10
MAX_EXPENSIVE_PER_CALLER = 2
MAX_WAITING_PER_CALLER = 8
MAX_WAITING = 200
MAX_WAIT_SECONDS = 10.0

WHOLE_LIST_WEIGHT = IMPORT_WEIGHT = 50
PAST_RECORD_WEIGHT = PAGE_WEIGHT = 5
# 256 entries.
ENTRY_TILE_WEIGHT = 3
# Not MIN_EXPENSIVE: a page with a slot would wait for the slots of its own requests to the API.
PAST_PAGE_WEIGHT = 9
# Indicators assessed for a weight of one.
ASSESSED_PER_WEIGHT = 10
# Records of a page for a weight of one, where stored documents are sent, and where each record is composed for the request.
STORED_PER_WEIGHT = 250
COMPOSED_PER_WEIGHT = 100
_COMPOSED = ("situations", "alerts", "changes", "reports", "collections")
_OTHER_FORMATS = (Format.CSV, Format.GEOJSON, Format.XLSX, Format.NDJSON)
_DEFAULT_LIMIT, _MAX_LIMIT = 100, 1000

BUSY = Problem(
    429,
    f"This key or address has {MAX_EXPENSIVE_PER_CALLER} expensive requests running and {MAX_WAITING_PER_CALLER} waiting; try again.",
    kind="rate-limit",
    headers={"Retry-After": RETRY_AFTER_SECONDS},
)


def weight_of(scope: Scope) -> int:
    """Return the weight of a request by its URL."""
    path: str = scope["path"]
    if scope["method"] not in ("GET", "HEAD"):
        return IMPORT_WEIGHT if path == "/v1/imports" else MIN_EXPENSIVE if path == "/v1/drafts/from-text" else 1
    sent = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    past = "as_of" in sent or "known_at" in sent
    parts = path.split("/")
    if parts[1] not in ("v1", "ogc") or len(parts) < 3:
        is_page = path == "/" or parts[1] == "places"
        return 1 if not is_page else PAST_PAGE_WEIGHT if past else PAGE_WEIGHT
    collection, _, suffix = parts[2].partition(".")
    if len(parts) > 3 and parts[-1] != "items":
        if parts[-1] in ("history", "record") or "within" in sent:
            return MIN_EXPENSIVE
        if parts[3:5] == ["tile", "entries"]:
            return ENTRY_TILE_WEIGHT
        return PAST_RECORD_WEIGHT if past or parts[-1].partition(".")[0] in ("digest", "brief") else 1
    limit = min(int(sent["limit"]), _MAX_LIMIT) if sent.get("limit", "").isdecimal() and len(sent["limit"]) < 10 else _DEFAULT_LIMIT
    if "limit" not in sent and "cursor" not in sent and _asks_for_other_format(scope, suffix or sent.get("format")):
        return WHOLE_LIST_WEIGHT
    weight = -(-limit // (COMPOSED_PER_WEIGHT if collection in _COMPOSED else STORED_PER_WEIGHT))
    # From two on, the work is counted: situations are listed by urgency, which is computed for each place.
    return max(weight, MIN_EXPENSIVE) if past else max(weight, 2 if collection == "situations" else 1)


def _asks_for_other_format(scope: Scope, named: str | None) -> bool:
    if named:
        return named in _OTHER_FORMATS
    first = next(iter(parse_accept(headers_of(scope).get(b"accept", b""))), None)
    return first in _OTHER_FORMATS


class ExpensiveRequests:
    """Slots for expensive requests: some for each caller, and some for all, because each holds a connection to read from.

    Callers with a key go first; otherwise many addresses could keep them out.
    """

    def __init__(self, max_running: int) -> None:
        self._max_running = max_running
        self._running: Counter[bytes] = Counter()
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    async def acquire(self, caller: bytes) -> Problem | None:
        """Wait for a slot; return the problem if no slot is free in time."""
        own = sum(waiting == caller for waiting, _ in self._waiting)
        if own >= MAX_WAITING_PER_CALLER or len(self._waiting) >= MAX_WAITING:
            return BUSY if own else OVERLOADED
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await self.wait(caller)
        except TimeoutError:
            return BUSY if self._running[caller] >= MAX_EXPENSIVE_PER_CALLER else OVERLOADED
        return None

    async def wait(self, caller: bytes) -> None:
        """Wait for a slot, however long."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((caller, turn))
        self._admit()
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release(caller)
            else:
                self._waiting.remove((caller, turn))
            raise

    def release(self, caller: bytes) -> None:
        """Give a slot back."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        self._admit()

    def _admit(self) -> None:
        # Stable, so that callers of one sort keep their order.
        for entry in sorted(self._waiting, key=lambda each: not each[0].startswith(KEY)):
            caller, turn = entry
            if self._running.total() >= self._max_running:
                return
            if self._running[caller] < MAX_EXPENSIVE_PER_CALLER and not turn.done():
                self._waiting.remove(entry)
                self._running[caller] += 1
                turn.set_result(None)


class RequestCostMiddleware:
    """Counts what a request costs beyond one, answers 429 where the caller has too little left, and lets few expensive ones run at once."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, max_running: int) -> None:
        self._app = app
        self._limiter = limiter
        self._expensive = ExpensiveRequests(max_running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, or answer 429 or 503."""
        weight = weight_of(scope)
        if weight == 1:
            await self._app(scope, receive, send)
            return
        caller = self._limiter.caller_of(scope)
        # A page of the board costs what its requests to the API assess, and its own weight; those have no identifier of their own.
        decision = self._limiter.charge(scope, caller, weight, counted=1) if "request_id" in request_state(scope) else None
        problem = None if decision is None or decision.allowed else decision.problem()
        # A long poll waits for most of its time.
        gated = weight >= MIN_EXPENSIVE and b"wait=" not in scope["query_string"]
        if problem is None and gated:
            problem = await self._expensive.acquire(caller)
        if problem is not None:
            await send_problem(send, problem, instance=scope["path"], head_only=scope["method"] == "HEAD")
            return
        work, held = begin_work(), gated

        async def send_without_slot(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                self._charge(scope, caller, work.done)
                work.done %= ASSESSED_PER_WEIGHT
            # A client that reads slowly must not hold its slot meanwhile.
            if not (gated and message.get("more_body")):
                await send(message)
                return
            self._expensive.release(caller)
            held = False
            await send(message)
            await self._expensive.wait(caller)
            held = True

        try:
            await self._app(scope, receive, send_without_slot)
        finally:
            if held:
                self._expensive.release(caller)
            self._charge(scope, caller, work.done)

    def _charge(self, scope: Scope, caller: bytes, assessed: int) -> None:
        if assessed >= ASSESSED_PER_WEIGHT:
            self._limiter.charge(scope, caller, assessed // ASSESSED_PER_WEIGHT, refuse=False)
