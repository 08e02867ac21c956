"""The OpenAPI document: the committed one is served, valid, complete, and compatible with the released one."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from tests.support.openapi import DOCUMENT, committed
from tests.support.openapi_compat import breaking_changes

OPERATIONS = [operation for operations in DOCUMENT["paths"].values() for operation in operations.values()]


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
        "patch": ("change",),
        "delete": ("delete",),
    }
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            verb, _, rest = operation["operationId"].partition("_")
            assert verb in verbs[method], (method, path)
            assert rest, (method, path)


def test_document_is_valid(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1.")
    validate(served)


def test_served_document_breaks_no_client_of_the_released_one(served: dict[str, Any]) -> None:
    findings = breaking_changes(committed("v1.released.json"), served)
    assert not findings, "These changes break clients of version 1:\n" + "\n".join(findings)
