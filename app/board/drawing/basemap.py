"""Base map: country outlines from Natural Earth, clipped and simplified to a viewport. No tiles and no other service."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from math import cos, hypot, radians
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "countries.json"
KILOMETRES_PER_DEGREE = 111.32
# Extent of a viewport, as a multiple of the extent of its positions.
MARGIN_FACTOR = 1.6
# Outlines reach this far beyond a viewport, so that the edge where they are cut stays hidden.
CLIP_MARGIN_PIXELS = 4
# A country's name needs this share of the viewport.
MIN_LABEL_SHARE = 0.035

Point = tuple[float, float]
Ring = list[Point]


@dataclass(frozen=True, slots=True)
class Viewport:
    """A map section, equirectangular and true to scale at its centre: centre in degrees, pixels per degree of latitude, size in pixels."""

    longitude: float
    latitude: float
    scale: float
    width: int
    height: int

    def project(self, position: Sequence[float]) -> Point:
        """Return the pixel of a position (longitude and latitude in degrees, WGS 84)."""
        return self.project_line([position])[0]

    def project_line(self, line: Iterable[Sequence[float]]) -> Ring:
        """Return the pixels of positions."""
        middle_x, middle_y, longitude, latitude, scale = self.width / 2, self.height / 2, self.longitude, self.latitude, self.scale
        narrowing = cos(radians(latitude))
        return [
            (round(middle_x + (x - longitude) * scale * narrowing, 1), round(middle_y - (y - latitude) * scale, 1)) for x, y, *_ in line
        ]

    def scale_bar(self) -> tuple[float, float]:
        """Return a round number of kilometres that fits a quarter of the width, and its length in pixels."""
        kilometres_per_pixel = KILOMETRES_PER_DEGREE / self.scale
        longest = kilometres_per_pixel * self.width / 4
        round_numbers = [base * 10**power for power in range(-1, 5) for base in (1, 2, 5)]
        length = max((each for each in round_numbers if each <= longest), default=round_numbers[0])
        return length, round(length / kilometres_per_pixel, 1)


def viewport_around(positions: Iterable[Sequence[float]], width: int, height: int, *, min_degrees: float) -> Viewport | None:
    """Return the viewport that holds some positions with a margin, at least `min_degrees` of latitude; None without positions."""
    found = list(positions)
    if not found:
        return None
    west, east = min(each[0] for each in found), max(each[0] for each in found)
    south, north = min(each[1] for each in found), max(each[1] for each in found)
    latitude = round(min(max((south + north) / 2, -80), 80), 2)
    degrees_across = max((east - west) * cos(radians(latitude)) * MARGIN_FACTOR, min_degrees * width / height, 1e-3)
    degrees_up = max((north - south) * MARGIN_FACTOR, min_degrees)
    scale = min(width / degrees_across, height / degrees_up)
    return Viewport(round((west + east) / 2, 2), latitude, round(scale, 3), width, height)


@dataclass(frozen=True, slots=True)
class Outline:
    """A country in a viewport: its ISO 3166-1 alpha-2 code or None, its SVG path, and the position of its name; None without room."""

    code: str | None
    name: str
    path: str
    label: Point | None


@lru_cache(maxsize=64)
def country_outlines(viewport: Viewport) -> tuple[Outline, ...]:
    """Return the countries that a viewport shows."""
    found = []
    for country in _countries():
        near = (ring for ring, corners in country["rings"] if _intersects(corners, viewport))
        rings = [clipped for ring in near if (clipped := _clip(_simplify(viewport.project_line(ring)), viewport))]
        if rings:
            largest = max(rings, key=_area)
            has_room = _area(largest) > viewport.width * viewport.height * MIN_LABEL_SHARE
            path = "".join(f"{line_path(ring)}Z" for ring in rings)
            found.append(Outline(country["code"], country["name"], path, _centroid(largest) if has_room else None))
    return tuple(found)


def line_path(line: Sequence[Point]) -> str:
    """Return the SVG path of a line."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in line)


@lru_cache
def _countries() -> list[dict[str, Any]]:
    countries: list[dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))["countries"]
    for country in countries:
        rings = [_unwrap(_decode_ring(ring)) for ring in country["rings"]]
        # A viewport near the antimeridian shows what lies beyond it.
        shifted = [[(x + turn, y) for x, y in ring] for ring in rings for turn in (-360, 360) if any(abs(x + turn) < 270 for x, _ in ring)]
        country["rings"] = [(ring, _corners(ring)) for ring in (*rings, *shifted)]
    return countries


def _decode_ring(ring: list[int]) -> Ring:
    # Longitudes and latitudes by turns, in hundredths of a degree, each as the difference to the point before.
    return [(x / 100, y / 100) for x, y in zip(accumulate(ring[::2]), accumulate(ring[1::2]), strict=True)]


def _unwrap(ring: Ring) -> Ring:
    """Let a ring run on beyond 180 degrees where it crosses the antimeridian; otherwise its edge would be a band around the earth.

    A ring around a pole does not close then, and stays open.
    """
    turns = list(accumulate((round((before[0] - at[0]) / 360) for before, at in pairwise(ring)), initial=0))
    unwrapped = [(x + 360 * turn, y) for (x, y), turn in zip(ring, turns, strict=True)]
    return unwrapped if abs(unwrapped[-1][0] - unwrapped[0][0]) < 180 else ring


def _corners(ring: Ring) -> tuple[Point, Point]:
    """Return the north-western and the south-eastern corner of a ring's bounding box."""
    longitudes, latitudes = zip(*ring, strict=True)
    return (min(longitudes), max(latitudes)), (max(longitudes), min(latitudes))


def _intersects(corners: tuple[Point, Point], viewport: Viewport) -> bool:
    # Most countries are elsewhere, and clipping them is most of the work.
    (west, north), (east, south) = map(viewport.project, corners)
    margin = CLIP_MARGIN_PIXELS
    return east >= -margin and west <= viewport.width + margin and south >= -margin and north <= viewport.height + margin


def _simplify(ring: Ring) -> Ring:
    """Leave out points less than a pixel from the one before."""
    kept = ring[:1]
    for point in ring[1:]:
        if hypot(point[0] - kept[-1][0], point[1] - kept[-1][1]) >= 1:
            kept.append(point)
    return kept if len(kept) >= 3 else []


def _clip(ring: Ring, viewport: Viewport) -> Ring:
    """Clip a ring to a viewport and its margin (Sutherland and Hodgman)."""
    margin = CLIP_MARGIN_PIXELS
    for axis, bound, sign in ((0, -margin, 1), (0, viewport.width + margin, -1), (1, -margin, 1), (1, viewport.height + margin, -1)):
        is_inside = [sign * (each[axis] - bound) >= 0 for each in ring]
        if all(is_inside):
            continue
        clipped: Ring = []
        for at, point in enumerate(ring):
            before, inside, was_inside = ring[at - 1], is_inside[at], is_inside[at - 1]
            if inside != was_inside:
                share = (bound - before[axis]) / (point[axis] - before[axis])
                crossing = [round(before[each] + share * (point[each] - before[each]), 1) for each in (0, 1)]
                clipped.append((crossing[0], crossing[1]))
            if inside:
                clipped.append(point)
        ring = clipped
    return ring if len(ring) >= 3 else []


def _area(ring: Ring) -> float:
    return abs(sum(cross for _, _, cross in _edges(ring))) / 2


def _centroid(ring: Ring) -> Point:
    six_areas = 3 * sum(cross for _, _, cross in _edges(ring)) or 1.0
    x, y = (sum((one[axis] + other[axis]) * cross for one, other, cross in _edges(ring)) / six_areas for axis in (0, 1))
    return round(x, 1), round(y, 1)


def _edges(ring: Ring) -> list[tuple[Point, Point, float]]:
    """Return the edges of a ring, each with the cross product of its ends."""
    return [(one, other, one[0] * other[1] - other[0] * one[1]) for one, other in zip([ring[-1], *ring], ring, strict=False)]
