"""Validation of reports: each wrong field is named, and nothing is recorded."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain.kinds import KINDS
from app.domain.tlp import Label
from app.settings import Settings
from tests.reports.invalid_reports import VALUES, assert_problem, invalid_reports, unexpected
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import FULL, MakeKey, sqlite_only
from tests.support.servers import client_for


def test_invalid_reports_cover_every_field_of_every_kind() -> None:
    for name, kind in KINDS.items():
        covered = {invalid.at.removeprefix("/value/") for invalid in VALUES[name]}
        assert set(kind.value_model.model_fields) <= covered, name


@sqlite_only
@pytest.mark.parametrize("kind", list(KINDS))
async def test_report_with_one_wrong_field_gets_422_and_is_not_recorded(client: httpx.AsyncClient, reference: Reference, kind: str) -> None:
    """Each field with one wrong value, or with TEST_FULL=1 with each wrong value: exactly that field is named."""
    assert (await client.post("/v1/reports", json=report(kind))).status_code == 201
    before = (await client.get("/v1/ledger/head")).json()
    invalid_ones = invalid_reports(kind)
    chosen = invalid_ones if FULL else {each.at: each for each in reversed(invalid_ones)}.values()
    found = []
    for invalid in chosen:
        response = await client.post("/v1/reports", content=json.dumps(invalid.body(kind)), headers={"Content-Type": "application/json"})
        problem = assert_problem(response, 422, "/v1/reports") if response.status_code == 422 else response.json()
        found.append(unexpected(invalid, response.status_code, problem))
    assert not any(found), "\n".join(filter(None, found))
    assert (await client.get("/v1/ledger/head")).json() == before


@pytest.mark.parametrize("kind", list(KINDS))
async def test_list_of_invalid_reports_gets_one_problem_per_report(client: httpx.AsyncClient, reference: Reference, kind: str) -> None:
    """Each field with each wrong value, as one list: exactly that field is named, and no report is recorded."""
    invalid_ones = invalid_reports(kind)
    sent = json.dumps([invalid.body(kind) for invalid in invalid_ones])
    response = await client.post("/v1/reports", content=sent, headers={"Content-Type": "application/json"})
    assert response.status_code == 207, response.text
    items = response.json()["items"]
    found = [unexpected(invalid, item["status"], item.get("problem", item)) for invalid, item in zip(invalid_ones, items, strict=True)]
    assert not any(found), "\n".join(filter(None, found))
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED


@sqlite_only
async def test_report_with_many_wrong_fields_names_each(client: httpx.AsyncClient, reference: Reference) -> None:
    response = await client.post("/v1/reports", json={"kind": 1, "place": "", "stated_at": "x", "value": {}, "more": 1})
    pointers = {error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]}
    assert pointers == {"/kind", "/place", "/source", "/stated_at", "/more"}
    response = await client.post("/v1/reports", json=report(place="nowhere", source="nobody", provenance={"via": ["no-one"]}))
    pointers = {error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]}
    assert pointers == {"/place", "/source", "/provenance/via/0"}


UNLABELLED: list[tuple[dict[str, Any], str]] = [
    (report(), "green"),
    (report("supply_runout"), "green"),
    (report("supply_runout", {"scope": "market"}), "green"),
    (report("supply_runout", {"scope": "facility"}), "amber"),
    (report("route_closure"), "green"),
    (report("route_closure", {"status": "restricted"}), "amber"),
    (report("route_closure", {"status": "open"}), "amber"),
    (report("route_closure", {"status": "open", "assertion": "announced"}), "amber"),
    (report(source="neighbour"), "amber"),
    (report("route_closure", source="neighbour"), "amber"),
]


async def test_report_without_label_gets_the_default_of_its_kind_and_source(client: httpx.AsyncClient, reference: Reference) -> None:
    sent, expected = [], []
    for at, (body, label) in enumerate(UNLABELLED):
        unlabelled = {name: value for name, value in body.items() if name != "sensitivity"} | {"stated_at": f"2016-07-{at + 1:02}"}
        sent += [unlabelled, unlabelled | {"sensitivity": None, "provenance": {"url": "https://example.org/"}}]
        expected += [label, label]
    assert (await client.post("/v1/reports", json=sent)).json()["created"] == len(sent)
    assert [item["sensitivity"] for item in (await client.get("/v1/reports")).json()["items"]] == expected
    response = await client.post("/v1/reports", json=report(source="neighbour", stated_at="2016-08-20"))
    assert response.json()["sensitivity"] == "clear"


@sqlite_only
@pytest.mark.parametrize(("default", "labels"), [("clear", ["clear", "amber", "amber"]), ("red", ["red", "red", "red"])])
async def test_default_label_setting_applies_unless_a_rule_is_stricter(
    settings: Settings, reference: Reference, make_key: MakeKey, default: str, labels: list[str]
) -> None:
    secret = await make_key(clearance=Label.RED)
    async with client_for(settings.model_copy(update={"default_label": Label(default)}), secret) as client:
        found = []
        for body in (report(), report("route_closure", {"status": "open"}), report(source="neighbour")):
            response = await client.post("/v1/reports", json={name: value for name, value in body.items() if name != "sensitivity"})
            found.append(response.json()["sensitivity"])
    assert found == labels


async def test_rejected_report_leaves_nothing_behind(client: httpx.AsyncClient, reference: Reference) -> None:
    before = {path: (await client.get(path)).content for path in ("/v1/indicators", "/v1/changes", "/v1/situations", "/v1/ledger/head")}
    for body in (report(source="nobody"), report(value={"people": -1}), report("route_closure", {"route": str(uuid4())})):
        assert (await client.post("/v1/reports", json=body)).status_code == 422
    assert {path: (await client.get(path)).content for path in before} == before
