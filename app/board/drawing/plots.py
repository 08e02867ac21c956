"""Plots of how an indicator read over time, with the statements as points. Pure: coordinates for an SVG."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from app.board.code_labels import people, word
from app.board.localization import Tongue

WIDTH, HEIGHT = 440, 190
LEFT, RIGHT, TOP, BOTTOM = 88, 14, 12, 30
# Pixels between an axis and what is drawn first, so that no point stands on a label; the height of the row of what names no date.
INSET, FOOT = 12, 24
PLOT_BOX = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
ROUTE_ROWS = ("open", "restricted", "closed")
SUPPLY_ROWS = ("resupplied", "will_run_out", "low", "ran_out")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of an axis: pixels along it, and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement: where it stands, its extent upwards and downwards, its relation to the reading, and its words."""

    x: float
    y: float
    high: float
    low: float
    relation: str
    title: str


@dataclass(frozen=True, slots=True)
class Span:
    """A reading for as long as it stood: from x to x, and the band between two heights."""

    start: float
    end: float
    high: float
    low: float
    contested: bool


@dataclass(slots=True)
class Plot:
    """A plot: its axes, readings and statements. `meets` is a line where what is forecast meets the day (supplies)."""

    x: list[Tick] = field(default_factory=list)
    y: list[Tick] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    meets: str | None = None
    thickness: int = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """How an indicator read from a day on."""

    day: date
    value: Document | None
    agreement: str | None


def plot(kind: str, readings: Sequence[Reading], statements: Sequence[Document], until: date, tongue: Tongue) -> Plot | None:
    """The plot of an indicator of a known kind; None for a kind that has none, and where nothing has a height.

    `statements` are reports as `/v1/indicators/{id}` lists them; readings are in order of time and end at `until`.
    """
    if kind not in _HEIGHTS or not readings or not statements:
        return None
    days = [date.fromisoformat(each["stated_at"][:10]) for each in statements] + [each.day for each in readings]
    start, end = min(days), max(*days, until)
    end = max(end, start + timedelta(days=7))
    across = _Axis(start.toordinal(), end.toordinal(), LEFT + INSET, WIDTH - RIGHT)
    made = Plot(x=[Tick(across(each.toordinal()), tongue.day(each.isoformat())) for each in _some_days(start, end)])
    values = [each["value"] for each in statements] + [each.value for each in readings if each.value]
    height, made.y, made.meets = _HEIGHTS[kind](values, across, tongue)
    if not made.y:
        return None
    made.thickness = 10 if kind in ("route_closure", "supply_runout") and made.meets is None else made.thickness
    for at, reading in enumerate(readings):
        after = readings[at + 1].day if at + 1 < len(readings) else end
        band: tuple[float, float] | None = height(reading.value) if reading.value else None
        if band is not None:
            contested = reading.agreement == "contested"
            start_x, end_x = across(reading.day.toordinal()), across(after.toordinal())
            span = Span(start_x, end_x, band[0], band[1], contested)
            # One band for as long as the reading stayed the same, without seams.
            if made.spans and replace(made.spans[-1], start=span.start, end=span.end) == span and made.spans[-1].end == span.start:
                span = replace(made.spans.pop(), end=span.end)
            made.spans.append(span)
    for each in statements:
        band = height(each["value"])
        high, low = band or (HEIGHT - BOTTOM - 8, HEIGHT - BOTTOM - 8)
        relation = each.get("relation") or "left-out"
        title = f"{tongue.day(each['stated_at'])}, {each['source']['name']}: {in_words(kind, each['value'], tongue)}"
        x = across(date.fromisoformat(each["stated_at"][:10]).toordinal())
        made.statements.append(Statement(x, round((high + low) / 2, 1), high, low, relation, title))
    return made


def in_words(kind: str, value: Document, tongue: Tongue) -> str:
    """What one statement says, short."""
    if kind == "trapped_population":
        return people(tongue, value)
    if kind == "supply_runout":
        days = [tongue.day(each) for each in (value["runs_out_earliest"], value["runs_out_latest"]) if each]
        text = " \u2013 ".join(dict.fromkeys(days)) or word(tongue, value["state"])
        return f"{text} ({tongue.quoted(value['relative_text'])})" if value["relative_text"] else text
    if kind == "route_closure":
        said = word(tongue, value["status"])
        return said if value["assertion"] == "observed" else f"{said} ({word(tongue, value['assertion'])})"
    return tongue.comma.join(f"{name.replace('_', ' ')}: {each}" for name, each in value.items() if each not in (None, [], ""))


class _Axis:
    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self._low, self._first = low, first
        self._scale = (last - first) / ((high - low) or 1)

    def __call__(self, value: float) -> float:
        return round(self._first + (value - self._low) * self._scale, 1)


def _some_days(start: date, end: date) -> list[date]:
    span = (end - start).days
    return [start + timedelta(days=round(span * at / 2)) for at in range(3)]


def _trapped(values: Sequence[Document], _across: _Axis, tongue: Tongue) -> Any:
    most = max((each[name] or 0 for each in values for name in ("people", "people_low", "people_high")), default=0) or 1
    step = next(base * 10**power for power in range(10) for base in (1, 2, 5) if base * 10**power * 5 >= most)
    steps = -(-most // step)
    axis = _Axis(0, step * steps, HEIGHT - BOTTOM, TOP)

    def height(value: Document) -> tuple[float, float] | None:
        figures = [value[name] for name in ("people_low", "people", "people_high") if value[name] is not None]
        if not figures:
            return None
        low = figures[0] if value["people_low"] is not None or value["people"] is not None else figures[-1]
        return axis(figures[-1]), axis(low)

    return height, [Tick(axis(step * at), tongue.short_number(step * at)) for at in range(steps + 1)], None


def _supply(values: Sequence[Document], across: _Axis, tongue: Tongue) -> Any:
    days = [date.fromisoformat(each[name]) for each in values for name in ("runs_out_earliest", "runs_out_latest") if each[name]]
    if not days:
        return *_rows("state", [each for each in SUPPLY_ROWS if any(value["state"] == each for value in values)], tongue), None
    start, end = min(days) - timedelta(days=3), max(days) + timedelta(days=3)
    undated = any(not (each["runs_out_earliest"] or each["runs_out_latest"]) for each in values)
    foot = HEIGHT - BOTTOM - (FOOT if undated else 0)
    axis = _Axis(start.toordinal(), end.toordinal(), foot, TOP)

    def height(value: Document) -> tuple[float, float] | None:
        given = [value[name] for name in ("runs_out_earliest", "runs_out_latest") if value[name]]
        heights = [axis(date.fromisoformat(each).toordinal()) for each in given]
        return (min(heights), max(heights)) if heights else None

    named = tongue.short_day if end - start < timedelta(days=300) else lambda day: tongue.day(day.isoformat())
    ticks = [Tick(axis(each.toordinal()), named(each)) for each in _some_days(start, end)]
    if undated:
        ticks.insert(0, Tick(HEIGHT - BOTTOM - 8, tongue.gettext("no date")))
    meets = f"M{across(start.toordinal())} {foot}L{across(end.toordinal())} {TOP}"
    return height, ticks, meets


def _route(_values: Sequence[Document], _across: _Axis, tongue: Tongue) -> Any:
    return *_rows("status", ROUTE_ROWS, tongue), None


def _rows(name: str, states: Sequence[str], tongue: Tongue) -> tuple[Callable[[Document], tuple[float, float] | None], list[Tick]]:
    """A row for each state that a field may have, from above."""
    row = (HEIGHT - TOP - BOTTOM) / len(states)
    middles = {state: round(TOP + row * (at + 0.5), 1) for at, state in enumerate(states)}

    def height(value: Document) -> tuple[float, float] | None:
        at = middles.get(value[name])
        return None if at is None else (at, at)

    return height, [Tick(at, word(tongue, state)) for state, at in middles.items()]


_HEIGHTS = {"trapped_population": _trapped, "supply_runout": _supply, "route_closure": _route}
