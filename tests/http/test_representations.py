"""Conditional requests: a strong ETag for every GET, and a 304 of few bytes."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only

PATHS = (
    "/v1/indicators",
    "/v1/trapped-populations?place=oldtown",
    "/v1/situations",
    "/v1/situations/oldtown",
    "/v1/warnings",
    "/v1/reports",
    "/v1/changes",
    "/v1/places",
    "/v1/indicators.csv",
    "/v1/reports?format=ndjson",
    "/v1/places.xlsx",
    "/v1/alerts",
    "/ogc/collections/trapped_population_point/items",
    "/v1/ledger/head",
    "/openapi.json",
    "/docs",
    "/health/live",
)


@pytest.fixture
async def filled(client: httpx.AsyncClient, reference: Reference) -> httpx.AsyncClient:
    """Return a client of a service with one report."""
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    return client


@sqlite_only
async def test_get_has_a_strong_etag_a_304_and_a_head(filled: httpx.AsyncClient) -> None:
    for path in PATHS:
        first = await filled.get(path)
        assert first.status_code == 200, path
        assert first.headers["cache-control"].split(", ")[-1] in ("no-cache", "no-store"), path
        tag = first.headers["etag"]
        assert tag.startswith('"'), path
        again = await filled.get(path)
        assert (again.content, again.headers["etag"]) == (first.content, tag), path
        for if_none_match in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            unchanged = await filled.get(path, headers={"If-None-Match": if_none_match})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag), (path, if_none_match)
        assert (await filled.get(path, headers={"If-None-Match": '"other"'})).status_code == 200, path
        head = await filled.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag), path
        assert head.headers["content-length"] == first.headers["content-length"], path


@sqlite_only
async def test_304_of_a_page_has_fewer_than_300_bytes(filled: httpx.AsyncClient) -> None:
    tag = (await filled.get("/v1/indicators")).headers["etag"]
    answer = await filled.get("/v1/indicators", headers={"If-None-Match": tag})
    size = len(b"HTTP/1.1 304 Not Modified\r\ndate: Tue, 24 Nov 2026 09:00:00 GMT\r\n\r\n")
    size += sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
    assert size < 300


@sqlite_only
async def test_repeated_header_lines_are_one_list(client: httpx.AsyncClient, reference: Reference) -> None:
    tag = (await client.get("/v1/sources", headers={"Accept-Encoding": "identity"})).headers["etag"]
    lines = [("If-None-Match", '"other"'), ("If-None-Match", tag), ("If-None-Match", '"last"')]
    assert (await client.get("/v1/sources", headers=lines)).status_code == 304
    codings = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip"), ("Accept-Encoding", "zstd;q=0")]
    assert (await client.get("/v1/sources", headers=codings)).headers["content-encoding"] == "gzip"


async def test_last_modified_is_the_last_change_of_the_indicator(client: httpx.AsyncClient, reference: Reference) -> None:
    posted = (await client.post("/v1/reports", json=report())).json()
    path = f"/v1/indicators/{posted['indicator']}"
    answer = await client.get(path)
    last_modified = answer.headers["last-modified"]
    recorded = datetime.fromisoformat(answer.json()["recorded_at"])
    assert parsedate_to_datetime(last_modified) == recorded.astimezone(UTC).replace(microsecond=0)
    assert (await client.head(path)).headers["last-modified"] == last_modified
    assert "last-modified" not in (await client.get(path, headers={"If-None-Match": answer.headers["etag"]})).headers
    assert "last-modified" not in (await client.get("/v1/indicators")).headers
