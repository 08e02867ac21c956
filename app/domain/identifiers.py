"""Identifiers of indicators: UUIDv7, computed so that they reveal nothing about who reported first."""

import hashlib
from uuid import UUID


def indicator_id(kind: str, place_id: UUID, subject: str) -> UUID:
    """Return the identifier of (kind, place, subject): the time of the place's identifier, and 74 bits of a hash of the three."""
    digest = int.from_bytes(hashlib.sha256(f"{kind}\n{place_id}\n{subject}".encode()).digest()[:10], "big")
    time = place_id.int >> 80
    return UUID(int=time << 80 | 0x7 << 76 | (digest >> 62 & 0xFFF) << 64 | 0b10 << 62 | digest & (1 << 62) - 1)
