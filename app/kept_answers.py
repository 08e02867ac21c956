"""Conditional requests, compression and kept answers: pure ASGI, before routing.

An answer is kept for as long as the database has the version that it was read at, so that a hit needs neither routing nor a
query. It depends on the path, the query in canonical order, the clearance and whether a key was sent, the version, and the day,
since some filters look at the clock. Access rules are not repeated here: the clearance of a key is remembered as the application
found it, for as long as the version lasts (a revocation is a commit) and the key has not expired.
"""

import asyncio
import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import zstandard
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = list[tuple[bytes, bytes]]

SMALLEST_TO_COMPRESS = 512
# From here on compressing takes some ten milliseconds: a thread does it, and other readers are answered meanwhile.
LARGE = 256 * 1024
# What a kept answer takes beside its bytes, more or less.
OVERHEAD = 2000
LONGEST_QUERY = 1000
# All that a 304 says (RFC 9110, 15.4.5); what is not here the client has already.
ON_NOT_MODIFIED = (b"cache-control", b"vary")
DAY_SECONDS = 86_400
MOST_READERS = 10_000
SEND_SECONDS = 30.0
NOTHING: Message = {"type": "http.response.body", "body": b""}
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
    counted: int = 0

    @property
    def size(self) -> int:
        """Bytes that it takes, those of its codings included."""
        coded = sum(len(made[1]["body"]) for made in self.made.values() if made[1]["body"] is not self.body)
        return len(self.body) + coded + OVERHEAD

    async def make(self, coding: bytes) -> tuple[Message, Message, Message, bytes]:
        """The start of a 200, its body, the start of a 304, and the tag, in a coding (`zstd`, `gzip`, or empty for none)."""
        compressible = len(self.body) >= SMALLEST_TO_COMPRESS
        body = self.body
        if coding and compressible:
            compress = _COMPRESS[coding]
            body = compress(body) if len(body) < LARGE else await asyncio.to_thread(compress, body)
        # A strong ETag names exact bytes, so each coding has its own.
        suffix = f"-{coding.decode()}" if coding and compressible else ""
        tag = f'"{self.tag}{suffix}"'.encode()
        headers = [*self.headers, (b"etag", tag)]
        whole = [*headers, (b"content-length", str(len(body)).encode())]
        if suffix:
            whole.append((b"content-encoding", coding))
        self.made[coding] = made = (
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
        authorization = held = accepted = b""
        ambiguous = False
        for name, value in scope["headers"]:
            if name == b"if-none-match":
                held = b"%b,%b" % (held, value) if held else value
            elif name == b"accept-encoding":
                accepted = b"%b,%b" % (accepted, value) if accepted else value
            elif name == b"authorization":
                # Two of them: which one the application goes by is not for this layer to guess.
                ambiguous = bool(authorization)
                authorization = value
        coding = _coding(accepted)
        head_only = scope["method"] == "HEAD"
        version = None if ambiguous else self._version()
        day = int(time.time()) // DAY_SECONDS
        reader = self._reader(authorization, version)
        if reader is not None and version is not None:
            key = _key(scope, reader)
            kept = self._kept.get(key)
            if kept is not None and kept.version == version and kept.day == day:
                self._kept.move_to_end(key)
                made = kept.made.get(coding) or await self._make(key, kept, coding)
                await _send(made, kept.tag, held, head_only, send)
                return
        passing = _Passing(send, head_only)
        inner = dict(scope, method="GET", headers=[each for each in scope["headers"] if each[0] != b"if-none-match"])
        state: dict[str, Any] = dict(scope.get("state", {}))
        inner["state"] = state
        try:
            await self._app(inner, passing.receive(receive), passing.send)
        except ClientDisconnect:
            # A reader of a stream who went.
            return
        answer = passing.answer(version, day)
        if answer is None:
            return
        made = await answer.make(coding)
        if state.get(KEEP) and version is not None:
            self._remember(authorization, version, state.get(CALLER), scope, answer)
        await _send(made, answer.tag, held, head_only, send)

    def _reader(self, authorization: bytes, version: int | None) -> Reader | None:
        if not authorization:
            return self._public
        known = self._readers.get(authorization)
        if known is None or known[0] != version or known[1].until <= time.time():
            return None
        return known[1]

    def _remember(self, authorization: bytes, version: int, caller: Any, scope: Scope, answer: Kept) -> None:
        reader = self._public
        if authorization:
            if caller is None:
                return
            reader = Reader(caller.level, keyed=True, until=caller.expires_at.timestamp() if caller.expires_at else float("inf"))
            if len(self._readers) >= MOST_READERS:
                self._readers.clear()
            self._readers[authorization] = (version, reader)
        key = _key(scope, reader)
        self._drop(key)
        # One answer does not push out all others.
        if answer.size <= self._most_bytes // 2:
            self._kept[key] = answer
            self._count(answer)

    async def _make(self, key: tuple[Any, ...], kept: Kept, coding: bytes) -> tuple[Message, Message, Message, bytes]:
        """Another coding of a kept answer; its bytes count too."""
        made = await kept.make(coding)
        if self._kept.get(key) is kept:
            self._count(kept)
        return made

    def _count(self, kept: Kept) -> None:
        size = kept.size
        self._bytes += size - kept.counted
        kept.counted = size
        while self._bytes > self._most_bytes and self._kept:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[Any, ...]) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= old.counted


def _hang_up(send: Send) -> bool:
    """Drop the connection with all that it has not taken; whether there was one to drop.

    ASGI has no word for it, and a server would wait for such a reader for ever.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
    return transport is not None


def _key(scope: Scope, reader: Reader) -> tuple[Any, ...]:
    # Keys of one clearance share what is kept; each one's expiry is looked at when it asks.
    return scope["path"], _canonical(scope["query_string"]), reader.level, reader.keyed


class _Passing:
    """Holds back a 200 until it is whole; lets through errors and streams as they come."""

    def __init__(self, send: Send, head_only: bool) -> None:
        self._send = send
        self._head_only = head_only
        self._start: Message | None = None
        self._chunks: list[bytes] = []
        self._whole = False
        self._through = False
        self._ended = False
        self._dropped = False

    def receive(self, receive: Receive) -> Receive:
        """What the application receives: a HEAD of a stream looks like a reader who has gone."""

        async def received() -> Message:
            return {"type": "http.disconnect"} if self._ended else await receive()

        return received

    async def send(self, message: Message) -> None:
        """Take what the application sends."""
        if message["type"] == "http.response.start":
            self._start = message
            stream = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in message["headers"])
            self._through = message["status"] != 200 or stream
            if self._through:
                await self._send(message)
                if self._head_only:
                    await self._send({"type": "http.response.body", "body": b""})
                    self._ended = True
        elif self._through:
            await self._pass_on(message)
        else:
            self._chunks.append(message.get("body", b""))
            self._whole = not message.get("more_body", False)

    async def _pass_on(self, message: Message) -> None:
        if self._dropped:
            # The application hears by what it receives that its reader is gone; until then nothing spins.
            await asyncio.sleep(SEND_SECONDS)
        elif not self._ended:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send(message)
            except TimeoutError:
                self._dropped = _hang_up(self._send)
                if not self._dropped:
                    raise

    def answer(self, version: int | None, day: int) -> Kept | None:
        """The 200 that was held back, with its tag."""
        if self._start is None or not self._whole:
            return None
        body = b"".join(self._chunks)
        dropped = (b"content-length", b"etag", b"vary")
        headers = [(name, value) for name, value in self._start["headers"] if name not in dropped]
        varies = b", ".join(
            [b"Accept, Accept-Encoding, Authorization", *(value for name, value in self._start["headers"] if name == b"vary")]
        )
        headers.append((b"vary", varies))
        return Kept(version, day, headers, body, hashlib.sha256(body).hexdigest()[:32])


async def _send(made: tuple[Message, Message, Message, bytes], tag: str, held: bytes, head_only: bool, send: Send) -> None:
    start, body, not_modified, exact = made
    if held and _matches(held, tag, exact):
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
    """The coding to use for an Accept-Encoding (RFC 9110, 12.5.3): what is preferred, zstd before gzip, empty for none.

    `*` is taken for gzip, which everybody reads. When nothing that we have is acceptable, the answer comes as it is.
    """
    weights: dict[bytes, float] = {}
    for part in accepted.lower().split(b","):
        name, *parameters = (each.strip() for each in part.split(b";"))
        weights[name] = next((_weight(each[2:]) for each in parameters if each.startswith(b"q=")), 1.0)
    rest = weights.get(b"*", 0.0)
    offered = {b"zstd": weights.get(b"zstd", 0.0), b"gzip": weights.get(b"gzip", rest)}
    best = max(offered, key=offered.__getitem__)
    return best if offered[best] > 0 and offered[best] >= weights.get(b"identity", 0.0) else b""


def _weight(value: bytes) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _canonical(query: bytes) -> tuple[tuple[str, str], ...]:
    return _parsed(query) if len(query) <= LONGEST_QUERY else _parsed.__wrapped__(query)


@lru_cache(maxsize=2048)
def _parsed(query: bytes) -> tuple[tuple[str, str], ...]:
    """The query as the application reads it, in order of name: however it was spelled, the same is asked for."""
    return tuple(sorted(parse_qsl(query.decode("latin-1"), keep_blank_values=True), key=lambda each: each[0]))
