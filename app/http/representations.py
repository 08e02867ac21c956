"""Representations of a response: its bytes in each coding, with a strong ETag, as a 200 and as a 304."""

from dataclasses import dataclass, field
from typing import NamedTuple

from blake3 import blake3
from starlette.types import Message, Send

from app.http.compression import compress
from app.http.problems import RawHeaders
from app.http.response_buffer import EMPTY_BODY

MIN_COMPRESSED_BYTES = 512
# Memory of a response beside its bodies, by estimate.
OVERHEAD_BYTES = 2000
# Beside the ETag, the headers of a 304 (RFC 9110, 15.4.5).
NOT_MODIFIED_HEADERS = (b"cache-control", b"vary")


class Representation(NamedTuple):
    """A response in one coding, as messages to send."""

    start: Message
    body: Message
    not_modified: Message
    etag: bytes

    async def send(self, send: Send, *, is_not_modified: bool, head_only: bool) -> None:
        """Send it, or a 304."""
        await send(self.not_modified if is_not_modified else self.start)
        await send(EMPTY_BODY if is_not_modified or head_only else self.body)


def tag_of(body: bytes) -> str:
    """Return what the ETags of a body begin with, in every coding."""
    return blake3(body).hexdigest(16)


def matches_etag(if_match: str, body: bytes) -> bool:
    """Return whether `If-Match` (RFC 9110, 13.1.1) names a body, in any coding; a weak ETag never does."""
    tags = [each.strip() for each in if_match.split(",")]
    return "*" in tags or any(each.startswith('"') and each.strip('"').partition("-")[0] == tag_of(body) for each in tags)


@dataclass(slots=True)
class CachedResponse:
    """A 200 without the headers of a coding, and its representations, made on demand."""

    day: int
    revision: int
    headers: RawHeaders
    body: bytes
    tag: str
    representations: dict[bytes, Representation] = field(default_factory=dict)
    counted_bytes: int = 0
    # The revision of the ledger, set when the response is stored.
    version: tuple[int, ...] = ()
    route: str = "none"

    @property
    def size(self) -> int:
        """Bytes in memory, including all representations."""
        compressed = sum(len(each.body["body"]) for each in self.representations.values() if each.body["body"] is not self.body)
        return len(self.body) + compressed + OVERHEAD_BYTES

    async def encode(self, coding: bytes) -> Representation:
        """Return the representation in a coding: `zstd`, `gzip`, or empty for none."""
        coding_used = coding if len(self.body) >= MIN_COMPRESSED_BYTES else b""
        body = await compress(self.body, coding_used) if coding_used else self.body
        # A strong ETag stands for exact bytes, so each coding has its own.
        suffix = f"-{coding_used.decode()}" if coding_used else ""
        etag = f'"{self.tag}{suffix}"'.encode()
        headers = [*self.headers, (b"etag", etag), (b"content-length", str(len(body)).encode())]
        if coding_used:
            headers.append((b"content-encoding", coding_used))
        unchanged = [(b"etag", etag), *(each for each in self.headers if each[0] in NOT_MODIFIED_HEADERS)]
        self.representations[coding] = representation = Representation(
            start={"type": "http.response.start", "status": 200, "headers": headers},
            body={"type": "http.response.body", "body": body},
            not_modified={"type": "http.response.start", "status": 304, "headers": unchanged},
            etag=etag,
        )
        return representation

    def is_not_modified(self, representation: Representation, if_none_match: bytes) -> bool:
        """Return whether the client has the response already, by its `If-None-Match`."""
        return bool(if_none_match) and (if_none_match == representation.etag or self._matches(if_none_match))

    def _matches(self, if_none_match: bytes) -> bool:
        # Weak comparison (RFC 9110, 13.1.2), which the ETag of another coding of the same bytes passes too.
        for each in if_none_match.decode("latin-1").split(","):
            bare = each.strip().removeprefix("W/").strip('"')
            if bare in ("*", self.tag) or bare.startswith(f"{self.tag}-"):
                return True
        return False
