"""Answers as they leave: JSON bytes with a strong ETag, conditional requests, request bodies, lists and their cursors."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request, Response

from app.http.state import request_state

JSON = "application/json"


def json_response(
    request: Request,
    body: bytes,
    *,
    private: bool,
    headers: dict[str, str] | None = None,
    cacheable: bool = True,
    modified: datetime | None = None,
    media_type: str = JSON,
    revision: int | None = None,
) -> Response:
    """A 200, of JSON unless told otherwise; its ETag, 304 and coding come from `app.http.response_cache`.

    `private` is whether the answer depends on the key that was sent. `keep` says that it depends on nothing but path, query,
    clearance, the day and what is in the database. `modified` is when what it shows last changed, where that is known for sure.
    `revision` is the head of the reader's ledger in the state that it was read from.
    """
    request_state(request.scope)["cacheable"] = cacheable
    sent = {"Cache-Control": f"{'private' if private else 'public'}, no-cache", **(headers or {})}
    if revision is not None:
        sent[REVISION_HEADER] = str(revision)
    if modified is not None:
        sent["Last-Modified"] = format_datetime(modified, usegmt=True)
    return Response(body, headers=sent, media_type=media_type)


def list_envelope(
    request: Request, items: Sequence[str], *, next_cursor: str | None, as_of: str | None, revision: int
) -> tuple[bytes, dict[str, str]]:
    """The list envelope around documents that are JSON already, with its headers: `Link` (RFC 8288) and `Lifeline-Revision`."""
    tail = orjson.dumps({"next": next_cursor, "as_of": as_of, "revision": revision})
    body = b'{"items":[' + ",".join(items).encode() + b"]," + tail[1:]
    return body, {REVISION_HEADER: str(revision), **link_to_next(request, next_cursor)}


def link_to_next(request: Request, cursor: str | None) -> dict[str, str]:
    """The `Link` header of a page that another follows (RFC 8288); nothing for the last."""
    if cursor is None:
        return {}
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name != "cursor")
    return {"Link": f'<{quote(request.scope["path"])}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'}


REVISION_HEADER = "Lifeline-Revision"
