"""Helpers of tests that read a complete ledger."""

import asyncio
from typing import Any

import httpx

from tests.support.servers import invoke


async def all_changes(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return every change that the client may see."""
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/changes", params={"limit": 1000} | after)).json()
        if not page["items"]:
            return items
        items += page["items"]
        after = {"after": page["next"]}


async def assert_verified(url: str) -> None:
    """Assert that `lifeline verify` finds no problem in a database."""
    result = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert result.exit_code == 0, result.output
