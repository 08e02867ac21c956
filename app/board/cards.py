"""Cards of the board: each item of a situation with its value, notes, source and agreement. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.board.code_labels import label_for
from app.board.value_text import (
    Document,
    condition_text,
    credit_text,
    credited_figures,
    date_range_text,
    days_left_text,
    field_text,
    pair_text,
    passable_text,
    since_text,
    subject_text,
    value_text,
)
from app.domain.kinds import KINDS
from app.domain.kinds.showing import StatePlot
from app.domain.times import day_of
from app.http.localization import Localization
from app.situations.wording import growing_reason

# All bars have one scale, so that readers can compare them down the board.
BAR_DAYS = 30
BAR_PIXELS = 240

# In place of a level that is null.
NOTHING_KNOWN = "nothing_known"

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
    """One indicator on a card; `anchor` is the fragment of its section on the place's page; routes have a slug, supplies may have a bar.

    `state` is that of a route or supply, or that of routes whose colours it has. Notes say which other reports the figures
    come from. Without a report that leads there is no source. `judgement` is an analyst's own conclusion, which may have `lapsed`
    or be `partial` or `unsupported`.
    """

    label: str
    value: str
    anchor: str
    notes: list[str] = field(default_factory=list)
    source: str = ""
    stated: str = ""
    stale: bool = False
    contested: bool = False
    agreement: str = ""
    slug: str = ""
    state: str = ""
    bar: Bar | None = None
    past_due: bool = False
    judgement: str = ""
    lapsed: bool = False
    partial: bool = False
    unsupported: bool = False

    @property
    def severity(self) -> int:
        """The place of a route, or of what has its colours, among others, the worst first."""
        return ("closed", "restricted", "unknown", "open").index(self.state or "unknown")


@dataclass(frozen=True, slots=True)
class Card:
    """One place on the board: its situation as served, the reasons for its level and its `facts` in words, and its items by group.

    `sound` tells whether any report on it is.
    """

    slug: str
    name: str
    level: str
    situation: Document
    reasons: list[str]
    facts: list[str]
    sound: bool
    people: list[CardItem]
    supplies: list[CardItem]
    routes: list[CardItem]
    other: list[CardItem]


def build_card(situation: Document, records: Records, locale: Localization) -> Card:
    """Build the card of a situation; `records` has its indicators, and their sources, routes and credited reports, by collection."""
    slug = situation["place"]["slug"]
    groups = {
        "trapped": [_people_item(each, records, locale) for each in situation["trapped"]],
        "supplies": [_supply_item(each, records, locale, situation["because"]) for each in situation["supplies"]],
        "routes": [_route_item(each, records, locale) for each in situation["routes"]["items"]],
        "other": [_other_item(each, records, locale, situation["as_of"]) for each in situation["other"]],
    }
    own = [each for each in records["indicators"].values() if each["place"]["slug"] == slug]
    for each in own:
        if each["provenance"] is None and each["assessment"]["newest_at"] is not None:
            groups[KINDS[each["kind"]].situation_group].append(_claimed_item(each, records, locale))
    reasons = _reasons(situation, records, locale)
    sound = any(each["assessment"]["newest_sound_at"] is not None for each in own)
    return Card(
        slug, situation["place"]["name"], level_of(situation), situation, reasons, _facts(situation, locale), sound, *groups.values()
    )


def level_of(situation: Document) -> str:
    """Return the level of a situation, NOTHING_KNOWN for null, `dormant` if it is only the last known one."""
    return NOTHING_KNOWN if situation["level"] is None else "dormant" if situation["dormant"] else str(situation["level"])


def _facts(situation: Document, locale: Localization) -> list[str]:
    """Return what the indicators of a kind say of the place together, such as when aid last came."""
    return [
        pair_text(label_for(f"field_{name}", locale, kind), field_text(said, kind, locale), locale)
        for kind, facts in situation["facts"].items()
        for name, said in facts.items()
        if said is not None
    ]


def _reasons(situation: Document, records: Records, locale: Localization) -> list[str]:
    """Return the reasons for the level, those of one indicator together, and how old they are."""
    reasons: dict[tuple[str, str, bool, bool], list[str]] = {}
    for aside, some in ((False, situation["because"]), (True, situation["set_aside"])):
        for each in some:
            reasons.setdefault((each["indicator"], each["since"], each["judged"], aside), []).append(each["reason"])
    lines = []
    for (indicator, since, judged, aside), codes in reasons.items():
        reason = {"reason": codes[0], "since": since, "judged": judged or aside}
        if growing := growing_reason(reason, day_of(situation["as_of"]), locale):
            lines.append(f"{growing[:1].upper()}{growing[1:]}")
            continue
        kind, subject = (records["indicators"].get(indicator, {}).get(name, "") for name in ("kind", "subject"))
        text = locale.comma.join(label_for(f"because_{code}", locale, kind) for code in codes)
        # Of people, the subject is the reason itself.
        if kind and subject not in codes and not KINDS[kind].place_reasons.issuperset(codes):
            text = pair_text(subject_text(subject, kind, records["routes"], locale), text, locale)
        lasts = bool(kind) and KINDS[kind].reads_all
        said = locale.gettext("since %(first)s") if lasts else locale.gettext("last said %(date)s")
        said = locale.gettext("an analyst's judgement of %(date)s") if judged else said
        said = locale.gettext("not counted, by an analyst's judgement of %(date)s") if aside else said
        days = max((day_of(situation["as_of"]) - day_of(since)).days, 0)
        age = locale.plural("%(count)s day ago", "%(count)s days ago", days) if days else locale.gettext("today")
        lines.append(f"{text[:1].upper()}{text[1:]} \u2013 {said % dict.fromkeys(('date', 'first'), locale.day(since))}{locale.comma}{age}")
    return lines


def _common_fields(item: Document, records: Records, locale: Localization, notes: Iterable[str] = ()) -> dict[str, Any]:
    identifier = item["links"]["indicator"].rpartition("/")[2]
    indicator = records["indicators"].get(identifier)
    return {
        "source": _source_name(item, records),
        "stated": locale.day(item["stated_at"]),
        "stale": item["stale"],
        "contested": item["agreement"] == "contested",
        "agreement": item["agreement"],
        "anchor": f"i-{identifier}",
        **_judged(indicator, locale),
        "notes": [
            *filter(None, notes),
            *(
                credit_text(figures, _source_name(report, records), report["stated_at"], locale)
                for each, figures in (credited_figures(indicator, locale) if indicator else {}).items()
                if (report := records["reports"].get(each))
            ),
        ],
    }


def _judged(indicator: Document | None, locale: Localization) -> dict[str, Any]:
    if indicator is None or (judgement := indicator["judgement"]) is None:
        return {}
    return {"judgement": value_text(judgement["value"], indicator["kind"], locale)} | {
        name: judgement[name] for name in ("lapsed", "partial", "unsupported")
    }


def _source_name(said: Document, records: Records) -> str:
    return str(records["sources"].get(said["source"], {"name": said["source"]})["name"])


def _claimed_item(indicator: Document, records: Records, locale: Localization) -> CardItem:
    kind, subject = indicator["kind"], indicator["subject"]
    label = subject_text(subject, kind, records["routes"], locale)
    if KINDS[kind].situation_group == "other":
        label = pair_text(label_for(kind, locale, kind), label, locale)
    value = label_for(indicator["agreement"] or "relation_announced", locale)
    item = CardItem(label, value, f"i-{indicator['id']}", **_judged(indicator, locale))
    return replace(item, slug=subject, state="unknown") if KINDS[kind].situation_group == "routes" else item


def _people_item(item: Document, records: Records, locale: Localization) -> CardItem:
    kind = _GROUP_KINDS["trapped"]
    label, value = label_for(item["concept"], locale, kind), value_text(item, kind, locale)
    preferred = value_text({"people": item["people"], "qualifier": item["qualifier"]}, kind, locale)
    is_range = item["people"] is not None and None not in (item["people_low"], item["people_high"]) and preferred != value
    notes = [locale.gettext("preferred figure: %(figure)s") % {"figure": preferred}] if is_range else []
    notes += [label_for("combatants_included", locale, kind)] if item.get("includes_combatants") == "yes" else []
    for link in item.get("older_than", ()):
        if moved := records["indicators"].get(link.rpartition("/")[2]):
            subject = subject_text(moved["subject"], moved["kind"], {}, locale)
            text = pair_text(subject, value_text(moved["value"], moved["kind"], locale), locale)
            notes.append(locale.gettext("older than this movement: %(movement)s") % {"movement": text})
    return CardItem(label, value, **_common_fields(item, records, locale, notes))


def _supply_item(item: Document, records: Records, locale: Localization, because: Iterable[Document]) -> CardItem:
    kind = _GROUP_KINDS["supplies"]
    subject = item["supply"] if item["scope"] == "all_stock" else f"{item['supply']}.{item['scope']}"
    first, last = item["days_left"], item["days_left_latest"]
    last = first if last is None else last
    reasons = [each["reason"] for each in because if item["links"]["indicator"].endswith(each["indicator"])]
    if first is None:
        value = label_for(item["state"], locale, kind)
        words = locale.quote(item["relative_text"]) if item["relative_text"] else label_for(item["imminence"] or "", locale, kind)
        value = pair_text(value, words, locale) if words else value
    else:
        value = days_left_text(first, last, item["due"], locale)
    dates = date_range_text(item["runs_out_earliest"], item["runs_out_latest"], locale)
    outcome = label_for(f"outcome_{item['outcome']}", locale) if item["outcome"] not in (None, "pending") else ""
    return CardItem(
        label=subject_text(subject, kind, {}, locale),
        value=value,
        state=item["state"],
        bar=None if first is None or first < 0 else _build_bar(first, last, bool(reasons)),
        past_due="past_due" in reasons,
        **_common_fields(
            item, records, locale, (each for each in (dates, condition_text(item, kind, locale), outcome) if each not in value)
        ),
    )


def _build_bar(first: int, last: int, urgent: bool) -> Bar:
    certain, possible = (min(max(each, 0), BAR_DAYS) * BAR_PIXELS / BAR_DAYS for each in (first, last))
    # The mark at the end of a bar needs two pixels, also for a supply that may run out today.
    return Bar(round(certain, 1), round(max(possible, certain, 2), 1), last > BAR_DAYS, urgent)


def _route_item(item: Document, records: Records, locale: Localization) -> CardItem:
    kind = _GROUP_KINDS["routes"]
    return CardItem(
        label=subject_text(item["route"], kind, records["routes"], locale),
        value=value_text(item, kind, locale),
        slug=item["route"],
        state=item["status"],
        **_common_fields(item, records, locale, _route_notes(item, kind, locale)),
    )


def _route_notes(item: Document, kind: str, locale: Localization) -> list[str]:
    """Return since when and by whom, for each direction where the two differ."""
    known = {way: own for way, own in item["directions"].items() if own["status"] is not None}
    notes = {way: [each for each in (since_text(own, locale), passable_text(own, kind, locale)) if each] for way, own in known.items()}
    first, *others = notes.values()
    if all(each == first for each in others):
        return first
    return [pair_text(label_for(way, locale, kind), locale.comma.join(own), locale) for way, own in notes.items() if own]


def _other_item(item: Document, records: Records, locale: Localization, as_of: str) -> CardItem:
    kind, value = item["kind"], item["value"]
    label = pair_text(label_for(kind, locale, kind), subject_text(item["subject"], kind, records["routes"], locale), locale)
    due = KINDS[kind].due_date(value)
    days_left = (due - day_of(as_of)).days if due else 0
    notes = [days_left_text(days_left, days_left, due.isoformat(), locale)] if due else []
    for name in KINDS[kind].note_fields:
        if (said := value.get(name)) not in (None, [], ""):
            reference = records.get(f"{KINDS[kind].references.get(name)}s", {}).get(str(said))
            text = locale.embed(field_text(said, kind, locale) if reference is None else reference["name"])
            notes.append(pair_text(label_for(f"field_{name}", locale, kind), text, locale))
    plot = KINDS[kind].plot
    tone = plot.tones.get(value.get(plot.state) or "", "") if isinstance(plot, StatePlot) else ""
    return CardItem(label, value_text(value, kind, locale), state=tone, **_common_fields(item, records, locale, notes))
