"""The timeline of a place: a lane for each indicator, with assessed values as bands and statements as points. Pure.

Positions are shares of the width in percent, so that one drawing fits a phone and a wall while its text keeps its size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from app.board.drawing.plots import History
from app.board.value_text import Document, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.showing import DatePlot, StatePlot
from app.domain.times import day_of
from app.http.localization import Localization

TICKS = 5
# Days around the statements, and days for which a forecast is shown beyond the newest of them.
MARGIN_DAYS, MAX_FORECAST_DAYS = 2, 120
# Today is left out where it would squeeze the statements into less than this share of the width.
MIN_STATED_SHARE = 0.3
# A text is shown in a band that has this much room on a desk's screen.
CHARACTER_PERCENT = 1.15
# Statements of one day stand side by side, up to this many.
MAX_BESIDE = 4
BESIDE_PIXELS = 7
CORRECTED = ("superseded", "retracted")


@dataclass(frozen=True, slots=True)
class Band:
    """A period, and what held in it: `style` is a state, `value` or `window` (of a forecast); `label` is shown if `roomy`."""

    start: float
    end: float
    style: str
    label: str
    contested: bool = False
    roomy: bool = False

    @property
    def width(self) -> float:
        """The width, at least so much that the band is seen."""
        return round(max(self.end - self.start, 0.4), 2)


@dataclass(frozen=True, slots=True)
class Mark:
    """A statement: its position, its relation to the assessment, its text, and pixels aside from others of the same day."""

    at: float
    relation: str
    title: str
    aside: int = 0


@dataclass(frozen=True, slots=True)
class Lane:
    """One indicator: the section with its details, its current value, bands and marks."""

    anchor: str
    kind: str
    title: str
    text: str
    contested: bool
    bands: list[Band] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    corrected: int = 0


@dataclass(frozen=True, slots=True)
class Timeline:
    """The lanes, ticks (position and day), and the position of the day that the page is as of; None where that is long after."""

    lanes: list[Lane]
    ticks: list[tuple[float, str]]
    today: float | None
    today_text: str


class _Scale:
    """Turns days into percent of the width."""

    def __init__(self, start: date, end: date) -> None:
        self.start, self.end = start, end

    def at(self, day: date) -> float:
        share = (day - self.start).days / max((self.end - self.start).days, 1)
        return round(min(max(share, 0), 1) * 100, 2)


def build_timeline(sections: Sequence[Mapping[str, Any]], until: date, locale: Localization) -> Timeline | None:
    """Draw the sections of a place's page, each with its `history` and reports, up to a day; None without a statement."""
    stated = [day_of(each["stated_at"]) for section in sections for each in _reports(section)]
    if not stated:
        return None
    newest = max(stated)
    forecast = [day for section in sections for _, each in section["history"] for day in _window(each["value"], section["kind"])]
    last = max(newest, *(min(each, newest + timedelta(days=MAX_FORECAST_DAYS)) for each in forecast), newest)
    start = min(stated) - timedelta(days=MARGIN_DAYS)
    shows_today = (last - start).days >= MIN_STATED_SHARE * (until - start).days
    end = (max(last, until) if shows_today else last) + timedelta(days=MARGIN_DAYS)
    scale = _Scale(start, end)
    values_until = min(until, end)
    lanes = [_lane(each, scale, values_until, locale) for each in sections if _reports(each)]
    days = [start + timedelta(days=round((end - start).days * at / (TICKS - 1))) for at in range(TICKS)]
    ticks = [(scale.at(day), locale.day(str(day))) for day in dict.fromkeys(days)]
    return Timeline(lanes, ticks, scale.at(until) if until <= end else None, locale.day(str(until)))


def _reports(section: Mapping[str, Any]) -> list[Document]:
    return [*section["reports"], *section["left_out"]]


def _window(value: Document | None, kind: str) -> list[date]:
    plot = KINDS[kind].plot
    if value is None or not isinstance(plot, DatePlot):
        return []
    return sorted(day_of(value[name]) for name in (plot.earliest, plot.latest) if value.get(name))


def _lane(section: Mapping[str, Any], scale: _Scale, until: date, locale: Localization) -> Lane:
    reports = sorted(_reports(section), key=lambda each: str(each["stated_at"]))
    lane = Lane(
        anchor=section["anchor"],
        kind=section["kind"],
        title=section["title"],
        text=section["text"],
        contested=section["agreement"] == "contested",
        bands=_bands(section["kind"], section["history"], scale, until, locale),
        corrected=sum(each.get("reason") in CORRECTED for each in reports),
    )
    beside: Counter[float] = Counter()
    for each in reports:
        at = scale.at(day_of(each["stated_at"]))
        title = f"{locale.day(each['stated_at'])}, {each['source']['name']}: {value_text(each['value'], section['kind'], locale)}"
        aside = min(beside[at], MAX_BESIDE) * BESIDE_PIXELS
        lane.marks.append(Mark(at, each.get("relation") or each["reason"], title, aside))
        beside[at] += 1
    return lane


def _bands(kind: str, history: History, scale: _Scale, until: date, locale: Localization) -> list[Band]:
    """Return a band for each period in which the value did not change; a forecast is drawn at the days that it names."""
    plot = KINDS[kind].plot
    bands: list[Band] = []
    ends = [*(day for day, _ in history[1:]), until] if history else []
    for (day, indicator), last_day in zip(history, ends, strict=True):
        value = indicator["value"]
        if value is None or indicator["provenance"] is None:
            continue
        label, contested = value_text(value, kind, locale), indicator["agreement"] == "contested"
        if window := _window(value, kind):
            # An earlier forecast is replaced by the next one.
            bands = [each for each in bands if each.style != "window"]
            bands.append(Band(scale.at(window[0]), scale.at(window[-1] + timedelta(days=1)), "window", label, contested))
            continue
        style = str(value.get(plot.state) or "unknown") if isinstance(plot, StatePlot | DatePlot) else "value"
        style = plot.tones.get(style, style) if isinstance(plot, StatePlot) else style
        band = Band(scale.at(day), scale.at(last_day), style, label, contested)
        if bands and bands[-1].end == band.start and replace(bands[-1], start=band.start, end=band.end) == band:
            band = replace(band, start=bands.pop().start)
        bands.append(band)
    return [replace(each, roomy=each.width >= CHARACTER_PERCENT * len(each.label)) for each in bands]
