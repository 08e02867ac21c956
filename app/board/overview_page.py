"""What the board's first page shows: places by urgency, so many at a time, on a map, as of a time."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from app.board.api_client import PublicApi
from app.board.cards import Document, card
from app.board.drawing.maps import close_up, overview
from app.board.localization import Tongue
from app.board.time_slider import Timeline, timeline
from app.domain.times import utc_now
from app.situations.urgency import LEVELS, urgency

PLACES_A_PAGE = 12
# How long nothing may have been said before the board says so.
SILENT_DAYS = 60


async def time_slider(api: PublicApi, as_of: str | None) -> Timeline:
    """The days of the slider around a time, from what was said up to now."""
    first = await api.get("/v1/reports", {"limit": 100}, timeless=True)
    situations, _ = await api.get_all("/v1/situations", {"as_of": None})
    newest = max((each["newest_statement"] for each in situations if each["newest_statement"]), default=None)
    return timeline(min((each["stated_at"] for each in first["items"]), default=None), newest, as_of, utc_now().date())


async def names_of(api: PublicApi, situations: Sequence[Document]) -> dict[str, dict[str, Document]]:
    """The records of the sources and routes that some situations speak of."""
    items = [each for one in situations for each in (*one["trapped"], *one["supplies"], *one["routes"]["items"])]
    return {
        "sources": {**await api.named("sources", (each["source"] for each in items))},
        "routes": {**await api.named("routes", (each["route"] for each in items if "route" in each))},
    }


async def overview_page(api: PublicApi, speaks: Tongue, *, as_of: str | None, number: int, search: str) -> dict[str, Any]:
    """The context of the page: `number` counts pages from 1, `search` is part of a place's name or slug."""
    head = await api.get("/v1/ledger/head", timeless=True)
    situations, _ = await api.get_all("/v1/situations")
    ranked = sorted(((urgency(each), each) for each in situations), key=lambda pair: (pair[0], pair[1]["place"]["slug"]))
    wanted = search.casefold().strip()
    matching = [each for _, each in ranked if wanted in each["place"]["name"].casefold() or wanted in each["place"]["slug"]]
    pages = max(-(-len(matching) // PLACES_A_PAGE), 1)
    number = min(number, pages)
    shown = matching[(number - 1) * PLACES_A_PAGE : number * PLACES_A_PAGE]
    names = await names_of(api, shown)
    places = await api.named("places", (each["place"]["slug"] for each in shown))
    cards = [card(each, names, speaks) for each in shown]
    counts = Counter(rank.level for rank, _ in ranked)
    slider = await time_slider(api, as_of)
    newest = max((each["newest_statement"] for each in situations if each["newest_statement"]), default=None)
    silent = as_of is None and newest is not None and (utc_now().date() - date.fromisoformat(newest[:10])).days > SILENT_DAYS
    return {
        "head": head,
        "as_of": as_of,
        "cards": cards,
        "close_ups": {each.slug: close_up(each, places[each.slug], names["routes"]) for each in cards},
        "map": overview(cards, places, names["routes"]),
        "counts": [(level, counts[level]) for level in LEVELS],
        "contested": sum(len(each["contested"]) for each in situations),
        "total": len(situations),
        "matching": len(matching),
        "page_number": number,
        "pages": pages,
        "search": search,
        "slider": slider,
        "newest": newest,
        "silent": silent,
        "here": "/",
    }
