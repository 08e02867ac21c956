"""Content codings: gzip and zstd, chosen by `Accept-Encoding`."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import zstandard

from app.http.content_negotiation import parse_weights

# Compressing a larger body takes about ten milliseconds and more; in a thread it does not delay other requests.
MIN_THREADED_BYTES = 256 * 1024

_LEVEL = 6
_COMPRESSORS: dict[bytes, Callable[[bytes], bytes]] = {
    b"zstd": lambda body: zstandard.ZstdCompressor(level=_LEVEL).compress(body),
    b"gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
}


class StreamCompressor(Protocol):
    """Compresses a body chunk by chunk."""

    def compress(self, data: bytes, /) -> bytes:
        """Return the output for these bytes, which may be empty."""

    def flush(self) -> bytes:
        """Return the rest of the output."""


STREAM_COMPRESSORS: dict[bytes, Callable[[], StreamCompressor]] = {
    b"zstd": lambda: zstandard.ZstdCompressor(level=_LEVEL).compressobj(),
    b"gzip": lambda: zlib.compressobj(_LEVEL, wbits=31),
}


async def compress(body: bytes, coding: bytes) -> bytes:
    """Return a body in a coding, `zstd` or `gzip`."""
    compressor = _COMPRESSORS[coding]
    return compressor(body) if len(body) < MIN_THREADED_BYTES else await asyncio.to_thread(compressor, body)


@lru_cache(maxsize=256)
def negotiate_encoding(accept_encoding: bytes) -> bytes:
    """Return the coding that an `Accept-Encoding` prefers (RFC 9110, 12.5.3), zstd before gzip; empty for none.

    `*` means gzip, which every client reads. If no coding is acceptable, the body is sent without one.
    """
    weights = parse_weights(accept_encoding.decode("latin-1"))
    offered = {b"zstd": weights.get("zstd", 0.0), b"gzip": weights.get("gzip", weights.get("*", 0.0))}
    best = max(offered, key=offered.__getitem__)
    return best if offered[best] > 0 and offered[best] >= weights.get("identity", 0.0) else b""
