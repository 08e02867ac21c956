"""Maps of the board: places by urgency and routes by state, drawn over the base map. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import atan2, cos, hypot, radians, remainder, sin, tau
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
# A spoke begins and ends so far from its place; a rounded end that is nearer than this gives no bearing.
SPOKE_PIXELS = (16, 64)
MIN_BEARING_DEGREES = 0.04
MIN_SPOKE_ANGLE = tau / 16


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
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Map:
    """A map; `rounded` tells whether positions are rounded for the reader's clearance, `unplaced` names routes without a bearing."""

    viewport: Viewport
    outlines: Sequence[Outline]
    lines: Sequence[RouteLine]
    markers: Sequence[PlaceMarker]
    rounded: bool = False
    unplaced: Sequence[str] = ()

    def covers(self, at: Point) -> bool:
        """Return whether a country's name at a point would touch a marker, an icon or the name of a place."""
        radius = 3 * MARKER_RADIUS_PIXELS
        places = [(each.at, CHARACTER_PIXELS * len(each.card.name) if each.labelled else 0.0, each.anchor) for each in self.markers]
        icons = [(each.icon, 0.0, each.anchor) for each in self.lines if each.icon]
        return any(
            abs(at[1] - y) < radius
            and x - radius - (room if anchor == "end" else 0) < at[0] < x + radius + (room if anchor == "start" else 0)
            for (x, y), room, anchor in (*places, *icons)
        )


def overview_map(cards: Iterable[Card], places: Mapping[str, Document], routes: Mapping[str, Document]) -> Map | None:
    """Draw the places of some cards, their routes and the countries around them; None when no place has a position."""
    located = [(each, places[each.slug]["centroid"]) for each in cards if places[each.slug]["centroid"] is not None]
    viewport = viewport_around([at for _, at in located], *OVERVIEW_PIXELS, min_degrees=MIN_OVERVIEW_DEGREES)
    if viewport is None:
        return None
    drawn = [line for card, _ in located for item, record in _located_routes(card, routes) if (line := _line(viewport, item, record)).icon]
    markers, lines = _place_names(viewport, [_marker(viewport, card, at) for card, at in located], drawn)
    # The most urgent place is drawn last, on top.
    return Map(viewport, country_outlines(viewport), lines, markers[::-1])


def place_map(card: Card, place: Document, routes: Mapping[str, Document]) -> Map | None:
    """Draw the routes of one place; None when no route has a geometry.

    Where positions are rounded, lines would cross at angles that do not exist: routes are spokes from the place, by their bearing.
    """
    located = _located_routes(card, routes)
    centre = place["centroid"]
    coarse = [each for each in located if each[1]["redacted"]] if centre else []
    lines_of = {each[0].slug: _lines(each[1]["geometry"]) for each in located}
    spokes = {item.slug for item, _ in coarse}
    positions = [position for slug, lines in lines_of.items() if slug not in spokes for line in lines for position in line]
    viewport = viewport_around([*positions, *([centre] if centre else [])], *PLACE_PIXELS, min_degrees=MIN_PLACE_DEGREES)
    if not located or viewport is None:
        return None
    marker = [_marker(viewport, card, centre)] if centre else []
    drawn = [_line(viewport, item, record) for item, record in located if item.slug not in spokes]
    found = [*drawn, *_spokes(marker[0].at, centre, coarse)] if coarse else drawn
    markers, lines = _place_names(viewport, marker, found)
    unplaced = [item.label for item, _ in coarse if item.slug not in {each.item.slug for each in lines}]
    return Map(viewport, country_outlines(viewport), lines, markers, rounded=bool(coarse), unplaced=unplaced)


def _spokes(at: Point, centre: Sequence[float], coarse: Sequence[tuple[CardItem, Document]]) -> list[RouteLine]:
    """Return a line from the place towards the end of each route that is farthest from it, as far as rounded positions tell."""
    spokes: list[RouteLine] = []
    taken: list[float] = []
    narrowing = cos(radians(centre[1]))
    for item, record in coarse:
        ends = [((x - centre[0]) * narrowing, y - centre[1]) for line in _lines(record["geometry"]) for x, y, *_ in line]
        east, north = max(ends, key=lambda each: hypot(*each))
        if hypot(east, north) < MIN_BEARING_DEGREES:
            continue
        angle = atan2(north, east)
        while any(abs(remainder(angle - each, tau)) < MIN_SPOKE_ANGLE for each in taken):
            angle += MIN_SPOKE_ANGLE
        taken.append(angle)
        across, up = cos(angle), sin(angle)
        near, far = ((round(at[0] + across * reach, 1), round(at[1] - up * reach, 1)) for reach in SPOKE_PIXELS)
        spokes.append(RouteLine(item, line_path([near, far]), far, *_name_beside(far, item, left=across < 0)))
    return spokes


def _located_routes(card: Card, routes: Mapping[str, Document]) -> list[tuple[CardItem, Document]]:
    return [(each, routes[each.slug]) for each in card.routes if each.slug in routes and routes[each.slug]["geometry"] is not None]


def _marker(viewport: Viewport, card: Card, position: Sequence[float]) -> PlaceMarker:
    x, y = viewport.project(position)
    return PlaceMarker((x, y), card, "end" if x > viewport.width * 0.62 else "start")


def _place_names(
    viewport: Viewport, markers: Sequence[PlaceMarker], lines: Sequence[RouteLine]
) -> tuple[list[PlaceMarker], list[RouteLine]]:
    """Give each name the side where it covers no marker, icon or other name, places first; hide those without room."""
    radius = MARKER_RADIUS_PIXELS
    taken = [_Box(x - radius, x + radius, y - radius, y + radius) for x, y in (each.at for each in markers)]
    taken += [
        _Box(x - radius, x + radius * (3 if each.item.contested else 1), y - radius, y + radius)
        for each in lines
        if each.icon
        for x, y in [each.icon]
    ]

    def free_side(at: Point, width: float, first: str, offset: tuple[float, float]) -> str | None:
        for side in (first, "start" if first == "end" else "end"):
            low, high = (at[0] - offset[0] - width, at[0] - offset[0]) if side == "end" else (at[0] + offset[1], at[0] + offset[1] + width)
            box = _Box(low, high, at[1] - radius, at[1] + radius)
            if low >= 0 and high <= viewport.width and not any(box.overlaps(each) for each in taken):
                taken.append(box)
                return side
        return None

    placed = []
    for marker in markers:
        side = free_side(marker.at, CHARACTER_PIXELS * len(marker.card.name), marker.anchor, (12, 12))
        placed.append(replace(marker, anchor=side or marker.anchor, labelled=side is not None))
    named = []
    for line in lines:
        side = line.icon and free_side(
            line.icon, ROUTE_CHARACTER_PIXELS * len(line.item.label), line.anchor, (-NAME_LEFT_PIXELS, NAME_RIGHT_PIXELS)
        )
        offset = NAME_LEFT_PIXELS if side == "end" else NAME_RIGHT_PIXELS
        named.append(replace(line, name_offset=offset, anchor=side, labelled=True) if side else replace(line, labelled=False))
    return placed, named


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: "_Box") -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def _line(viewport: Viewport, item: CardItem, record: Document) -> RouteLine:
    lines = [[viewport.project(position) for position in line] for line in _lines(record["geometry"])]
    path = "".join(line_path(line) for line in lines if len(line) > 1)
    middle = _middle(max(lines, key=len))
    xs, ys = zip(*(point for line in lines for point in line), strict=True)
    # A route that is only a point has an icon and no line.
    has_icon = not path or hypot(max(xs) - min(xs), max(ys) - min(ys)) >= MIN_ICON_ROUTE_PIXELS
    return RouteLine(item, path, middle if has_icon else None, *_name_beside(middle, item, left=True))


def _name_beside(at: Point, item: CardItem, *, left: bool) -> tuple[int, str]:
    """Return the offset and the text-anchor of a route's name: to the left where that is wanted and has room."""
    has_room = at[0] + NAME_LEFT_PIXELS >= ROUTE_CHARACTER_PIXELS * len(item.label)
    return (NAME_LEFT_PIXELS, "end") if left and has_room else (NAME_RIGHT_PIXELS, "start")


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
