"""Content codings: gzip and zstd, chosen by `Accept-Encoding`."""

import asyncio
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import zstandard

from app.http.content_negotiation import parse_weights

# Compressing a larger body takes about ten milliseconds and more; in a thread it does not delay other requests.
MIN_THREADED_BYTES = 256 * 1024

StreamCompressor: TypeAlias = "zstandard.ZstdCompressionObj | zlib._Compress"

_LEVEL = 6
# Each call returns a new compressor for a body of this size, -1 where it is not known yet.
COMPRESSORS: dict[bytes, Callable[[int], "StreamCompressor"]] = {
    b"zstd": lambda size: zstandard.ZstdCompressor(level=_LEVEL).compressobj(size=size),
    b"gzip": lambda _: zlib.compressobj(_LEVEL, wbits=31),
}


async def compress(body: bytes, coding: bytes) -> bytes:
    """Return a body in a coding, `zstd` or `gzip`."""
    return _compress(body, coding) if len(body) < MIN_THREADED_BYTES else await asyncio.to_thread(_compress, body, coding)


def _compress(body: bytes, coding: bytes) -> bytes:
    compressor = COMPRESSORS[coding](len(body))
    return compressor.compress(body) + compressor.flush()


@lru_cache(maxsize=256)
def negotiate_encoding(accept_encoding: bytes) -> bytes:
    """Return the coding that an `Accept-Encoding` prefers (RFC 9110, 12.5.3), zstd before gzip; empty for none.

    `*` means gzip, which every client reads. If no coding is acceptable, the body is sent without one.
    """
    weights = parse_weights(accept_encoding.decode("latin-1"))
    offered = {b"zstd": weights.get("zstd", 0.0), b"gzip": weights.get("gzip", weights.get("*", 0.0))}
    best = max(offered, key=offered.__getitem__)
    return best if offered[best] > 0 and offered[best] >= weights.get("identity", 0.0) else b""
