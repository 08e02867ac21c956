"""Places that nest and carry codes, sources that are graded, routes that are told coarsely; paged, filtered, never overwritten."""

import json
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, sqlite_only

COLLECTIONS: dict[str, dict[str, Any]] = {
    "places": {"slug": "new", "name": "New"},
    "sources": {"slug": "new", "name": "New", "type": "ngo"},
    "routes": {"slug": "new", "name": "New", "mode": "road"},
}


async def refused(client: httpx.AsyncClient, path: str, body: Any, *pointers: str) -> None:
    """The body gets a 422 that points there."""
    answer = await client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (body, answer.text)
    assert [error["pointer"] for error in answer.json()["errors"]] == list(pointers), body


@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_added_answered_found_and_never_overwritten(client: httpx.AsyncClient, collection: str) -> None:
    """201 with Location and the body that GET gives; the same slug again is 409 and changes nothing."""
    body = COLLECTIONS[collection]
    added = await client.post(f"/v1/{collection}", json=body)
    assert added.status_code == 201
    at = f"/v1/{collection}/new"
    assert added.headers["location"] == added.json()["links"]["self"] == at
    assert body.items() <= added.json().items()
    assert added.json()["id"][14] == "7"
    again = await client.post(f"/v1/{collection}", json=body | {"name": "Other"})
    assert (again.status_code, again.headers["content-type"]) == (409, "application/problem+json")
    found = await client.get(at)
    assert found.json() == added.json()
    listed = (await client.get(f"/v1/{collection}")).json()
    assert listed == {"items": [added.json()], "next": None, "as_of": None, "revision": 0}


@sqlite_only
@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_what_is_common_to_all(client: httpx.AsyncClient, reference: Reference, collection: str) -> None:
    path, body = f"/v1/{collection}", COLLECTIONS[collection]
    for slug in (None, 5, "", "a" * 65, "Old", "old town", "old_town", "ål", "a/b", "a:b", "old\n", "..", "a\0"):
        await refused(client, path, body | {"slug": slug}, "/slug")
    for name in (None, 5, "", "a" * 201, [], "a\0"):
        await refused(client, path, body | {"name": name}, "/name")
    for field in body:
        await refused(client, path, {name: value for name, value in body.items() if name != field}, f"/{field}")
    for field in ("id", "created_at", "links"):
        await refused(client, path, body | {field: "x"}, f"/{field}")
    for whole in (None, [], [body], "new", 5):
        await refused(client, path, whole, "")
    assert (await client.get(f"{path}/new")).status_code == 404


async def test_places_nest_and_inherit_the_country(client: httpx.AsyncClient, reference: Reference) -> None:
    inner = await reference.add("places", slug="quarter", name="Quarter", parent="oldtown")
    assert (inner["parent"], inner["country"]) == ("oldtown", "SYR")
    other = await reference.add("places", slug="enclave", name="Enclave", parent="pcode:SY02", country="TUR")
    assert (other["parent"], other["country"]) == ("oldtown", "TUR")
    alone = await reference.add("places", slug="alone", name="Alone")
    assert (alone["parent"], alone["country"], alone["codes"], alone["centroid"], alone["geometry"]) == (None, None, [], None, None)

    async def slugs(**params: str) -> list[str]:
        return [item["slug"] for item in (await client.get("/v1/places", params=params)).json()["items"]]

    assert await slugs() == ["country", "oldtown", "quarter", "enclave", "alone"]
    assert await slugs(place="country") == ["country"]
    assert await slugs(place="country", within="true") == ["country", "oldtown", "quarter", "enclave"]
    assert await slugs(place="pcode:SY02", within="true") == ["oldtown", "quarter", "enclave"]
    assert await slugs(place="quarter", within="true") == ["quarter"]
    assert await slugs(country="SYR") == ["country", "oldtown", "quarter"]
    assert await slugs(country="SYR", place="oldtown", within="true") == ["oldtown", "quarter"]
    assert await slugs(place="Oldtown") == []
    assert await slugs(place="nowhere", within="true") == []
    assert await slugs(bbox="37,36,38,37") == ["oldtown"]
    assert await slugs(bbox="37,34,39,37") == ["country", "oldtown"]
    for parent in ("nowhere", "SY02", "pcode:SY99", "iso:SY02", "new", "", ":"):
        await refused(client, "/v1/places", {"slug": "new", "name": "New", "parent": parent}, "/parent")
    for country in ("SY", "syr", ""):
        answer = await client.get("/v1/places", params={"country": country})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["?country"]


async def test_a_code_means_a_place_within_its_scheme_only(client: httpx.AsyncClient, reference: Reference) -> None:
    """The same letters name another place in another scheme; without the scheme they name none."""
    far = await reference.add(
        "places", slug="far", name="Far", codes=[{"scheme": "iso", "code": "SY02"}, {"scheme": "geonames", "code": "170063"}]
    )
    assert far["codes"] == [{"scheme": "geonames", "code": "170063"}, {"scheme": "iso", "code": "SY02"}]
    for name, slug in (("pcode:SY02", "oldtown"), ("iso:SY02", "far"), ("geonames:170063", "far")):
        assert (await client.get(f"/v1/places/{name}")).json()["slug"] == slug
        assert (await client.get("/v1/places", params={"place": name})).json()["items"][0]["slug"] == slug
        made = await client.post("/v1/reports", json=report(place=name))
        assert made.json()["place"] == slug
    unknown = ("SY02", "pcode:sy02", "PCODE:SY02", "pcode:170063", "pcode:SY0", ":SY02")
    for name in unknown:
        assert (await client.get(f"/v1/places/{name}")).status_code == 404, name
    items = (await client.post("/v1/reports", json=[report(place=name) for name in unknown])).json()["items"]
    assert [[error["pointer"] for error in item["problem"]["errors"]] for item in items] == [["/place"]] * len(unknown)
    taken = await client.post("/v1/places", json={"slug": "new", "name": "New", "codes": [{"scheme": "pcode", "code": "SY02"}]})
    assert (taken.status_code, taken.headers["content-type"]) == (409, "application/problem+json")
    assert (await client.get("/v1/places/new")).status_code == 404


@sqlite_only
async def test_what_is_no_code_is_refused(client: httpx.AsyncClient) -> None:
    for code, pointer in (
        ("pcode:SY02", ""), ({"code": "SY02"}, "/scheme"), ({"scheme": "pcode"}, "/code"), ({"scheme": "P code", "code": "1"}, "/scheme"),
        ({"scheme": "pcode", "code": ""}, "/code"), ({"scheme": "pcode", "code": "a b"}, "/code"),
        ({"scheme": "pcode", "code": "a:b"}, "/code"),
        ({"scheme": "pcode", "code": 2}, "/code"), ({"scheme": "pcode", "code": "1", "more": 1}, "/more"), (None, ""),
    ):  # fmt: skip
        await refused(client, "/v1/places", {"slug": "new", "name": "New", "codes": [code]}, f"/codes/0{pointer}")
    for codes in (None, "pcode:1", {"pcode": "1"}):
        await refused(client, "/v1/places", {"slug": "new", "name": "New", "codes": codes}, "/codes")


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
NO_GEOMETRIES: list[Any] = [
    # Out of bounds where it is easily overlooked: in a collection within a collection.
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
    {"type": "GeometryCollection", "geometries": []},
    {"type": "GeometryCollection", "geometries": [5]},
    {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [181, 0]}]},
    {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}},
    {"type": "FeatureCollection", "features": []},
    {"type": "GeometryCollection", "geometries": {"type": "Point", "coordinates": [1, 2]}}, {"type": "Point", "coordinates": {"x": 1}},
]  # fmt: skip


async def test_geometries_are_geojson_within_wgs84(client: httpx.AsyncClient) -> None:
    for at, geometry in enumerate(GEOMETRIES):
        for path, body in (("/v1/places", {}), ("/v1/routes", {"mode": "road"})):
            answer = await client.post(path, json={"slug": f"g{at}", "name": "G", "geometry": geometry, **body})
            assert answer.status_code == 201, answer.text
            assert answer.json()["geometry"] == geometry
            assert (await client.get(answer.headers["location"])).json()["geometry"] == geometry
    for path in ("/v1/places", "/v1/routes"):
        assert [item["geometry"] for item in (await client.get(path)).json()["items"]] == GEOMETRIES


@sqlite_only
async def test_what_is_no_geometry_is_refused(client: httpx.AsyncClient) -> None:
    for wrong in NO_GEOMETRIES:
        await refused(client, "/v1/places", {"slug": "new", "name": "New", "geometry": wrong}, "/geometry")
        await refused(client, "/v1/routes", {"slug": "new", "name": "New", "mode": "road", "geometry": wrong}, "/geometry")


async def test_a_centroid_is_longitude_and_latitude(client: httpx.AsyncClient) -> None:
    for at, centroid in enumerate(([37.1, 36.2], [-180, -90], [180, 90])):
        answer = await client.post("/v1/places", json={"slug": f"c{at}", "name": "C", "centroid": centroid})
        assert answer.json()["centroid"] == centroid
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
        answer = await client.post("/v1/places", json={"slug": "new", "name": "New", "centroid": wrong})
        assert answer.status_code == 422, wrong
        assert all(error["pointer"].startswith("/centroid") for error in answer.json()["errors"]), wrong
    huge = await client.post(
        "/v1/places", content=b'{"slug":"n","name":"N","centroid":[1e400,0]}', headers={"Content-Type": "application/json"}
    )
    assert huge.status_code == 422


async def test_sources(client: httpx.AsyncClient) -> None:
    """F unless graded, a party to the conflict if an armed actor, unless said otherwise."""
    for at, (sent, reliability, party) in enumerate(
        (
            ({"type": "ngo"}, "F", False),
            ({"type": "armed_actor"}, "F", True),
            ({"type": "armed_actor", "party_to_conflict": False}, "F", False),
            ({"type": "government", "party_to_conflict": True, "reliability": "A"}, "A", True),
            ({"type": "witness", "alias": "A resident", "reliability": "E"}, "E", False),
        )
    ):
        answer = await client.post("/v1/sources", json={"slug": f"s{at}", "name": "S", **sent})
        body = answer.json()
        assert (answer.status_code, body["reliability"], body["party_to_conflict"]) == (201, reliability, party)
        assert body["alias"] == sent.get("alias")
    found = (await client.get("/v1/sources", params={"type": "armed_actor"})).json()["items"]
    assert [item["slug"] for item in found] == ["s1", "s2"]
    assert [error["pointer"] for error in (await client.get("/v1/sources?type=blog")).json()["errors"]] == ["?type"]


async def test_routes(client: httpx.AsyncClient) -> None:
    """`from` and `to` on the wire, whatever they are called inside."""
    full = {"slug": "crossing", "name": "Crossing", "mode": "crossing", "from": "Reyhanli", "to": "Idleb"}
    made = (await client.post("/v1/routes", json=full)).json()
    assert full.items() <= made.items()
    assert (made["geometry"], made["redacted"]) == (None, [])
    bare = (await client.post("/v1/routes", json=COLLECTIONS["routes"])).json()
    assert (bare["from"], bare["to"]) == (None, None)
    assert [item["slug"] for item in (await client.get("/v1/routes?mode=crossing")).json()["items"]] == ["crossing"]
    assert [error["pointer"] for error in (await client.get("/v1/routes?mode=path")).json()["errors"]] == ["?mode"]


async def test_below_amber_a_route_is_told_to_a_tenth_of_a_degree(
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
    # A curator below amber is not shown more of the route than he may see, not even in the answer to his own.
    curator = await make_client(Scope.READ, Scope.CURATE, clearance=Label.GREEN)
    line = {"type": "GeometryCollection", "geometries": [{"type": "LineString", "coordinates": exact}]}
    answer = await curator.post("/v1/routes", json={"slug": "own", "name": "Own", "mode": "road", "geometry": line})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["geometry"]["geometries"][0]["coordinates"] == coarse
    assert made["redacted"] == ["geometry"]
    assert (await client.get("/v1/routes/own")).json()["geometry"] == line


WRONG: list[tuple[str, str, tuple[Any, ...]]] = [
    ("places", "country", ("SY", "syr", "SYRI", "", 5)),
    ("sources", "type", (None, "", "UN", "blog", 5)),
    ("sources", "reliability", (None, "", "a", "G", 1, "AB")),
    ("sources", "party_to_conflict", (0, 1, "true", "yes", [])),
    ("sources", "alias", ("", 5, "a" * 201)),
    ("routes", "mode", (None, "", "Road", "path", 5)),
    *[("routes", field, ("", 5, "a" * 201)) for field in ("from", "to")],
    *[("routes", field, ("x",)) for field in ("origin", "destination", "from_")],
]


@sqlite_only
async def test_a_field_that_makes_no_sense_is_refused_by_name(client: httpx.AsyncClient) -> None:
    for collection, field, values in WRONG:
        for value in values:
            await refused(client, f"/v1/{collection}", COLLECTIONS[collection] | {field: value}, f"/{field}")


@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_pages_hold_each_record_once_while_more_are_added(client: httpx.AsyncClient, collection: str) -> None:
    body = COLLECTIONS[collection]
    for number in range(5):
        await client.post(f"/v1/{collection}", json=body | {"slug": f"s{number}"})
    seen: list[str] = []
    path = f"/v1/{collection}?limit=2"
    for number in range(10):
        answer = await client.get(path)
        page = answer.json()
        seen += [item["slug"] for item in page["items"]]
        if page["next"] is None:
            assert "link" not in answer.headers
            break
        assert len(page["items"]) == 2
        path = answer.links["next"]["url"]
        await client.post(f"/v1/{collection}", json=body | {"slug": f"t{number}"} if number < 2 else body | {"slug": "s0"})
    assert seen == [*(f"s{number}" for number in range(5)), "t0", "t1"]
    for query, name in (("limit=0", "limit"), ("limit=1001", "limit"), ("cursor=x", "cursor"), ("cursor=", "cursor")):
        answer = await client.get(f"/v1/{collection}?{query}")
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"?{name}"], query


@pytest.mark.parametrize("collection", list(COLLECTIONS))
async def test_unchanged_is_304_and_a_new_record_shows_at_once(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, collection: str
) -> None:
    await client.post(f"/v1/{collection}", json=COLLECTIONS[collection])
    for reader, control in ((client, "private"), (anonymous, "public")):
        for path in (f"/v1/{collection}", f"/v1/{collection}/new"):
            answer = await reader.get(path)
            assert answer.headers["cache-control"].startswith(control)
            held = {"If-None-Match": answer.headers["etag"]}
            assert (await reader.get(path, headers=held)).status_code == 304
    whole, one = f"/v1/{collection}", f"/v1/{collection}/new"
    tags = {path: (await anonymous.get(path)).headers["etag"] for path in (whole, one)}
    await client.post(f"/v1/{collection}", json=COLLECTIONS[collection] | {"slug": "newer"})
    assert (await anonymous.get(whole, headers={"If-None-Match": tags[whole]})).status_code == 200
    assert (await anonymous.get(one, headers={"If-None-Match": tags[one]})).status_code == 304
