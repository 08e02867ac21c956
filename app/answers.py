"""Answers as they leave: JSON bytes with a strong ETag, conditional requests, request bodies, lists and their cursors."""

import asyncio
import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import orjson
from fastapi import Request, Response
from pydantic_core import from_json

from app.errors import Problem, invalid_field, pointer
from app.freshness import HEADER

JSON = "application/json"


def answer(
    request: Request,
    body: bytes,
    *,
    private: bool,
    headers: dict[str, str] | None = None,
    keep: bool = True,
    modified: datetime | None = None,
    media_type: str = JSON,
    revision: int | None = None,
) -> Response:
    """A 200, of JSON unless told otherwise; its ETag, 304 and coding come from `app.kept_answers`.

    `private` is whether the answer depends on the key that was sent. `keep` says that it depends on nothing but path, query,
    clearance, the day and what is in the database. `modified` is when what it shows last changed, where that is known for sure.
    `revision` is the head of the reader's ledger in the state that it was read from.
    """
    request.state.keep_answer = keep
    sent = {"Cache-Control": f"{'private' if private else 'public'}, no-cache", **(headers or {})}
    if revision is not None:
        sent[HEADER] = str(revision)
    if modified is not None:
        sent["Last-Modified"] = format_datetime(modified, usegmt=True)
    return Response(body, headers=sent, media_type=media_type)


def page(
    request: Request, items: Sequence[str], *, next_cursor: str | None, as_of: str | None, revision: int
) -> tuple[bytes, dict[str, str]]:
    """The list envelope around documents that are JSON already, with its headers: `Link` (RFC 8288) and `Lifeline-Revision`."""
    if next_cursor is not None:
        next_cursor = with_revision(next_cursor, revision)
    tail = orjson.dumps({"next": next_cursor, "as_of": as_of, "revision": revision})
    body = b'{"items":[' + ",".join(items).encode() + b"]," + tail[1:]
    return body, {HEADER: str(revision), **link_to_next(request, next_cursor)}


def link_to_next(request: Request, cursor: str | None) -> dict[str, str]:
    """The `Link` header of a page that another follows (RFC 8288); nothing for the last."""
    if cursor is None:
        return {}
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name != "cursor")
    return {"Link": f'<{quote(request.scope["path"])}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'}


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


# How many times the largest body is passed over of one that is larger.
SPARE = 4
NUL = "a NUL character cannot be kept"


async def json_body(request: Request) -> Any:
    """The JSON body of a request.

    415 without a JSON content type, 413 over the size limit, 400 for what is no JSON, 422 for text that no database keeps.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON and not (media_type.startswith("application/") and media_type.endswith("+json")):
        raise Problem(415, "Send the body as application/json.")
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        # What is never inflated cannot be a bomb.
        raise Problem(415, "Send the body as it is, without Content-Encoding.", headers={"Accept-Encoding": "identity"})
    settings = request.app.state.settings
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            raw = await _read(request, settings.max_body_bytes)
    except TimeoutError:
        raise Problem(408, "The body did not arrive in time.", headers={"Connection": "close"}) from None
    request.state.raw_body = raw
    try:
        content = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"The body is not JSON: {error}.", kind="json") from None
    # The items of a list are each looked at on their own: one that is wrong does not spoil the others.
    if b"\\u0000" in raw and not isinstance(content, list) and (path := nul(content)) is not None:
        raise invalid_field(pointer(path), NUL)
    return content


async def _read(request: Request, most: int) -> bytes:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most:
            await _pass_over(request, SPARE * most)
            raise Problem(413, f"The body may have {most} bytes at the most.", headers={"Connection": "close"})
    return bytes(raw)


async def _pass_over(request: Request, most: int) -> None:
    # A connection that is closed with bytes unread is reset, and the client never sees the answer.
    async for chunk in request.stream():
        most -= len(chunk)
        if most < 0:
            return


def nul(node: Any) -> list[str | int] | None:
    """The path to the first string or name with a NUL character."""
    waiting: list[tuple[list[str | int], Any]] = [([], node)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str) and "\0" in value:
            return path
        if isinstance(value, dict):
            if any("\0" in name for name in value):
                return path
            waiting.extend(([*path, name], each) for name, each in value.items())
        elif isinstance(value, list):
            waiting.extend(([*path, at], each) for at, each in enumerate(value))
    return None
