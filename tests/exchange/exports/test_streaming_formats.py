"""Every list in every format: the same rows by suffix, `?format=` and `Accept`, complete, and no more than the clearance may see."""

import csv
import io
import json
from typing import Any

import httpx
import openpyxl
import pytest

from app.domain.tlp import Label
from app.exchange.exports import streaming
from app.http.cursors import cursor_revision
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

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
    """Return the formats to test: on PostgreSQL only those that differ, because geometries are looked up in the database."""
    return list(MEDIA_TYPES) if engine == "sqlite" else ["geojson", "ndjson"]


def rows(body: bytes, format_: str) -> list[Any]:
    """Return the records of a response."""
    if format_ == "csv":
        return list(csv.reader(io.StringIO(body.decode(), newline="")))[2:]
    if format_ == "xlsx":
        return list(openpyxl.load_workbook(io.BytesIO(body)).worksheets[0].values)[2:]
    if format_ == "geojson":
        return list(json.loads(body)["features"])
    return [json.loads(line) for line in body.splitlines()]


@mostly_sqlite
async def test_every_list_has_the_same_rows_in_every_format(client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str]) -> None:
    for name in LISTS:
        params = QUERY.get(name, {})
        items = (await client.get(f"/v1/{name}", params=params | {"limit": 1000})).json()["items"]
        assert items, name
        for format_ in formats:
            response = await client.get(f"/v1/{name}.{format_}", params=params)
            if format_ == "geojson" and name not in MAPPED:
                assert response.status_code == 404
                continue
            assert (response.status_code, response.headers["content-type"]) == (200, MEDIA_TYPES[format_]), (name, format_)
            assert response.headers["etag"].startswith('"')
            assert len(rows(response.content, format_)) == len(items), (name, format_)
        unknown = await client.get(f"/v1/{name}.csv", params={"no_such_parameter": 1})
        assert (unknown.status_code, unknown.headers["content-type"]) == (422, "application/problem+json")
        assert (await client.get(f"/v1/{name}.json", params=params | {"limit": 1000})).json()["items"] == items
        lines = (await client.get(f"/v1/{name}.ndjson", params=params)).content
        assert rows(lines, "ndjson") == items


@sqlite_only
async def test_suffix_query_and_accept_give_the_same_list(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for format_, media_type in MEDIA_TYPES.items():
        by_suffix = await client.get(f"/v1/places.{format_}")
        by_query = await client.get(f"/v1/places?format={format_}")
        by_accept = await client.get("/v1/places", headers={"Accept": media_type})
        assert by_suffix.content == by_query.content == by_accept.content
        # A cached response in one format must not answer a request for another.
        assert (await client.get("/v1/places")).headers["content-type"] == "application/json"
        again = await client.get("/v1/places", headers={"Accept": media_type, "If-None-Match": by_accept.headers["etag"]})
        assert again.status_code == 304
        assert "Accept" in again.headers["vary"]


@sqlite_only
async def test_unknown_format_or_parameter_is_refused(anonymous: httpx.AsyncClient) -> None:
    for response, status in (
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
        assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.url
    assert "csv" in (await anonymous.get("/v1/indicators?format=pdf")).json()["detail"]


async def test_list_is_complete_unless_a_limit_is_given(
    client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = {format_: (await client.get(f"/v1/reports.{format_}")).content for format_ in formats}
    monkeypatch.setattr(streaming, "PAGE_ROWS", 2)
    for format_, body in complete.items():
        # Another query, so that the response cache does not response.
        assert (await client.get(f"/v1/reports.{format_}?bbox=-180,-90,180,90&format={format_}")).status_code == 200
        again = await client.get(f"/v1/reports.{format_}?within=false")
        assert again.content == body, format_
        assert "link" not in again.headers
    pages: list[Any] = []
    path: str | None = "/v1/reports.ndjson?limit=4"
    while path is not None:
        response = await client.get(path)
        pages += rows(response.content, "ndjson")
        path = response.links["next"]["url"] if "next" in response.links else None
        # The cursor carries the revision, so that no page shows an older state than the one before.
        assert path is None or cursor_revision(path.rpartition("cursor=")[2]) == int(response.headers["lifeline-revision"])
    assert pages == rows(complete["ndjson"], "ndjson")
    changes = rows((await client.get("/v1/changes.ndjson")).content, "ndjson")
    assert [each["seq"] for each in changes] == list(range(1, len(changes) + 1))
    first = await client.get("/v1/changes.ndjson?limit=3")
    following = await client.get(first.links["next"]["url"])
    assert rows(first.content, "ndjson") + rows(following.content, "ndjson") == changes[:6]


@mostly_sqlite
async def test_filters_and_times_apply_in_every_format(client: httpx.AsyncClient, filled: dict[str, Any], formats: list[str]) -> None:
    for format_ in formats:
        assert len(rows((await client.get(f"/v1/reports.{format_}?source=monitor")).content, format_)) == 2
        assert rows((await client.get(f"/v1/reports.{format_}?as_of=2016-07-27")).content, format_) == []
        assert rows((await client.get(f"/v1/indicators.{format_}?as_of=2016-07-27")).content, format_) == []
        assert rows((await client.get(f"/v1/reports.{format_}?known_at=2016-07-27")).content, format_) == []
        assert len(rows((await client.get(f"/v1/reports.{format_}?status=retracted")).content, format_)) == 1


@mostly_sqlite
async def test_no_format_shows_reports_above_the_clearance(
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
