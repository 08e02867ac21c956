"""GeoJSON geometry (RFC 7946): validation, bounding boxes, and coarse geometry for low clearances."""

import warnings
from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from typing import Annotated, Any

from geojson_pydantic.geometries import Geometry as GeoJsonGeometry
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, WithJsonSchema
from typing_extensions import TypeAliasType

from app.domain.tlp import LEVELS, Label
from app.reference.bounding_box import BBox, intersects

# The lowest clearance that sees the exact geometry of routes.
EXACT_FROM = LEVELS[Label.AMBER]
COARSE_DECIMALS = 1
STEPS_PER_DEGREE = 10
# Each edge of a polygon is compared with each other; one with more positions becomes its convex hull.
MAX_CHECKED_POSITIONS = 50
MAX_HEIGHT_METRES = 100_000


def positions(geometry: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield every position of a geometry: [longitude, latitude, ...] in degrees."""
    waiting: list[Any] = [each["coordinates"] for each in _simple_geometries(geometry) if "coordinates" in each]
    while waiting:
        node = waiting.pop()
        if node and isinstance(node, list) and not isinstance(node[0], list):
            yield node
        elif isinstance(node, list):
            waiting.extend(node)


def _check_positions(value: Any) -> Any:
    if not all(isinstance(each, dict) for each in _simple_geometries(value)):
        raise ValueError("must be a GeoJSON geometry, such as {type: Point, coordinates: [37.16, 36.2]}")
    if not [check_position(position) for position in positions(value)]:
        raise ValueError("must have at least one position, such as [37.16, 36.2]")
    return value


def _simple_geometries(geometry: Any) -> Iterator[Any]:
    """Yield a geometry, or the members of a collection and of the collections in it."""
    waiting = [geometry]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and "geometries" in node:
            members = node["geometries"]
            waiting.extend(members if isinstance(members, list) else [None])
        else:
            yield node


def check_position(position: list[Any]) -> list[Any]:
    """Return a [longitude, latitude] within WGS 84 unchanged; raise ValueError for anything else."""
    if len(position) not in (2, 3) or any(isinstance(each, bool) or not isinstance(each, int | float) for each in position):
        raise ValueError("a position must be [longitude, latitude] in numbers, such as [37.16, 36.2]")
    if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
        raise ValueError("longitude must be -180 to 180 and latitude -90 to 90 (WGS 84, longitude first)")
    if not all(abs(each) <= MAX_HEIGHT_METRES for each in position[2:]):
        raise ValueError(f"a height must be -{MAX_HEIGHT_METRES} to {MAX_HEIGHT_METRES} metres")
    return position


_geometry: TypeAdapter[GeoJsonGeometry] = TypeAdapter(GeoJsonGeometry)


def _check_geojson(value: dict[str, Any]) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # The library warns of collections with one member and of nested collections; RFC 7946 advises against both but allows them.
            warnings.simplefilter("ignore")
            _geometry.validate_python(value)
    except ValueError:
        raise ValueError("must be a GeoJSON geometry: a known type with the coordinates of that type") from None
    edges = (edge for type_, rings in _parts(value) if type_ == "Polygon" for ring in rings for edge in pairwise(ring))
    if any(180 < abs(before[0] - after[0]) < 360 for before, after in edges):
        # It may be wider than half the earth, or run across the antimeridian.
        raise ValueError(
            "an edge of a polygon spans more than 180 degrees of longitude: cut the polygon at the antimeridian into parts "
            "(RFC 7946, 3.1.9), or add positions along the edge"
        )
    return _bare(value)


def _bare(geometry: dict[str, Any]) -> dict[str, Any]:
    """Leave out what GeoJSON gives no meaning here, such as `bbox`, which no entry of the ledger has to carry."""
    if geometry["type"] == "GeometryCollection":
        return {"type": geometry["type"], "geometries": [_bare(each) for each in geometry["geometries"]]}
    return {"type": geometry["type"], "coordinates": geometry["coordinates"]}


_GEOMETRY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "GeoJSON geometry (RFC 7946), WGS 84, longitude first.",
    "required": ["type"],
    "properties": {
        "type": {
            "type": "string",
            "enum": ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"],
            "description": "Type of the geometry.",
        },
        "coordinates": {"type": "array", "items": {}, "description": "Its positions; absent for a GeometryCollection."},
        "geometries": {"type": "array", "items": {"type": "object"}, "description": "Members of a GeometryCollection."},
    },
}
Geometry = TypeAliasType(
    "Geometry",
    Annotated[dict[str, Any], BeforeValidator(_check_positions), AfterValidator(_check_geojson), WithJsonSchema(_GEOMETRY_SCHEMA)],
)

Position = Annotated[
    list[float],
    BeforeValidator(lambda value: check_position(value) if isinstance(value, list) else value),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3, "description": "[longitude, latitude]"}),
]


def bbox_of(geometry: dict[str, Any]) -> BBox:
    """Return the narrowest bounding box of a geometry; its west is above its east where it crosses the antimeridian (RFC 7946, 5.2).

    An edge over more than 180 degrees of longitude, which only lines have, is taken to cross the antimeridian.
    """
    latitudes = [position[1] for position in positions(geometry)]
    west, east = narrowest([_unrolled(path) for path in _paths(geometry)])
    return west, min(latitudes), east, max(latitudes)


def _paths(geometry: dict[str, Any]) -> Iterator[list[list[float]]]:
    """Yield the lines, rings and single points of a geometry, each as its positions."""
    for type_, part in _parts(geometry):
        yield from part if type_ == "Polygon" else [[part] if type_ == "Point" else part]


def _parts(geometry: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the points, lines and polygons of a geometry as type and coordinates, without empty ones."""
    for each in _simple_geometries(geometry):
        type_ = each["type"].removeprefix("Multi")
        parts = [each["coordinates"]] if type_ == each["type"] else each["coordinates"]
        yield from ((type_, part) for part in parts if part)


def _unrolled(path: list[list[float]]) -> tuple[float, float]:
    """Return the lowest and highest longitude of a path, counted on beyond 180 degrees where it crosses the antimeridian."""
    turn, found = 0, [path[0][0]]
    for before, after in pairwise(path):
        step = after[0] - before[0]
        if 180 < abs(step) < 360:
            turn -= 360 if step > 0 else -360
        found.append(after[0] + turn)
    return min(found), max(found)


def narrowest(spans: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return west and east of the narrowest arc around all spans of longitudes, whose ends may lie beyond 180 degrees."""
    ordered = sorted((low + 360, high + 360) if low < -180 else (low, high) for low, high in spans)
    west, east = ordered[0][0], max(high for _, high in ordered)
    if east <= 180 and east - west <= 180:
        return west, east
    # The arc leaves out the widest gap.
    widest, reach = 0.0, east - 360
    arc = -180.0, 180.0
    for low, high in ordered:
        if low - reach > widest:
            widest, arc = low - reach, (low, reach)
        reach = max(reach, high)
    west, east = arc
    return west, east + 360 if east < -180 else east


TYPES = {"point": "Point", "multipoint": "MultiPoint", "line": "MultiLineString", "polygon": "MultiPolygon"}


def by_type(geometry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parts of a geometry, one geometry without heights for each of TYPES, because a GIS has one type for a layer."""
    found: dict[str, list[Any]] = {}
    for type_, part in _parts(geometry):
        found.setdefault(type_, []).append(_flat(part))
    points = found.pop("Point", [])
    named = {"point" if len(points) == 1 else "multipoint": points[0] if len(points) == 1 else points} if points else {}
    named |= {"line" if type_ == "LineString" else "polygon": parts for type_, parts in found.items()}
    return {name: {"type": TYPES[name], "coordinates": coordinates} for name, coordinates in named.items()}


def _flat(node: list[Any]) -> list[Any]:
    return [_flat(each) for each in node] if isinstance(node[0], list) else node[:2]


def visible_geometry(geometry: dict[str, Any], level: int) -> dict[str, Any]:
    """Return a geometry as exact as a clearance may see it: below EXACT_FROM rounded to 0.1 degree, about 11 km.

    The rounded one has no heights and no repeated vertices, because their number would tell how the exact one runs between the rounded
    positions. A part that shrinks becomes what is left of it: a polygon without area a line, a line of one position a point. A polygon
    has no holes; one that would cross itself becomes its convex hull, and polygons that might overlap a collection.
    """
    return geometry if level >= EXACT_FROM else _coarse(geometry)


def _coarse(geometry: dict[str, Any]) -> dict[str, Any]:
    if "geometries" in geometry:
        return {"type": geometry["type"], "geometries": _without_repeats(_coarse(each) for each in geometry["geometries"])}
    type_, coordinates = geometry["type"], geometry["coordinates"]
    if not coordinates:
        return {"type": type_, "coordinates": []}
    if type_.startswith("Multi"):
        single = type_.removeprefix("Multi")
        parts = _without_repeats(_coarse({"type": single, "coordinates": each}) for each in coordinates)
        if all(each["type"] == single for each in parts) and (single != "Polygon" or _are_apart(parts)):
            return {"type": type_, "coordinates": [each["coordinates"] for each in parts]}
        return {"type": "GeometryCollection", "geometries": parts} if len(parts) > 1 else parts[0]
    if type_ == "Polygon":
        outer = _without_repeats(map(_rounded, coordinates[0]))
        if not _has_area(outer):
            return _line(outer)
        ring = outer if _is_simple(outer) else _hull(outer)
        return {"type": type_, "coordinates": [[*ring, ring[0]]]}
    return _line(_without_repeats(map(_rounded, [coordinates] if type_ == "Point" else coordinates)))


def _rounded(position: list[float]) -> list[float]:
    # Adding 0.0 turns -0.0, which would tell the side of the meridian, into 0.0.
    return [round(each, COARSE_DECIMALS) + 0.0 for each in position[:2]]


def _without_repeats(nodes: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    seen: set[str] = set()
    for node in nodes:
        if (text := repr(node)) not in seen:
            seen.add(text)
            found.append(node)
    return found


def _has_area(ring: list[list[float]]) -> bool:
    return sum(_turn(ring[0], *edge) for edge in pairwise(ring)) != 0


def _is_simple(ring: list[list[float]]) -> bool:
    edges = zip(ring, [*ring[1:], ring[0]], strict=True)
    return len(ring) <= MAX_CHECKED_POSITIONS and not any(_touch(*one, *other) for one, other in combinations(edges, 2))


def _touch(a: list[float], b: list[float], c: list[float], d: list[float]) -> bool:
    """Return whether the edges a-b and c-d share a point, other than the common end of neighbours."""
    if b == c or d == a:
        before, common, after = (a, b, d) if b == c else (c, a, b)
        # Neighbours share more where the second runs back along the first.
        return _turn(before, common, after) == 0 and (before < common) == (after < common)
    apart = any(max(a[axis], b[axis]) < min(c[axis], d[axis]) or max(c[axis], d[axis]) < min(a[axis], b[axis]) for axis in (0, 1))
    return not apart and _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0


def _turn(a: list[float], b: list[float], c: list[float]) -> int:
    """Return the area of a parallelogram in whole steps, because floats do not add up exactly: above 0 if a-b-c turns left."""
    (ax, ay), (bx, by), (cx, cy) = ((round(x * STEPS_PER_DEGREE), round(y * STEPS_PER_DEGREE)) for x, y in (a, b, c))
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def _hull(ring: list[list[float]]) -> list[list[float]]:
    """Return the convex hull of positions that have an area (Andrew's monotone chain)."""
    chains = []
    for ordered in (sorted(ring), sorted(ring, reverse=True)):
        chain: list[list[float]] = []
        for position in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], position) <= 0:
                chain.pop()
            chain.append(position)
        chains += chain[:-1]
    return chains


def _are_apart(polygons: list[dict[str, Any]]) -> bool:
    boxes = [bbox_of(each) for each in polygons]
    return len(boxes) <= MAX_CHECKED_POSITIONS and not any(intersects(one, other) for one, other in combinations(boxes, 2))


def _line(line: list[list[float]]) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": line} if len(line) > 1 else {"type": "Point", "coordinates": line[0]}
