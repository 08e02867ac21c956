"""Cursors of lists: opaque, and each valid for its own list only."""

import base64
import binascii
import hashlib
import re
from datetime import date
from uuid import UUID

from app.http.problems import Problem, invalid_field

# The first byte of a cursor says what it holds, so that the cursor of one list is no cursor of another.
_IDENTIFIER, _NUMBER, _DAY_AND_IDENTIFIER, _POSITION = b"\x01", b"\x02", b"\x03", b"\x04"


_IDENTIFIER_IN, _NUMBER_IN = b"\x05", b"\x06"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_revision(cursor: str, revision: int) -> str:
    """A cursor that says of which state it was given out, so that the page after it is of no older one; a position says so itself."""
    return cursor if _raw(cursor)[:1] == _POSITION else f"{cursor}.{revision}"


def seen_with(cursor: str) -> int:
    """The revision that the holder of a cursor has seen; 0 where the cursor does not tell."""
    raw = _raw(cursor)
    if raw[:1] == _POSITION and len(raw) == 10:
        return int.from_bytes(raw[2:], "big")
    revision = cursor.partition(".")[2]
    return int(revision) if _REVISION.fullmatch(revision) else 0


_REVISION = re.compile(r"[0-9]{1,18}")


def _raw(cursor: str) -> bytes:
    cursor, dot, revision = cursor.partition(".")
    if dot and not _REVISION.fullmatch(revision):
        return b""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _decode(cursor: str, kind: bytes, length: int) -> bytes:
    raw = _raw(cursor)
    if len(raw) != len(kind) + length or not raw.startswith(kind):
        raise invalid_field("?cursor", "this is no cursor of this list")
    return raw[len(kind) :]


def _tag(rows: str) -> bytes:
    return hashlib.blake2b(rows.encode(), digest_size=2).digest()


def encode_cursor(last: UUID, rows: str) -> str:
    """The cursor after a row of a list, by its identifier; `rows` names the list."""
    return _encode(_IDENTIFIER_IN + _tag(rows) + last.bytes)


def decode_cursor(cursor: str, rows: str) -> UUID:
    """The identifier in a cursor of that list; 422 for anything that no such list gave out."""
    # Such as were given out before cursors told their list.
    if _raw(cursor)[:1] == _IDENTIFIER:
        return UUID(bytes=_decode(cursor, _IDENTIFIER, 16))
    return UUID(bytes=_decode(cursor, _IDENTIFIER_IN + _tag(rows), 16))


def encode_number(last: int, rows: str) -> str:
    """The cursor after a row of a list, by its number; `rows` names the list."""
    return _encode(_NUMBER_IN + _tag(rows) + last.to_bytes(8, "big"))


def decode_number(cursor: str, rows: str) -> int:
    """The number in a cursor of that list; 422 for anything that no such list gave out."""
    raw = _decode(cursor, _NUMBER, 8) if _raw(cursor)[:1] == _NUMBER else _decode(cursor, _NUMBER_IN + _tag(rows), 8)
    number = int.from_bytes(raw, "big")
    if number >= 1 << 63:
        raise invalid_field("?cursor", "this is no cursor of this list")
    return number


def encode_position(level: int, seq: int) -> str:
    """The cursor after a change in the ledger of one clearance."""
    return _encode(_POSITION + bytes([level]) + seq.to_bytes(8, "big"))


def decode_position(cursor: str, level: int, name: str) -> int:
    """The seq in a cursor of the ledger of that clearance; 422 naming the parameter for anything else."""
    try:
        raw = _decode(cursor, _POSITION, 9)
    except Problem:
        raise invalid_field(name, "this is no cursor of the changes") from None
    seq = int.from_bytes(raw[1:], "big")
    if seq >= 1 << 63:
        raise invalid_field(name, "this is no cursor of the changes")
    if raw[0] != level:
        raise invalid_field(name, "this is a cursor of another clearance, whose ledger is numbered otherwise: start anew")
    return seq


def encode_day(day: date, last: UUID) -> str:
    """The cursor after a row, by a day and its identifier."""
    return _encode(_DAY_AND_IDENTIFIER + day.toordinal().to_bytes(4, "big") + last.bytes)


def decode_day(cursor: str) -> tuple[date, UUID]:
    """The day and identifier in a cursor; 422 for anything that no such list gave out."""
    raw = _decode(cursor, _DAY_AND_IDENTIFIER, 20)
    ordinal = int.from_bytes(raw[:4], "big")
    if not 1 <= ordinal <= date.max.toordinal():
        raise invalid_field("?cursor", "this is no cursor of this list")
    return date.fromordinal(ordinal), UUID(bytes=raw[4:])
