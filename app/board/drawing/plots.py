"""Plots of an indicator over time, with each report as a point, as coordinates for an SVG. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from app.board.code_labels import label_for
from app.board.value_text import Document, value_text
from app.domain.kinds import KINDS
from app.domain.kinds.showing import DatePlot, RangePlot, StatePlot
from app.domain.times import day_of
from app.http.localization import Localization

WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, BOTTOM = 88, 14, 12, 30
PLOT_BOX = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
# Between the vertical axis and the first point; otherwise the point covers the labels.
INSET_PIXELS = 12
# Height of the row below the dates for reports without a date.
UNDATED_ROW_PIXELS = 24
BOTTOM_ROW_Y = HEIGHT - BOTTOM - 8
LINE_PIXELS, ROW_PIXELS = 3, 10
# Of more states, only those that are stated have a row.
MAX_STATE_ROWS = 4
MIN_DAYS = 7

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
    """A vertical axis: `heights` returns the pixels of a value's numbers, dates or state, none for a value without a height."""

    heights: Callable[[Document], list[float]]
    ticks: list[Tick]
    # The SVG path of the days on which a forecast date is the day itself.
    due_line: str | None = None
    min_band_pixels: int = LINE_PIXELS


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot: the ticks of its horizontal axis, its vertical axis, the assessed values and the reports."""

    x: list[Tick]
    y: VerticalAxis
    spans: list[Span] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    @property
    def shows_change(self) -> bool:
        """Whether values or statements differ from one another."""
        heights = {(each.high, each.low) for each in self.spans} | {(each.high, each.low) for each in self.points}
        return len(heights) > 1


def build_plot(kind: str, history: History, reports: Sequence[Document], until: date, locale: Localization) -> Plot | None:
    """Build the plot that a kind declares, from its first report to `until`; None where it declares none, or has nothing to draw."""
    declared = KINDS[kind].plot
    if declared is None or not history or not reports:
        return None
    days = [day_of(each["stated_at"]) for each in reports] + [day for day, _ in history]
    start = min(days)
    end = max(*days, until, start + timedelta(days=MIN_DAYS))
    x = _axis(start.toordinal(), end.toordinal(), LEFT + INSET_PIXELS, WIDTH - RIGHT)
    values = [each["value"] for each in (*reports, *(indicator for _, indicator in history)) if each["value"]]
    if isinstance(declared, RangePlot):
        y = _number_axis(declared, values, locale)
    elif isinstance(declared, DatePlot) and any(_dates(each, declared) for each in values):
        y = _date_axis(declared, values, x, locale)
    else:
        y = _state_axis(declared, kind, values, locale)
    if not y.ticks:
        return None
    plot = Plot([Tick(x(each.toordinal()), locale.day(str(each))) for each in _three_days(start, end)], y)
    ends = [*(day for day, _ in history[1:]), end]
    for (day, indicator), last_day in zip(history, ends, strict=True):
        if indicator["value"] and (heights := y.heights(indicator["value"])):
            contested = indicator["agreement"] == "contested"
            span = Span(x(day.toordinal()), x(last_day.toordinal()), min(heights), max(heights), contested)
            # Extend the span before where the value is the same; otherwise a seam shows.
            if plot.spans and replace(plot.spans[-1], start=span.start, end=span.end) == span and plot.spans[-1].end == span.start:
                span = replace(span, start=plot.spans.pop().start)
            plot.spans.append(span)
    for report in reports:
        heights = y.heights(report["value"]) or [BOTTOM_ROW_Y]
        high, low = min(heights), max(heights)
        title = f"{locale.day(report['stated_at'])}, {report['source']['name']}: {value_text(report['value'], kind, locale)}"
        at = x(day_of(report["stated_at"]).toordinal())
        plot.points.append(Point(at, round((high + low) / 2, 1), high, low, report.get("relation") or "left-out", title))
    return plot


def _three_days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=round((end - start).days * at / 2)) for at in range(3)]


def _axis(low: float, high: float, first: float, last: float) -> _Axis:
    """Return the function that maps values from `low` to `high` to pixels from `first` to `last`."""
    scale = (last - first) / ((high - low) or 1)
    return lambda value: round(first + (value - low) * scale, 1)


def _number_axis(plot: RangePlot, values: Sequence[Document], locale: Localization) -> VerticalAxis:
    names = (plot.low, plot.best, plot.high)
    highest = max((each[name] for each in values for name in names if each.get(name) is not None), default=0) or 1
    step = next(base * 10**power for power in range(10) for base in (1, 2, 5) if base * 10**power * 5 >= highest)
    steps = -(-highest // step)
    y = _axis(0, step * steps, HEIGHT - BOTTOM, TOP)
    ticks = [Tick(y(step * at), locale.short_number(step * at)) for at in range(steps + 1)]
    return VerticalAxis(lambda value: [y(value[name]) for name in names if value.get(name) is not None], ticks)


def _dates(value: Document, plot: DatePlot) -> list[date]:
    return [day_of(value[name]) for name in (plot.earliest, plot.latest) if value.get(name)]


def _date_axis(plot: DatePlot, values: Sequence[Document], x: _Axis, locale: Localization) -> VerticalAxis:
    days = [day for each in values for day in _dates(each, plot)]
    start, end = min(days) - timedelta(days=3), max(days) + timedelta(days=3)
    has_undated = not all(_dates(each, plot) for each in values)
    bottom = HEIGHT - BOTTOM - (UNDATED_ROW_PIXELS if has_undated else 0)
    y = _axis(start.toordinal(), end.toordinal(), bottom, TOP)
    ticks = [Tick(y(day.toordinal()), locale.day(str(day))) for day in _three_days(start, end)]
    if has_undated:
        ticks.insert(0, Tick(BOTTOM_ROW_Y, locale.gettext("no date")))
    due_line = f"M{x(start.toordinal())} {bottom}L{x(end.toordinal())} {TOP}"
    return VerticalAxis(lambda value: [y(each.toordinal()) for each in _dates(value, plot)], ticks, due_line)


def _state_axis(plot: DatePlot | StatePlot, kind: str, values: Sequence[Document], locale: Localization) -> VerticalAxis:
    stated = {each.get(plot.state) for each in values}
    is_short = isinstance(plot, StatePlot) and len(plot.states) <= MAX_STATE_ROWS
    states = plot.states if is_short else [each for each in plot.states if each in stated]
    height = (HEIGHT - TOP - BOTTOM) / max(len(states), 1)
    rows = {state: round(TOP + height * (at + 0.5), 1) for at, state in enumerate(states)}
    ticks = [Tick(at, label_for(state, locale, kind)) for state, at in rows.items()]
    return VerticalAxis(lambda value: [at for state, at in rows.items() if state == value[plot.state]], ticks, None, ROW_PIXELS)
