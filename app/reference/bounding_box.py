"""Bounding boxes in degrees of WGS 84: read from a request, and compared."""

import re
from math import isfinite

from app.http.problems import invalid_field

# West, south, east, north in degrees of WGS 84.
BBox = tuple[float, float, float, float]

_DEGREES = re.compile(r" *[+-]?\d+(\.\d*)?([eE][+-]?\d+)? *", re.ASCII)


def parse_bbox(text: str) -> BBox:
    """Return the bounding box of `west,south,east,north` (RFC 7946), also beyond 180 degrees; raise 422 at `?bbox` for anything else."""
    parts = text.split(",")
    if len(parts) == 4 and all(_DEGREES.fullmatch(part) for part in parts):
        west, south, east, north = map(float, parts)
        if south <= north and south <= 90 and north >= -90 and all(isfinite(each) for each in (west, south, east, north)):
            # A map that is panned or zoomed out shows more than one earth.
            west, east = (-180.0, 180.0) if east - west >= 360 else (_longitude(west), _longitude(east))
            return west, max(south, -90), east, min(north, 90)
    detail = "must be west,south,east,north in degrees of WGS 84, longitude first, such as 36.5,35.9,37.7,36.9"
    raise invalid_field("?bbox", detail)


def _longitude(degrees: float) -> float:
    return degrees if -180 <= degrees <= 180 else (degrees + 180) % 360 - 180


def intersects(one: BBox, other: BBox) -> bool:
    """Return whether two bounding boxes share a point; one whose west is above its east crosses the antimeridian."""
    return one[1] <= other[3] and other[1] <= one[3] and any(a[0] <= b[1] and b[0] <= a[1] for a in _spans(one) for b in _spans(other))


def _spans(bbox: BBox) -> list[tuple[float, float]]:
    west, _, east, _ = bbox
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
