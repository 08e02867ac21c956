"""Content codings: the choice by `Accept-Encoding` (RFC 9110, 12.5.3), and the bytes that are sent."""

import gzip

import httpx
import pytest
import zstandard

from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only

pytestmark = sqlite_only


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
async def test_coding_follows_accept_encoding(client: httpx.AsyncClient, reference: Reference, accepted: str, coding: str | None) -> None:
    answer = await client.get("/v1/sources", headers={"Accept-Encoding": accepted})
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["vary"] == "Accept, Accept-Encoding, Authorization"
    assert len(answer.json()["items"]) == 8


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_compressed_response_has_its_own_etag_and_the_same_content(
    client: httpx.AsyncClient, reference: Reference, coding: str
) -> None:
    plain = await client.get("/v1/sources", headers={"Accept-Encoding": "identity"})
    coded = await client.get("/v1/sources", headers={"Accept-Encoding": f"br, {coding}"})
    assert coded.headers["content-encoding"] == coding
    assert coded.headers["etag"] != plain.headers["etag"]
    assert int(coded.headers["content-length"]) < len(plain.content)
    assert coded.content == plain.content
    assert "Accept-Encoding" in coded.headers["vary"]
    async with client.stream("GET", "/v1/sources", headers={"Accept-Encoding": coding}) as raw:
        body = b"".join([chunk async for chunk in raw.aiter_raw()])
    assert (gzip.decompress(body) if coding == "gzip" else zstandard.ZstdDecompressor().decompress(body)) == plain.content
    refused = await client.get("/v1/sources", headers={"Accept-Encoding": f"{coding};q=0"})
    assert "content-encoding" not in refused.headers
