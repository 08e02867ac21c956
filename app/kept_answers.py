"""Conditional requests, compression and kept answers: pure ASGI, before routing.

An answer is kept for as long as the database has the version that it was read at, so that a hit needs neither routing nor a
query. It depends on the path, the query in canonical order, the formats that `Accept` takes, the clearance and whether a key was
sent, the version, and the day, since some filters look at the clock. Access rules are not repeated here: the clearance of a key
is remembered as the application found it, for as long as the version lasts (a revocation is a commit) and the key has not expired.

A body that comes in pieces and grows large is let through as it comes (`app.passing`), without an ETag.
"""

import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import zstandard
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import MEDIA_TYPE, Problem
from app.formats import Accepted, accepted
from app.passing import NOTHING, Headers, Passing

SMALLEST_TO_COMPRESS = 512
DAY_SECONDS = 86_400
MOST_READERS = 10_000
# Set by the application beside a request: that the answer depends on nothing but what the key of a kept answer holds.
KEEP = "keep_answer"
CALLER = "caller"

_COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"zstd": lambda body: zstandard.ZstdCompressor(level=6).compress(body),
    b"gzip": lambda body: gzip.compress(body, 6, mtime=0),
}


@dataclass(frozen=True, slots=True)
class Reader:
    """What an answer depends on of who asks. `until` is when the key expires, in seconds since the epoch."""

    level: int
    keyed: bool
    until: float = float("inf")


@dataclass(slots=True)
class Kept:
    """One answer: its headers without those of a coding, its bytes, and the bytes of each coding once it was asked for."""

    version: int | None
    day: int
    headers: Headers
    body: bytes
    tag: str
    made: dict[bytes, tuple[Message, Message, Message, bytes]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it may take, its codings included, which are each smaller than the body."""
        return 2 * len(self.body) + 2000

    def messages(self, coding: bytes) -> tuple[Message, Message, Message, bytes]:
        """The start of a 200, its body, the start of a 304, and the tag, in a coding (`zstd`, `gzip`, or empty for none)."""
        found = self.made.get(coding)
        if found is None:
            compressible = len(self.body) >= SMALLEST_TO_COMPRESS
            body = _COMPRESS[coding](self.body) if coding and compressible else self.body
            # A strong ETag names exact bytes, so each coding has its own.
            suffix = f"-{coding.decode()}" if coding and compressible else ""
            tag = f'"{self.tag}{suffix}"'.encode()
            headers = [*self.headers, (b"etag", tag)]
            whole = [*headers, (b"content-length", str(len(body)).encode())]
            if suffix:
                whole.append((b"content-encoding", coding))
            start = {"type": "http.response.start", "status": 200, "headers": whole}
            not_modified = [each for each in headers if each[0] != b"content-type"]
            found = (
                start,
                {"type": "http.response.body", "body": body},
                {"type": "http.response.start", "status": 304, "headers": not_modified},
                tag,
            )
            self.made[coding] = found
        return found


class KeptAnswers:
    """Answers GET and HEAD from what is kept where it can, and gives every other 200 its ETag and coding."""

    def __init__(self, app: ASGIApp, version: Callable[[], int | None], *, public_level: int, most_bytes: int) -> None:
        self._app = app
        self._version = version
        self._public = Reader(public_level, keyed=False)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[Any, ...], Kept] = OrderedDict()
        self._readers: dict[bytes, tuple[int | None, Reader]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        authorization = held = codings = accept = b""
        ambiguous = False
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                held = value
            elif name == b"accept-encoding":
                codings = value
            elif name == b"accept":
                # Several lines are one list (RFC 9110, 5.3).
                accept = accept + b"," + value if accept else value
            elif name == b"authorization":
                # Two of them: which one the application goes by is not for this layer to guess.
                ambiguous = bool(authorization)
                authorization = value
        coding = _coding(codings)
        formats = accepted(accept)
        head_only = scope["method"] == "HEAD"
        version = None if ambiguous else self._version()
        day = int(time.time()) // DAY_SECONDS
        reader = self._reader(authorization, version)
        if reader is not None and version is not None:
            key = _key(scope, formats, reader)
            kept = self._kept.get(key)
            if kept is not None and kept.version == version and kept.day == day:
                self._kept.move_to_end(key)
                await _send(kept, coding, held, head_only, send)
                return
        state: dict[str, Any] = dict(scope.get("state", {}))
        whole = await self._ask(scope, receive, Passing(send, head_only, coding), state, send)
        if whole is None:
            return
        answer = Kept(version, day, *whole, hashlib.sha256(whole[1]).hexdigest()[:32])
        if state.get(KEEP) and version is not None:
            self._remember(authorization, version, state.get(CALLER), scope, formats, answer)
        await _send(answer, coding, held, head_only, send)

    async def _ask(
        self, scope: Scope, receive: Receive, passing: Passing, state: dict[str, Any], send: Send
    ) -> tuple[Headers, bytes] | None:
        """What the application answers, unless it went through as it came; `state` is what it leaves beside the request."""
        headers = [each for each in scope["headers"] if each[0] != b"if-none-match"]
        try:
            await self._app(dict(scope, method="GET", headers=headers, state=state), passing.receive(receive), passing.send)
        except ClientDisconnect:
            # A reader of a stream who went, or did not keep up.
            return None
        except Exception:
            # What broke off while it was held back is an error like every other; of what is out already the connection's end tells.
            if not passing.through:
                await _send_error(send)
            raise
        return passing.whole()

    def _reader(self, authorization: bytes, version: int | None) -> Reader | None:
        if not authorization:
            return self._public
        known = self._readers.get(authorization)
        if known is None or known[0] != version or known[1].until <= time.time():
            return None
        return known[1]

    def _remember(self, authorization: bytes, version: int, caller: Any, scope: Scope, formats: Accepted, answer: Kept) -> None:
        reader = self._public
        if authorization:
            if caller is None:
                return
            reader = Reader(caller.level, keyed=True, until=caller.expires_at.timestamp() if caller.expires_at else float("inf"))
            if len(self._readers) >= MOST_READERS:
                self._readers.clear()
            self._readers[authorization] = (version, reader)
        key = _key(scope, formats, reader)
        self._drop(key)
        self._kept[key] = answer
        self._bytes += answer.size
        while self._bytes > self._most_bytes and self._kept:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[Any, ...]) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= old.size


def _key(scope: Scope, formats: Accepted, reader: Reader) -> tuple[Any, ...]:
    # Keys of one clearance share what is kept; each one's expiry is looked at when it asks.
    return scope["path"], _canonical(scope["query_string"]), formats, reader.level, reader.keyed


async def _send_error(send: Send) -> None:
    body = orjson.dumps(Problem(500, "Something went wrong here; nothing was written.").body())
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send(kept: Kept, coding: bytes, held: bytes, head_only: bool, send: Send) -> None:
    start, body, not_modified, exact = kept.made.get(coding) or kept.messages(coding)
    if held and _matches(held, kept.tag, exact):
        await send(not_modified)
        await send(NOTHING)
        return
    await send(start)
    await send(NOTHING if head_only else body)


def _matches(held: bytes, tag: str, exact: bytes) -> bool:
    if held == exact:
        return True
    # Weak comparison (RFC 9110, 13.1.2); a tag of another coding of the same bytes is a match too.
    for each in held.decode("latin-1").split(","):
        bare = each.strip().removeprefix("W/").strip('"')
        if bare in ("*", tag) or bare.startswith(f"{tag}-"):
            return True
    return False


@lru_cache(maxsize=256)
def _coding(accepted: bytes) -> bytes:
    """The coding to use for an Accept-Encoding: zstd before gzip, unless refused by `q=0`."""
    if not accepted:
        return b""
    refused = {part.split(b";")[0].strip() for part in accepted.split(b",") if part.replace(b" ", b"").endswith((b";q=0", b";q=0.0"))}
    offered = {part.split(b";")[0].strip() for part in accepted.split(b",")} - refused
    return next((coding for coding in _COMPRESS if coding in offered), b"")


def _canonical(query: bytes) -> bytes:
    return b"&".join(sorted(query.split(b"&"))) if b"&" in query else query
