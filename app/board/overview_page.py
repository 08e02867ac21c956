"""The board's first page: places by urgency, page by page, and a map of them, as of a time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.board.api_client import InProcessApiClient
from app.board.cards import NOTHING_KNOWN, Records, build_card, level_of
from app.board.drawing.maps import overview_map, place_map
from app.board.localization import Localization
from app.board.rendering import draw
from app.board.time_slider import build_time_slider
from app.board.value_text import Document
from app.domain.times import utc_now
from app.situations.urgency import LEVELS_WORST_FIRST

PLACES_PER_PAGE = 12


async def page_context(api: InProcessApiClient) -> dict[str, Any]:
    """Return what all pages with a time slider show: the ledger's head, the page's time, and the slider around it."""
    # The head comes first; otherwise a page could miss a change that is recorded while it loads.
    head = await api.get("/v1/ledger/head", as_of=None)
    reports = await api.get("/v1/reports", limit=100, as_of=None)
    first = min((each["stated_at"] for each in reports["items"]), default=None)
    newest = _newest_statement(await api.get_all("/v1/situations", as_of=None))
    return {"head": head, "as_of": api.as_of, "slider": build_time_slider(first, newest, api.as_of, utc_now().date())}


async def load_records(api: InProcessApiClient, situations: Sequence[Document]) -> Records:
    """Return the indicators of some situations, their sources and routes, and other reports than the preferred that give a figure."""
    places = (each["place"]["slug"] for each in situations)
    lists = await asyncio.gather(*(api.get_all("/v1/indicators", place=each, include_empty="true") for each in places))
    indicators = {each["id"]: each for listed in lists for each in listed}
    assessments = [each["assessment"] for each in indicators.values()]
    reports = await api.records_by_slug(
        "reports", (report for each in assessments for report in each["basis"].values() if report != each["preferred"])
    )
    items = [item for each in situations for item in (*each["trapped"], *each["supplies"], *each["routes"]["items"], *each["other"])]
    values = [each.get("value", each) for each in (*items, *indicators.values())]
    return {
        "indicators": indicators,
        "reports": reports,
        "sources": await api.records_by_slug("sources", (each["source"] for each in (*items, *reports.values()))),
        "routes": await api.records_by_slug("routes", (each["route"] for each in values if each and each.get("route"))),
    }


async def overview_context(api: InProcessApiClient, locale: Localization, page_number: int, search: str) -> dict[str, Any]:
    """Return the context of the page's template: `page_number` counts from 1, `search` is part of a place's name or slug."""
    context = await page_context(api)
    situations = await api.get_all("/v1/situations")
    wanted = search.casefold().strip()
    matching = [each for each in situations if wanted in each["place"]["name"].casefold() or wanted in each["place"]["slug"]]
    pages = max(-(-len(matching) // PLACES_PER_PAGE), 1)
    page_number = min(page_number, pages)
    shown = matching[(page_number - 1) * PLACES_PER_PAGE : page_number * PLACES_PER_PAGE]
    records = await load_records(api, shown)
    places = await api.records_by_slug("places", (each["place"]["slug"] for each in shown))
    cards = [build_card(each, records, locale) for each in shown]
    counts = Counter(level_of(each) for each in situations)
    newest = _newest_statement(situations)
    return {
        **context,
        "cards": cards,
        "place_maps": {each.slug: place_map(each, places[each.slug], records["routes"]) for each in cards},
        "map": await draw(overview_map, cards, places, records["routes"]),
        "counts": [(level, counts[level]) for level in (*LEVELS_WORST_FIRST, NOTHING_KNOWN, "dormant")],
        "contested": sum(len(each["contested"]) for each in situations),
        "total": len(situations),
        "matching": len(matching),
        "page_number": page_number,
        "pages": pages,
        "search": search,
        "newest": newest,
        "all_dormant": api.as_of is None and newest is not None and all(each["dormant"] for each in situations),
        "path": "/",
    }


def _newest_statement(situations: Sequence[Document]) -> str | None:
    return max((each["newest_statement"] for each in situations if each["newest_statement"]), default=None)
