"""Maps of the board: places by urgency and routes by state, drawn over the base map. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot
from typing import Any

from app.board.cards import Card, CardItem
from app.board.drawing.basemap import Outline, Point, Viewport, country_outlines, line_path, viewport_around
from app.board.value_text import Document

OVERVIEW_PIXELS = (440, 340)
PLACE_PIXELS = (300, 200)
MIN_OVERVIEW_DEGREES = 5.0
MIN_PLACE_DEGREES = 0.12
# A shorter route has no icon: its place's own map shows it.
MIN_ICON_ROUTE_PIXELS = 24
CHARACTER_PIXELS = 8
ROUTE_CHARACTER_PIXELS = 6.5
MARKER_RADIUS_PIXELS = 8
# Distance of a route's name from its icon: to the right it leaves room for the mark of contested routes.
NAME_RIGHT_PIXELS, NAME_LEFT_PIXELS = 26, -12


@dataclass(frozen=True, slots=True)
class PlaceMarker:
    """A place on a map. `anchor` is the SVG text-anchor of its name, which is shown where it has room (`labelled`)."""

    at: Point
    card: Card
    anchor: str
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route on a map: its SVG path, its icon's position (None where it is too short), and its name's offset and text-anchor."""

    item: CardItem
    path: str
    icon: Point | None
    name_offset: int
    anchor: str


@dataclass(frozen=True, slots=True)
class Map:
    """A map; `rounded` tells whether positions are rounded for the reader's clearance."""

    viewport: Viewport
    outlines: Sequence[Outline]
    lines: Sequence[RouteLine]
    markers: Sequence[PlaceMarker]
    rounded: bool = False


def overview_map(cards: Iterable[Card], places: Mapping[str, Document], routes: Mapping[str, Document]) -> Map | None:
    """Draw the places of some cards, their routes and the countries around them; None when no place has a position."""
    located = [(each, places[each.slug]["centroid"]) for each in cards if places[each.slug]["centroid"] is not None]
    viewport = viewport_around([at for _, at in located], *OVERVIEW_PIXELS, min_degrees=MIN_OVERVIEW_DEGREES)
    if viewport is None:
        return None
    markers = _hide_overlapping_names([_marker(viewport, card, at) for card, at in located])
    lines = [line for card, _ in located for item, record in _located_routes(card, routes) if (line := _line(viewport, item, record)).icon]
    # The most urgent place is drawn last, on top.
    return Map(viewport, country_outlines(viewport), lines, markers[::-1])


def place_map(card: Card, place: Document, routes: Mapping[str, Document]) -> Map | None:
    """Draw the routes of one place; None when no route has a geometry."""
    located = _located_routes(card, routes)
    positions = [position for _, record in located for line in _lines(record["geometry"]) for position in line]
    if not positions:
        return None
    centre = place["centroid"]
    viewport = viewport_around([*positions, *([centre] if centre else [])], *PLACE_PIXELS, min_degrees=MIN_PLACE_DEGREES)
    assert viewport is not None
    lines = [_line(viewport, item, record) for item, record in located]
    markers = _hide_overlapping_names([_marker(viewport, card, centre)] if centre else [], [each.icon for each in lines if each.icon])
    return Map(viewport, country_outlines(viewport), lines, markers, rounded=any(record["redacted"] for _, record in located))


def _located_routes(card: Card, routes: Mapping[str, Document]) -> list[tuple[CardItem, Document]]:
    return [(each, routes[each.slug]) for each in card.routes if each.slug in routes and routes[each.slug]["geometry"] is not None]


def _marker(viewport: Viewport, card: Card, position: Sequence[float]) -> PlaceMarker:
    x, y = viewport.project(position)
    return PlaceMarker((x, y), card, "end" if x > viewport.width * 0.62 else "start")


def _hide_overlapping_names(markers: Sequence[PlaceMarker], icons: Sequence[Point] = ()) -> list[PlaceMarker]:
    """Hide each name that would cover an icon, or the name or the icon of a marker before it."""
    radius = MARKER_RADIUS_PIXELS
    taken: list[tuple[float, float, float, float]] = [(x - radius, x + radius, y - radius, y + radius) for x, y in icons]
    found = []
    for marker in markers:
        x, y = marker.at
        width = CHARACTER_PIXELS * len(marker.card.name) + 12
        to_left, to_right = (width, radius) if marker.anchor == "end" else (radius, width)
        box = (x - to_left, x + to_right, y - radius, y + radius)
        free = not any(box[0] < right and left < box[1] and box[2] < bottom and top < box[3] for left, right, top, bottom in taken)
        taken.append(box if free else (x - radius, x + radius, y - radius, y + radius))
        found.append(marker if free else replace(marker, labelled=False))
    return found


def _line(viewport: Viewport, item: CardItem, record: Document) -> RouteLine:
    lines = [[viewport.project(position) for position in line] for line in _lines(record["geometry"])]
    path = "".join(line_path(line) for line in lines if len(line) > 1)
    middle = _middle(max(lines, key=len))
    xs, ys = zip(*(point for line in lines for point in line), strict=True)
    # A route that is only a point has an icon and no line.
    has_icon = not path or hypot(max(xs) - min(xs), max(ys) - min(ys)) >= MIN_ICON_ROUTE_PIXELS
    has_room = middle[0] + NAME_LEFT_PIXELS >= ROUTE_CHARACTER_PIXELS * len(item.label)
    offset, anchor = (NAME_LEFT_PIXELS, "end") if has_room else (NAME_RIGHT_PIXELS, "start")
    return RouteLine(item, path, middle if has_icon else None, offset, anchor)


def _middle(line: Sequence[Point]) -> Point:
    one, other = line[(len(line) - 1) // 2], line[len(line) // 2]
    return round((one[0] + other[0]) / 2, 1), round((one[1] + other[1]) / 2, 1)


def _lines(geometry: Document) -> list[list[Sequence[float]]]:
    """Return the lines, rings and points of any GeoJSON geometry as lists of positions."""
    if geometry["type"] == "GeometryCollection":
        return [line for each in geometry["geometries"] for line in _lines(each)]
    return _flatten(geometry["coordinates"])


def _flatten(coordinates: Any) -> list[list[Sequence[float]]]:
    if isinstance(coordinates[0], int | float):
        return [[coordinates]]
    if isinstance(coordinates[0][0], int | float):
        return [list(coordinates)]
    return [line for each in coordinates for line in _flatten(each)]
