"""Conditional requests, compression and kept answers: pure ASGI, before routing.

An answer is kept for as long as the database has the version that it was read at, so that a hit needs neither routing nor a
query. It depends on the path, the query in canonical order, the formats that `Accept` takes, the clearance and whether a key was
sent, the version, and the day, since some filters look at the clock. Access rules are not repeated here: the clearance of a key
is remembered as the application found it, for as long as the version lasts (a revocation is a commit) and the key has not expired.

A body that comes in pieces and grows large is let through as it comes (`app.http.response_buffer`), without an ETag.
"""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from blake3 import blake3
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.compression import compressed, negotiate_encoding
from app.http.content_negotiation import AcceptedFormats, parse_accept
from app.http.cursors import cursor_revision
from app.http.problems import MEDIA_TYPE, Problem, problem_of_aborted_response
from app.http.response_buffer import EMPTY_BODY, BufferedResponse, Headers
from app.http.responses import REVISION_HEADER
from app.http.state import RequestState, request_state
from app.storage.consistency import ConsistencyRequirement, set_current

MIN_COMPRESSED_BYTES = 512
# What a kept answer takes beside its bytes, more or less.
ENTRY_OVERHEAD_BYTES = 2000
MAX_CACHED_QUERY_BYTES = 1000
MAX_REVISION_DIGITS = 18
# All that a 304 says (RFC 9110, 15.4.5); what is not here the client has already.
REVISION = REVISION_HEADER.lower().encode()
ON_NOT_MODIFIED = (b"cache-control", b"vary")
DAY_SECONDS = 86_400
MAX_AUDIENCES = 10_000


@dataclass(frozen=True, slots=True)
class CacheAudience:
    """What an answer depends on of who asks. `until` is when the key expires, in seconds since the epoch."""

    level: int
    keyed: bool
    until: float = float("inf")
    caller: Any = None


@dataclass(slots=True)
class CachedResponse:
    """One answer: its headers without those of a coding, its bytes, and the bytes of each coding once it was asked for."""

    version: int | None
    day: int
    revision: int
    headers: Headers
    body: bytes
    tag: str
    representations: dict[bytes, tuple[Message, Message, Message, bytes]] = field(default_factory=dict)
    counted: int = 0
    route: str = "none"

    @property
    def size(self) -> int:
        """Bytes that it takes, those of its codings included."""
        coded = sum(len(made[1]["body"]) for made in self.representations.values() if made[1]["body"] is not self.body)
        return len(self.body) + coded + ENTRY_OVERHEAD_BYTES

    async def encode(self, coding: bytes) -> tuple[Message, Message, Message, bytes]:
        """The start of a 200, its body, the start of a 304, and the tag, in a coding (`zstd`, `gzip`, or empty for none)."""
        compressible = len(self.body) >= MIN_COMPRESSED_BYTES
        body = self.body
        if coding and compressible:
            body = await compressed(body, coding)
        # A strong ETag names exact bytes, so each coding has its own.
        suffix = f"-{coding.decode()}" if coding and compressible else ""
        tag = f'"{self.tag}{suffix}"'.encode()
        headers = [*self.headers, (b"etag", tag)]
        whole = [*headers, (b"content-length", str(len(body)).encode())]
        if suffix:
            whole.append((b"content-encoding", coding))
        self.representations[coding] = made = (
            {"type": "http.response.start", "status": 200, "headers": whole},
            {"type": "http.response.body", "body": body},
            {
                "type": "http.response.start",
                "status": 304,
                "headers": [(b"etag", tag), *(each for each in self.headers if each[0] in ON_NOT_MODIFIED)],
            },
            tag,
        )
        return made


class ResponseCacheMiddleware:
    """Answers GET and HEAD from what is kept where it can, and gives every other 200 its ETag and coding."""

    def __init__(
        self,
        app: ASGIApp,
        version: Callable[[], int | None],
        *,
        public_level: int,
        max_bytes: int,
        on_hit: Callable[[CacheAudience, Scope], None] | None = None,
        audit_from_level: int = 0,
    ) -> None:
        """`on_hit` is told of every answer from what is kept to a reader of the level `watch_from` or above."""
        self._app = app
        self._version = version
        self._on_hit = on_hit
        self._watch_from = audit_from_level
        self._public = CacheAudience(public_level, keyed=False)
        self._most_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[tuple[Any, ...], CachedResponse] = OrderedDict()
        self._audiences: dict[bytes, tuple[int | None, CacheAudience]] = {}
        # How often what is kept was enough, by route, method and class of status.
        self.hits: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        held = codings = accept = seen = b""
        authorization: bytes | None = None
        ambiguous = False
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                held = b"%b,%b" % (held, value) if held else value
            elif name == b"accept-encoding":
                codings = b"%b,%b" % (codings, value) if codings else value
            elif name == b"accept":
                # Several lines are one list (RFC 9110, 5.3).
                accept = b"%b,%b" % (accept, value) if accept else value
            elif name in (REVISION, b"last-event-id"):
                seen += b",%b" % value
            elif name == b"authorization":
                # Two of them: which one the application goes by is not for this layer to guess.
                ambiguous = authorization is not None
                authorization = value
        coding = negotiate_encoding(codings)
        formats = parse_accept(accept)
        head_only = scope["method"] == "HEAD"
        version = None if ambiguous else self._version()
        day = int(time.time()) // DAY_SECONDS
        query = scope["query_string"]
        has_seen = _newest_seen(seen, query) if seen or query else None
        reader = self._public if authorization is None else self._audience(authorization, version)
        if reader is not None and version is not None:
            key = _key(scope, formats, reader)
            kept = self._entries.get(key)
            if kept is not None and kept.version == version and kept.day == day and kept.revision >= (has_seen or 0):
                self._entries.move_to_end(key)
                if reader.level >= self._watch_from and self._on_hit is not None:
                    self._on_hit(reader, scope)
                made = kept.representations.get(coding) or await self._encode(key, kept, coding)
                unchanged = await _send(made, kept.tag, held, head_only, send)
                self.hits[kept.route, scope["method"], "3xx" if unchanged else "2xx"] += 1
                return
        set_current(asked := ConsistencyRequirement(min_revision=has_seen or 0, latest_required=has_seen is not None))
        state = RequestState(**request_state(scope))
        whole = await self._call_app(scope, receive, BufferedResponse(send, head_only, coding), state, send)
        if whole is None:
            return
        answer = CachedResponse(version, day, _revision_of(whole[0]), *whole, blake3(whole[1]).hexdigest(16))
        made = await answer.encode(coding)
        answer.route = state.get("route_template", "none")
        if state.get("cacheable") and version is not None and asked.is_latest:
            self._store(authorization, version, state.get("caller"), scope, formats, answer)
        await _send(_named(made, state.get("request_id")), answer.tag, held, head_only, send)

    async def _call_app(
        self, scope: Scope, receive: Receive, passing: BufferedResponse, state: RequestState, send: Send
    ) -> tuple[Headers, bytes] | None:
        """What the application answers, unless it went through as it came; `state` is what it leaves beside the request."""
        headers = [each for each in scope["headers"] if each[0] != b"if-none-match"]
        try:
            await self._app(dict(scope, method="GET", headers=headers, state=state), passing.receive(receive), passing.send)
        except ClientDisconnect:
            # A reader of a stream who went.
            return None
        except Exception as error:
            known = problem_of_aborted_response(error)
            # What broke off while it was held back is an error like every other; of what is out already the connection's end tells.
            if not passing.streaming:
                await _send_error(send, known or Problem(500, "Something went wrong here; nothing was written."))
            if known is None:
                raise
            return None
        return passing.buffered()

    def _audience(self, authorization: bytes, version: int | None) -> CacheAudience | None:
        known = self._audiences.get(authorization)
        if known is None or known[0] != version or known[1].until <= time.time():
            return None
        return known[1]

    def _store(
        self, authorization: bytes | None, version: int, caller: Any, scope: Scope, formats: AcceptedFormats, answer: CachedResponse
    ) -> None:
        reader = self._public
        if authorization is not None:
            if caller is None:
                return
            until = caller.expires_at.timestamp() if caller.expires_at else float("inf")
            reader = CacheAudience(caller.level, keyed=True, until=until, caller=caller)
            if len(self._audiences) >= MAX_AUDIENCES:
                self._audiences.clear()
            self._audiences[authorization] = (version, reader)
        key = _key(scope, formats, reader)
        self._drop(key)
        # One answer does not push out all others.
        if answer.size <= self._most_bytes // 2:
            self._entries[key] = answer
            self._count(answer)

    async def _encode(self, key: tuple[Any, ...], kept: CachedResponse, coding: bytes) -> tuple[Message, Message, Message, bytes]:
        """Another coding of a kept answer; its bytes count too."""
        made = await kept.encode(coding)
        if self._entries.get(key) is kept:
            self._count(kept)
        return made

    def _count(self, kept: CachedResponse) -> None:
        size = kept.size
        self._bytes += size - kept.counted
        kept.counted = size
        while self._bytes > self._most_bytes and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[Any, ...]) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= old.counted


def _newest_seen(seen: bytes, query: bytes) -> int | None:
    """The newest revision of those that a reader says he has seen, in a header or in a cursor; None where he says nothing."""
    told = [each.strip() for each in seen.decode("latin-1").split(",") if each.strip()]
    if b"cursor=" in query or b"after=" in query:
        told += [value for name, value in _canonical(query) if name in ("cursor", "after")]
    return max(
        (int(each) if each.isdecimal() and len(each) <= MAX_REVISION_DIGITS else cursor_revision(each) for each in told), default=None
    )


def _revision_of(headers: Headers) -> int:
    return next((int(value) for name, value in headers if name == REVISION), 0)


def _key(scope: Scope, formats: AcceptedFormats, reader: CacheAudience) -> tuple[Any, ...]:
    # Keys of one clearance share what is kept; each one's expiry is looked at when it asks.
    return scope["path"], _canonical(scope["query_string"]), formats, reader.level, reader.keyed


async def _send_error(send: Send, problem: Problem) -> None:
    body = orjson.dumps(problem.body())
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send(made: tuple[Message, Message, Message, bytes], tag: str, held: bytes, head_only: bool, send: Send) -> bool:
    """Send what was made, or that the client has it already; answers which."""
    start, body, not_modified, exact = made
    if held and _matches(held, tag, exact):
        await send(not_modified)
        await send(EMPTY_BODY)
        return True
    await send(start)
    await send(EMPTY_BODY if head_only else body)
    return False


def _named(made: tuple[Message, Message, Message, bytes], identifier: bytes | None) -> tuple[Message, Message, Message, bytes]:
    """The same with the request's identifier, which is of this one request, so it is not kept."""
    if identifier is None:
        return made
    start, body, not_modified, exact = made
    header = (b"x-request-id", identifier)
    return (
        {**start, "headers": [*start["headers"], header]},
        body,
        {**not_modified, "headers": [*not_modified["headers"], header]},
        exact,
    )


def _matches(held: bytes, tag: str, exact: bytes) -> bool:
    if held == exact:
        return True
    # Weak comparison (RFC 9110, 13.1.2); a tag of another coding of the same bytes is a match too.
    for each in held.decode("latin-1").split(","):
        bare = each.strip().removeprefix("W/").strip('"')
        if bare in ("*", tag) or bare.startswith(f"{tag}-"):
            return True
    return False


def _canonical(query: bytes) -> tuple[tuple[str, str], ...]:
    return _parsed(query) if len(query) <= MAX_CACHED_QUERY_BYTES else _parsed.__wrapped__(query)


@lru_cache(maxsize=2048)
def _parsed(query: bytes) -> tuple[tuple[str, str], ...]:
    """The query as the application reads it, in order of name: however it was spelled, the same is asked for."""
    return tuple(sorted(parse_qsl(query.decode("latin-1"), keep_blank_values=True), key=lambda each: each[0]))
