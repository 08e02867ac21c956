"""OGC API - Features: the rules of the standard over HTTP."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from shapely.geometry import box as rectangle
from shapely.geometry import shape

from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.reference.geometry import TYPES
from app.settings import Settings
from tests.exchange.conftest import post
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

ITEMS = "/ogc/collections/{}/items"


async def all_features(client: httpx.AsyncClient, collection: str, **params: Any) -> list[dict[str, Any]]:
    """Return all features of a collection, page by page."""
    found: list[dict[str, Any]] = []
    url: str | None = ITEMS.format(collection)
    while url is not None:
        response = await client.get(url, params=params)
        assert (response.status_code, response.headers["content-type"]) == (200, "application/geo+json"), response.text
        page = response.json()
        assert page["numberReturned"] == len(page["features"]) <= params.get("limit", 100)
        found += page["features"]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
        if url is not None:
            params = dict(parse_qsl(urlsplit(url).query)) | {"limit": params.get("limit", 100)}
            url = urlsplit(url).path
    return found


async def collections(client: httpx.AsyncClient, *bases: str) -> list[str]:
    """Return the names of the collections of some bases that have a feature; those of all kinds by default."""
    listed = (await client.get("/ogc/collections")).json()["collections"]
    return [each["id"] for each in listed if each["id"].rpartition("_")[0] in (bases or KINDS)]


async def features_of(client: httpx.AsyncClient, names: Iterable[str], **params: Any) -> list[dict[str, Any]]:
    """Return all features of some collections."""
    return [each for name in names for each in await all_features(client, name, **params)]


async def test_pages_hold_all_features_and_each_has_its_own_url(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    listed = {each["id"]: each for each in (await client.get("/ogc/collections")).json()["collections"]}
    assert listed.keys() >= {"places_point", "places_polygon", "places_unlocated", "routes_line", "supply_runout_polygon"}
    for collection, document in listed.items():
        answer = (await client.get(ITEMS.format(collection))).json()
        whole = answer["features"]
        assert await all_features(client, collection, limit=1) == whole
        assert answer["numberMatched"] == len(whole) > 0
        # Every feature has every column, and its geometry is of the collection's type.
        assert len({tuple(each["properties"]) for each in whole}) == 1
        assert {each["geometry"] and each["geometry"]["type"] for each in whole} == {TYPES.get(collection.rpartition("_")[2])}
        # As ArcGIS pages.
        by_index = [
            (await client.get(f"{ITEMS.format(collection)}?limit=1&startindex={number}")).json() for number in range(min(2, len(whole)) + 1)
        ]
        assert [each for page in by_index for each in page["features"]] == whole[: len(by_index)]
        assert {page["numberMatched"] for page in by_index} == {len(whole)}
        alone = (await client.get(f"/ogc/collections/{collection}")).json()
        stated = sorted(each["properties"]["stated_at"] for each in whole if each["properties"].get("stated_at"))
        times = alone.get("extent", {}).get("temporal", {"interval": [["", ""]]})["interval"][0]
        assert [each[:10] for each in times] == [each[:10] for each in ((stated[0], stated[-1]) if stated else ("", ""))]
        assert alone.get("extent") == document.get("extent")
        one = await client.get(f"{ITEMS.format(collection)}/{whole[0]['id']}")
        assert {name: one.json()[name] for name in whole[0]} == whole[0]
        assert one.headers["content-type"] == "application/geo+json"
        tag = one.headers["etag"]
        unchanged = await client.get(f"{ITEMS.format(collection)}/{whole[0]['id']}", headers={"If-None-Match": tag})
        assert unchanged.status_code == 304
    for name, base in (("places", "places"), ("routes", "routes"), *((kind.collection, name) for name, kind in KINDS.items())):
        everything = {each["id"] for each in (await client.get(f"/v1/{name}.geojson")).json()["features"]}
        assert {each["id"] for each in await features_of(client, await collections(client, base))} == everything


async def test_bbox_compares_the_geometry_that_the_caller_may_see(
    client: httpx.AsyncClient, make_client: MakeClient, filled: dict[str, Any]
) -> None:
    """Below amber a route is compared by its coarse line, so that no box reveals the exact one."""
    green = await make_client(clearance=Label.GREEN)
    fine, coarse = "37.07,36.255,37.09,36.27", "37.09,36.29,37.11,36.31"
    for reader, here, there in ((client, fine, coarse), (green, coarse, fine)):
        assert len(await features_of(reader, ["routes_line", "routes_point"], bbox=here)) == 2
        assert await features_of(reader, ["routes_line", "routes_point"], bbox=there) == []
        indicators = await collections(reader)
        kinds = {each["properties"]["kind"] for each in await features_of(reader, indicators, bbox=here)}
        assert kinds == {"route_closure"}
        assert await features_of(reader, indicators, bbox=there) == []
    for bbox in ("37.18,36.19,37.2,36.21", "37.18,36.19,-100,37.2,36.21,4000", "37.18,36.19,-170,36.21"):
        places = {each["properties"]["slug"] for each in await features_of(client, ["places_point", "places_polygon"], bbox=bbox)}
        assert places == {"oldtown", "pocket"}
    area = rectangle(37.0, 36.0, 38.0, 37.0)
    assert await all_features(client, "places_unlocated", bbox="-180,-90,180,90") == []
    for each in await features_of(client, indicators, bbox="37,36,38,37"):
        assert shape(each["geometry"]).intersects(area)


async def test_datetime_selects_by_the_time_of_the_preferred_report(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    slug = "south-road"
    # Nothing stands on the road since the only report on it was retracted.
    assert slug not in {each["properties"]["subject"] for each in await features_of(client, await collections(client))}
    claim = report("route_closure", {"route": slug, "status": "open"}, source="army")
    assert (await client.post("/v1/reports", json=claim)).status_code == 201
    indicators = await collections(client)
    everything = await features_of(client, indicators)
    # An observation has the time at which it ended; what is only claimed has none, and is always included.
    observed, stated = "2016-07-02T03:04:05Z", "2016-07-28T00:00:00Z"
    assert {each["properties"]["stated_at"] for each in everything} == {observed, stated, None}
    (timeless,) = [each for each in everything if each["properties"]["stated_at"] is None]
    assert (timeless["properties"]["subject"], timeless["geometry"]["type"]) == (slug, "MultiLineString")
    for when, times in (
        ("2016-07-28T00:00:00Z", {stated}),
        ("2016-07-28", {stated}),
        ("2016-07-02", {observed}),
        ("2016-07-28T00:00:00Z/2016-07-29T00:00:00Z", {stated}),
        ("../2016-07-28T00:00:00Z", {stated, observed}),
        ("/2016-07-27T23:59:59Z", {observed}),
        ("2016-07-02T03:04:06Z/2016-07-27T23:59:59Z", set()),
        ("2016-07-28T00:00:01Z/..", set()),
        ("2016-07-28T00:00:01Z/", set()),
        ("../..", {stated, observed}),
        ("0001-01-01/9999-12-31", {stated, observed}),
    ):
        expected = [each for each in everything if each["properties"]["stated_at"] in {*times, None}]
        assert await features_of(client, indicators, datetime=when) == expected, when
        assert len(await all_features(client, "places_point", datetime=when)) == 2
    assert (await client.get(f"{ITEMS.format('places_point')}?limit=1000000")).status_code == 200


@mostly_sqlite
async def test_invalid_requests_get_400_and_unknown_resources_404(anonymous: httpx.AsyncClient) -> None:
    for query, pointer in (
        ("no_such_parameter=1", "?no_such_parameter"),
        ("limit=0", "?limit"),
        ("limit=many", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("bbox=1,2,3", "?bbox"),
        ("bbox=1,2,3,nan", "?bbox"),
        ("bbox=35,136,36,137", "?bbox"),
        ("bbox=1,2,1e999,3", "?bbox"),
        ("bbox=1,50,3,40", "?bbox"),
        ("datetime=yesterday", "?datetime"),
        ("datetime=2016-08-02/2016-08-01", "?datetime"),
        ("datetime=2016-08-02/2016-08-03/2016-08-04", "?datetime"),
        ("cursor=nonsense", "?cursor"),
        ("startindex=-1", "?startindex"),
        ("startindex=100001", "?startindex"),
        ("crs=http://www.opengis.net/def/crs/EPSG/0/3857", "?crs"),
        ("bbox=1,2,3,4&bbox-crs=http://www.opengis.net/def/crs/EPSG/0/4326", "?bbox-crs"),
        ("f=xml", "?f"),
    ):
        response = await anonymous.get(f"{ITEMS.format('places_point')}?{query}")
        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json"), query
        assert [each["pointer"] for each in response.json()["errors"]] == [pointer], query
    for path in ("/ogc/collections/nothing", ITEMS.format("places"), f"{ITEMS.format('places_point')}/nothing", "/ogc/nothing"):
        response = await anonymous.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json"), path


@mostly_sqlite
async def test_features_hold_nothing_above_the_clearance(anonymous: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for type_ in (*TYPES, "unlocated"):
        items = ITEMS.format(f"trapped_population_{type_}")
        for path in (items, f"{items}/{filled['people']['indicator']}"):
            told = (await anonymous.get(path)).text
            assert "123456" not in told
            assert filled["secret"]["id"] not in told


@sqlite_only
async def test_every_document_has_an_escaped_page(client: httpx.AsyncClient, reference: Reference) -> None:
    camp = await post(client, "/v1/places", slug="camp", name="<script>alert(1)</script>", centroid=[37.0, 36.0])
    items = ITEMS.format("places_point")
    for path in ("/ogc", "/ogc/conformance", "/ogc/collections", "/ogc/collections/places_point", items, f"{items}/{camp['id']}"):
        for how in ({"params": {"f": "html"}}, {"headers": {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}}):
            page = await client.get(path, **how)  # type: ignore[arg-type]
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'self'" in page.headers["content-security-policy"]
            assert "<script" not in page.text
        document = await client.get(path, params={"f": "json"}, headers={"Accept": "text/html"})
        assert document.headers["content-type"] in ("application/json", "application/geo+json")
        links = {(each["rel"], each["type"]): each["href"] for each in document.json()["links"]}
        assert [each["rel"] for each in document.json()["links"]].count("self") == 1
        assert (await client.get(links["alternate", "text/html"])).headers["content-type"] == "text/html; charset=utf-8"
        assert (await client.get(links["self", document.headers["content-type"]])).content == document.content
    assert "&lt;script&gt;" in (await client.get(f"{items}?f=html")).text
    assert 'href="javascript' not in (await client.get(f"{items}?f=html&limit=1&bbox=0,0,90,90")).text


@mostly_sqlite
async def test_links_begin_with_the_public_url(client: httpx.AsyncClient, settings: Settings, reference: Reference) -> None:
    for host, base in (
        ("a.example", "http://a.example"),
        ("b.example", "http://b.example"),
        ("a.example", "https://gis.example.org/lifeline"),
    ):
        settings.public_url = base if base.startswith("https") else None
        answer = await client.get(f"{ITEMS.format('places_point')}?limit=1", headers={"Host": host})
        assert answer.headers["content-crs"] == "<http://www.opengis.net/def/crs/OGC/1.3/CRS84>"
        links = [each["href"] for each in answer.json()["links"]]
        assert all(each.startswith(f"{base}/") for each in links), links


FIJI = [[[[177, -18], [180, -18], [180, -16], [177, -18]]], [[[-180, -18], [-179, -18], [-180, -16], [-180, -18]]]]


async def test_document_as_a_page_leads_to_swagger_ui(client: httpx.AsyncClient) -> None:
    page = await client.get("/ogc/api?f=html")
    assert (page.status_code, page.headers["location"]) == (307, "../docs")
    assert (await client.get("/ogc/api?f=json")).json()["openapi"] == "3.0.3"


async def test_boxes_find_what_crosses_the_antimeridian(client: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, "/v1/places", slug="fiji", name="Fiji", geometry={"type": "MultiPolygon", "coordinates": FIJI})
    shortcut = {"type": "LineString", "coordinates": [[178, -17], [-175, -21]]}
    await post(client, "/v1/routes", slug="suva-tonga", name="Suva to Tonga", mode="sea", geometry=shortcut)
    for box, found in (
        ("-10,-20,10,0", False),
        ("100,-20,170,0", False),
        ("-170,-20,170,0", False),
        ("178,-18,179,-17", True),
        ("179.5,-18,-179.5,-16", True),
        ("-180,-18,-179.5,-16", True),
        ("170,-20,-170,-10", True),
        ("-180,-90,180,90", True),
        # As maps ask for it that are panned or zoomed out beyond 180 degrees.
        ("537,-20,541,-10", True),
        ("-185,-20,-178,-10", True),
        ("-300,-100,300,100", True),
        ("280,-20,530,-10", False),
    ):
        places = [each["properties"]["slug"] for each in await all_features(client, "places_polygon", bbox=box)]
        routes = [each["properties"]["slug"] for each in await all_features(client, "routes_line", bbox=box)]
        listed = [each["slug"] for each in (await client.get("/v1/places", params={"bbox": box})).json()["items"]]
        assert ("fiji" in places, "suva-tonga" in routes, "fiji" in listed) == (found,) * 3, box
    extent = (await client.get("/ogc/collections/places_polygon")).json()["extent"]["spatial"]["bbox"]
    assert extent == [[177, -18, -179, -16]]
