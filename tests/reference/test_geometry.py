"""Geometry of places and routes: GeoJSON within WGS 84, rounded for low clearances."""

from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, shape

from app.access.principal import Scope
from app.domain.tlp import Label
from app.reference.geometry import bbox_of, by_type, narrowest, visible_geometry
from tests.reference.helpers import assert_rejected
from tests.support.factories import Reference
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

SQUARE = [[[36.0, 35.0], [37.0, 35.0], [37.0, 36.0], [36.0, 35.0]]]
GEOMETRIES: list[dict[str, Any]] = [
    {"type": "Point", "coordinates": [37.1, 36.2]},
    {"type": "Point", "coordinates": [180, -90, 412.5]},
    {"type": "MultiPoint", "coordinates": [[37.1, 36.2], [-180, 90]]},
    {"type": "LineString", "coordinates": [[37.1, 36.2], [37.2, 36.3]]},
    {"type": "MultiLineString", "coordinates": [[[37.1, 36.2], [37.2, 36.3]], [[1, 2], [3, 4]]]},
    {"type": "Polygon", "coordinates": SQUARE},
    {"type": "MultiPolygon", "coordinates": [SQUARE, SQUARE]},
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon", "coordinates": SQUARE}]},
]
INVALID_GEOMETRIES: list[Any] = [
    # Out of bounds in a collection within a collection.
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [1, 2]}, {"type": "GeometryCollection", "geometries": [
        {"type": "Point", "coordinates": [500, 500]}, {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}]}]},
    5, "POINT(37.1 36.2)", [37.1, 36.2], {}, {"type": "Point"}, {"coordinates": [1, 2]}, {"type": "point", "coordinates": [1, 2]},
    {"type": "Circle", "coordinates": [1, 2]}, {"type": "Point", "coordinates": []}, {"type": "Point", "coordinates": [1]},
    {"type": "Point", "coordinates": [1, 2, 3, 4]}, {"type": "Point", "coordinates": ["1", "2"]},
    {"type": "Point", "coordinates": [True, 2]},
    {"type": "Point", "coordinates": [None, 2]}, {"type": "Point", "coordinates": [180.001, 0]},
    {"type": "Point", "coordinates": [-181, 0]},
    {"type": "Point", "coordinates": [0, 90.1]}, {"type": "Point", "coordinates": [36.2, 137.1]},
    {"type": "Point", "coordinates": [1e308, 0]},
    {"type": "Point", "coordinates": [[1, 2]]}, {"type": "LineString", "coordinates": [1, 2]},
    {"type": "LineString", "coordinates": [[1, 2]]},
    {"type": "LineString", "coordinates": [[1, 2], [181, 2]]}, {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}, {"type": "Polygon", "coordinates": []},
    {"type": "MultiPolygon", "coordinates": [SQUARE, [[[0, 0], [1, 0], [1, 91], [0, 0]]]]},
    # Wider than half the earth, or across the antimeridian.
    {"type": "Polygon", "coordinates": [[[-100, 0], [100, 0], [100, 9], [-100, 9], [-100, 0]]]},
    {"type": "GeometryCollection", "geometries": []},
    {"type": "GeometryCollection", "geometries": [5]},
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [181, 0]}]},
    {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}},
    {"type": "FeatureCollection", "features": []},
    {"type": "GeometryCollection", "geometries": {"type": "Point", "coordinates": [1, 2]}}, {"type": "Point", "coordinates": {"x": 1}},
]  # fmt: skip


async def test_geometry_is_kept_exactly_as_sent(client: httpx.AsyncClient) -> None:
    for at, geometry in enumerate(GEOMETRIES):
        for path, body in (("/v1/places", {}), ("/v1/routes", {"mode": "road"})):
            response = await client.post(path, json={"slug": f"g{at}", "name": "G", "geometry": geometry, **body})
            assert response.status_code == 201, response.text
            assert response.json()["geometry"] == geometry
            assert (await client.get(response.headers["location"])).json()["geometry"] == geometry
    for path in ("/v1/places", "/v1/routes"):
        assert [item["geometry"] for item in (await client.get(path)).json()["items"]] == GEOMETRIES


@sqlite_only
async def test_geometry_outside_wgs84_or_malformed_is_rejected(client: httpx.AsyncClient) -> None:
    for wrong in INVALID_GEOMETRIES:
        await assert_rejected(client, "/v1/places", {"slug": "new", "name": "New", "geometry": wrong}, "/geometry")
        await assert_rejected(client, "/v1/routes", {"slug": "new", "name": "New", "mode": "road", "geometry": wrong}, "/geometry")


@mostly_sqlite
async def test_centroid_must_be_longitude_and_latitude(client: httpx.AsyncClient) -> None:
    for at, centroid in enumerate(([37.1, 36.2], [-180, -90], [180, 90])):
        response = await client.post("/v1/places", json={"slug": f"c{at}", "name": "C", "centroid": centroid})
        assert response.json()["centroid"] == centroid
    for wrong in (
        [36.2, 137.1],
        [181, 0],
        [0, -91],
        [1],
        [],
        [1, 2, 3, 4],
        ["1", "2"],
        [True, False],
        "37.1,36.2",
        {"lon": 1, "lat": 2},
        5,
    ):
        response = await client.post("/v1/places", json={"slug": "new", "name": "New", "centroid": wrong})
        assert response.status_code == 422, wrong
        assert all(error["pointer"].startswith("/centroid") for error in response.json()["errors"]), wrong
    huge = await client.post(
        "/v1/places", content=b'{"slug":"n","name":"N","centroid":[1e400,0]}', headers={"Content-Type": "application/json"}
    )
    assert huge.status_code == 422


@mostly_sqlite
async def test_route_geometry_below_amber_is_rounded_to_a_tenth_of_a_degree(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    exact = [[37.0812, 36.2634], [37.1623, 36.2441]]
    coarse = [[37.1, 36.3], [37.2, 36.2]]
    await reference.add("routes", slug="unknown-line", name="Unknown line", mode="air")
    readers = [(anonymous, False), *[(await make_client(clearance=label), label.level >= Label.AMBER.level) for label in Label]]
    for reader, sees in readers:
        one = (await reader.get("/v1/routes/north-road")).json()
        assert one["geometry"] == {"type": "LineString", "coordinates": exact if sees else coarse}
        assert one["redacted"] == ([] if sees else ["geometry"])
        listed = (await reader.get("/v1/routes")).json()["items"]
        assert listed[0] == one
        assert (listed[2]["geometry"], listed[2]["redacted"]) == (None, [])
        text = (await reader.get("/v1/routes")).text
        assert ("37.0812" in text) == sees
    # The response to a curator below amber is rounded too, even for the geometry that the curator sent.
    curator = await make_client(Scope.READ, Scope.CURATE, clearance=Label.GREEN)
    line = {"type": "GeometryCollection", "geometries": [{"type": "LineString", "coordinates": exact}]}
    response = await curator.post("/v1/routes", json={"slug": "own", "name": "Own", "mode": "road", "geometry": line})
    assert response.status_code == 201, response.text
    created = response.json()
    assert created["geometry"]["geometries"][0]["coordinates"] == coarse
    assert created["redacted"] == ["geometry"]
    assert (await client.get("/v1/routes/own")).json()["geometry"] == line


POINT = {"type": "Point", "coordinates": [37.1, 36.2]}
HOLE = [[0.3, 0.3], [0.7, 0.3], [0.3, 0.7], [0.3, 0.3]]
# The type of a geometry, its coordinates, and what low clearances see.
COARSE: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("Point", [37.12, 36.2, 412.5], POINT),
    ("MultiPoint", [[37.12, 36.2, 1], [0, -0.01], [37.1, 36.19]], {"type": "MultiPoint", "coordinates": [[37.1, 36.2], [0.0, 0.0]]}),
    ("LineString", [[37.1, 36.2, 9], [37.09, 36.21], [37.2, 36.2], [37.1, 36.2]],
     {"type": "LineString", "coordinates": [[37.1, 36.2], [37.2, 36.2]]}),
    ("LineString", [[37.12, 36.2], [37.13, 36.22], [37.11, 36.19]], POINT),
    ("MultiLineString", [[[37.12, 36.2], [37.1, 36.2]], [[37.1, 36.2], [37.13, 36.2]]], POINT),
    ("MultiLineString", [[[37.12, 36.2], [37.1, 36.2]], [[1, 2, 3], [3, 4, 5]]],
     {"type": "GeometryCollection", "geometries": [POINT, {"type": "LineString", "coordinates": [[1.0, 2.0], [3.0, 4.0]]}]}),
    ("Polygon", [[[0, 0, 5], [1, 0], [1.01, 0], [1, 1], [0, 1], [0, 0, 5]], HOLE, [[0.51, 0.5], [0.52, 0.5], [0.5, 0.51], [0.51, 0.5]]],
     {"type": "Polygon", "coordinates": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]}),
    ("Polygon", [[[0, 0], [0.5, 0.01], [1, 0], [0.5, -0.01], [0, 0]]],
     {"type": "LineString", "coordinates": [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0]]}),
    ("Polygon", [[[37.12, 36.2], [37.1, 36.21], [37.1, 36.2], [37.12, 36.2]]], POINT),
    ("MultiPolygon", [[[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[0, 0], [1.01, 0], [1, 1], [0, 0]]]],
     {"type": "MultiPolygon", "coordinates": [[[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]]}),
]  # fmt: skip


_RING = st.lists(st.tuples(st.floats(0, 1.2), st.floats(0, 1.2)), min_size=3, max_size=9).map(lambda ring: [*ring, ring[0]])


@given(st.lists(st.lists(_RING, min_size=1, max_size=3), min_size=1, max_size=3), st.floats(-0.6, 0.6))
@settings(max_examples=300, deadline=None)
def test_coarse_polygon_is_valid_whatever_was_sent(polygons: list[Any], offset: float) -> None:
    # Rings after the first are holes, wherever they lie.
    moved = [[[[x + offset * at, y] for x, y in ring] for ring in polygon] for at, polygon in enumerate(polygons)]
    for geometry in ({"type": "MultiPolygon", "coordinates": moved}, *({"type": "Polygon", "coordinates": each} for each in moved)):
        seen = shape(visible_geometry(geometry, 0))
        assert seen.is_valid, geometry
        assert not seen.is_empty


def test_coarse_polygon_that_stays_simple_keeps_its_form() -> None:
    bent = [[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3], [0, 0]]
    apart = [[5, 0], [6, 0], [6, 1], [5, 0]]
    seen = visible_geometry({"type": "MultiPolygon", "coordinates": [[bent], [apart]]}, 0)
    assert seen["type"] == "MultiPolygon"
    assert shape(seen).equals(MultiPolygon([Polygon(bent), Polygon(apart)]))
    overlapping = visible_geometry({"type": "MultiPolygon", "coordinates": [[bent], [[[1, 0], [4, 0], [4, 1], [1, 0]]]]}, 0)
    assert overlapping["type"] == "GeometryCollection"
    back_along_itself = [[0, 0], [2, 0], [2, 1], [2, -1], [1, -1], [0, 0]]
    for crossed in ([*bent[:4], [3, 1], *bent[5:]], [[0, 0], [2, 2], [2, 0], [0, 1], [0, 0]], back_along_itself):
        assert shape(visible_geometry({"type": "Polygon", "coordinates": [crossed]}, 0)).equals(Polygon(crossed).convex_hull)


@mostly_sqlite
async def test_coarse_geometry_has_no_heights_and_no_repeated_vertices(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """It stays valid: a part that shrinks becomes a line or a point."""
    parts = [{"type": type_, "coordinates": coordinates} for type_, coordinates, _ in COARSE]
    for at, (geometry, (_, _, expected)) in enumerate(zip(parts, COARSE, strict=True)):
        await reference.add("routes", slug=f"coarse-{at}", name="R", mode="road", geometry=geometry)
        seen = (await anonymous.get(f"/v1/routes/coarse-{at}")).json()
        assert (seen["geometry"], seen["redacted"]) == (expected, ["geometry"])
        shown = shape(expected)
        assert shown.is_valid
        assert not shown.is_empty
        assert (await client.get(f"/v1/routes/coarse-{at}")).json()["geometry"] == geometry
        assert "-0.0" not in (await anonymous.get(f"/v1/routes/coarse-{at}")).text
    flat = [expected for _, _, expected in COARSE if expected["type"] != "GeometryCollection"]
    collection = {"type": "GeometryCollection", "geometries": [*flat, {"type": "Polygon", "coordinates": []}]}
    await reference.add("routes", slug="all", name="R", mode="road", geometry=collection)
    seen = (await anonymous.get("/v1/routes/all")).json()["geometry"]["geometries"]
    once = [each for at, each in enumerate(flat) if each not in flat[:at]]
    assert seen == [*once, {"type": "Polygon", "coordinates": []}]


def test_bbox_is_the_narrowest_around_the_parts() -> None:
    def box(type_: str, coordinates: Any) -> tuple[float, ...]:
        return bbox_of({"type": type_, "coordinates": coordinates})

    assert box("Point", [-180.0, 5.0]) == (-180.0, 5.0, -180.0, 5.0)
    assert box("LineString", [[37.1, 36.2], [-70.5, 10.0]]) == (-70.5, 10.0, 37.1, 36.2)
    # An edge of more than 180 degrees runs across the antimeridian, in either direction and back again.
    assert box("LineString", [[179.0, 1.0], [-179.0, 2.0], [178.0, 3.0]]) == (178.0, 1.0, -179.0, 3.0)
    assert box("LineString", [[-179.0, 1.0], [179.0, 2.0]]) == (179.0, 1.0, -179.0, 2.0)
    assert box("MultiPoint", [[170.0, 0.0], [-175.0, 0.0], [160.0, 0.0]]) == (160.0, 0.0, -175.0, 0.0)
    assert box("Polygon", [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]) == (-180, -90, 180, 90)
    assert box("Polygon", [[[-100, 0], [0, 0], [100, 0], [100, 9], [0, 9], [-100, 9], [-100, 0]]]) == (-100, 0, 100, 9)
    # Antarctica: all around the pole.
    assert box("Polygon", [[[-180, -90], [-180, -80], [0, -70], [180, -80], [180, -90], [-180, -90]]]) == (-180, -90, 180, -70)
    assert bbox_of({"type": "GeometryCollection", "geometries": [
        {"type": "Polygon", "coordinates": [[[177, 0], [180, 0], [180, 1], [177, 0]]]},
        {"type": "MultiPolygon", "coordinates": [[[[-180, 0], [-178, 0], [-180, 1], [-180, 0]]]]},
    ]}) == (177, 0, -178, 1)  # fmt: skip


@given(st.lists(st.tuples(st.integers(-180, 180), st.integers(0, 40)), min_size=1, max_size=6))
def test_narrowest_arc_has_every_span_and_leaves_out_the_widest_gap(drawn: list[tuple[int, int]]) -> None:
    west, east = narrowest([(low, low + width) for low, width in drawn])
    covered = {(low + step) % 360 for low, width in drawn for step in range(width + 1)}
    arc = {int(west + step) % 360 for step in range(int(east - west) % 360 + 1)} if (west, east) != (-180, 180) else set(range(360))
    assert covered <= arc
    # Without overlaps: no rotation of the covered degrees leaves a wider gap out.
    ordered = sorted(covered)
    widest = max((after - before) % 360 or 360 for before, after in zip(ordered, [*ordered[1:], ordered[0]], strict=True))
    assert len(arc) <= 361 - widest or widest <= 1


def test_by_type_has_each_part_once_without_heights() -> None:
    parts = by_type({"type": "GeometryCollection", "geometries": [
        {"type": "Polygon", "coordinates": [[[0, 0, 9], [1, 0, 9], [1, 1, 9], [0, 0, 9]]]},
        {"type": "Point", "coordinates": [5, 6, 7]},
        {"type": "MultiLineString", "coordinates": [[[0, 0], [1, 1]], []]},
        {"type": "LineString", "coordinates": [[2, 2], [3, 3]]},
    ]})  # fmt: skip
    assert parts == {
        "point": {"type": "Point", "coordinates": [5, 6]},
        "line": {"type": "MultiLineString", "coordinates": [[[2, 2], [3, 3]], [[0, 0], [1, 1]]]},
        "polygon": {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]]]},
    }
    assert by_type({"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]}).keys() == {"multipoint"}
    assert by_type({"type": "MultiPoint", "coordinates": [[1, 2]]}) == {"point": {"type": "Point", "coordinates": [1, 2]}}
