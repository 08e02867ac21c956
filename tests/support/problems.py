"""Assertions on problem documents: complete, and without internal details."""

import re
from typing import Any

import httpx

# Stack traces, SQL, names of files, modules, tables and drivers, addresses and passwords of databases.
LEAKS = re.compile(
    r"Traceback|File \"|\.py\b|line \d+, in|SELECT|INSERT|UPDATE|DELETE FROM|no such table|relation|sqlite|sqlalchemy|asyncpg|postgres"
    r"|pydantic|starlette|/work|/tmp|/dev|/home|site-packages|indicator_projection|api_key|s3cret|127\.0\.0\.1|localhost|Errno|Exception"
    r"|0x[0-9a-f]{6}",
    re.IGNORECASE,
)
FIELDS = {"type", "title", "status", "detail", "instance"}


def assert_problem(answer: httpx.Response, status: int, path: str) -> dict[str, Any]:
    """Check that a response is a problem document of a status about a path, and return it."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json()
    assert body.keys() >= FIELDS
    assert body.keys() <= FIELDS | {"errors"}
    assert (body["status"], body["instance"]) == (status, path)
    assert body["type"] == "about:blank" or body["type"].startswith("urn:lifeline:problem:")
    assert body["title"]
    assert body["detail"]
    assert ("errors" in body) == (status == 422)
    text = answer.text.replace(path, "") + str([each for each in answer.headers.items() if each[0] != "content-type"])
    assert not LEAKS.search(text), text
    return body
