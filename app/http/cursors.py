"""Cursors of lists: opaque, and each valid for its own list only."""

import base64
import binascii
import hashlib
import struct
from datetime import date
from typing import Any, Generic, TypeVar, cast, get_args, overload
from uuid import UUID

from app.http.problems import invalid_field

Key = TypeVar("Key", UUID, int, tuple[date, UUID], tuple[int, date, int, UUID])

# A tag of the list and the revision, before the key.
_HEAD = struct.Struct(">2sq")
_FORMATS: dict[type, str] = {UUID: "16s", int: "q", date: "q"}
MALFORMED = "this is not a cursor; send `next` of the page before, or start without one"


class Cursor(Generic[Key]):
    """Codec for the cursors of one list, which hold the key of a page's last row and the revision that the page was read at."""

    def __init__(self, list_name: str, key_type: type[Key], *, valid_for: str = "list") -> None:
        """`valid_for` names what a cursor is bound to, for the message about a cursor from elsewhere."""
        self._tag = hashlib.blake2b(list_name.encode(), digest_size=2).digest()
        self._types: tuple[type, ...] = get_args(key_type) or (key_type,)
        self._struct = struct.Struct(_HEAD.format + "".join(_FORMATS[each] for each in self._types))
        self._valid_for = valid_for

    @overload
    def encode(self, key: None, revision: int) -> None: ...
    @overload
    def encode(self, key: Key, revision: int) -> str: ...
    def encode(self, key: Key | None, revision: int) -> str | None:
        """Return the cursor after a row, None for None; the page after it is never older than `revision`."""
        if key is None:
            return None
        values = key if isinstance(key, tuple) else (key,)
        raw = self._struct.pack(self._tag, revision, *(_to_field(each) for each in values))
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @overload
    def decode(self, cursor: None, pointer: str = ...) -> None: ...
    @overload
    def decode(self, cursor: str, pointer: str = ...) -> Key: ...
    def decode(self, cursor: str | None, pointer: str = "?cursor") -> Key | None:
        """Return the key in a cursor, None for None; raise a 422 at `pointer` for a cursor that this list did not give out."""
        if cursor is None:
            return None
        raw = _from_base64(cursor)
        if len(raw) >= _HEAD.size and not raw.startswith(self._tag):
            raise invalid_field(pointer, f"this cursor belongs to another {self._valid_for}; start without one")
        try:
            _, _, *fields = self._struct.unpack(raw)
            values = [_from_field(type_, field) for type_, field in zip(self._types, fields, strict=True)]
        except (struct.error, ValueError, OverflowError):
            raise invalid_field(pointer, MALFORMED) from None
        return cast(Key, values[0] if len(values) == 1 else tuple(values))


def cursor_revision(cursor: str) -> int:
    """Return the revision that the holder of a cursor has seen; 0 for anything that is not a cursor."""
    try:
        _, revision = _HEAD.unpack_from(_from_base64(cursor))
    except struct.error:
        return 0
    return max(0, int(revision))


def _from_base64(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _to_field(value: UUID | int | date) -> bytes | int:
    return value.bytes if isinstance(value, UUID) else value.toordinal() if isinstance(value, date) else value


def _from_field(type_: type, field: Any) -> UUID | int | date:
    if type_ is UUID:
        return UUID(bytes=field)
    if type_ is date:
        return date.fromordinal(field)
    if field < 0:
        raise ValueError
    return int(field)
