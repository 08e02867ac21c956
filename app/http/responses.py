"""Responses with their headers: JSON, pages of lists, and the links between pages."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote, urlencode

import orjson
from fastapi import Request, Response

from app.http.state import app_state, request_state

JSON = "application/json"
REVISION_HEADER = "Lifeline-Revision"


def absolute_url(request: Request, path: str) -> str:
    """Return the address of a path: below `LIFELINE_PUBLIC_URL`, else below the address of the request."""
    base = app_state(request).settings.public_url or str(request.base_url)
    return base.rstrip("/") + path.removeprefix(request.scope.get("root_path", "").rstrip("/"))


def cache_control(request: Request) -> str:
    """Return `Cache-Control`: private for a request with a key."""
    return f"{'private' if 'caller' in request_state(request.scope) else 'public'}, no-cache"


def json_response(
    request: Request,
    body: bytes,
    *,
    headers: dict[str, str] | None = None,
    cacheable: bool = True,
    modified: datetime | None = None,
    media_type: str = JSON,
    revision: int | None = None,
) -> Response:
    """Return a 200, to which `app.http.response_cache` adds the ETag, the 304 and the compression.

    `cacheable`: the body depends only on path, query, clearance, day and database. One with absolute addresses is not cached where these
    are of the request, because its `Host` is not a part of the key.
    `modified`: when the content last changed, None where that is not certain. `revision`: head of the caller's ledger that was read.
    """
    request_state(request.scope)["cacheable"] = cacheable
    sent = {"Cache-Control": cache_control(request), **(headers or {})}
    if revision is not None:
        sent[REVISION_HEADER] = str(revision)
    if modified is not None:
        sent["Last-Modified"] = format_datetime(modified, usegmt=True)
    return Response(body, headers=sent, media_type=media_type)


def page_response(
    request: Request,
    items: Sequence[str],
    *,
    next_cursor: str | None,
    revision: int,
    as_of: str | None = None,
    cacheable: bool = True,
    linked: bool = True,
) -> Response:
    """Return the list envelope around JSON documents; `linked` adds a `Link` to the next page."""
    tail = orjson.dumps({"next": next_cursor, "as_of": as_of, "revision": revision})
    body = b'{"items":[' + ",".join(items).encode() + b"]," + tail[1:]
    headers = link_to_next(request, next_cursor) if linked else None
    return json_response(request, body, headers=headers, cacheable=cacheable, revision=revision)


def link_to_next(request: Request, cursor: str | None, parameter: str = "cursor") -> dict[str, str]:
    """Return the `Link` header of a page (RFC 8288); empty for the last page."""
    return {} if cursor is None else {"Link": f'<{next_url(request, cursor, parameter)}>; rel="next"'}


def next_url(request: Request, cursor: str, parameter: str = "cursor") -> str:
    """Return the path and query of the next page of the list that a request asked for."""
    query = sorted((name, value) for name, value in request.query_params.multi_items() if name not in (parameter, "startindex"))
    return f"{quote(request.scope['path'])}?{urlencode([*query, (parameter, cursor)])}"
