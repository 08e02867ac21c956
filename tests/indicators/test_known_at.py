"""Tests of `known_at`: it returns the bytes that were returned at that time."""

from typing import Any

import httpx
import orjson
import pytest

from app.domain.tlp import Label
from tests.support.factories import report
from tests.support.fixtures import FULL, MakeClient

STEPS: list[tuple[str, dict[str, Any]]] = [
    ("report", report(value={"people": 1000})),
    ("report", report(value={"people": 3000}, source="army", sensitivity="amber")),
    ("report", report("supply_runout", source="envoy")),
    (
        "report",
        report("supply_runout", {"in_days_min": 3, "in_days_max": 5}, source="monitor", sensitivity="green", stated_at="2016-08-01"),
    ),
    ("report", report("route_closure", {"direction": "in"}, source="army", sensitivity="red")),
    ("grade", {"reliability": "A", "reason": "was right"}),
    ("outcome", {"outcome": "averted", "reason": "a convoy", "report": 3}),
    ("correction", report(value={"people": 2000}, source="army", sensitivity="green", reason="misread") | {"of": 1}),
    ("correction", report(value={"concept": "besieged", "people": 900}, sensitivity="amber_strict", reason="another concept") | {"of": 0}),
    ("report", report("route_closure", {"status": "open"}, source="agency", stated_at="2016-07-30T10:00:00+02:00")),
    ("retraction", {"reason": "withdrawn", "of": 3}),
    ("retraction", {"reason": "withdrawn", "of": 5}),
]
ALL_INDICATORS = "/v1/indicators?limit=1000"
FILTERED = ("/v1/supply-runouts?agreement=single", "/v1/route-closures?status=open")


async def _do(client: httpx.AsyncClient, action: str, body: dict[str, Any], reports: list[dict[str, Any]]) -> str:
    """Take one step and return when it was recorded."""
    path = "/v1/reports"
    if action in ("correction", "retraction"):
        path = f"/v1/reports/{reports[body['of']]['id']}/{action}"
        body = {name: value for name, value in body.items() if name != "of"}
    elif action == "grade":
        path = "/v1/sources/army/grades"
    elif action == "outcome":
        path, body = f"/v1/indicators/{reports[3]['indicator']}/outcome", body | {"report": reports[body["report"]]["id"]}
    answer = await client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    if action in ("report", "correction"):
        reports.append(answer.json())
    recorded_at: str = answer.json()["recorded_at"]
    return recorded_at


@pytest.mark.usefixtures("reference")
async def test_known_at_returns_the_responses_of_that_time(client: httpx.AsyncClient, make_client: MakeClient) -> None:
    """Lists, indicators and reports, for every clearance.

    Each is requested after every third step; with TEST_FULL=1, after every step.
    """
    clients = [await make_client(clearance=label) for label in Label]
    reports: list[dict[str, Any]] = []
    responses: list[tuple[httpx.AsyncClient, str, str, Any]] = []
    for at, (action, body) in enumerate(STEPS):
        recorded_at = await _do(client, action, body, reports)
        paths = [f"/v1/indicators/{each}" for each in dict.fromkeys(each["indicator"] for each in reports)]
        requests = [(as_client, ALL_INDICATORS) for as_client in clients] + [(client, path) for path in (*FILTERED, *paths)]
        requests.append((clients[0], f"/v1/reports/{reports[0]['id']}"))
        for as_client, path in requests if FULL else requests[at % 3 :: 3]:
            then = (await as_client.get(path)).json()
            responses.append((as_client, path, recorded_at, then.get("items", then)))
    for as_client, path, recorded_at, then in responses:
        answer = await as_client.get(httpx.URL(path).copy_merge_params({"known_at": recorded_at}))
        assert answer.status_code == 200, (path, answer.text)
        found = answer.json()
        assert orjson.dumps(found.get("items", found)) == orjson.dumps(then), (path, recorded_at)
