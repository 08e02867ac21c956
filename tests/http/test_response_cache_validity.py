"""Kept answers: what is the same question, which coding is sent, for how long and in how many bytes they are kept."""

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from app.http import response_cache
from app.settings import Settings
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeKey
from tests.support.servers import execute_sql_async


@pytest.mark.parametrize("engine", ["postgresql"])
async def test_a_lost_notification_is_noticed(
    settings: Settings, client: httpx.AsyncClient, make_key: MakeKey, reference: Reference
) -> None:
    assert (await client.get("/v1/indicators")).status_code == 200
    # What every commit of Lifeline does, but for the word of it.
    await execute_sql_async(
        settings.database_url, "UPDATE api_key SET revoked_at = now()", "UPDATE ledger_head SET commit_count = commit_count + 1"
    )
    async with asyncio.timeout(10):
        while (await client.get("/v1/indicators")).status_code != 401:  # noqa: ASYNC110 - it hears of it by asking
            await asyncio.sleep(0.1)


async def test_the_same_question_is_the_same_however_it_is_spelled(
    client: httpx.AsyncClient, app: Any, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    first = await client.get("/v1/indicators?place=oldtown&kind=trapped_population")
    assert len(first.json()["items"]) == 1
    for query in ("place=oldtown&place=country", "place=country&place=oldtown", "place=oldtown&x=1", "place=old%00town"):
        assert (await client.get(f"/v1/indicators?{query}")).status_code == 422
    assert (await client.get("/v1/indicators?place=old+town&kind=trapped_population")).json()["items"] == []

    async def unreachable(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(app.state.response_cache, "_app", unreachable)
    for query in (
        "kind=trapped_population&place=oldtown",
        "place=%6fldtown&kind=trapped%5Fpopulation",
        "kin%64=trapped_population&place=oldtow%6E",
    ):
        assert (await client.get(f"/v1/indicators?{query}")).content == first.content


async def test_an_empty_authorization_is_no_key_whatever_is_kept(anonymous: httpx.AsyncClient, reference: Reference) -> None:
    for _ in range(2):
        assert (await anonymous.get("/v1/sources", headers={"Authorization": ""})).status_code == 401
        assert (await anonymous.get("/v1/sources")).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("zstd, gzip", "zstd"),
        ("gzip;q=0.5, zstd;q=1", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, zstd", "zstd"),
        ("gzip ; q=0", None),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0, *", None),
        ("identity;q=0", None),
        ("identity;q=0, *;q=0.5", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
        ("br, deflate", None),
        ("gzip;q=nonsense", None),
        (",;,q=1,,", None),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
async def test_accept_encoding(client: httpx.AsyncClient, reference: Reference, accepted: str, coding: str | None) -> None:
    answer = await client.get("/v1/sources", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization"
    assert len(answer.json()["items"]) == 8


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_headers_that_come_in_parts_are_one(client: httpx.AsyncClient, reference: Reference) -> None:
    tag = (await client.get("/v1/sources", headers={"Accept-Encoding": "identity"})).headers["etag"]
    parts = [("If-None-Match", '"other"'), ("If-None-Match", tag), ("If-None-Match", '"last"')]
    assert (await client.get("/v1/sources", headers=parts)).status_code == 304
    coded = await client.get(
        "/v1/sources", headers=[("Accept-Encoding", "br"), ("Accept-Encoding", "gzip"), ("Accept-Encoding", "zstd;q=0")]
    )
    assert coded.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_a_day_that_turns_and_a_key_that_expires(
    client: httpx.AsyncClient, make_key: MakeKey, reference: Reference, monkeypatch: pytest.MonkeyPatch, app: Any
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    reader = {"Authorization": f"Bearer {await make_key(expires_at=soon, clearance=Label.AMBER)}"}
    assert (await client.get("/v1/warnings", headers=reader)).status_code == 200
    asked: list[str] = []
    beneath = app.state.response_cache._app

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await beneath(scope, receive, send)

    monkeypatch.setattr(app.state.response_cache, "_app", counting)
    assert (await client.get("/v1/warnings", headers=reader)).status_code == 200
    assert asked == []
    clock = response_cache.time.time
    monkeypatch.setattr(response_cache.time, "time", lambda: clock() + 60)
    await client.get("/v1/warnings", headers=reader)
    assert len(asked) == 1, "who has expired by this machine's clock is asked about again"
    monkeypatch.setattr(response_cache.time, "time", clock)
    await client.get("/v1/situations")
    await client.get("/v1/situations")
    assert len(asked) == 2
    monkeypatch.setattr(response_cache.time, "time", lambda: clock() + 86_400)
    await client.get("/v1/situations")
    assert len(asked) == 3, "a new day may read otherwise"


@pytest.mark.parametrize("engine", ["sqlite"])
async def test_what_is_kept_counts_every_coding(client: httpx.AsyncClient, app: Any, reference: Reference) -> None:
    kept = app.state.response_cache
    before = kept._bytes
    sizes = []
    for coding in ("identity", "gzip", "zstd"):
        async with client.stream("GET", "/v1/sources", headers={"Accept-Encoding": coding}) as answer:
            body = b"".join([chunk async for chunk in answer.aiter_raw()])
        sizes.append(len(body))
        assert kept._bytes - before >= sum(sizes)
    assert gzip.decompress(await _raw(client, "gzip")) == (await client.get("/v1/sources")).content
    assert sum(answer.size for answer in kept._kept.values()) == kept._bytes


async def _raw(client: httpx.AsyncClient, coding: str) -> bytes:
    async with client.stream("GET", "/v1/sources", headers={"Accept-Encoding": coding}) as answer:
        return b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_last_modified_is_when_the_indicator_last_changed(client: httpx.AsyncClient, reference: Reference) -> None:
    posted = (await client.post("/v1/reports", json=report())).json()
    path = f"/v1/indicators/{posted['indicator']}"
    answer = await client.get(path)
    told = answer.headers["last-modified"]
    recorded = datetime.fromisoformat(answer.json()["recorded_at"])
    assert parsedate_to_datetime(told) == recorded.astimezone(UTC).replace(microsecond=0)
    assert (await client.head(path)).headers["last-modified"] == told
    assert "last-modified" not in (await client.get(path, headers={"If-None-Match": answer.headers["etag"]})).headers
    assert "last-modified" not in (await client.get("/v1/indicators")).headers
