"""Cards of the board: each item of a situation with its value, notes, source and agreement. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.board.code_labels import label_for
from app.board.localization import Localization
from app.board.value_text import Document, date_range_text, pair_text, subject_text, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.base import MAX_SHORT_DAYS
from app.domain.times import day_of

# All bars have one scale, so that readers can compare them down the board.
BAR_DAYS = 30
BAR_PIXELS = 240

# The kind of the items of each group of a situation.
_GROUP_KINDS = {kind.situation_group: kind.name for kind in reversed(list(KINDS.values()))}

Records = Mapping[str, Mapping[str, Document]]


@dataclass(frozen=True, slots=True)
class Bar:
    """Days left as lengths in pixels: `certain` to the earliest date, `possible` to the latest, cut off where it `overflows`."""

    certain: float
    possible: float
    overflows: bool
    urgent: bool


@dataclass(frozen=True, slots=True)
class CardItem:
    """One indicator on a card; `anchor` is the fragment of its section on the place's page; routes have a slug, supplies may have a bar."""

    label: str
    value: str
    notes: list[str]
    source: str
    stated: str
    stale: bool
    contested: bool
    agreement: str
    anchor: str
    slug: str = ""
    state: str = ""
    bar: Bar | None = None
    past_due: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One place on the board, with its items by group."""

    slug: str
    name: str
    level: str
    newest: str | None
    people: list[CardItem]
    supplies: list[CardItem]
    routes: list[CardItem]
    other: list[CardItem]


def build_card(situation: Document, records: Records, locale: Localization) -> Card:
    """Build the card of a situation; `records` has its sources and routes, by collection and slug."""
    return Card(
        slug=situation["place"]["slug"],
        name=situation["place"]["name"],
        level=situation["level"] or "quiet",
        newest=situation["newest_statement"],
        people=[_people_item(each, records, locale) for each in situation["trapped"]],
        supplies=[_supply_item(each, records, locale) for each in situation["supplies"]],
        routes=[_route_item(each, records, locale) for each in situation["routes"]["items"]],
        other=[_other_item(each, records, locale, situation["as_of"]) for each in situation["other"]],
    )


def _common_fields(item: Document, records: Records, locale: Localization) -> dict[str, Any]:
    source = records["sources"].get(item["source"])
    return {
        "source": source["name"] if source else item["source"],
        "stated": locale.day(item["stated_at"]),
        "stale": item["stale"],
        "contested": item["agreement"] == "contested",
        "agreement": label_for(item["agreement"], locale),
        "anchor": "i-" + item["links"]["indicator"].rpartition("/")[2],
    }


def _people_item(item: Document, records: Records, locale: Localization) -> CardItem:
    kind = _GROUP_KINDS["trapped"]
    label, value = label_for(item["concept"], locale, kind), value_text(item, kind, locale)
    preferred = value_text({"people": item["people"], "qualifier": item["qualifier"]}, kind, locale)
    is_range = item["people"] is not None and None not in (item["people_low"], item["people_high"]) and preferred != value
    notes = [locale.gettext("preferred figure: %(figure)s") % {"figure": preferred}] if is_range else []
    return CardItem(label, value, notes, **_common_fields(item, records, locale))


def _supply_item(item: Document, records: Records, locale: Localization) -> CardItem:
    kind = _GROUP_KINDS["supplies"]
    subject = item["supply"] if item["scope"] == "all_stock" else f"{item['supply']}.{item['scope']}"
    first, last = item["days_left"], item["days_left_latest"]
    last = first if last is None else last
    past = last is not None and last < 0
    if first is None:
        value = label_for(item["state"], locale, kind)
        if item["relative_text"]:
            value = pair_text(value, locale.quote(item["relative_text"]), locale)
    else:
        value = _days_left_text(first, last, item["runs_out_latest"] or item["runs_out_earliest"], locale)
    dates = date_range_text(item["runs_out_earliest"], item["runs_out_latest"], locale)
    outcome = label_for(item["outcome"], locale) if item["outcome"] != "pending" else ""
    return CardItem(
        label=subject_text(subject, kind, {}, locale),
        value=value,
        notes=[each for each in (dates, outcome) if each and each not in value],
        state=item["state"],
        bar=None if first is None or past else _build_bar(first, last),
        past_due=past and not outcome,
        **_common_fields(item, records, locale),
    )


def _days_left_text(first: int, last: int, due: str, locale: Localization) -> str:
    if last < 0:
        return locale.gettext("was due %(date)s") % {"date": locale.day(due)}
    first = max(first, 0)
    if first == last:
        return locale.plural("%(count)s day left", "%(count)s days left", last)
    return locale.plural("%(first)s\u2013%(count)s day left", "%(first)s\u2013%(count)s days left", last, first=locale.number(first))


def _build_bar(first: int, last: int) -> Bar:
    certain, possible = (min(max(each, 0), BAR_DAYS) * BAR_PIXELS / BAR_DAYS for each in (first, last))
    # The mark at the end of a bar needs two pixels, also for a supply that may run out today.
    return Bar(round(certain, 1), round(max(possible, certain, 2), 1), last > BAR_DAYS, first <= MAX_SHORT_DAYS)


def _route_item(item: Document, records: Records, locale: Localization) -> CardItem:
    kind = _GROUP_KINDS["routes"]
    return CardItem(
        label=subject_text(item["route"], kind, records["routes"], locale),
        value=value_text(item, kind, locale),
        notes=[each for each in (_since_text(item, locale), _passable_text(item, kind, locale)) if each],
        slug=item["route"],
        state=item["status"] or "unknown",
        **_common_fields(item, records, locale),
    )


def _since_text(item: Document, locale: Localization) -> str:
    first, last = item["since_earliest"], item["since_latest"]
    if first and last and first != last:
        return locale.gettext("since between %(first)s and %(last)s") % {"first": locale.day(first), "last": locale.day(last)}
    return locale.gettext("since %(first)s") % {"first": locale.day(first or last)} if first or last else ""


def _passable_text(item: Document, kind: str, locale: Localization) -> str:
    if item["status"] in (None, "closed"):
        return ""
    users = locale.comma.join(label_for(each, locale, kind) for each in item["passable_by"])
    return locale.gettext("passable by: %(users)s") % {"users": users or locale.gettext("no one")}


def _other_item(item: Document, records: Records, locale: Localization, as_of: str) -> CardItem:
    kind, value = item["kind"], item["value"]
    label = pair_text(label_for(kind, locale, kind), subject_text(item["subject"], kind, records["routes"], locale), locale)
    due = KINDS[kind].due_date(value)
    days_left = (due - day_of(as_of)).days if due else 0
    notes = [_days_left_text(days_left, days_left, due.isoformat(), locale)] if due else []
    return CardItem(label, value_text(value, kind, locale), notes, **_common_fields(item, records, locale))
