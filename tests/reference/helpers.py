"""Helpers of tests of reference data."""

import json
from typing import Any

import httpx


async def assert_rejected(client: httpx.AsyncClient, path: str, body: Any, *pointers: str) -> None:
    """Assert that a body gets a 422 with errors at these pointers."""
    response = await client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json"), (body, response.text)
    assert [error["pointer"] for error in response.json()["errors"]] == list(pointers), body
