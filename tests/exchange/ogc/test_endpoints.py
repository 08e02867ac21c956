"""OGC API - Features: owslib reads a real server; the rules of the standard over HTTP."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from owslib.ogcapi.features import Features
from shapely.geometry import box, shape

from app.domain.tlp import Label
from app.exchange.ogc import features
from tests.support.factories import report
from tests.support.fixtures import MakeClient
from tests.support.processes import serve_demo

ITEMS = "/ogc/collections/{}/items"


def test_owslib_reads_collections_and_features(tmp_path: Path) -> None:
    with serve_demo(tmp_path) as server:
        client = Features(f"{server.url}/ogc")
        assert {link["rel"] for link in client.links} >= {"self", "service-desc", "conformance", "data"}
        assert any(each.endswith("ogcapi-features-1/1.0/conf/core") for each in client.conformance()["conformsTo"])
        assert client.feature_collections() == ["places", "routes", "indicators"]
        assert client.collection("places")["itemType"] == "feature"
        found = client.collection_items("indicators", limit=3, bbox=[36.0, 36.0, 38.0, 37.0])
        assert found["numberReturned"] == 3
        following = next(link["href"] for link in found["links"] if link["rel"] == "next")
        more = httpx.get(following).json()
        assert {each["id"] for each in found["features"]}.isdisjoint(each["id"] for each in more["features"])
        one = client.collection_item("indicators", found["features"][0]["id"])
        assert one["properties"] == found["features"][0]["properties"]
        october = client.collection_items("indicators", datetime_="2016-10-01T00:00:00Z/..")
        assert [each["properties"]["subject"] for each in october["features"]] == ["besieged"]
        assert client.collection_items("places", bbox=[0, 0, 1, 1])["features"] == []
        assert shape(client.collection_items("routes")["features"][0]["geometry"]).is_valid


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


async def test_pages_hold_all_features_and_each_has_its_own_url(
    client: httpx.AsyncClient, filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BATCH_SIZE", 1)
    for collection in ("places", "routes", "indicators"):
        whole = (await client.get(ITEMS.format(collection))).json()["features"]
        assert await all_features(client, collection, limit=1) == whole
        assert len(whole) > 1
        one = await client.get(f"{ITEMS.format(collection)}/{whole[0]['id']}")
        assert {name: one.json()[name] for name in whole[0]} == whole[0]
        assert one.headers["content-type"] == "application/geo+json"
        tag = one.headers["etag"]
        unchanged = await client.get(f"{ITEMS.format(collection)}/{whole[0]['id']}", headers={"If-None-Match": tag})
        assert unchanged.status_code == 304
        listed = (await client.get(f"/v1/{collection}.geojson")).json()["features"]
        assert listed == whole
    assert (await client.get("/ogc")).json() == (await client.get("/ogc/")).json()


async def test_bbox_compares_the_geometry_that_the_caller_may_see(
    client: httpx.AsyncClient, make_client: MakeClient, filled: dict[str, Any]
) -> None:
    """Below amber a route is compared by its coarse line, so that no box reveals the exact one."""
    green = await make_client(clearance=Label.GREEN)
    fine, coarse = "37.07,36.255,37.09,36.27", "37.09,36.29,37.11,36.31"
    for reader, here, there in ((client, fine, coarse), (green, coarse, fine)):
        assert len(await all_features(reader, "routes", bbox=here)) == 2
        assert await all_features(reader, "routes", bbox=there) == []
        kinds = {each["properties"]["kind"] for each in await all_features(reader, "indicators", bbox=here)}
        assert kinds == {"route_closure"}
        assert await all_features(reader, "indicators", bbox=there) == []
    for bbox in ("37.18,36.19,37.2,36.21", "37.18,36.19,-100,37.2,36.21,4000", "37.18,36.19,-170,36.21"):
        places = {each["properties"]["slug"] for each in await all_features(client, "places", bbox=bbox)}
        assert places == {"oldtown", "pocket"}
    area = box(37.0, 36.0, 38.0, 37.0)
    for each in await all_features(client, "indicators", bbox="37,36,38,37"):
        assert shape(each["geometry"]).intersects(area)


async def test_datetime_selects_by_the_time_of_the_preferred_report(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    slug = "south-road"
    # Nothing stands on the road since the only report on it was retracted.
    assert slug not in {each["properties"]["subject"] for each in await all_features(client, "indicators")}
    claim = report("route_closure", {"route": slug, "status": "open"}, source="army")
    assert (await client.post("/v1/reports", json=claim)).status_code == 201
    everything = await all_features(client, "indicators")
    # An observation has the time at which it ended; what is only claimed has none, and is always included.
    observed, stated = "2016-07-02T03:04:05Z", "2016-07-28T00:00:00Z"
    assert {each["properties"]["stated_at"] for each in everything} == {observed, stated, None}
    assert [each["properties"]["subject"] for each in everything if each["properties"]["stated_at"] is None] == [slug]
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
        assert await all_features(client, "indicators", datetime=when) == expected, when
        assert len(await all_features(client, "places", datetime=when)) == 4
    assert (await client.get(f"{ITEMS.format('places')}?limit=1000000")).status_code == 200


async def test_invalid_requests_get_400_and_unknown_resources_404(anonymous: httpx.AsyncClient) -> None:
    for query, pointer in (
        ("no_such_parameter=1", "?no_such_parameter"),
        ("limit=0", "?limit"),
        ("limit=many", "?limit"),
        ("limit=1&limit=2", "?limit"),
        ("bbox=1,2,3", "?bbox"),
        ("bbox=1,2,3,nan", "?bbox"),
        ("bbox=1,50,3,40", "?bbox"),
        ("datetime=yesterday", "?datetime"),
        ("datetime=2016-08-02/2016-08-01", "?datetime"),
        ("datetime=2016-08-02/2016-08-03/2016-08-04", "?datetime"),
        ("cursor=nonsense", "?cursor"),
    ):
        response = await anonymous.get(f"{ITEMS.format('places')}?{query}")
        assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json"), query
        assert [each["pointer"] for each in response.json()["errors"]] == [pointer], query
    for path in ("/ogc", "/ogc/conformance", "/ogc/collections", "/ogc/collections/places"):
        assert (await anonymous.get(f"{path}?f=html")).status_code == 400
    for path in ("/ogc/collections/nothing", ITEMS.format("nothing"), f"{ITEMS.format('places')}/nothing", "/ogc/nothing"):
        response = await anonymous.get(path)
        assert (response.status_code, response.headers["content-type"]) == (404, "application/problem+json"), path


async def test_features_hold_nothing_above_the_clearance(anonymous: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for path in (ITEMS.format("indicators"), f"{ITEMS.format('indicators')}/{filled['people']['indicator']}"):
        told = (await anonymous.get(path)).text
        assert "123456" not in told
        assert filled["secret"]["id"] not in told
