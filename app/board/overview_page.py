"""The board's first page: places by urgency, page by page, and a map of them, as of a time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.board.api_client import InProcessApiClient
from app.board.cards import NOTHING_KNOWN, Records, build_card, level_of
from app.board.drawing.maps import overview_map, place_map
from app.board.rendering import draw
from app.board.time_slider import build_time_slider
from app.board.value_text import Document, value_text
from app.domain.folding import fold
from app.domain.times import utc_now
from app.http.localization import Localization
from app.situations.urgency import LEVELS_WORST_FIRST

PLACES_PER_PAGE = 12
PLACES_PER_WALL = 8
WALL_SECONDS = 20
# Statements that a search shows; the API has the others.
MAX_STATEMENTS = 20


async def page_context(api: InProcessApiClient, *, now: bool = False) -> dict[str, Any]:
    """Return what all pages with a time slider show: the ledger's head, the page's time, and the slider around it.

    Without a time, a ledger that has been silent for a year is shown as of its newest statement (`last_days`), else days left would be
    those of years ago; `now` asks for today all the same.
    """
    # The head comes first; otherwise a page could miss a change that is recorded while it loads.
    head = await api.get("/v1/ledger/head", as_of=None)
    reports = await api.get("/v1/reports", limit=100, as_of=None)
    first = min((each["stated_at"] for each in reports["items"]), default=None)
    situations = await api.get_all("/v1/situations", as_of=None)
    newest = max((each["newest_statement"] for each in situations if each["newest_statement"]), default=None)
    dormant = newest is not None and all(each["dormant"] for each in situations)
    last_days = dormant and api.as_of is None
    if newest and last_days and not now:
        api.as_of = newest[:10]
    slider = build_time_slider(first, newest, api.as_of, utc_now().date())
    page = {"head": head, "as_of": api.as_of, "slider": slider, "newest": newest}
    return page | {"dormant": dormant, "last_days": last_days, "now": now}


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


async def overview_context(
    api: InProcessApiClient, locale: Localization, page_number: int, search: str, *, now: bool = False
) -> dict[str, Any]:
    """Return the context of the page's template: `page_number` counts from 1, `search` is part of a place's name or of statements."""
    context = await page_context(api, now=now)
    situations = await api.get_all("/v1/situations")
    matching, statements = situations, []
    if fold(search):
        named = {each["slug"] for each in (await api.get("/v1/places", q=search, limit=1000, as_of=None))["items"]}
        matching = [each for each in situations if each["place"]["slug"] in named or fold(search) in fold(each["place"]["name"])]
        statements = (await api.get("/v1/reports", q=search, status="standing", limit=MAX_STATEMENTS))["items"]
    shown, page = _page(matching, page_number, PLACES_PER_PAGE)
    records = await load_records(api, shown)
    slugs = {each["place"]["slug"] for each in shown} | {each["place"] for each in statements}
    places = await api.records_by_slug("places", slugs)
    cards = [build_card(each, records, locale) for each in shown]
    return {
        **context,
        **page,
        **_counts(situations),
        "cards": cards,
        "place_maps": {each.slug: place_map(each, places[each.slug], records["routes"]) for each in cards},
        "map": await draw(overview_map, cards, places, records["routes"]),
        "search": search,
        "statements": statements,
        "places": places,
        "sources": await api.records_by_slug("sources", (each["source"] for each in statements)),
        "texts": {each["id"]: value_text(each["value"], each["kind"], locale) for each in statements},
        "path": "/",
    }


async def wall_context(api: InProcessApiClient, locale: Localization, page_number: int, *, now: bool = False) -> dict[str, Any]:
    """Return the context of the wall's template: rows of places, the most urgent first, and how long a page is shown."""
    context = await page_context(api, now=now)
    situations = await api.get_all("/v1/situations")
    shown, page = _page(situations, page_number, PLACES_PER_WALL)
    records = await load_records(api, shown)
    return {
        **context,
        **page,
        **_counts(situations),
        "cards": [build_card(each, records, locale) for each in shown],
        "seconds": WALL_SECONDS,
        "next_page": page["page_number"] % page["pages"] + 1,
        "path": "/",
    }


def _page(situations: Sequence[Document], number: int, size: int) -> tuple[Sequence[Document], dict[str, int]]:
    """Return the situations of a page, or of the last one before it, and its numbers."""
    pages = max(-(-len(situations) // size), 1)
    number = min(number, pages)
    return situations[(number - 1) * size : number * size], {"page_number": number, "pages": pages, "matching": len(situations)}


def _counts(situations: Sequence[Document]) -> dict[str, Any]:
    counts = Counter(level_of(each) for each in situations)
    levels = [(level, counts[level]) for level in (*LEVELS_WORST_FIRST, NOTHING_KNOWN, "dormant")]
    return {"counts": levels, "contested": sum(len(each["contested"]) for each in situations)}
