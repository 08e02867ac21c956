"""What the page of one place shows: its card, and each indicator with its plot and every statement behind it."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from app.board.api_client import PublicApi
from app.board.cards import Document, card, route_value, supply_label
from app.board.code_labels import people, word
from app.board.drawing.maps import close_up
from app.board.drawing.plots import Reading, in_words, plot
from app.board.localization import Tongue
from app.board.overview_page import names_of, time_slider
from app.domain.times import utc_now

# A plot looks at the newest days on which something was said.
MOST_DAYS = 60
KIND_ORDER = ("trapped_population", "supply_runout", "route_closure")


async def place_page(api: PublicApi, speaks: Tongue, slug: str, *, as_of: str | None) -> dict[str, Any]:
    """The context of the page; 404 for a place that is not known."""
    head = await api.get("/v1/ledger/head", timeless=True)
    place = await api.get(f"/v1/places/{slug}", timeless=True)
    situation = await api.get(f"/v1/situations/{slug}")
    names = await names_of(api, [situation])
    shown = card(situation, names, speaks)
    indicators, _ = await api.get_all("/v1/indicators", {"place": slug})
    details = await asyncio.gather(*(api.get(f"/v1/indicators/{each['id']}") for each in indicators))
    quoted = await _provenance(api, slug)
    days = sorted({each["stated_at"][:10] for detail in details for each in (*detail["reports"], *detail["left_out"])})[-MOST_DAYS:]
    readings = await _readings(api, slug, days)
    until = date.fromisoformat(as_of[:10]) if as_of else utc_now().date()
    order = {each.anchor: at for at, each in enumerate((*shown.people, *shown.supplies, *shown.routes))}
    sections = [_section(each, readings.get(each["id"], []), until, quoted, names["routes"], speaks) for each in details]
    sections.sort(key=lambda each: (_kind_order(each["kind"]), order.get(each["anchor"], len(order))))
    return {
        "head": head,
        "as_of": as_of,
        "place": place,
        "card": shown,
        "map": close_up(shown, place, names["routes"]),
        "sections": sections,
        "slider": await time_slider(api, as_of),
        "here": f"/places/{place['slug']}",
    }


def _kind_order(kind: str) -> int:
    return KIND_ORDER.index(kind) if kind in KIND_ORDER else len(KIND_ORDER)


async def _provenance(api: PublicApi, slug: str) -> dict[str, Document]:
    reports = await api.get("/v1/reports", {"place": slug, "limit": 1000})
    return {each["id"]: each["provenance"] for each in reports["items"]}


async def _readings(api: PublicApi, slug: str, days: Sequence[str]) -> dict[str, list[Reading]]:
    """How each indicator read at the end of each day on which something was said, by identifier."""
    lists = await asyncio.gather(*(api.get_all("/v1/indicators", {"place": slug, "as_of": day}) for day in days))
    found: dict[str, list[Reading]] = {}
    for day, (documents, _) in zip(days, lists, strict=True):
        for each in documents:
            found.setdefault(each["id"], []).append(Reading(date.fromisoformat(day), each["value"], each["agreement"]))
    return found


def _section(
    detail: Document,
    readings: Sequence[Reading],
    until: date,
    quoted: Mapping[str, Document],
    routes: Mapping[str, Document],
    speaks: Tongue,
) -> dict[str, Any]:
    kind, value = detail["kind"], detail["value"]
    statements = [*detail["reports"], *detail["left_out"]]
    # Up to the last thing said and a little on, not up to a today that may be years later.
    last = max((date.fromisoformat(each["stated_at"][:10]) for each in statements), default=until)
    horizon = date.fromisoformat(detail["stale_after"][:10]) if detail["stale_after"] else last
    return {
        "id": detail["id"],
        "anchor": f"i-{detail['id']}",
        "kind": kind,
        "title": _title(kind, value, detail["subject"], routes, speaks),
        "value": _reading_in_words(kind, value, speaks),
        "agreement": detail["agreement"],
        "stale_after": detail["stale_after"],
        "method": detail["assessment"]["method"],
        "plot": plot(kind, readings, statements, min(until, max(horizon, last)), speaks),
        "statements": [_statement(kind, each, quoted.get(each["id"]), speaks) for each in detail["reports"]],
        "left_out": [_statement(kind, each, quoted.get(each["id"]), speaks) for each in detail["left_out"]],
        "links": detail["links"],
    }


def _title(kind: str, value: Document | None, subject: str, routes: Mapping[str, Document], speaks: Tongue) -> str:
    if kind == "supply_runout" and value is not None:
        return supply_label(value, speaks)
    if kind == "route_closure" and subject in routes:
        return str(routes[subject]["name"])
    return word(speaks, subject)


def _reading_in_words(kind: str, value: Document | None, speaks: Tongue) -> str:
    if value is None:
        return speaks.gettext("no statement stands")
    if kind == "route_closure":
        return route_value(value, speaks)
    if kind == "trapped_population":
        return people(speaks, value)
    return in_words(kind, value, speaks)


def _statement(kind: str, report: Document, provenance: Document | None, speaks: Tongue) -> dict[str, Any]:
    return {
        "id": report["id"],
        "source": report["source"],
        "via": [each["name"] for each in report["via"]],
        "stated_at": report["stated_at"],
        "value": in_words(kind, report["value"], speaks),
        "method": report["method"],
        "credibility": report["credibility"],
        "sensitivity": report["sensitivity"],
        "relation": report.get("relation") or report.get("reason"),
        "quote": provenance["quote"] if provenance else None,
        "language": provenance["language"] if provenance else None,
        "url": provenance["url"] if provenance else None,
    }
