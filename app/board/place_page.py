"""The page of one place: its card, and each indicator with its plot and every report."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from app.board.api_client import InProcessApiClient
from app.board.cards import build_card
from app.board.code_labels import label_for
from app.board.drawing.maps import place_map
from app.board.drawing.plots import History, build_plot
from app.board.drawing.timeline import build_timeline
from app.board.overview_page import load_records, page_context
from app.board.value_text import Document, credit_text, credited_figures, pair_text, subject_text, value_text
from app.domain.kinds import KINDS
from app.domain.times import day_of, utc_now
from app.http.localization import Localization
from app.http.problems import Problem
from app.situations.digest import HEADINGS

# A plot has the newest days with a report, since each costs a request.
MAX_PLOT_DAYS = 60
# Changes since the last look; the digest of the API has all.
MAX_NEWS = 20
_SEEN = re.compile(r"(?P<label>[a-z_]{1,20})\.(?P<before>\d{1,15})\.(?P<last>\d{1,15})", re.ASCII)


async def place_context(api: InProcessApiClient, locale: Localization, slug: str, *, now: bool = False) -> dict[str, Any]:
    """Return the context of the page's template; raise 404 for an unknown place."""
    context = await page_context(api, now=now)
    place = await api.get(f"/v1/places/{slug}", as_of=None)
    situation = await api.get(f"/v1/situations/{slug}")
    records = await load_records(api, [situation])
    card = build_card(situation, records, locale)
    indicators = await asyncio.gather(*(api.get(f"/v1/indicators/{each}") for each in records["indicators"]))
    reports = await api.get("/v1/reports", place=slug, limit=1000)
    days = {each["stated_at"][:10] for indicator in indicators for name in ("reports", "left_out") for each in indicator[name]}
    history = await _load_history(api, slug, sorted(days)[-MAX_PLOT_DAYS:])
    until = day_of(api.as_of) if api.as_of else utc_now().date()
    order = {each.anchor: at for at, each in enumerate((*card.people, *card.supplies, *card.routes, *card.other))}
    sections = [_section(each, history.get(each["id"], []), until, records["routes"], locale) for each in indicators]
    sections.sort(key=lambda each: (list(KINDS).index(each["kind"]), order.get(each["anchor"], len(order))))
    return {
        **context,
        "card": card,
        "map": place_map(card, place, records["routes"]),
        "sections": sections,
        "timeline": build_timeline(sections, until, locale),
        "statements": {each["id"]: each for each in reports["items"]},
        "path": f"/places/{place['slug']}",
    }


async def load_news(
    api: InProcessApiClient, locale: Localization, slug: str, head: Document, seen: str
) -> tuple[list[tuple[str, Document]] | None, str]:
    """Return what changed since a reader last looked, each with its heading, and what the reader has seen now; None on a first look.

    What was seen is the clearance, the revision of the look before and that of the last look: until something changes, a page that loads
    again compares with the former, otherwise its list would vanish.
    """
    label, revision = head["clearance"], head["seq"]
    match = _SEEN.fullmatch(seen)
    if match is None or match["label"] != label or int(match["last"]) > revision:
        return None, f"{label}.{revision}.{revision}"
    since = int(match["before"] if int(match["last"]) == revision else match["last"])
    try:
        found = await api.get(f"/v1/situations/{slug}/digest", since=since, as_of=None)
    except Problem:
        # A cookie that was altered.
        return None, f"{label}.{revision}.{revision}"
    headings = {name: locale.gettext(each) for name, each in HEADINGS.items()}
    return [(headings[each["change"]], each) for each in found["items"][:MAX_NEWS]], f"{label}.{since}.{revision}"


async def _load_history(api: InProcessApiClient, slug: str, days: Sequence[str]) -> dict[str, list[tuple[date, Document]]]:
    """Return the indicators as of the end of some days, by identifier."""
    lists = await asyncio.gather(*(api.get_all("/v1/indicators", place=slug, as_of=day) for day in days))
    found: dict[str, list[tuple[date, Document]]] = {}
    for day, indicators in zip(days, lists, strict=True):
        for each in indicators:
            found.setdefault(each["id"], []).append((day_of(day), each))
    return found


def _section(indicator: Document, history: History, until: date, routes: Mapping[str, Document], locale: Localization) -> dict[str, Any]:
    kind, value, reports = indicator["kind"], indicator["value"], [*indicator["reports"], *indicator["left_out"]]
    # The plot ends with the newest report or the horizon, not today: that may be years later.
    newest = max((day_of(each["stated_at"]) for each in reports), default=until)
    horizon = day_of(indicator["stale_after"]) if indicator["stale_after"] else newest
    by_id = {each["id"]: each for each in reports}
    texts = {each["id"]: value_text(each["value"], kind, locale) for each in reports}
    claims = locale.comma.join(dict.fromkeys(texts[each["id"]] for each in indicator["reports"]))
    if indicator["provenance"]:
        text = value_text(value, kind, locale)
    elif claims:
        text = pair_text(label_for(indicator["agreement"] or "relation_announced", locale), claims, locale)
    else:
        text = locale.gettext("no current statement")
    plot = build_plot(kind, history, reports, min(until, max(horizon, newest)), locale)
    return {
        **indicator,
        "anchor": f"i-{indicator['id']}",
        "title": subject_text(indicator["subject"], kind, routes, locale),
        "text": text,
        "credits": [
            credit_text(figures, by_id[each]["source"]["name"], by_id[each]["stated_at"], locale)
            for each, figures in credited_figures(indicator, locale).items()
        ],
        "history": history,
        # The plot of a single state would be empty but for one line: the timeline shows it.
        "plot": plot if plot is not None and plot.shows_change else None,
        "texts": texts,
        "judgement_text": value_text(indicator["judgement"]["value"], kind, locale) if indicator["judgement"] else "",
    }
