"""Every list in every format: the same rows by suffix, `?format=` and `Accept`, whole, and no more than the reader may see."""

import csv
import io
import json
from typing import Any

import httpx
import openpyxl
import pytest
import shapely
from shapely.geometry import shape

from app.domain.tlp import Label
from app.exchange.exports import streaming
from tests.support.fixtures import MakeClient, sqlite_only

MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "geojson": "application/geo+json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ndjson": "application/x-ndjson",
}
MAPPED = ("indicators", "trapped-populations", "supply-runouts", "route-closures", "reports", "situations", "warnings", "places", "routes")
LISTS = (*MAPPED, "sources", "changes")
QUERY = {"warnings": {"as_of": "2016-08-12"}}


@pytest.fixture
def formats(engine: str) -> list[str]:
    """The formats to try: how each is written no database has a part in, places are looked up for one alone."""
    return list(MEDIA_TYPES) if engine == "sqlite" else ["geojson", "ndjson"]


def rows(body: bytes, format_: str) -> list[Any]:
    """The records of an answer, as far as the format tells them apart."""
    if format_ == "csv":
        return list(csv.reader(io.StringIO(body.decode(), newline="")))[2:]
    if format_ == "xlsx":
        return list(openpyxl.load_workbook(io.BytesIO(body)).worksheets[0].values)[2:]
    if format_ == "geojson":
        return list(json.loads(body)["features"])
    return [json.loads(line) for line in body.splitlines()]


async def test_every_list_in_every_format(client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str]) -> None:
    for name in LISTS:
        params = QUERY.get(name, {})
        items = (await client.get(f"/v1/{name}", params=params | {"limit": 1000})).json()["items"]
        assert items, name
        for format_ in formats:
            answer = await client.get(f"/v1/{name}.{format_}", params=params)
            if format_ == "geojson" and name not in MAPPED:
                assert answer.status_code == 404
                continue
            assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPES[format_]), (name, format_)
            assert answer.headers["etag"].startswith('"')
            assert len(rows(answer.content, format_)) == len(items), (name, format_)
        unknown = await client.get(f"/v1/{name}.csv", params={"no_such_parameter": 1})
        assert (unknown.status_code, unknown.headers["content-type"]) == (422, "application/problem+json")
        assert (await client.get(f"/v1/{name}.json", params=params | {"limit": 1000})).json()["items"] == items
        lines = (await client.get(f"/v1/{name}.ndjson", params=params)).content
        assert rows(lines, "ndjson") == items


@sqlite_only
async def test_by_suffix_by_query_and_by_accept_it_is_the_same(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for format_, media_type in MEDIA_TYPES.items():
        by_suffix = await client.get(f"/v1/places.{format_}")
        by_query = await client.get(f"/v1/places?format={format_}")
        by_accept = await client.get("/v1/places", headers={"Accept": media_type})
        assert by_suffix.content == by_query.content == by_accept.content
        # What is kept of one format is not given to who asks for another.
        assert (await client.get("/v1/places")).headers["content-type"] == "application/json"
        again = await client.get("/v1/places", headers={"Accept": media_type, "If-None-Match": by_accept.headers["etag"]})
        assert again.status_code == 304
        assert "Accept" in again.headers["vary"]


@sqlite_only
async def test_what_is_not_offered(anonymous: httpx.AsyncClient) -> None:
    for answer, status in (
        (await anonymous.get("/v1/indicators", headers={"Accept": "application/pdf"}), 406),
        (await anonymous.get("/v1/indicators?format=pdf"), 406),
        (await anonymous.get("/v1/sources?format=geojson"), 406),
        (await anonymous.get("/v1/sources", headers={"Accept": "application/geo+json"}), 406),
        (await anonymous.get("/v1/alerts", headers={"Accept": "application/json"}), 406),
        (await anonymous.get("/v1/indicators.pdf"), 404),
        (await anonymous.get("/v1/sources.geojson"), 404),
        (await anonymous.get("/v1/indicators.csv?format=xlsx"), 422),
        (await anonymous.get("/v1/indicators.csv?cursor=nonsense"), 422),
        (await anonymous.get("/v1/indicators.csv?limit=0"), 422),
        (await anonymous.get("/v1/webhooks.csv"), 404),
        (await anonymous.post("/v1/reports.csv", json={}), 405),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.url
    assert "csv" in (await anonymous.get("/v1/indicators?format=pdf")).json()["detail"]


async def test_the_whole_selection_unless_a_page_is_asked_for(
    client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {format_: (await client.get(f"/v1/reports.{format_}")).content for format_ in formats}
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    for format_, body in whole.items():
        # Another query, so that what is kept is not what is looked at.
        assert (await client.get(f"/v1/reports.{format_}?bbox=-180,-90,180,90&format={format_}")).status_code == 200
        again = await client.get(f"/v1/reports.{format_}?within=false")
        assert again.content == body, format_
        assert "link" not in again.headers
    pages: list[Any] = []
    path: str | None = "/v1/reports.ndjson?limit=4"
    while path is not None:
        answer = await client.get(path)
        pages += rows(answer.content, "ndjson")
        path = answer.links["next"]["url"] if "next" in answer.links else None
        # So that no page is of an older state than the one before it.
        assert path is None or path.endswith(f".{answer.headers['lifeline-revision']}")
    assert pages == rows(whole["ndjson"], "ndjson")
    changes = rows((await client.get("/v1/changes.ndjson")).content, "ndjson")
    assert [each["seq"] for each in changes] == list(range(1, len(changes) + 1))
    first = await client.get("/v1/changes.ndjson?limit=3")
    following = await client.get(first.links["next"]["url"])
    assert rows(first.content, "ndjson") + rows(following.content, "ndjson") == changes[:6]


async def test_filters_and_time_travel_hold_in_every_format(client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str]) -> None:
    for format_ in formats:
        assert len(rows((await client.get(f"/v1/reports.{format_}?source=monitor")).content, format_)) == 2
        assert rows((await client.get(f"/v1/reports.{format_}?as_of=2016-07-27")).content, format_) == []
        assert rows((await client.get(f"/v1/indicators.{format_}?as_of=2016-07-27")).content, format_) == []
        assert rows((await client.get(f"/v1/reports.{format_}?known_at=2016-07-27")).content, format_) == []
        assert len(rows((await client.get(f"/v1/reports.{format_}?status=retracted")).content, format_)) == 1


async def test_nothing_above_the_clearance_shows_in_any_format(
    anonymous: httpx.AsyncClient, make_client: MakeClient, filled: dict[str, Any]
) -> None:
    green, red = await make_client(clearance=Label.GREEN), await make_client(clearance=Label.RED)
    for reader in (anonymous, green):
        for name in ("indicators", "reports", "changes", "situations"):
            seen = (await reader.get(f"/v1/{name}.ndjson")).text
            assert "123456" not in seen
            assert filled["secret"]["id"] not in seen
            table = (await reader.get(f"/v1/{name}.csv")).text
            assert "123456" not in table
            assert filled["secret"]["id"] not in table
    assert filled["secret"]["id"] in (await red.get("/v1/reports.csv")).text
    assert "private" in (await red.get("/v1/reports.csv")).headers["cache-control"]
    assert "public" in (await anonymous.get("/v1/reports.csv")).headers["cache-control"]


@sqlite_only
async def test_geometry(client: httpx.AsyncClient, make_client: MakeClient, filled: dict[str, Any]) -> None:
    """Indicators on their place, closures on their route, coarse below amber and said so; valid for shapely."""
    green, amber = await make_client(clearance=Label.GREEN), await make_client(clearance=Label.AMBER)
    for reader, exact in ((green, False), (amber, True)):
        for name in ("route-closures", "routes", "reports"):
            features = rows((await reader.get(f"/v1/{name}.geojson")).content, "geojson")
            lines = [each for each in features if each["geometry"] and each["geometry"]["type"] == "LineString"]
            assert lines, name
            for each in lines:
                line = shape(each["geometry"])
                assert (line.coords[0] == (37.0812, 36.2634)) is exact
                assert each["properties"]["redacted"] == ([] if exact else ["geometry"])
    features = {
        (each["properties"]["kind"], each["properties"]["place.slug"]): each
        for each in rows((await green.get("/v1/indicators.geojson")).content, "geojson")
    }
    area = shape(features["supply_runout", "pocket"]["geometry"])
    assert area.is_valid
    assert area.contains(shapely.Point(37.19, 36.2))
    assert shape(features["trapped_population", "oldtown"]["geometry"]) == shapely.Point(37.19, 36.2)
    assert features["trapped_population", "nowhere"]["geometry"] is None
    document = (await client.get("/v1/places.geojson")).json()
    assert document["type"] == "FeatureCollection"
    assert document["revision"] > 0
    assert all(each["properties"].keys() >= {"slug", "name"} and "geometry" not in each["properties"] for each in document["features"])
