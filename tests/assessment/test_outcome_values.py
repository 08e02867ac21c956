"""Outcomes follow their evidence, on whichever indicator it is."""

from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from tests.assessment.stories import assessed, food, outcome, say
from tests.support.factories import post
from tests.support.fixtures import MakeClient

pytestmark = pytest.mark.usefixtures("reference")


async def came_true(client: httpx.AsyncClient, **scope: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a warning and the evidence that it came true."""
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    evidence = await say(client, "monitor", "2016-08-06", food("ran_out", **scope))
    await outcome(client, warning, evidence, "materialised")
    found = await assessed(client, warning)
    assert (found["value"]["state"], found["value"]["outcome"]) == ("ran_out", "materialised")
    return warning, evidence


@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_ends_with_the_retraction_of_its_evidence(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning, evidence = await came_true(client, **scope)
    await post(client, f"/v1/reports/{evidence['id']}/retraction", reason="it was another town")
    for params in ({}, {"as_of": "2016-08-30"}):
        found = await assessed(client, warning, **params)
        assert (found["value"]["state"], found["value"]["outcome"]) == ("will_run_out", "pending")


@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_is_hidden_with_its_evidence(client: httpx.AsyncClient, make_client: MakeClient, scope: dict[str, str]) -> None:
    warning, evidence = await came_true(client, **scope)
    green = await make_client(clearance=Label.GREEN)
    await post(client, f"/v1/reports/{evidence['id']}/label", sensitivity="red", reason="it shows who hides")
    for reader, expected in ((client, ("ran_out", "materialised")), (green, ("will_run_out", "pending"))):
        value = (await assessed(reader, warning))["value"]
        assert (value["state"], value["outcome"]) == expected


@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_is_graded_as_the_source_of_its_evidence(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning, _ = await came_true(client, **scope)
    await post(client, "/v1/sources/monitor/grades", reliability="A", reason="was right")
    assert (await assessed(client, warning))["provenance"]["source"]["reliability"] == "A"
