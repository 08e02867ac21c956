"""The committed OpenAPI document: the one that is served, valid, and compatible with the released one."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate

from tests.support.openapi import committed
from tests.support.openapi_compat import breaking_changes


@pytest.fixture(scope="module")
def served(built_app: FastAPI) -> dict[str, Any]:
    """Return the document of the application after a round through JSON, as a client gets it."""
    document: dict[str, Any] = json.loads(json.dumps(built_app.openapi()))
    return document


def test_committed_document_is_the_served_one(served: dict[str, Any]) -> None:
    assert committed() == served, "openapi/v1.json differs from the served document: run `make openapi` and look at the difference"


def test_document_is_valid(served: dict[str, Any]) -> None:
    assert served["openapi"].startswith("3.1.")
    validate(served)


def test_served_document_breaks_no_client_of_the_released_one(served: dict[str, Any]) -> None:
    findings = breaking_changes(committed("v1.released.json"), served)
    assert not findings, "These changes break clients of version 1:\n" + "\n".join(findings)
