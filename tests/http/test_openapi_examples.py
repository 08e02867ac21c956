"""The OpenAPI document as a tutorial: each operation is described, and its examples run on the demo data with the demo's key."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator, FormatChecker

from app.routers import TAGS
from app.settings import Settings
from tests.ledger.helpers import signing_settings
from tests.support.openapi import DOCUMENT
from tests.support.servers import invoke
from tests.webhooks.conftest import delivery_log

OPERATIONS = {f"{method.upper()} {path}": each for path, methods in DOCUMENT["paths"].items() for method, each in methods.items()}
# Operations without a parameter or body to fill in.
WITHOUT_INPUT = {
    "GET /v1/ledger/head",
    "GET /v1/webhooks",
    "GET /v1/me",
    "GET /v1/keys",
    "GET /v1/label-proposals",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
    "GET /ogc",
    "GET /ogc/conformance",
    "GET /ogc/collections",
}


# Takes a checkpoint that a partner signed; tests/ledger/test_witness.py sends some.
NOT_RUN = {"POST /v1/witness/add-checkpoint"}
FORMATS = FormatChecker(["date", "uuid"])


@FORMATS.checks("date-time")
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", value) is not None


def test_operation_has_summary_description_and_one_described_tag() -> None:
    described = {tag["name"] for tag in TAGS if tag["description"]}
    for name, operation in OPERATIONS.items():
        assert operation["summary"], name
        assert len(operation["description"]) > 20, name
        assert len(operation["tags"]) == 1, name
        assert operation["tags"][0] in described, name
    summaries = [operation["summary"] for operation in OPERATIONS.values()]
    assert len(set(summaries)) == len(summaries)


def test_tags_are_in_the_order_of_their_operations() -> None:
    assert DOCUMENT["tags"] == TAGS
    first = list(dict.fromkeys(operation["tags"][0] for operation in OPERATIONS.values()))
    assert first == [tag["name"] for tag in TAGS]


@dataclass(frozen=True)
class Example:
    """One request that the examples of an operation make."""

    name: str
    method: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None


def _examples() -> Iterator[Example]:
    """Yield the form of each operation as Swagger UI fills it in, with each body, then with each other parameter that has examples."""
    for name in (each for each in OPERATIONS if each not in NOT_RUN):
        method, path = name.split(" ")
        operation = OPERATIONS[name]
        parameters = operation.get("parameters", [])
        for each in parameters:
            if each["in"] == "path":
                path = path.replace(f"{{{each['name']}}}", str(each["example"]))
        filled = {each["name"]: each["example"] for each in parameters if each["in"] == "query" and "example" in each}
        bodies = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {"": {"value": None}})
        for each in bodies.values():
            yield Example(name, method, path, filled, each["value"])
        for each in parameters:
            if each["in"] == "query" and each["name"] not in filled:
                for value in each["schema"].get("examples", []):
                    yield Example(name, method, path, filled | {each["name"]: value})


def test_operation_has_an_example() -> None:
    with_example = {name for name, operation in OPERATIONS.items() if "requestBody" in operation}
    with_example |= {name for name, operation in OPERATIONS.items() if any(each.get("example") for each in operation.get("parameters", []))}
    with_schema_examples = {
        name for name, operation in OPERATIONS.items() if any("examples" in p["schema"] for p in operation.get("parameters", []))
    }
    assert set(OPERATIONS) - with_example - with_schema_examples == WITHOUT_INPUT
    for name, operation in OPERATIONS.items():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            assert name == "POST /v1/imports" or content.get("examples") or content["example"], (name, media_type)


@pytest.fixture
def demo(sqlite_template: Path, tmp_path: Path) -> tuple[Settings, str]:
    """Return settings of a service with the demo data, and the key that the command printed."""
    shutil.copy(sqlite_template, tmp_path / "demo.db")
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    printed = invoke("demo", database_url=url).output
    found = re.search(r"ll_[A-Za-z0-9_-]{32,}", printed)
    assert found, printed
    return signing_settings(Settings(database_url=url), tmp_path), found[0]


@pytest.fixture
def settings(demo: tuple[Settings, str]) -> Settings:
    """Return the settings of the demo, for the application under test."""
    return demo[0]


async def _open_stream(app: FastAPI, key: str, path: str, query: dict[str, Any]) -> tuple[int, bytes]:
    """Return status and first bytes of a response without an end, which the transport of httpx would wait for."""
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    received = False

    async def receive() -> dict[str, Any]:
        nonlocal received
        if received:
            await asyncio.Event().wait()
        received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    request = httpx.Request("GET", f"http://lifeline.test{path}", params=query, headers={"Authorization": f"Bearer {key}"})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 1),
        "server": ("lifeline.test", 80),
    }
    running = asyncio.create_task(app(scope, receive, messages.put))
    try:
        async with asyncio.timeout(10):
            head, body = await messages.get(), await messages.get()
    finally:
        running.cancel()
    return head["status"], body["body"]


def _deviation(name: str, answer: httpx.Response) -> str | None:
    """Return how a response deviates from the document, None if it does not."""
    documented = OPERATIONS[name]["responses"]
    if not answer.is_success or str(answer.status_code) not in documented:
        return f"{answer.status_code} {answer.text[:300]}"
    schema = documented[str(answer.status_code)].get("content", {}).get("application/json", {}).get("schema")
    if schema and answer.content:
        rooted = schema | {"components": DOCUMENT["components"]}
        for error in Draft202012Validator(rooted, format_checker=FORMATS).iter_errors(answer.json()):
            return f"{answer.status_code} {error.json_path}: {error.message[:300]}"
    items = answer.json().get("items") if schema and answer.content else None
    return "an empty list" if items == [] else None


async def test_examples_succeed_on_the_demo(app: FastAPI, demo: tuple[Settings, str]) -> None:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    failed, ran = [], set()
    async with httpx.AsyncClient(
        transport=transport, base_url="http://lifeline.test", headers={"Authorization": f"Bearer {demo[1]}"}
    ) as client:
        for example in _examples():
            ran.add(example.name)
            if example.path == "/v1/stream":
                status, first = await _open_stream(app, demo[1], example.path, example.query)
                if status != 200 or not first.startswith(b"event: ready"):
                    failed.append(f"{example}: {status} {first!r}")
                continue
            answer = await client.request(example.method, example.path, params=example.query, json=example.body)
            if wrong := _deviation(example.name, answer):
                failed.append(f"{example}: {wrong}")
    assert not failed, "\n".join(failed)
    assert ran == set(OPERATIONS) - NOT_RUN


async def test_webhooks_of_the_demo_send_nothing(app: FastAPI, demo: tuple[Settings, str]) -> None:
    """They are disabled, and their one attempt was rejected before it connected."""
    headers = {"Authorization": f"Bearer {demo[1]}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lifeline.test", headers=headers) as client:
        webhooks = (await client.get("/v1/webhooks")).json()["items"]
        assert [(each["status"], each["url"]) for each in webhooks] == [("disabled", "https://127.0.0.1:9/lifeline")] * 2
        log = await delivery_log(client, webhooks[0])
    assert {each["status"] for each in log} == {"pending"}
    assert log[-1]["error"] == "not connected: the URL must resolve to public addresses only"
    assert [each["attempts"] for each in log] == [0] * (len(log) - 1) + [1]
