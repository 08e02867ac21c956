"""The committed OpenAPI document is the app's own, is valid, and breaks no client of the released one."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from tests.support.openapi import committed
from tests.support.openapi_compat import breaking_changes


@pytest.fixture(scope="module")
def served(built_app: FastAPI) -> dict[str, Any]:
    """The document of the app, as a client gets it: through JSON."""
    document: dict[str, Any] = json.loads(json.dumps(built_app.openapi()))
    return document


def test_committed_document_is_the_served_one(served: dict[str, Any]) -> None:
    assert committed() == served, "openapi/v1.json is not what the app serves: run `make openapi`, and look at the difference"


def test_document_is_valid(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1.")
    validate(served)


def test_no_client_of_the_released_document_breaks(served: dict[str, Any]) -> None:
    findings = breaking_changes(committed("v1.released.json"), served)
    assert not findings, "Within v1 nothing is taken away:\n" + "\n".join(findings)
