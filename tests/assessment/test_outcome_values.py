"""Outcomes follow their evidence, on whichever indicator it is."""

from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from app.operations.verify import load_heads, open_snapshot, verify_all
from app.settings import Settings
from tests.assessment.stories import assessed, food, get, outcome, say
from tests.support.factories import post
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

pytestmark = pytest.mark.usefixtures("reference")


async def came_true(client: httpx.AsyncClient, **scope: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a warning and the evidence that it came true."""
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    evidence = await say(client, "monitor", "2016-08-06", food("ran_out", **scope))
    await outcome(client, warning, evidence, "materialised")
    found = await assessed(client, warning)
    assert (found["value"]["state"], found["value"]["outcome"]) == ("ran_out", "materialised")
    return warning, evidence


@mostly_sqlite
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_ends_with_the_retraction_of_its_evidence(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning, evidence = await came_true(client, **scope)
    await post(client, f"/v1/reports/{evidence['id']}/retraction", reason="it was another town")
    for params in ({}, {"as_of": "2016-08-30"}):
        found = await assessed(client, warning, **params)
        assert (found["value"]["state"], found["value"]["outcome"]) == ("will_run_out", "pending")


@mostly_sqlite
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_is_hidden_with_its_evidence(client: httpx.AsyncClient, make_client: MakeClient, scope: dict[str, str]) -> None:
    warning, evidence = await came_true(client, **scope)
    green = await make_client(clearance=Label.GREEN)
    await post(client, f"/v1/reports/{evidence['id']}/label", sensitivity="red", reason="it shows who hides")
    for reader, expected in ((client, ("ran_out", "materialised")), (green, ("will_run_out", "pending"))):
        value = (await assessed(reader, warning))["value"]
        assert (value["state"], value["outcome"]) == expected


@mostly_sqlite
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_outcome_is_graded_as_the_source_of_its_evidence(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning, _ = await came_true(client, **scope)
    await post(client, "/v1/sources/monitor/grades", reliability="A", reason="was right")
    assert (await assessed(client, warning))["provenance"]["source"]["reliability"] == "A"


@mostly_sqlite
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


@mostly_sqlite
async def test_verify_assesses_outcomes_that_follow_their_evidence(client: httpx.AsyncClient, settings: Settings) -> None:
    _, evidence = await came_true(client, scope="agency_stock")
    async with open_snapshot(settings) as connection:
        before = await load_heads(connection)
    await post(client, f"/v1/reports/{evidence['id']}/label", sensitivity="red", reason="it shows who hides")
    await post(client, "/v1/sources/monitor/grades", reliability="A", reason="was right")
    async with open_snapshot(settings) as connection:
        for since in ((), before):
            assert [line async for line in verify_all(connection, settings.horizons, since)] == []


async def refused(client: httpx.AsyncClient, warning: dict[str, Any], evidence: dict[str, Any], what: str = "materialised") -> str:
    """Return why an outcome is refused at its report."""
    body = {"outcome": what, "reason": "seen", "report": evidence["id"]}
    answer = await client.post(f"/v1/indicators/{warning['indicator']}/outcome", json=body)
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, ["/report"])
    return str(answer.json()["errors"][0]["detail"])


@sqlite_only
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_evidence_of_an_outcome_decides_with_it(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning, evidence = await came_true(client, **scope)
    found = await assessed(client, warning)
    assert (found["assessment"]["deciding"], found["agreement"]) == ([evidence["id"]], "single")
    found = await assessed(client, warning, without="monitor")
    assert (found["value"]["state"], found["value"]["outcome"]) == ("will_run_out", "pending")


@sqlite_only
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_evidence_that_averts_decides_with_it(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(20, 26)))
    for source, on in (("outlet", "2016-08-02"), ("monitor", "2016-08-03"), ("envoy", "2016-08-04")):
        await say(client, source, on, food("low"))
    evidence = await say(client, "monitor", "2016-08-06", food("low", **scope))
    assert (await assessed(client, warning))["value"]["state"] == "will_run_out"
    await outcome(client, warning, evidence, "averted")
    found = await assessed(client, warning)
    assert (found["value"]["state"], found["assessment"]["deciding"]) == ("low", [evidence["id"]])


@sqlite_only
@pytest.mark.parametrize("source", ["monitor", "army"])
@pytest.mark.parametrize("said", [food("low"), food(days=(9, 12)), food("ran_out")], ids=["low", "dates", "ran_out"])
async def test_evidence_does_not_contest_what_it_shows(client: httpx.AsyncClient, source: str, said: dict[str, Any]) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    evidence = await say(client, source, "2016-08-06", said)
    await outcome(client, warning, evidence, "materialised")
    found = await assessed(client, warning)
    assert (found["agreement"], found["assessment"]["origins"]) == ("single", 1)
    assert (found["assessment"]["reports"], found["assessment"]["sources"]) == (1, 1)
    assert [found["value"][name] for name in ("state", "runs_out_latest", "outcome", "due")] == ["ran_out", None, "materialised", None]
    assert [each["relation"] for each in found["reports"] if each["id"] == evidence["id"]] == ["preferred"]
    # It falls with the state that it shows, but a party's word is overtaken by nothing.
    await say(client, "agency", "2016-08-20", food("resupplied"))
    await say(client, "envoy", "2016-08-20", food("resupplied"))
    found = await assessed(client, warning)
    assert (found["value"]["state"], found["agreement"]) == ("resupplied", "consistent" if source == "monitor" else "contested")


@sqlite_only
async def test_evidence_that_relays_is_of_the_origin_that_it_relays(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    first = await say(client, "envoy", "2016-08-06", food("ran_out"))
    evidence = await say(client, "outlet", "2016-08-06", food("ran_out"), relays=first["id"])
    await outcome(client, warning, evidence, "materialised")
    found = await assessed(client, warning)
    assert (found["agreement"], found["assessment"]["origins"], found["assessment"]["reports"]) == ("single", 1, 2)
    assert (await assessed(client, warning, without="envoy"))["value"]["state"] == "will_run_out"


@sqlite_only
@pytest.mark.parametrize("scope", [{}, {"scope": "agency_stock"}])
async def test_evidence_of_relief_shows_no_warning_true(client: httpx.AsyncClient, scope: dict[str, str]) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    relief = await say(client, "monitor", "2016-08-06", food("resupplied", **scope))
    assert "says that all is well" in await refused(client, warning, relief)
    await outcome(client, warning, relief, "averted")


@mostly_sqlite
@pytest.mark.parametrize("what", ["materialised", "pending"])
async def test_evidence_that_does_not_stand_shows_no_outcome(client: httpx.AsyncClient, make_client: MakeClient, what: str) -> None:
    green = await make_client(clearance=Label.GREEN)
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    corrected = await say(client, "monitor", "2016-08-06", food("low"))
    body = {name: corrected[name] for name in ("kind", "place", "source", "stated_at", "provenance")}
    body |= {"value": food("ran_out"), "reason": "misread"}
    correction = await post(client, f"/v1/reports/{corrected['id']}/correction", **body, sensitivity="clear")
    assert correction["id"] in await refused(client, warning, corrected, what)
    await post(client, f"/v1/reports/{correction['id']}/label", sensitivity="red", reason="it shows who hides")
    assert await refused(green, warning, corrected, what) == "this report was corrected: send one that stands"
    await outcome(client, warning, correction, what)
    await post(client, f"/v1/reports/{correction['id']}/retraction", reason="it was another town")
    for each in (corrected, correction):
        assert await refused(client, warning, each, what) == "this report was withdrawn: send one that stands"
