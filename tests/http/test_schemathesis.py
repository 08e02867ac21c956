"""Schemathesis on a real server: no 5xx, and no response that the OpenAPI document does not describe.

TEST_FULL=1 sends thirty times as many requests.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.support.fixtures import FULL
from tests.support.openapi import DOCUMENT
from tests.support.processes import serve
from tests.support.servers import new_key

EXAMPLES = 60 if FULL else 2
NAMES = [f"{method.upper()} {path}" for path, operations in DOCUMENT["paths"].items() for method in operations]
# Without an end; tests/changes/ covers it.
STREAM = "GET /v1/stream"


class Schema:
    """The operations of the document by name, and the checks of responses."""

    def __init__(self) -> None:
        # Imported here, because that takes longer than most tests, and each test process imports this file.
        import schemathesis  # noqa: PLC0415
        from schemathesis import checks  # noqa: PLC0415
        from schemathesis.specs.openapi import checks as openapi  # noqa: PLC0415

        schema = schemathesis.openapi.from_dict(DOCUMENT)
        # The same characters as UTF-8, without the seconds that it takes to encode each of them first.
        schema.config.generation.codec = None
        self.operations = {f"{each.ok().method.upper()} {each.ok().path}": each.ok() for each in schema.get_all_operations()}
        self.checks = [checks.not_a_server_error]
        self.checks += [openapi.status_code_conformance, openapi.content_type_conformance, openapi.response_schema_conformance]


@pytest.fixture(scope="module")
def schema() -> Schema:
    """Return what Schemathesis reads out of the document."""
    return Schema()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Serve the demo data, so that examples name existing records; return the URL and a key with every scope."""
    folder = tmp_path_factory.mktemp("schemathesis")
    url = f"sqlite:///{folder / 'demo.db'}"
    with serve(folder, "--demo", database_url=url, rate_limit="off", rate_limit_anonymous="off", rate_limit_failures="off") as server:
        yield server.url, asyncio.run(new_key(url))


def test_all_operations_but_the_stream_are_tested(schema: Schema) -> None:
    assert STREAM in NAMES
    assert sorted(schema.operations) == sorted(NAMES)
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", [each for each in NAMES if each != STREAM])
def test_responses_are_as_documented(served: tuple[str, str], schema: Schema, name: str) -> None:
    base, key = served

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=not FULL, suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
    )  # fmt: skip
    @given(case=schema.operations[name].as_strategy())
    def conforms(case: Any) -> None:
        if "wait" in (case.query or {}):
            case.query["wait"] = 0
        for headers in ({}, {"Authorization": f"Bearer {key}"}):
            case.headers = {each: value for each, value in (case.headers or {}).items() if each.lower() != "authorization"}
            response = case.call(base_url=base, headers=headers, timeout=20)
            case.validate_response(response, checks=schema.checks)

    conforms()
