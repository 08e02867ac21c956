"""The base map: country outlines from Natural Earth, clipped and simplified to a frame of pixels. No tiles, no other service."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import cos, hypot, radians
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data" / "countries.json"
KILOMETRES_PER_DEGREE = 111.32
MARGIN = 1.6
# Pixels around a frame in which outlines are cut off.
CUT = 4

Point = tuple[float, float]
Ring = list[Point]


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of the world on a canvas: the centre in degrees, kilometres-true at its latitude, `scale` in pixels per degree of latitude."""

    longitude: float
    latitude: float
    scale: float
    width: int
    height: int

    def xy(self, position: Sequence[float]) -> Point:
        """The pixel of a position (longitude, latitude in degrees WGS 84)."""
        x = self.width / 2 + (position[0] - self.longitude) * self.scale * cos(radians(self.latitude))
        return round(x, 1), round(self.height / 2 - (position[1] - self.latitude) * self.scale, 1)

    @property
    def kilometres(self) -> float:
        """Kilometres per pixel."""
        return KILOMETRES_PER_DEGREE / self.scale

    def scale_bar(self) -> tuple[float, float]:
        """A round number of kilometres that fits a fifth of the width, and its pixels."""
        most = self.kilometres * self.width / 4
        rounds = [base * 10**power for power in range(-1, 5) for base in (1, 2, 5)]
        length = max((each for each in rounds if each <= most), default=rounds[0])
        return length, round(length / self.kilometres, 1)


def frame_around(positions: Iterable[Sequence[float]], width: int, height: int, *, least_degrees: float) -> Frame | None:
    """The frame that holds some positions with a margin, and spans at least so many degrees of latitude; None without positions."""
    found = list(positions)
    if not found:
        return None
    west, east = min(each[0] for each in found), max(each[0] for each in found)
    south, north = min(each[1] for each in found), max(each[1] for each in found)
    latitude = round(min(max((south + north) / 2, -80), 80), 2)
    narrow = cos(radians(latitude))
    across = max((east - west) * narrow * MARGIN, least_degrees * width / height, 1e-3)
    up = max((north - south) * MARGIN, least_degrees)
    scale = min(width / across, height / up)
    return Frame(round((west + east) / 2, 2), latitude, round(scale, 3), width, height)


@dataclass(frozen=True, slots=True)
class Outline:
    """A country in a frame: its ISO 3166-1 alpha-2 code or None, its SVG path, and where its name fits, None where it does not."""

    code: str | None
    name: str
    path: str
    label: Point | None


@lru_cache(maxsize=64)
def outlines(frame: Frame) -> tuple[Outline, ...]:
    """The countries that a frame shows."""
    found = []
    for country in _countries():
        near = (ring for ring, box in country["rings"] if _may_show(box, frame))
        rings = [clipped for ring in near if (clipped := _clip(_simplify([frame.xy(each) for each in ring]), frame))]
        if rings:
            biggest = max(rings, key=_area)
            room = _area(biggest) > frame.width * frame.height * 0.035
            found.append(Outline(country["code"], country["name"], "".join(map(path_of, rings)), _centre(biggest) if room else None))
    return tuple(found)


def path_of(ring: Ring) -> str:
    """An SVG path of a closed ring."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in ring) + "Z"


@lru_cache
def _countries() -> list[dict[str, Any]]:
    countries: list[dict[str, Any]] = json.loads(DATA.read_text(encoding="utf-8"))["countries"]
    for country in countries:
        country["rings"] = [(ring, _box(ring)) for ring in map(_unpacked, country["rings"])]
    return countries


def _box(ring: Ring) -> tuple[Point, Point]:
    """The north-western and the south-eastern corner around a ring, longitude and latitude."""
    longitudes, latitudes = zip(*ring, strict=True)
    return (min(longitudes), max(latitudes)), (max(longitudes), min(latitudes))


def _may_show(box: tuple[Point, Point], frame: Frame) -> bool:
    """Whether a frame may show something of what lies in a box: most countries are elsewhere, and clipping them is most of the work."""
    (west, north), (east, south) = map(frame.xy, box)
    return east >= -CUT and west <= frame.width + CUT and south >= -CUT and north <= frame.height + CUT


def _unpacked(ring: list[int]) -> Ring:
    points: Ring = []
    x = y = 0
    for at in range(0, len(ring), 2):
        x, y = x + ring[at], y + ring[at + 1]
        points.append((x / 100, y / 100))
    return points


def _simplify(ring: Ring) -> Ring:
    """Leave out points less than a pixel from the one before."""
    kept: Ring = []
    for point in ring:
        if not kept or hypot(point[0] - kept[-1][0], point[1] - kept[-1][1]) >= 1:
            kept.append(point)
    return kept if len(kept) >= 3 else []


def _clip(ring: Ring, frame: Frame) -> Ring:
    """Sutherland and Hodgman: the part of a ring inside the frame, with a margin that hides the cut."""
    for axis, bound, sign in ((0, -CUT, 1), (0, frame.width + CUT, -1), (1, -CUT, 1), (1, frame.height + CUT, -1)):
        clipped: Ring = []
        for at, point in enumerate(ring):
            before = ring[at - 1]
            inside, was_inside = (sign * (each[axis] - bound) >= 0 for each in (point, before))
            if inside != was_inside:
                share = (bound - before[axis]) / (point[axis] - before[axis])
                crossing = [round(before[each] + share * (point[each] - before[each]), 1) for each in (0, 1)]
                clipped.append((crossing[0], crossing[1]))
            if inside:
                clipped.append(point)
        ring = clipped
    return ring if len(ring) >= 3 else []


def _area(ring: Ring) -> float:
    return abs(sum(ring[at - 1][0] * y - x * ring[at - 1][1] for at, (x, y) in enumerate(ring))) / 2


def _centre(ring: Ring) -> Point:
    double = sum(ring[at - 1][0] * y - x * ring[at - 1][1] for at, (x, y) in enumerate(ring)) or 1.0
    parts = [(ring[at - 1], point, ring[at - 1][0] * point[1] - point[0] * ring[at - 1][1]) for at, point in enumerate(ring)]
    x = sum((a[0] + b[0]) * cross for a, b, cross in parts) / (3 * double)
    y = sum((a[1] + b[1]) * cross for a, b, cross in parts) / (3 * double)
    return round(x, 1), round(y, 1)
