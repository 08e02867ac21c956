"""Literal values of assessments under a policy, and of the reports that decide one, each told over HTTP."""

import httpx
import pytest

from tests.assessment.stories import assessed, people, range_of, road, say, states_of
from tests.support.fixtures import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


async def test_policies_assess_again_and_say_so(client: httpx.AsyncClient) -> None:
    low = await say(client, "agency", "2016-08-01", people(20_000))
    high = await say(client, "monitor", "2016-08-02", people(30_000))
    claim = await say(client, "army", "2016-08-03", people(1000))
    found = await assessed(client, low)
    assert (range_of(found), found["agreement"], found["assessment"]["policy"]) == ((20_000, 20_000, 30_000), "contested", None)
    found = await assessed(client, low, basis="no_parties")
    assert (range_of(found), found["assessment"]["reports"], found["relations"][claim["id"]]) == ((20_000, 20_000, 30_000), 2, "policy")
    assert found["assessment"]["policy"]["basis"] == "no_parties"
    found = await assessed(client, low, min_reliability="B")
    assert (range_of(found), found["agreement"]) == ((20_000, 20_000, 20_000), "single")
    assert {each: found["relations"][each] for each in (high["id"], claim["id"])} == {high["id"]: "policy", claim["id"]: "policy"}
    found = await assessed(client, low, without="agency")
    assert (range_of(found), found["relations"][low["id"]]) == ((30_000, 30_000, 30_000), "policy")
    found = await assessed(client, low, without="agency", min_reliability="B")
    assert (found["value"], found["assessment"]["reports"]) == (None, 0) or range_of(found) == (None, None, None)


async def test_policy_without_parties_lets_a_closed_road_stand_alone(client: httpx.AsyncClient) -> None:
    closed = await say(client, "agency", "2016-08-01", road("closed"))
    await say(client, "rebels", "2016-08-02", road("open"))
    found = await assessed(client, closed)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "contested")
    found = await assessed(client, closed, basis="no_parties")
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "single")


async def test_deciding_reports_are_the_fewest_and_newest(client: httpx.AsyncClient) -> None:
    one = await say(client, "agency", "2016-08-01", people(20_000))
    assert (await assessed(client, one))["assessment"]["deciding"] == [one["id"]]
    two = await say(client, "envoy", "2016-08-02", people(20_000))
    found = await assessed(client, one)
    # Without either it would be `single`: the newest is named.
    assert (found["agreement"], found["assessment"]["deciding"]) == ("consistent", [two["id"]])
    three = await say(client, "monitor", "2016-08-03", people(20_000))
    found = await assessed(client, one)
    assert len(found["assessment"]["deciding"]) == 2, "two of three have to go"
    assert three["id"] in found["assessment"]["deciding"]
    contrary = await say(client, "outlet", "2016-08-04", people(90_000))
    assert (await assessed(client, one))["assessment"]["deciding"] == [contrary["id"]]


@pytest.mark.parametrize("params", [{"basis": "some"}, {"min_reliability": "G"}, {"without": "nobody"}])
async def test_invalid_policy_is_refused_at_its_parameter(client: httpx.AsyncClient, params: dict[str, str]) -> None:
    said = await say(client, "agency", "2016-08-01", people(20_000))
    answer = await client.get(f"/v1/indicators/{said['indicator']}", params=params)
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [f"?{next(iter(params))}"])
