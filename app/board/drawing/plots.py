"""Plots of an indicator over time, with each report as a point, as coordinates for an SVG. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from app.board.code_labels import label_for
from app.board.localization import Localization
from app.board.value_text import Document, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.base import DatePlot, RangePlot, StatePlot

WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, BOTTOM = 88, 14, 12, 30
PLOT_BOX = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
# Between the vertical axis and the first point; otherwise the point covers the labels.
INSET_PIXELS = 12
# Height of the row below the dates for reports without a date.
UNDATED_ROW_PIXELS = 24
BOTTOM_ROW_Y = HEIGHT - BOTTOM - 8
LINE_PIXELS, ROW_PIXELS = 3, 10
MIN_DAYS = 7

Band = tuple[float, float]
_Axis = Callable[[float], float]
# An indicator as of the end of some days, in order of time.
History = Sequence[tuple[date, Document]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: its position in pixels, and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Point:
    """A report: its point, the ends of its range, its relation to the assessment, and its text."""

    x: float
    y: float
    high: float
    low: float
    relation: str
    title: str


@dataclass(frozen=True, slots=True)
class Span:
    """A period in which the assessed value did not change, and the band of that value."""

    start: float
    end: float
    high: float
    low: float
    contested: bool


@dataclass(frozen=True, slots=True)
class VerticalAxis:
    """`band_of` returns the upper and lower pixel of a value; None for a value without a height.

    `due_line` is the SVG path of the days on which a forecast date is the day itself; None for an axis without dates.
    """

    band_of: Callable[[Document], Band | None]
    ticks: list[Tick]
    due_line: str | None = None
    min_band_pixels: int = LINE_PIXELS


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: the ticks of its horizontal axis, its vertical axis, the assessed values and the reports."""

    x: list[Tick]
    y: VerticalAxis
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)


def build_plot(kind: str, history: History, reports: Sequence[Document], until: date, locale: Localization) -> Plot | None:
    """Build the plot that a kind declares; None where it declares none, or has nothing to draw.

    Each value of the history holds until the next day in it, the last one until `until`.
    """
    declared = KINDS[kind].plot
    if declared is None or not history or not reports:
        return None
    days = [_stated_on(each) for each in reports] + [day for day, _ in history]
    start = min(days)
    end = max(*days, until, start + timedelta(days=MIN_DAYS))
    x = _axis(start.toordinal(), end.toordinal(), LEFT + INSET_PIXELS, WIDTH - RIGHT)
    values = [each["value"] for each in (*reports, *(indicator for _, indicator in history)) if each["value"]]
    y = _vertical_axis(declared, kind, values, x, locale)
    if not y.ticks:
        return None
    plot = Plot([Tick(x(each.toordinal()), locale.day(str(each))) for each in _three_days(start, end)], y)
    ends = [*(day for day, _ in history[1:]), end]
    for (day, indicator), last_day in zip(history, ends, strict=True):
        if indicator["value"] and (band := y.band_of(indicator["value"])) is not None:
            span = Span(x(day.toordinal()), x(last_day.toordinal()), *band, indicator["agreement"] == "contested")
            # Extend the span before where the value is the same; otherwise a seam shows.
            if plot.spans and replace(plot.spans[-1], start=span.start, end=span.end) == span and plot.spans[-1].end == span.start:
                span = replace(span, start=plot.spans.pop().start)
            plot.spans.append(span)
    for report in reports:
        high, low = y.band_of(report["value"]) or (BOTTOM_ROW_Y, BOTTOM_ROW_Y)
        title = f"{locale.day(report['stated_at'])}, {report['source']['name']}: {value_text(report['value'], kind, locale)}"
        at = x(_stated_on(report).toordinal())
        plot.points.append(Point(at, round((high + low) / 2, 1), high, low, report.get("relation") or "left-out", title))
    return plot


def _stated_on(report: Document) -> date:
    return date.fromisoformat(report["stated_at"][:10])


def _three_days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=round((end - start).days * at / 2)) for at in range(3)]


def _axis(low: float, high: float, first: float, last: float) -> _Axis:
    """Return the function that maps values from `low` to `high` to pixels from `first` to `last`."""
    scale = (last - first) / ((high - low) or 1)
    return lambda value: round(first + (value - low) * scale, 1)


def _vertical_axis(
    plot: RangePlot | DatePlot | StatePlot, kind: str, values: Sequence[Document], x: _Axis, locale: Localization
) -> VerticalAxis:
    if isinstance(plot, RangePlot):
        return _number_axis(plot, values, locale)
    if isinstance(plot, DatePlot) and any(_dates(each, plot) for each in values):
        return _date_axis(plot, values, x, locale)
    return _state_axis(plot, kind, values, locale)


def _number_axis(plot: RangePlot, values: Sequence[Document], locale: Localization) -> VerticalAxis:
    def numbers(value: Document) -> list[int]:
        return [value[name] for name in (plot.low, plot.best, plot.high) if value.get(name) is not None]

    def band_of(value: Document) -> Band | None:
        return (y(max(found)), y(min(found))) if (found := numbers(value)) else None

    highest = max((number for each in values for number in numbers(each)), default=0) or 1
    step = next(base * 10**power for power in range(10) for base in (1, 2, 5) if base * 10**power * 5 >= highest)
    steps = -(-highest // step)
    y = _axis(0, step * steps, HEIGHT - BOTTOM, TOP)
    return VerticalAxis(band_of, [Tick(y(step * at), locale.short_number(step * at)) for at in range(steps + 1)])


def _dates(value: Document, plot: DatePlot) -> list[date]:
    return [date.fromisoformat(value[name]) for name in (plot.earliest, plot.latest) if value.get(name)]


def _date_axis(plot: DatePlot, values: Sequence[Document], x: _Axis, locale: Localization) -> VerticalAxis:
    def band_of(value: Document) -> Band | None:
        heights = [y(each.toordinal()) for each in _dates(value, plot)]
        return (min(heights), max(heights)) if heights else None

    days = [day for each in values for day in _dates(each, plot)]
    start, end = min(days) - timedelta(days=3), max(days) + timedelta(days=3)
    has_undated = not all(_dates(each, plot) for each in values)
    bottom = HEIGHT - BOTTOM - (UNDATED_ROW_PIXELS if has_undated else 0)
    y = _axis(start.toordinal(), end.toordinal(), bottom, TOP)
    ticks = [Tick(y(day.toordinal()), locale.day(str(day))) for day in _three_days(start, end)]
    if has_undated:
        ticks.insert(0, Tick(BOTTOM_ROW_Y, locale.gettext("no date")))
    return VerticalAxis(band_of, ticks, f"M{x(start.toordinal())} {bottom}L{x(end.toordinal())} {TOP}")


def _state_axis(plot: DatePlot | StatePlot, kind: str, values: Sequence[Document], locale: Localization) -> VerticalAxis:
    def band_of(value: Document) -> Band | None:
        return (at, at) if (at := rows.get(value[plot.state])) is not None else None

    stated = {each.get(plot.state) for each in values}
    states = plot.states if isinstance(plot, StatePlot) else [each for each in plot.states if each in stated]
    height = (HEIGHT - TOP - BOTTOM) / max(len(states), 1)
    rows = {state: round(TOP + height * (at + 0.5), 1) for at, state in enumerate(states)}
    return VerticalAxis(band_of, [Tick(at, label_for(state, locale, kind)) for state, at in rows.items()], None, ROW_PIXELS)
