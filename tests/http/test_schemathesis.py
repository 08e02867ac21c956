"""Schemathesis on a real server: no 5xx, and no response that the OpenAPI document does not describe.

TEST_FULL=1 sends thirty times as many requests.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.support.fixtures import FULL
from tests.support.openapi import DOCUMENT
from tests.support.processes import serve
from tests.support.servers import new_key

EXAMPLES = 60 if FULL else 2
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
# The same characters as UTF-8, without the seconds that it takes to encode each of them first.
SCHEMA.config.generation.codec = None
OPERATIONS = {f"{each.ok().method.upper()} {each.ok().path}": each.ok() for each in SCHEMA.get_all_operations()}
# Without an end; tests/changes/ covers it.
STREAM = "GET /v1/stream"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Serve the demo data, so that examples name existing records; return the URL and a key with every scope."""
    folder = tmp_path_factory.mktemp("schemathesis")
    url = f"sqlite:///{folder / 'demo.db'}"
    with serve(folder, "--demo", database_url=url, rate_limit="off", rate_limit_anonymous="off", rate_limit_failures="off") as server:
        yield server.url, asyncio.run(new_key(url))


def test_all_operations_but_the_stream_are_tested() -> None:
    assert STREAM in OPERATIONS
    assert len(OPERATIONS) > 40


@pytest.mark.parametrize("name", [each for each in OPERATIONS if each != STREAM])
def test_responses_are_as_documented(served: tuple[str, str], name: str) -> None:
    base, key = served

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=not FULL, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )  # fmt: skip
    @given(case=OPERATIONS[name].as_strategy())
    def conforms(case: Any) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        for headers in ({}, {"Authorization": f"Bearer {key}"}):
            case.headers = {each: value for each, value in (case.headers or {}).items() if each.lower() != "authorization"}
            response = case.call(base_url=base, headers=headers, timeout=20)
            case.validate_response(response, checks=CHECKS)

    conforms()
