"""The codings in which an answer may go: gzip and zstd, as `Accept-Encoding` wants it."""

import asyncio
import gzip
from collections.abc import Callable
from functools import lru_cache

import zstandard

# From here on compressing takes some ten milliseconds: a thread does it, and other readers are answered meanwhile.
MIN_THREADED_BYTES = 256 * 1024

_COMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"zstd": lambda body: zstandard.ZstdCompressor(level=6).compress(body),
    b"gzip": lambda body: gzip.compress(body, 6, mtime=0),
}


async def compressed(body: bytes, coding: bytes) -> bytes:
    """A body in a coding, `zstd` or `gzip`."""
    compress = _COMPRESS[coding]
    return compress(body) if len(body) < MIN_THREADED_BYTES else await asyncio.to_thread(compress, body)


@lru_cache(maxsize=256)
def negotiate_encoding(accepted: bytes) -> bytes:
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
