"""Identifiers: UUIDv7 that reveal nothing but their millisecond."""

import hashlib
from os import register_at_fork, urandom
from time import time_ns
from uuid import UUID

# A UUIDv7 begins with 48 bits of time.
_MAX_MILLISECONDS = (1 << 48) - 1
# Random bytes that no identifier has had yet, for those of responses, which one thread makes; a forked process gets its own.
_POOL_BYTES = 10_000
_pool = bytearray()
register_at_fork(after_in_child=_pool.clear)


def uuid7(*, later_than: UUID | None = None) -> UUID:
    """Return a UUIDv7 with 74 fresh random bits; of a later millisecond than `later_than`, even if the clock is behind it.

    Libraries count up within a millisecond (RFC 9562, 6.2), so that the distance of two identifiers tells how many lie between.
    """
    earliest = 0 if later_than is None else (later_than.int >> 80) + 1
    return _uuid7(min(max(time_ns() // 1_000_000, earliest), _MAX_MILLISECONDS), urandom(10))


def uuid7_text() -> str:
    """Return such an identifier as text; a fifth of the time, for what every response needs."""
    if not _pool:
        _pool.extend(urandom(_POOL_BYTES))
    milliseconds, bits = f"{time_ns() // 1_000_000:012x}", _pool[-10:].hex()
    del _pool[-10:]
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7{bits[:3]}-{'89ab'[int(bits[3], 16) & 3]}{bits[4:7]}-{bits[7:19]}"


def indicator_id(kind: str, place_id: UUID, subject: str) -> UUID:
    """Return the identifier of (kind, place, subject): the time of the place's identifier, and 74 bits of a hash of the three."""
    return _uuid7(place_id.int >> 80, hashlib.sha256(f"{kind}\n{place_id}\n{subject}".encode()).digest()[:10])


def _uuid7(milliseconds: int, ten_bytes: bytes) -> UUID:
    bits = int.from_bytes(ten_bytes, "big")
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64 | 0b10 << 62 | bits & (1 << 62) - 1)
