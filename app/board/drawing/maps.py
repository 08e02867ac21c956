"""What the maps draw over the base map: places by urgency, routes by state. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

from app.board.cards import Card, Route
from app.board.drawing.basemap import Frame, Outline, Point, frame_around, outlines

OVERVIEW = (440, 340)
CLOSE = (300, 200)
OVERVIEW_DEGREES = 5.0
CLOSE_DEGREES = 0.12
LEAST_FOR_A_SIGN = 24
NAME_PIXELS = 8

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on a map. `anchor` is on which side its name stands (an SVG text-anchor); `named` whether there is room for it."""

    at: Point
    slug: str
    name: str
    level: str
    anchor: str
    named: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A route on a map: its SVG path, where its sign stands (None where it is too short for one), and how far from it its name."""

    path: str
    sign: Point | None
    name: str
    name_at: int
    anchor: str
    state: str
    contested: bool


@dataclass(frozen=True, slots=True)
class Map:
    """A map of a frame: outlines, routes, places, and the scale bar in kilometres and pixels."""

    frame: Frame
    outlines: Sequence[Outline]
    lines: Sequence[Line]
    marks: Sequence[Mark]
    scale: tuple[float, float]
    coarse: bool = False


def overview(cards: Iterable[Card], places: Records, routes: Records) -> Map | None:
    """The places and routes of the board on the countries around them; None when no place has a position."""
    shown = [(each, places[each.slug]["centroid"]) for each in cards if places[each.slug]["centroid"] is not None]
    frame = frame_around([at for _, at in shown], *OVERVIEW, least_degrees=OVERVIEW_DEGREES)
    if frame is None:
        return None
    marks = [_mark(frame, at, card.slug, card.name, card.level) for card, at in shown]
    # What is too short for a sign at this scale is shown by the place's own map.
    lines = [line for card, _ in shown for route, record in _drawn(card, routes) if (line := _line(frame, route, record)).sign]
    # The most urgent is drawn last, on top.
    return Map(frame, outlines(frame), lines, _named(marks)[::-1], frame.scale_bar())


def close_up(card: Card, place: Mapping[str, Any], routes: Records) -> Map | None:
    """The routes of one place around it; None when no route has a geometry."""
    drawn = _drawn(card, routes)
    positions = [position for _, route in drawn for line in _lines(route["geometry"]) for position in line]
    if not positions:
        return None
    centre = place["centroid"]
    frame = frame_around([*positions, *([centre] if centre else [])], *CLOSE, least_degrees=CLOSE_DEGREES)
    assert frame is not None
    marks = [_mark(frame, centre, card.slug, card.name, card.level)] if centre else []
    lines = [_line(frame, route, record) for route, record in drawn]
    return Map(frame, outlines(frame), lines, marks, frame.scale_bar(), any(record["redacted"] for _, record in drawn))


def _named(marks: Sequence[Mark]) -> list[Mark]:
    """The marks with their names, but for those that would cover the name or the sign of one before."""
    taken: list[tuple[float, float, float, float]] = []
    found = []
    for mark in marks:
        (x, y), width = mark.at, NAME_PIXELS * len(mark.name) + 12
        box = (x - width, x + 8, y - 8, y + 8) if mark.anchor == "end" else (x - 8, x + width, y - 8, y + 8)
        free = not any(box[0] < right and left < box[1] and box[2] < bottom and top < box[3] for left, right, top, bottom in taken)
        taken.append(box if free else (x - 8, x + 8, y - 8, y + 8))
        found.append(mark if free else replace(mark, named=False))
    return found


def _drawn(card: Card, routes: Records) -> list[tuple[Route, Mapping[str, Any]]]:
    return [(each, routes[each.slug]) for each in card.routes if each.slug in routes and routes[each.slug]["geometry"] is not None]


def _mark(frame: Frame, position: Sequence[float], slug: str, name: str, level: str) -> Mark:
    x, y = frame.xy(position)
    return Mark((x, y), slug, name, level, "end" if x > frame.width * 0.62 else "start")


def _line(frame: Frame, route: Route, record: Mapping[str, Any]) -> Line:
    lines = [[frame.xy(position) for position in line] for line in _lines(record["geometry"])]
    path = "".join(_stroke(line) for line in lines)
    sign = _middle(max(lines, key=len))
    xs, ys = zip(*(point for line in lines for point in line), strict=True)
    # A point has a sign alone.
    shown = not path or hypot(max(xs) - min(xs), max(ys) - min(ys)) >= LEAST_FOR_A_SIGN
    # The name stands on the side that has room, past the sign and the badge of what is contested.
    right = sign[0] < frame.width * 0.35
    return Line(path, sign if shown else None, route.label, 26 if right else -12, "start" if right else "end", route.state, route.contested)


def _stroke(line: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in line) if len(line) > 1 else ""


def _middle(line: Sequence[Point]) -> Point:
    if len(line) % 2:
        return line[len(line) // 2]
    one, other = line[len(line) // 2 - 1], line[len(line) // 2]
    return round((one[0] + other[0]) / 2, 1), round((one[1] + other[1]) / 2, 1)


def _lines(geometry: Mapping[str, Any]) -> list[list[Sequence[float]]]:
    """The lines, rings and points of any GeoJSON geometry as lists of positions."""
    if geometry["type"] == "GeometryCollection":
        return [line for each in geometry["geometries"] for line in _lines(each)]
    return _flat(geometry["coordinates"])


def _flat(coordinates: Any) -> list[list[Sequence[float]]]:
    if isinstance(coordinates[0], int | float):
        return [[coordinates]]
    if isinstance(coordinates[0][0], int | float):
        return [list(coordinates)]
    return [line for each in coordinates for line in _flat(each)]
