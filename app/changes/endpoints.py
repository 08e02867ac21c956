"""`/v1/changes` and `/v1/stream`: everything since a cursor, in order, none missed, none twice."""

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from app.access.dependencies import CallerDep, credential_revoked
from app.access.principal import Principal
from app.changes.queries import CHANGE_CURSORS, ChangeFilters, ServedChange
from app.changes.schemas import ChangePage
from app.changes.service import ChangeFeed
from app.http.content_negotiation import Format
from app.http.lists import SUFFIX, TABULAR_FORMATS, ListQuery, Page, TabularFormat, format_responses, list_response, negotiate_format
from app.http.openapi import LIST_ERRORS, problems
from app.http.problems import invalid_field
from app.http.query_params import CountryFilter, Limit, PlaceFilter, Within
from app.http.responses import page_response
from app.http.state import app_state
from app.indicators.schemas import KindName

router = APIRouter(tags=["Changes"])

NOW = "now"
STREAM_PAGE = 100
# How long a page looks for the first change of a selection before it says how far it has come, in seconds.
MAX_SCAN_SECONDS = 5.0
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000

After = Annotated[
    str | None,
    Query(max_length=100, description="Where to go on from: `next` of the answer before, or `now`. From the beginning without it."),
]


async def get_feed(request: Request) -> ChangeFeed:
    """Return the change feed of this process."""
    return app_state(request).change_feed


async def get_change_filters(
    kind: Annotated[KindName | None, Query(description="Only changes of this kind of indicator.", examples=["supply_runout"])] = None,
    place: PlaceFilter = None,
    within: Within = False,
    country: CountryFilter = None,
) -> ChangeFilters:
    """Which changes are wanted."""
    return ChangeFilters(kind, place, within, country)


FeedDep = Annotated[ChangeFeed, Depends(get_feed)]
ChangeFiltersDep = Annotated[ChangeFilters, Depends(get_change_filters)]


async def _start(feed: ChangeFeed, caller: Principal, after: str | None, name: str) -> int:
    if after is None:
        return 0
    seq = None if after == NOW else CHANGE_CURSORS[caller.level].decode(after, name)
    head = await feed.head(caller.level)
    if seq is not None and seq > head:
        raise invalid_field(name, "this cursor is ahead of the ledger, as after a restored backup; start without one")
    return head if seq is None else seq


# Made once for all streams that send it.
@lru_cache(maxsize=2 * STREAM_PAGE)
def _event(item: ServedChange, level: int) -> bytes:
    return format_sse_event(event=item.type, data_str=item.json, id=CHANGE_CURSORS[level].encode(item.seq, item.seq))


def _listing(feed: ChangeFeed, caller: Principal, selection: ChangeFilters, start: int) -> ListQuery:
    """The changes after a seq, up to what is recorded at the first page; the cursors of its pages are positions."""
    head: int | None = None

    async def fetch(cursor: str | None, limit: int) -> Page:
        nonlocal head
        seq = start if cursor is None else CHANGE_CURSORS[caller.level].decode(cursor, "?after")
        items, last, revision = await feed.page(seq, limit=limit, level=caller.level, selection=selection)
        head = revision if head is None else head
        found = [item.json for item in items if item.seq <= head]
        return found, CHANGE_CURSORS[caller.level].encode(last, last) if last < head else None, head

    return ListQuery("changes", fetch, level=caller.level, private=caller.key_id is not None, cursor="after")


@router.get("/changes" + SUFFIX, include_in_schema=False)
@router.get("/changes", summary="What changed since?", response_model=ChangePage, responses=LIST_ERRORS | format_responses(TABULAR_FORMATS))
async def list_changes(
    request: Request,
    caller: CallerDep,
    feed: FeedDep,
    selection: ChangeFiltersDep,
    after: After = None,
    wait: Annotated[int, Query(ge=0, le=30, description="Seconds to hold the request until something comes.")] = 0,
    limit: Limit = 100,
    format: TabularFormat = None,  # noqa: A002 - the parameter's name on the wire
) -> Response:
    """Every entry of the ledger after a cursor, in order: reports, corrections, retractions (with the reason, without content),
    outcomes and grades, each with the documents of the indicators that it moved.

    To keep a mirror: ask, apply every document whose `revision` is above the one held, keep `next` together with what was applied,
    ask again with `after=next`. Whatever is cut off on either side, nothing is missed and nothing comes twice.
    Of a selection a page looks at some seconds' worth of entries: one that is empty though `next` moved has more behind it.
    Formats other than `json` hold what was recorded when they were asked for, and do not wait.
    """
    seq = await _start(feed, caller, after, "?after")
    chosen = negotiate_format(request, TABULAR_FORMATS, format)
    if chosen is not Format.JSON:
        return await list_response(request, _listing(feed, caller, selection, seq), chosen, cursor=None, limit=limit)
    start = asyncio.get_running_loop().time()
    while True:
        version = feed.version()
        items, last, revision = await feed.page(seq, limit=limit, level=caller.level, selection=selection)
        spent = asyncio.get_running_loop().time() - start
        if items or spent >= max(wait, MAX_SCAN_SECONDS) or feed.stopping:
            break
        seq = last
        if last < revision:
            continue
        if spent >= wait:
            break
        await feed.wait(version, wait - spent)
        if not await feed.still_valid(caller):
            raise credential_revoked()
    return page_response(
        request,
        [item.json for item in items],
        next_cursor=CHANGE_CURSORS[caller.level].encode(last, last),
        revision=revision,
        private=caller.key_id is not None,
        cacheable=wait == 0,
        linked=False,
    )


class EventStream(StreamingResponse):
    """Server-sent events as bytes.

    Not FastAPI's `EventSourceResponse`: what is yielded to that passes through three tasks a stream, and is encoded for each anew.
    """

    media_type = "text/event-stream"


async def get_stream_start(
    caller: CallerDep,
    feed: FeedDep,
    after: After = None,
    last_event_id: Annotated[str | None, Header(max_length=100, description="Where a broken stream resumes; browsers send it.")] = None,
) -> int:
    """The seq that a stream starts after; looked at before the answer begins, so that a wrong cursor can still be a 422."""
    return await _start(feed, caller, last_event_id or after or NOW, "Last-Event-ID" if last_event_id else "?after")


@router.get(
    "/stream",
    summary="Tell me at once",
    response_class=EventStream,
    responses=problems(401, 422, 503),
)
async def stream_changes(
    caller: CallerDep,
    feed: FeedDep,
    selection: ChangeFiltersDep,
    seq: Annotated[int, Depends(get_stream_start)],
) -> Response:
    """The same changes as server-sent events, as they come: `event` is the type, `data` the change, `id` the cursor.

    Without `after` and `Last-Event-ID` it starts now. The first event, `ready`, names where it stands. A comment every
    15 seconds keeps the connection open. The stream ends when the key is revoked or
    expires. A reader who does not keep up is dropped, and resumes by `Last-Event-ID`.
    """
    # The last is for proxies that would hold events back.
    control = "private, no-cache" if caller.key_id is not None else "no-cache"
    headers = {"Cache-Control": control, "Vary": "Authorization", "X-Accel-Buffering": "no"}
    return EventStream(_stream(feed, caller, selection, seq), headers=headers)


async def _stream(feed: ChangeFeed, caller: Principal, selection: ChangeFilters, seq: int) -> AsyncIterator[bytes]:
    level = caller.level
    at = orjson.dumps({"revision": seq}).decode()
    yield format_sse_event(event="ready", data_str=at, id=CHANGE_CURSORS[level].encode(seq, seq), retry=RETRY_MILLISECONDS)
    clock = asyncio.get_running_loop().time
    due = clock() + HEARTBEAT_SECONDS
    while not feed.stopping:
        version = feed.version()
        # A revocation is a commit: it wakes whoever waits.
        if not await feed.still_valid(caller):
            return
        items, seq, head = await feed.page(seq, limit=STREAM_PAGE, level=level, selection=selection)
        # One by one: what a slow reader has not taken is held back for him, and that is to be little.
        for item in items:
            yield _event(item, level)
        if items:
            due = clock() + HEARTBEAT_SECONDS
        # It asks the ledger at every heartbeat too, should ever a signal be lost.
        if len(items) < STREAM_PAGE and seq >= head:
            await feed.wait(version, due - clock())
        # Also while commits come of which none is for this reader.
        if clock() >= due:
            yield KEEPALIVE_COMMENT
            due = clock() + HEARTBEAT_SECONDS
