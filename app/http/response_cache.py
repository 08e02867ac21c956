"""The response cache: cached responses, conditional requests and compression; pure ASGI, before routing.

A response is valid while the ledger of its reader's clearance, reference data and keys have the version that it was read at, so a hit
needs neither routing nor a query, and a commit that the reader must not learn of does not end it. Its key is the path, the sorted query,
the formats that `Accept` takes, the clearance and whether a credential was sent; it also expires with the day, because some filters look
at the clock. Access rules are not repeated here: the cache remembers the clearance that the application found for a credential, until
the next change of a key or a session, or its expiry.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http.compression import negotiate_encoding
from app.http.content_negotiation import AcceptedFormats, parse_accept
from app.http.cursors import cursor_revision
from app.http.problems import INTERNAL_ERROR, Problem, RawHeaders, problem_of_aborted_response, send_problem
from app.http.representations import CachedResponse, Representation, tag_of
from app.http.response_buffer import BufferedResponse
from app.http.responses import REVISION_HEADER
from app.http.state import headers_of, request_state
from app.storage.commit_notifier import Head, Version
from app.storage.consistency import ConsistencyRequirement, set_current

MAX_CACHED_QUERY_BYTES = 1000
MAX_REVISION_DIGITS = 18
MAX_AUDIENCES = 10_000
DAY_SECONDS = 86_400
REVISION = REVISION_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class CacheAudience:
    """A clearance, with or without a key, and a caller of it for the audit log; `expires_at` is in seconds since the epoch."""

    level: int
    keyed: bool
    caller: Any
    expires_at: float = float("inf")


@dataclass(frozen=True, slots=True)
class CacheHit:
    """A request with the cached response that answers it, and would answer it again while it `holds`."""

    cache: "ResponseCacheMiddleware"
    scope: Scope
    key: tuple[Any, ...]
    cached: CachedResponse
    audience: CacheAudience
    authorization: bytes | None
    representation: Representation
    is_not_modified: bool

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return b"" if self.is_not_modified else self.representation.body["body"]

    def holds(self) -> bool:
        """Return whether the same request would get the same answer now."""
        return self.cache.is_kept(self.key, self.cached, self.audience, self.authorization)

    def count(self) -> None:
        """Count the answer as given, once more."""
        self.cache.count_hit(self)


class ResponseCacheMiddleware:
    """Answers GET and HEAD from memory where it can, and gives every other 200 its ETag and compression."""

    def __init__(
        self,
        app: ASGIApp,
        head: Callable[[], Head | None],
        *,
        public_caller: Any,
        max_bytes: int,
        on_hit: Callable[[Any, Scope], None],
        audit_from_level: int,
    ) -> None:
        """`head` returns that of the database, None while unknown; `on_hit` gets the caller of each hit from `audit_from_level` up."""
        self._app = app
        self._head = head
        self._on_hit = on_hit
        self._audit_from_level = audit_from_level
        self._public = CacheAudience(public_caller.level, keyed=False, caller=public_caller)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[Any, ...], CachedResponse] = OrderedDict()
        self._audiences: dict[bytes, tuple[Version, CacheAudience]] = {}
        # Number of hits by route, method and class of status.
        self.hits: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        sent = headers_of(scope)
        if_none_match, authorization = sent.get(b"if-none-match", b""), sent.get(b"authorization")
        coding = negotiate_encoding(sent.get(b"accept-encoding", b""))
        formats = parse_accept(sent.get(b"accept", b""))
        head_only = scope["method"] == "HEAD"
        head = self._head()
        query = scope["query_string"]
        seen = [sent[name] for name in (REVISION, b"last-event-id") if name in sent]
        seen_revision = _seen_revision(b",".join(seen), query) if seen or query else None
        audience = self._public if authorization is None else self._audience(authorization, head)
        if audience is not None and head is not None:
            key = _key(scope, formats, audience)
            cached = self._entries.get(key)
            if cached is not None and _holds(cached, head, audience) and cached.revision >= (seen_revision or 0):
                representation = cached.representations.get(coding) or await self._encode(key, cached, coding)
                is_not_modified = cached.is_not_modified(representation, if_none_match)
                hit = CacheHit(self, scope, key, cached, audience, authorization, representation, is_not_modified)
                state = request_state(scope)
                state["route_template"], state["cache_hit"] = cached.route, hit
                hit.count()
                await representation.send(send, is_not_modified=is_not_modified, head_only=head_only)
                return
        day = int(time.time()) // DAY_SECONDS
        requirement = ConsistencyRequirement(min_revision=seen_revision or 0, latest_required=seen_revision is not None)
        set_current(requirement)
        state = request_state(scope)
        buffered = await self._call_app(scope, receive, BufferedResponse(send, head_only, coding, state.get("server_send", send)), send)
        if buffered is None:
            return
        headers, body = buffered
        response = CachedResponse(day, _revision_of(headers), headers, body, tag_of(body))
        representation = await response.encode(coding)
        response.route = state.get("route_template", "none")
        if state.get("cacheable") and head is not None and requirement.is_latest:
            self._store(authorization, head, state.get("caller"), scope, formats, response)
        is_not_modified = response.is_not_modified(representation, if_none_match)
        await representation.send(send, is_not_modified=is_not_modified, head_only=head_only)

    async def _call_app(self, scope: Scope, receive: Receive, response: BufferedResponse, send: Send) -> tuple[RawHeaders, bytes] | None:
        """Return the headers and body of a 200, None for a response that is already sent; the application fills the request's state."""
        headers = [each for each in scope["headers"] if each[0] != b"if-none-match"]
        try:
            await self._app(dict(scope, method="GET", headers=headers), response.receive(receive), response.send)
        except ClientDisconnect:
            # The reader of a stream has disconnected.
            return None
        except Exception as error:
            problem = problem_of_aborted_response(error)
            # A response that was still buffered becomes an error; of one that was being sent, the connection breaks.
            if not response.streaming:
                await send_problem(send, problem or Problem(500, INTERNAL_ERROR))
            if problem is None:
                raise
            return None
        return response.buffered()

    def is_kept(self, key: tuple[Any, ...], cached: CachedResponse, audience: CacheAudience, authorization: bytes | None) -> bool:
        """Return whether a response is still the one for a key, and its audience that of a credential."""
        head = self._head()
        if head is None or self._entries.get(key) is not cached or not _holds(cached, head, audience):
            return False
        return authorization is None or self._audience(authorization, head) is audience

    def count_hit(self, hit: CacheHit) -> None:
        """Note that a cached response was given."""
        if hit.key in self._entries:
            self._entries.move_to_end(hit.key)
        if hit.audience.level >= self._audit_from_level:
            self._on_hit(hit.audience.caller, hit.scope)
        self.hits[hit.cached.route, hit.scope["method"], "3xx" if hit.is_not_modified else "2xx"] += 1

    def _audience(self, authorization: bytes, head: Head | None) -> CacheAudience | None:
        known = self._audiences.get(authorization)
        if known is None or head is None or known[0] != head.access or known[1].expires_at <= time.time():
            return None
        return known[1]

    def _store(
        self, authorization: bytes | None, head: Head, caller: Any, scope: Scope, formats: AcceptedFormats, response: CachedResponse
    ) -> None:
        audience = self._public
        if authorization is not None:
            if caller is None:
                return
            expires_at = caller.expires_at.timestamp() if caller.expires_at else float("inf")
            audience = CacheAudience(caller.level, keyed=True, caller=caller, expires_at=expires_at)
            if len(self._audiences) >= MAX_AUDIENCES:
                self._audiences.clear()
            self._audiences[authorization] = (head.access, audience)
        response.version = head.version(audience.level)
        key = _key(scope, formats, audience)
        self._drop(key)
        # A larger response would push out all others.
        if response.size <= self._max_bytes // 2:
            self._entries[key] = response
            self._count(response)

    async def _encode(self, key: tuple[Any, ...], cached: CachedResponse, coding: bytes) -> Representation:
        representation = await cached.encode(coding)
        if self._entries.get(key) is cached:
            self._count(cached)
        return representation

    def _count(self, cached: CachedResponse) -> None:
        size = cached.size
        self._bytes += size - cached.counted_bytes
        cached.counted_bytes = size
        while self._bytes > self._max_bytes and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[Any, ...]) -> None:
        cached = self._entries.pop(key, None)
        if cached is not None:
            self._bytes -= cached.counted_bytes


def _holds(cached: CachedResponse, head: Head, audience: CacheAudience) -> bool:
    return cached.version == head.version(audience.level) and cached.day == int(time.time()) // DAY_SECONDS


def _seen_revision(seen: bytes, query: bytes) -> int | None:
    """Return the newest revision that a client has seen, by its headers and cursors; None if it sends none."""
    values = [each.strip() for each in seen.decode("latin-1").split(",") if each.strip()]
    if b"cursor=" in query or b"after=" in query:
        values += [value for name, value in _sorted_query(query) if name in ("cursor", "after")]
    return max(
        (int(each) if each.isdecimal() and len(each) <= MAX_REVISION_DIGITS else cursor_revision(each) for each in values), default=None
    )


def _revision_of(headers: RawHeaders) -> int:
    return next((int(value) for name, value in headers if name == REVISION), 0)


def _key(scope: Scope, formats: AcceptedFormats, audience: CacheAudience) -> tuple[Any, ...]:
    # Credentials of one clearance share an entry; the expiry of each is checked when it is sent.
    return scope["path"], _sorted_query(scope["query_string"]), formats, audience.level, audience.keyed


def _sorted_query(query: bytes) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a query, sorted by name, so that each spelling of one query has one key."""
    return _cached_sort(query) if len(query) <= MAX_CACHED_QUERY_BYTES else _sort(query)


def _sort(query: bytes) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(parse_qsl(query.decode("latin-1"), keep_blank_values=True), key=lambda each: each[0]))


_cached_sort = lru_cache(maxsize=2048)(_sort)
