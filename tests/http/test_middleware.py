"""Middleware before routing: the limit on the length of URLs."""

import httpx

from tests.support.fixtures import sqlite_only


@sqlite_only
async def test_url_longer_than_the_limit_gets_414(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/reports", params={"source": "x" * 9000})
    assert (answer.status_code, answer.headers["content-type"]) == (414, "application/problem+json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_slash_at_the_end_is_not_found_and_no_redirect(client: httpx.AsyncClient) -> None:
    for path in ("/v1/places/", "/v1/reports/", "/docs/", "/health/live/"):
        answer = await client.get(path, headers={"Host": "evil.example"})
        assert (answer.status_code, "location" in answer.headers) == (404, False), path
        assert answer.json()["detail"] == "There is nothing at this path: leave out the slash at its end."
