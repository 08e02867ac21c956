"""One situation as the figures of a card: persons, bars of days, states of routes, each with who said it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.board.code_labels import people, word
from app.board.localization import Tongue
from app.situations.urgency import SHORT_DAYS, urgency

# The bars share one scale, so that they can be compared down the board.
BAR_DAYS = 30
BAR_WIDTH = 240
OUTCOMES = ("materialised", "averted", "overtaken", "unknown")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: `value` in words, `notes` beside it, and `href`, where it is told who said it."""

    label: str
    value: str
    notes: list[str]
    source: str
    stated: str
    stale: bool
    contested: bool
    agreement: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Bar:
    """Days left, in pixels of a bar: certain up to `sure`, possible up to `possible`; `more` when the scale ends before it does."""

    sure: float
    possible: float
    more: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class Supply(Figure):
    """A supply with its bar; None where no date is known or it lies behind."""

    bar: Bar | None
    state: str
    past_due: bool


@dataclass(frozen=True, slots=True)
class Route(Figure):
    """A route: `state` is `closed`, `restricted`, `open` or `unknown`."""

    slug: str
    state: str


@dataclass(frozen=True, slots=True)
class Card:
    """What the board shows of one place."""

    slug: str
    name: str
    level: str
    newest: str | None
    people: list[Figure]
    supplies: list[Supply]
    routes: list[Route]
    contested: int


def card(situation: Document, names: Mapping[str, Mapping[str, Document]], tongue: Tongue) -> Card:
    """The card of a situation; `names` has the sources and routes that it speaks of, by collection and slug."""
    sources = names["sources"]
    return Card(
        slug=situation["place"]["slug"],
        name=situation["place"]["name"],
        level=urgency(situation).level,
        newest=situation["newest_statement"],
        people=[_people(each, sources, tongue) for each in situation["trapped"]],
        supplies=[_supply(each, sources, tongue) for each in situation["supplies"]],
        routes=[_route(each, names["routes"], sources, tongue) for each in situation["routes"]["items"]],
        contested=len(situation["contested"]),
    )


def _common(item: Document, sources: Mapping[str, Document], tongue: Tongue) -> dict[str, Any]:
    source = sources.get(item["source"])
    return {
        "source": source["name"] if source else item["source"],
        "stated": tongue.day(item["stated_at"]),
        "stale": item["stale"],
        "contested": item["agreement"] == "contested",
        "agreement": word(tongue, item["agreement"]),
        "anchor": "i-" + item["links"]["indicator"].rpartition("/")[2],
    }


def _people(item: Document, sources: Mapping[str, Document], tongue: Tongue) -> Figure:
    notes = []
    low, high, point = item["people_low"], item["people_high"], item["people"]
    if point is not None and low is not None and high is not None and low != high:
        preferred = people(tongue, {"people": point, "qualifier": item["qualifier"]})
        notes.append(tongue.gettext("preferred figure: %(figure)s") % {"figure": preferred})
    return Figure(label=word(tongue, item["concept"]), value=people(tongue, item), notes=notes, **_common(item, sources, tongue))


def supply_label(value: Document, tongue: Tongue) -> str:
    """The name of a supply, with its scope where that is not all stock."""
    label = word(tongue, value["supply"])
    return label if value["scope"] == "all_stock" else f"{label} ({word(tongue, value['scope'])})"


def _supply(item: Document, sources: Mapping[str, Document], tongue: Tongue) -> Supply:
    first, last = item["days_left"], item["days_left_latest"]
    last = first if last is None else last
    notes = [dates] if (dates := _dates(item, tongue)) else []
    if item["outcome"] in OUTCOMES:
        notes.append(word(tongue, item["outcome"]))
    past = last is not None and last < 0
    bar = None
    if first is None:
        value = word(tongue, item["state"])
        if item["relative_text"]:
            value = tongue.gettext("%(state)s: %(words)s") % {"state": value, "words": tongue.quoted(item["relative_text"])}
    elif past:
        value = tongue.plural("due %(count)s day ago", "due %(count)s days ago", last)
    else:
        value = _left(first, last, tongue)
        bar = _bar(first, last)
    return Supply(
        label=supply_label(item, tongue),
        value=value,
        notes=notes,
        bar=bar,
        state=item["state"],
        past_due=past and item["outcome"] == "pending",
        **_common(item, sources, tongue),
    )


def _left(first: int, last: int, tongue: Tongue) -> str:
    first = max(first, 0)
    if first == last:
        return tongue.plural("%(count)s day left", "%(count)s days left", last)
    return tongue.plural("%(first)s\u2013%(count)s day left", "%(first)s\u2013%(count)s days left", last, first=tongue.number(first))


def _bar(first: int, last: int) -> Bar:
    pixels = BAR_WIDTH / BAR_DAYS
    sure, possible = (min(max(each, 0), BAR_DAYS) * pixels for each in (first, last))
    # A single day has no width: it is drawn as a mark.
    return Bar(round(sure, 1), round(max(possible, sure, 2), 1), last > BAR_DAYS, first <= SHORT_DAYS)


def _dates(item: Document, tongue: Tongue) -> str:
    first, last = item["runs_out_earliest"], item["runs_out_latest"]
    if first and last and first != last:
        return f"{tongue.day(first)} \u2013 {tongue.day(last)}"
    return tongue.day(first or last) if first or last else ""


def route_value(value: Document, tongue: Tongue) -> str:
    """The state of a route in words, each way where they differ."""
    if value["status"] is None:
        return tongue.gettext("passage only announced")
    if value["status_in"] != value["status_out"]:
        ways = {name: word(tongue, value[f"status_{name}"]) or word(tongue, "unknown") for name in ("in", "out")}
        return tongue.gettext("in: %(way_in)s, out: %(way_out)s") % {"way_in": ways["in"], "way_out": ways["out"]}
    return word(tongue, value["status"])


def since(value: Document, tongue: Tongue) -> str:
    """Since when a route is so, in words; empty where nobody says."""
    first, last = value["since_earliest"], value["since_latest"]
    if first and last and first != last:
        return tongue.gettext("since between %(first)s and %(last)s") % {"first": tongue.day(first), "last": tongue.day(last)}
    return tongue.gettext("since %(first)s") % {"first": tongue.day(first or last)} if first or last else ""


def passable(value: Document, tongue: Tongue) -> str:
    """Who can pass a route that is not closed, in words."""
    if value["status"] in (None, "closed"):
        return ""
    who = tongue.comma.join(word(tongue, each) for each in value["passable_by"])
    return tongue.gettext("passable by: %(who)s") % {"who": who or tongue.gettext("nobody")}


def _route(item: Document, routes: Mapping[str, Document], sources: Mapping[str, Document], tongue: Tongue) -> Route:
    route = routes.get(item["route"])
    return Route(
        slug=item["route"],
        label=route["name"] if route else item["route"],
        value=route_value(item, tongue),
        notes=[each for each in (since(item, tongue), passable(item, tongue)) if each],
        state=item["status"] or "unknown",
        **_common(item, sources, tongue),
    )
