"""Query parameters: every operation rejects unknown and repeated ones with a 422 that names them."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import sqlite_only
from tests.support.openapi import DOCUMENT

pytestmark = sqlite_only

OPERATIONS = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
# Bodies that would be recorded if the parameter were ignored.
BODIES: dict[str, Any] = {
    "/v1/reports": report(source="envoy"),
    "/v1/reports/{id}/correction": report(value={"people": 5}, reason="misread"),
    "/v1/reports/{id}/retraction": {"reason": "withdrawn"},
    "/v1/places": {"slug": "new", "name": "New"},
    "/v1/sources": {"slug": "new", "name": "New", "type": "ngo"},
    "/v1/routes": {"slug": "new", "name": "New", "mode": "road"},
    "/v1/sources/{slug}/grades": {"reliability": "C", "reason": "was wrong"},
}
# Parameters that are needed, and right where they are not the one under test.
NEEDED = {"/v1/situations/{place}/digest": {"since": "2016-07-28"}}


def needed(template: str, name: str) -> str:
    """Return the parameters that an operation needs beside one, as the rest of a query."""
    return "".join(f"&{key}={value}" for key, value in NEEDED.get(template, {}).items() if key != name)


@pytest.fixture
async def stage(client: httpx.AsyncClient, reference: Reference) -> dict[str, str]:
    """Return names of existing records for the parameters of paths."""
    made = (await client.post("/v1/reports", json=report())).json()
    return {"reports": made["id"], "indicators": made["indicator"], "places": "oldtown", "sources": "agency", "routes": "north-road"}


def fill(path: str, stage: dict[str, str]) -> str:
    """Return the path with existing records as its parameters."""
    return re.sub(r"/([a-z-]+)/\{\w+\}", lambda found: f"/{found[1]}/{stage.get(found[1], 'oldtown')}", path)


async def request(client: httpx.AsyncClient, method: str, path: str, template: str) -> httpx.Response:
    """Send a request; it must end soon even if a stream would begin."""
    async with asyncio.timeout(10):
        return await client.request(method, path, json=BODIES.get(template, {}) if method == "POST" else None)


def rejected(answer: httpx.Response) -> list[str]:
    """Return the pointers of a 422; empty for any other response."""
    # OGC API - Features requires 400.
    status = 400 if answer.request.url.path.startswith("/ogc") else 422
    if answer.status_code != status or answer.headers["content-type"] != "application/problem+json":
        return []
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_unknown_parameter_is_rejected_by_every_operation(client: httpx.AsyncClient, stage: dict[str, str]) -> None:
    ignored = []
    for method, template in OPERATIONS:
        path = fill(template, stage)
        answer = await request(client, method, f"{path}?no_such_parameter=1{needed(template, '')}", template)
        if rejected(answer) != ["?no_such_parameter"]:
            ignored.append(f"{method} {template}: {answer.status_code} {answer.text[:100]}")
    assert not ignored, "\n".join(ignored)
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1
    assert (await client.get("/v1/places/new")).status_code == 404


async def test_unknown_parameter_is_rejected_by_swagger_ui_and_its_assets(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    assets = sorted(set(re.findall(r"(?:src|href)=\"(/[^\"]+)\"", page)))
    assert len(assets) >= 3
    ignored = []
    for path in ("/docs", "/openapi.json", *assets):
        assert (await client.get(path)).status_code == 200, path
        if rejected(await client.get(path, params={"no_such_parameter": 1})) != ["?no_such_parameter"]:
            ignored.append(path)
    assert not ignored


async def test_repeated_parameter_is_rejected_by_every_operation(client: httpx.AsyncClient, stage: dict[str, str]) -> None:
    """Also with the same value twice."""
    ignored = []
    for method, template in OPERATIONS:
        path = fill(template, stage)
        for parameter in DOCUMENT["paths"][template][method.lower()].get("parameters", []):
            if parameter["in"] == "query":
                name = parameter["name"]
                answer = await request(client, method, f"{path}?{name}=1&{name}=1{needed(template, name)}", template)
                if rejected(answer) != [f"?{name}"]:
                    ignored.append(f"{method} {template} {name}: {answer.status_code} {answer.text[:100]}")
    assert not ignored, "\n".join(ignored)


async def test_each_unknown_parameter_is_rejected(client: httpx.AsyncClient, stage: dict[str, str]) -> None:
    """Also names that differ from a known one only by case, a space or a bracket."""
    query = "limit=1&Limit=2&limits=3&offset=4&page=5&kind%20=x&limit%5B%5D=6&=7"
    assert sorted(rejected(await client.get(f"/v1/indicators?{query}"))) == sorted(
        ["?Limit", "?limits", "?offset", "?page", "?kind ", "?limit[]", "?"]
    )
    assert sorted(rejected(await client.get("/v1/indicators?limit=1&limit=2&other=1"))) == ["?limit", "?other"]
    # Parameters of other lists are unknown.
    assert rejected(await client.get("/v1/trapped-populations?supply=food")) == ["?supply"]


async def test_parameter_without_a_value_is_rejected_too(client: httpx.AsyncClient, stage: dict[str, str]) -> None:
    assert rejected(await client.get("/v1/indicators?no_such_parameter")) == ["?no_such_parameter"]
    assert rejected(await client.get("/v1/indicators?no_such_parameter=")) == ["?no_such_parameter"]
