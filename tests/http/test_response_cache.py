"""ETags, codings and kept answers: nothing stale, nothing of another clearance, almost nothing on the wire."""

import gzip

import httpx
import pytest
import zstandard

from app.access.keys import list_keys, revoke_key
from app.domain.tlp import Label
from app.main import Application
from app.storage.database import Database
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, sqlite_only

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
    "/ogc/collections/indicators/items",
    "/v1/ledger/head",
    "/openapi.json",
    "/docs",
    "/health/live",
)


@pytest.fixture
async def filled(client: httpx.AsyncClient, reference: Reference) -> httpx.AsyncClient:
    """A client of a service with a report."""
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    return client


@sqlite_only
async def test_every_get_has_a_strong_etag_a_304_and_a_head(filled: httpx.AsyncClient) -> None:
    for path in PATHS:
        first = await filled.get(path)
        assert first.status_code == 200, path
        assert first.headers["cache-control"].split(", ")[-1] in ("no-cache", "no-store"), path
        tag = first.headers["etag"]
        assert tag.startswith('"'), path
        again = await filled.get(path)
        assert (again.content, again.headers["etag"]) == (first.content, tag), path
        for held in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            unchanged = await filled.get(path, headers={"If-None-Match": held})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag), (path, held)
        assert (await filled.get(path, headers={"If-None-Match": '"other"'})).status_code == 200, path
        head = await filled.head(path)
        assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag), path
        assert head.headers["content-length"] == first.headers["content-length"], path


@sqlite_only
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_codings(filled: httpx.AsyncClient, coding: str) -> None:
    plain = await filled.get("/v1/indicators", headers={"Accept-Encoding": "identity"})
    coded = await filled.get("/v1/indicators", headers={"Accept-Encoding": f"br, {coding}"})
    assert coded.headers["content-encoding"] == coding
    assert coded.headers["etag"] != plain.headers["etag"]
    assert int(coded.headers["content-length"]) < len(plain.content)
    assert coded.content == plain.content
    assert "Accept-Encoding" in coded.headers["vary"]
    async with filled.stream("GET", "/v1/indicators", headers={"Accept-Encoding": coding}) as raw:
        body = b"".join([chunk async for chunk in raw.aiter_raw()])
    assert (gzip.decompress(body) if coding == "gzip" else zstandard.ZstdDecompressor().decompress(body)) == plain.content
    refused = await filled.get("/v1/indicators", headers={"Accept-Encoding": f"{coding};q=0"})
    assert "content-encoding" not in refused.headers


@sqlite_only
async def test_an_unchanged_page_costs_less_than_300_bytes(filled: httpx.AsyncClient) -> None:
    tag = (await filled.get("/v1/indicators")).headers["etag"]
    answer = await filled.get("/v1/indicators", headers={"If-None-Match": tag})
    wire = len(b"HTTP/1.1 304 Not Modified\r\ndate: Tue, 24 Nov 2026 09:00:00 GMT\r\n\r\n")
    wire += sum(len(name) + len(value) + 4 for name, value in answer.headers.raw)
    assert wire < 300


async def test_a_report_is_seen_at_the_next_request(filled: httpx.AsyncClient, anonymous: httpx.AsyncClient) -> None:
    for number in range(3):
        before = await anonymous.get("/v1/indicators")
        await filled.post("/v1/reports", json=report(stated_at=f"2016-08-0{number + 1}", value={"people": number}))
        after = await anonymous.get("/v1/indicators")
        assert after.headers["etag"] != before.headers["etag"]
        assert after.json()["items"][0]["value"]["people"] == number


async def test_readers_of_different_clearances_never_share(
    filled: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient
) -> None:
    await filled.post("/v1/reports", json=report(source="envoy", sensitivity="red", value={"people": 1}))
    readers = [await make_client(clearance=label) for label in Label]
    for _ in range(2):
        for reader in (*readers, anonymous):
            items = (await reader.get("/v1/reports")).json()["items"]
            assert len(items) == (2 if reader is readers[-1] else 1)
    assert "private" in (await readers[0].get("/v1/reports")).headers["cache-control"]
    assert "public" in (await anonymous.get("/v1/reports")).headers["cache-control"]


async def test_a_revoked_key_gets_nothing_that_was_kept_for_it(
    filled: httpx.AsyncClient, make_client: MakeClient, database: Database
) -> None:
    reader = await make_client(clearance=Label.AMBER, organisation="to be revoked")
    assert [(await reader.get("/v1/indicators")).status_code for _ in range(2)] == [200, 200]
    async with database.write() as session:
        (key,) = [key for key in await list_keys(session) if key.organisation == "to be revoked"]
        await revoke_key(session, key.id)
    assert (await reader.get("/v1/indicators")).status_code == 401


@sqlite_only
async def test_a_hit_asks_the_application_nothing(filled: httpx.AsyncClient, app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = await filled.get("/v1/indicators", params={"limit": 5, "kind": "trapped_population"})

    async def unreachable(*_: object) -> None:
        raise AssertionError

    assert app.response_cache is not None
    monkeypatch.setattr(app.response_cache, "_app", unreachable)
    hit = await filled.get("/v1/indicators", params={"kind": "trapped_population", "limit": 5})
    assert hit.content == kept.content


@sqlite_only
async def test_what_is_kept_is_bounded(client: httpx.AsyncClient, app: Application, reference: Reference) -> None:
    kept = app.response_cache
    assert kept is not None
    kept._most_bytes = 20_000
    for limit in range(1, 30):
        assert (await client.get("/v1/sources", params={"limit": limit})).status_code == 200
    assert 0 < kept._bytes <= 20_000
    assert sum(answer.size for answer in kept._kept.values()) == kept._bytes
