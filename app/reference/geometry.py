"""GeoJSON geometry (RFC 7946): checked on the way in, boxed for filters, made coarse where the exact line must not be known."""

import warnings
from collections.abc import Iterator
from typing import Annotated, Any

from geojson_pydantic.geometries import Geometry as GeoJsonGeometry
from pydantic import AfterValidator, BeforeValidator, TypeAdapter, WithJsonSchema

BBox = tuple[float, float, float, float]
COARSE_DECIMALS = 1


def positions(geometry: dict[str, Any]) -> Iterator[list[Any]]:
    """Every position of a geometry, as [longitude, latitude, ...] in degrees."""
    waiting: list[Any] = [each["coordinates"] for each in _simple_geometries(geometry) if "coordinates" in each]
    while waiting:
        node = waiting.pop()
        if node and isinstance(node, list) and not isinstance(node[0], list):
            yield node
        elif isinstance(node, list):
            waiting.extend(node)


def _numbers_within_bounds(value: Any) -> Any:
    if not all(isinstance(each, dict) for each in _simple_geometries(value)):
        raise ValueError("must be a GeoJSON geometry")
    found = [check_position(position) for position in positions(value)]
    if not found:
        raise ValueError("a geometry has at least one position")
    return value


def _simple_geometries(geometry: Any) -> Iterator[Any]:
    """A geometry, or what is in a collection, and in the collections in it."""
    waiting = [geometry]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and "geometries" in node:
            members = node["geometries"]
            waiting.extend(members if isinstance(members, list) else [None])
        else:
            yield node


def check_position(position: list[Any]) -> list[Any]:
    """Refuse what is no [longitude, latitude] within WGS 84, by ValueError."""
    if len(position) not in (2, 3) or any(isinstance(each, bool) or not isinstance(each, int | float) for each in position):
        raise ValueError("a position is [longitude, latitude] in numbers")
    if not (-180 <= position[0] <= 180 and -90 <= position[1] <= 90):
        raise ValueError("longitude runs from -180 to 180 and latitude from -90 to 90 (WGS 84, longitude first)")
    return position


_geometry: TypeAdapter[GeoJsonGeometry] = TypeAdapter(GeoJsonGeometry)


def _valid_geojson(value: dict[str, Any]) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # It is warned of collections of one member or of collections, which RFC 7946 advises against and allows.
            warnings.simplefilter("ignore")
            _geometry.validate_python(value)
    except ValueError:
        raise ValueError("must be a GeoJSON geometry: a known type with the coordinates that it takes") from None
    return value


Geometry = Annotated[
    dict[str, Any],
    BeforeValidator(_numbers_within_bounds),
    AfterValidator(_valid_geojson),
    WithJsonSchema(
        {
            "type": "object",
            "description": "GeoJSON geometry (RFC 7946), WGS 84, longitude first.",
            "required": ["type"],
            "properties": {
                "type": {
                    "type": "string",
                    "enum": ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"],
                },
                "coordinates": {"type": "array", "items": {}},
            },
        }
    ),
]

Position = Annotated[
    list[float],
    BeforeValidator(lambda value: check_position(value) if isinstance(value, list) else value),
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 3, "description": "[longitude, latitude]"}),
]


def bbox_of(geometry: dict[str, Any]) -> BBox:
    """West, south, east, north of a geometry, degrees."""
    found = list(positions(geometry))
    longitudes, latitudes = [each[0] for each in found], [each[1] for each in found]
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def intersects(one: BBox, other: BBox) -> bool:
    """Whether two boxes have a point in common; one whose west is above its east crosses the antimeridian."""
    return one[1] <= other[3] and other[1] <= one[3] and any(a[0] <= b[1] and b[0] <= a[1] for a in _spans(one) for b in _spans(other))


def _spans(each: BBox) -> list[tuple[float, float]]:
    west, _, east, _ = each
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]


def coarsen(geometry: dict[str, Any]) -> dict[str, Any]:
    """The geometry rounded to 0.1 degree, about 11 km (contract, Sensitivity)."""

    def rounded(node: Any) -> Any:
        return [rounded(each) for each in node] if isinstance(node, list) else round(node, COARSE_DECIMALS)

    if "geometries" in geometry:
        return {"type": geometry["type"], "geometries": [coarsen(each) for each in geometry["geometries"]]}
    return {"type": geometry["type"], "coordinates": rounded(geometry["coordinates"])}
