"""Helpers of tests of reference data."""

import json
from typing import Any

import httpx


async def assert_rejected(client: httpx.AsyncClient, path: str, body: Any, *pointers: str) -> None:
    """Assert that a body gets a 422 with errors at these pointers."""
    answer = await client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (body, answer.text)
    assert [error["pointer"] for error in answer.json()["errors"]] == list(pointers), body
