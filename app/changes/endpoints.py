"""`/v1/changes` and `/v1/stream`: the ledger after a cursor, in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.access.dependencies import CallerDep, DatabaseDep, credential_revoked
from app.access.principal import Principal
from app.changes.queries import CHANGE_CURSORS, ServedChange
from app.changes.schemas import ChangeFilters, ChangePage
from app.changes.service import ChangeFeed
from app.http.content_negotiation import Format
from app.http.lists import SUFFIX, TABULAR_FORMATS, ListQuery, Page, TabularFormat, format_responses, list_response, negotiate_format
from app.http.openapi import LIST_ERRORS, problem_responses
from app.http.problems import invalid_field
from app.http.query_params import Hashtags, Limit
from app.http.responses import page_response
from app.http.state import app_state, request_state
from app.reference.names import Lang, localise
from app.reference.suggestions import require_known_filters
from app.storage.database import Database

router = APIRouter(tags=["Changes"])

NOW = "now"
STREAM_PAGE = 100
# A request that finds no change that fits its filters returns an empty page after this time, with a cursor that has advanced.
MAX_SCAN_SECONDS = 5.0
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000

After = Annotated[
    str | None,
    Query(max_length=100, description="Cursor: `next` of the last response, or `now`. Without it, from the first entry."),
]


async def get_feed(request: Request) -> ChangeFeed:
    """Return the change feed of this process."""
    return app_state(request).change_feed


FeedDep = Annotated[ChangeFeed, Depends(get_feed)]


async def get_filters(caller: CallerDep, database: DatabaseDep, filters: Annotated[ChangeFilters, Depends()]) -> ChangeFilters:
    """Return the filters of changes; 422 for an unknown place or country, which no page can tell from one without changes."""
    if filters.place is not None or filters.country is not None:
        async with database.read() as connection:
            await require_known_filters(connection, filters, caller.level)
    return filters


FiltersDep = Annotated[ChangeFilters, Depends(get_filters)]


async def _start_seq(feed: ChangeFeed, caller: Principal, after: str | None, pointer: str) -> int:
    if after is None:
        return 0
    seq = None if after == NOW else CHANGE_CURSORS[caller.level].decode(after, pointer)
    head = await feed.head(caller.level)
    if seq is not None and seq > head:
        raise invalid_field(pointer, "this cursor is ahead of the ledger, as after a restored backup; start without one")
    return head if seq is None else seq


# Cached, so that all streams share the encoding.
@lru_cache(maxsize=2 * STREAM_PAGE)
def _encode_event(change: ServedChange, level: int) -> bytes:
    return format_sse_event(event=change.type, data_str=change.json, id=CHANGE_CURSORS[level].encode(change.seq, change.seq))


async def _bodies(database: Database, changes: Iterable[ServedChange], lang: str | None) -> list[str]:
    """Return changes as JSON; entries stay as they were hashed, their documents have the names of a language."""
    found = [each.json for each in changes]
    if lang is None:
        return found
    async with database.read() as connection:
        return await localise(connection, found, lang)


def _list_query(
    feed: ChangeFeed, caller: Principal, filters: ChangeFilters, start: int, *, database: Database, lang: str | None, hxl: bool
) -> ListQuery:
    """Return the changes after a position, up to the head of the ledger at the first page."""
    head: int | None = None

    async def fetch(cursor: str | None, limit: int) -> Page:
        nonlocal head
        seq = start if cursor is None else CHANGE_CURSORS[caller.level].decode(cursor, "?after")
        changes, last, revision = await feed.page(seq, limit=limit, level=caller.level, filters=filters)
        head = revision if head is None else head
        next_cursor = CHANGE_CURSORS[caller.level].encode(last, last) if last < head else None
        return await _bodies(database, (each for each in changes if each.seq <= head), lang), next_cursor, head

    return ListQuery("changes", fetch, level=caller.level, cursor_parameter="after", hxl=hxl)


@router.get("/changes" + SUFFIX, include_in_schema=False)
@router.get("/changes", summary="List changes", response_model=ChangePage, responses=LIST_ERRORS | format_responses(TABULAR_FORMATS))
async def list_changes(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    feed: FeedDep,
    filters: FiltersDep,
    after: After = None,
    lang: Lang = None,
    wait: Annotated[int, Query(ge=0, le=30, description="Seconds to wait for a change if there is none yet (long polling).")] = 0,
    limit: Limit = 100,
    format: TabularFormat = None,  # noqa: A002 - the parameter's name on the wire
    hxl: Hashtags = True,
) -> Response:
    """List the entries of the ledger after a cursor, in order, each with the current documents of the indicators that it changed.

    To keep a mirror: store every document whose `revision` is above the stored one, save `next` together with them, and continue with
    `after=next`. No change is missed and none comes twice, even if either side is interrupted.
    With filters, a page may be empty while more changes follow: continue while `next` advances.
    Formats other than `json` contain the changes up to the time of the request, and do not wait.
    """
    seq = await _start_seq(feed, caller, after, "?after")
    chosen = negotiate_format(request, TABULAR_FORMATS, format)
    if chosen is not Format.JSON:
        query = _list_query(feed, caller, filters, seq, database=database, lang=lang, hxl=hxl)
        return await list_response(request, query, chosen, cursor=None, limit=limit)
    start = asyncio.get_running_loop().time()
    while True:
        version = feed.version(caller.level)
        changes, last, revision = await feed.page(seq, limit=limit, level=caller.level, filters=filters)
        spent = asyncio.get_running_loop().time() - start
        if changes or spent >= max(wait, MAX_SCAN_SECONDS) or feed.stopping:
            break
        seq = last
        if last < revision:
            continue
        if spent >= wait:
            break
        await feed.wait(version, wait - spent, caller.level)
        if not await feed.still_valid(caller):
            raise credential_revoked()
    return page_response(
        request,
        await _bodies(database, changes, lang),
        next_cursor=CHANGE_CURSORS[caller.level].encode(last, last),
        revision=revision,
        cacheable=wait == 0,
        linked=False,
    )


class EventStream(StreamingResponse):
    """Server-sent events as bytes.

    FastAPI's `EventSourceResponse` would run three tasks per stream and encode each event once per stream.
    """

    media_type = "text/event-stream"


async def get_stream_start(
    caller: CallerDep,
    feed: FeedDep,
    after: After = None,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="`id` of the last event received, to resume a stream; browsers send it.")
    ] = None,
) -> int:
    """Return the position after which a stream starts; a dependency, so that a wrong cursor gets 422 before the stream begins."""
    return await _start_seq(feed, caller, last_event_id or after or NOW, "Last-Event-ID" if last_event_id else "?after")


@router.get("/stream", summary="Stream changes", response_class=EventStream, responses=problem_responses(401, 422, 503))
async def stream_changes(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    feed: FeedDep,
    filters: FiltersDep,
    seq: Annotated[int, Depends(get_stream_start)],
    lang: Lang = None,
) -> Response:
    """Stream changes as server-sent events when they are recorded: `event` is the type, `data` the change, `id` the cursor.

    Without `after` and `Last-Event-ID` the stream starts now. The first event, `ready`, gives the start. A comment every 15 seconds keeps
    the connection open. The stream ends when the key expires or is revoked. A client that reads too slowly is disconnected; it resumes
    with `Last-Event-ID`.
    """
    control = "private, no-cache" if caller.key_id is not None else "no-cache"
    # `X-Accel-Buffering` keeps nginx from holding events back.
    headers = {"Cache-Control": control, "Vary": "Authorization", "X-Accel-Buffering": "no"}
    session_ended = request_state(request.scope).get("session_ended")
    bodies = None if lang is None else partial(_bodies, database, lang=lang)
    return EventStream(_events(feed, caller, filters, seq, session_ended, bodies), headers=headers)


async def _events(
    feed: ChangeFeed,
    caller: Principal,
    filters: ChangeFilters,
    seq: int,
    session_ended: Callable[[], Awaitable[bool]] | None,
    localised: Callable[[Iterable[ServedChange]], Awaitable[list[str]]] | None,
) -> AsyncIterator[bytes]:
    level = caller.level
    ready = orjson.dumps({"revision": seq}).decode()
    yield format_sse_event(event="ready", data_str=ready, id=CHANGE_CURSORS[level].encode(seq, seq), retry=RETRY_MILLISECONDS)
    clock = asyncio.get_running_loop().time
    due = clock() + HEARTBEAT_SECONDS
    while not feed.stopping:
        version = feed.version(level)
        # A revocation changes the version of every clearance, so it wakes waiting streams.
        if not await feed.still_valid(caller) or (session_ended is not None and await session_ended()):
            return
        changes, seq, head = await feed.page(seq, limit=STREAM_PAGE, level=level, filters=filters)
        if localised is not None:
            bodies = await localised(changes)
            changes = [replace(change, json=body) for change, body in zip(changes, bodies, strict=True)]
        # One by one, because the server buffers what a slow client has not read.
        for change in changes:
            yield _encode_event(change, level)
        if changes:
            due = clock() + HEARTBEAT_SECONDS
        # Waits no longer than to the next heartbeat, so that a lost notification delays a change by at most that.
        if len(changes) < STREAM_PAGE and seq >= head:
            await feed.wait(version, due - clock(), level)
        # Outside of the wait, because commits that this client does not see must not suppress heartbeats.
        if clock() >= due:
            yield KEEPALIVE_COMMENT
            due = clock() + HEARTBEAT_SECONDS
