"""Outcomes follow their evidence, on whichever indicator it is."""

from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from app.operations.verify import load_heads, open_snapshot, verify_all
from app.settings import Settings
from tests.assessment.stories import assessed, food, get, outcome, say
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


async def test_changes_name_each_indicator_whose_outcome_rests_on_the_report(client: httpx.AsyncClient) -> None:
    warning, evidence = await came_true(client, scope="agency_stock")
    head = (await get(client, "/v1/changes"))["next"]
    before = await get(client, f"/v1/indicators/{warning['indicator']}")
    await post(client, f"/v1/reports/{evidence['id']}/label", sensitivity="amber", reason="it shows who hides")
    await post(client, f"/v1/reports/{evidence['id']}/retraction", reason="it was another town")
    for filters in ({}, {"kind": "supply_runout", "place": "oldtown"}):
        changes = (await get(client, "/v1/changes", after=head, **filters))["items"]
        assert [each["type"] for each in changes] == ["label", "retraction"]
        for each in changes:
            assert {document["id"] for document in each["documents"]} == {warning["indicator"], evidence["indicator"]}
    after = await get(client, f"/v1/indicators/{warning['indicator']}")
    assert after["revision"] > before["revision"]
    assert (before["value"]["outcome"], after["value"]["outcome"]) == ("materialised", "pending")
    # The past still shows the outcome known then.
    then = await get(client, f"/v1/indicators/{warning['indicator']}", known_at=before["recorded_at"])
    assert then["value"]["outcome"] == "materialised"


async def test_verify_assesses_outcomes_that_follow_their_evidence(client: httpx.AsyncClient, settings: Settings) -> None:
    _, evidence = await came_true(client, scope="agency_stock")
    async with open_snapshot(settings) as connection:
        before = await load_heads(connection)
    await post(client, f"/v1/reports/{evidence['id']}/label", sensitivity="red", reason="it shows who hides")
    await post(client, "/v1/sources/monitor/grades", reliability="A", reason="was right")
    async with open_snapshot(settings) as connection:
        for since in ((), before):
            assert [line async for line in verify_all(connection, settings.horizons, since)] == []
