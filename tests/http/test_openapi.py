"""The OpenAPI document: the committed one is served, valid, complete, and compatible with the released one."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from app.access.principal import Scope
from app.domain.tlp import Label
from app.http.problems import PATTERNS
from tests.support.fixtures import MakeClient, sqlite_only
from tests.support.openapi import DOCUMENT, committed
from tests.support.openapi_compat import breaking_changes

UNKNOWN = "00000000-0000-7000-8000-000000000000"
OPERATIONS = [operation for operations in (DOCUMENT["paths"] | DOCUMENT["webhooks"]).values() for operation in operations.values()]


@pytest.fixture(scope="module")
def served(built_app: FastAPI) -> dict[str, Any]:
    """Return the document of the application after a round through JSON, as a client gets it."""
    document: dict[str, Any] = json.loads(json.dumps(built_app.openapi()))
    return document


def test_committed_document_is_the_served_one(served: dict[str, Any]) -> None:
    assert committed() == served, "openapi/v1.json differs from the served document: run `make openapi` and look at the difference"


def test_every_property_and_parameter_has_a_description() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    parts = {f"{name}.{field}": part for name, schema in schemas.items() for field, part in schema.get("properties", {}).items()}
    parts |= {f"{operation['operationId']} {part['name']}": part for operation in OPERATIONS for part in operation.get("parameters", [])}
    assert [name for name, part in parts.items() if not part.get("description")] == []


def test_every_response_has_an_example() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    missing = []
    for operation in OPERATIONS:
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                schema = content["schema"]
                named = schemas.get(schema.get("$ref", "").rpartition("/")[2], {})
                if not (content.keys() | named.keys()) & {"example", "examples"}:
                    missing.append((operation["operationId"], status, media_type))
    # A workbook is binary, and metrics are never JSON.
    assert [each for each in missing if "spreadsheetml" not in each[2] and each[0] != "get_metrics"] == []


def test_operation_ids_begin_with_a_verb_of_their_method() -> None:
    verbs = {
        "get": ("get", "list", "stream"),
        "post": ("create", "change", "confirm", "rotate"),
        "delete": ("delete",),
        "patch": ("change",),
    }
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            verb, _, rest = operation["operationId"].partition("_")
            assert verb in verbs[method], (method, path)
            assert rest, (method, path)


def parts(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield every object of a document with its path, but for examples."""
    if isinstance(node, dict):
        yield path, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        if name not in ("example", "examples", "default"):
            yield from parts(child, (*path, name))


def test_no_property_is_only_null_and_no_parameter_is_null() -> None:
    nulls = [path for path, part in parts(DOCUMENT) if part.get("type") == "null" and "anyOf" not in path[-2:] and "oneOf" not in path[-2:]]
    assert nulls == []
    assert [
        part["name"] for _, part in parts(DOCUMENT) if "in" in part and "schema" in part and '"type": "null"' in json.dumps(part["schema"])
    ] == []


def test_every_enumeration_is_a_component() -> None:
    enums = [path for path, part in parts(DOCUMENT) if "enum" in part]
    assert len(enums) > 25
    assert [path for path in enums if path[:2] != ("components", "schemas") or len(path) != 3] == []


def test_no_type_of_a_property_is_hidden_by_the_name_of_its_schema() -> None:
    """openapi-python-client keeps a `check` and the value of its property `check` in one variable."""
    own = {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower(): schema for name, schema in DOCUMENT["components"]["schemas"].items()}
    assert [name for name, schema in own.items() if set(schema.get("properties", {}).get(name, {})) & {"$ref", "anyOf", "format"}] == []


def test_every_pattern_is_explained_in_words() -> None:
    patterns = {part["pattern"] for _, part in parts(DOCUMENT) if isinstance(part.get("pattern"), str)}
    assert len(patterns) > 4
    assert patterns <= PATTERNS.keys()


def test_times_of_responses_have_a_format() -> None:
    times = ("recorded_at", "created_at", "expires_at", "newest_statement", "stale_after", "next_attempt_at", "time")
    schemas = DOCUMENT["components"]["schemas"]
    written = {
        f"{name}.{field}": json.dumps(part)
        for name, schema in schemas.items()
        for field, part in schema.get("properties", {}).items()
        if field in times and not name.endswith("In")
    }
    assert len(written) > 20
    assert [name for name, part in written.items() if '"format": "date-time"' not in part] == []


def test_successes_have_one_type_a_media_type() -> None:
    for operation in OPERATIONS:
        kinds = {
            (media, json.dumps(content["schema"]))
            for status, response in operation["responses"].items()
            if status == "200"
            for media, content in response.get("content", {}).items()
        }
        assert len(kinds) == len({media for media, _ in kinds}), operation["operationId"]
        assert all(schema != "{}" for _, schema in kinds), operation["operationId"]


async def test_reads_that_need_no_key_say_so(app: FastAPI) -> None:
    """Each GET is called without a key: 401 for those that demand one in the document, and for no other."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    wrong = []
    async with httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as client:
        for template, operations in DOCUMENT["paths"].items():
            operation, path = operations.get("get"), template
            if operation is None or path == "/v1/stream":
                continue
            for each in operation.get("parameters", []):
                path = path.replace(f"{{{each['name']}}}", str(each.get("example")))
            status = (await client.get(path)).status_code
            if (status == 401) == ({} in operation["security"] or not operation["security"]):
                wrong.append((path, status, operation["security"]))
    assert wrong == []
    assert {} in DOCUMENT["paths"]["/v1/stream"]["get"]["security"]
    scoped = [
        each for each in OPERATIONS if "403" in each["responses"] and "clearance" not in [it["name"] for it in each.get("parameters", [])]
    ]
    assert all({} not in operation["security"] for operation in scoped)


def test_document_is_valid(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1.")
    validate(served)


def test_served_document_breaks_no_client_of_the_released_one(served: dict[str, Any]) -> None:
    findings = breaking_changes(committed("v1.released.json"), served)
    assert not findings, "These changes break clients of version 1:\n" + "\n".join(findings)


@sqlite_only
async def test_examples_of_errors_are_what_operations_answer(make_client: MakeClient) -> None:
    """Call each operation with an unknown record, each with a key that lacks its scope, each list with a limit that is too high."""
    reader, admin = await make_client(Scope.READ, clearance=Label.RED), await make_client(clearance=Label.RED)
    differing = []
    for template, operations in DOCUMENT["paths"].items():
        known = {"{height}": "9", "{number}": "999"} | ({"{collection}": "places_point"} if "{feature}" in template else {})
        path = re.sub(r"\{\w+\}", lambda found, known=known: known.get(found[0], UNKNOWN), template)  # type: ignore[misc]
        for method, operation in operations.items():
            examples = {
                status: response["content"]["application/problem+json"]["example"]
                for status, response in operation["responses"].items()
                if "application/problem+json" in response.get("content", {})
            }
            if "403" in examples and "clearance" not in [each["name"] for each in operation.get("parameters", [])]:
                answer = await reader.request(method, path, json={} if method in ("post", "patch") else None)
                if answer.status_code == 403 and answer.json()["detail"] != examples["403"]["detail"]:
                    differing.append((method, template, answer.json()["detail"], examples["403"]["detail"]))
            answer = await admin.get(path) if "404" in examples and method == "get" else None
            if answer is not None and answer.status_code == 404 and answer.json()["detail"] != examples["404"]["detail"]:
                differing.append((method, template, answer.json()["detail"], examples["404"]["detail"]))
            if method == "get" and "422" in examples:
                (error,) = examples["422"]["errors"]
                refused = await admin.get(path, params={error["pointer"].removeprefix("?"): "100001"})
                if refused.status_code == 422 and not refused.json()["errors"][0]["detail"].startswith(error["detail"]):
                    differing.append((method, template, refused.json()["errors"], error))
    assert not differing, "\n".join(map(str, differing))
