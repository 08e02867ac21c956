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
from tests.support.fixtures import FULL, MakeKey, mostly_sqlite, sqlite_only
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


@mostly_sqlite
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
async def test_date_in_another_form_gets_what_to_write(client: httpx.AsyncClient, reference: Reference) -> None:
    sent = report("route_closure", {"since": "07.07.2016"}) | {"stated_at": "28/07/2016", "observed_to": "2016-07-28 09:30"}
    sent["provenance"] = {"published_at": "20160728"}
    found = {each["pointer"]: each["detail"] for each in (await client.post("/v1/reports", json=sent)).json()["errors"]}
    assert found["/stated_at"].endswith(": write 2016-07-28")
    assert "write 2016-07-28T09:30Z if that is UTC, else 2016-07-28T09:30 with the offset" in found["/observed_to"]
    assert found["/provenance/published_at"].endswith(": write 2016-07-28")
    assert found["/value/since"].endswith(": write 2016-07-07")
    sent = report("supply_runout", {"runs_out_earliest": "08/09/2016"})
    found = {each["pointer"]: each["detail"] for each in (await client.post("/v1/reports", json=sent)).json()["errors"]}
    assert found["/value/runs_out_earliest"].endswith(": write 2016-09-08 or 2016-08-09, whichever is meant")


@sqlite_only
async def test_report_with_many_wrong_fields_names_each(client: httpx.AsyncClient, reference: Reference) -> None:
    response = await client.post("/v1/reports", json={"kind": 1, "place": "", "stated_at": "x", "value": {}, "more": 1})
    pointers = {error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]}
    assert pointers == {"/kind", "/place", "/source", "/stated_at", "/more"}
    response = await client.post("/v1/reports", json=report(place="nowhere", source="nobody", provenance={"via": ["no-one"]}))
    pointers = {error["pointer"] for error in assert_problem(response, 422, "/v1/reports")["errors"]}
    assert pointers == {"/place", "/source", "/provenance/via/0"}


WRONG = {
    "kind": "supply_runout", "place": "oldtwon", "source": "Agancy", "stated_at": "2016-07-28", "observed_to": "2016-08-01", "more": 1,
    "value": {"supply": "fodo", "state": "low", "in_days_min": 21, "in_days_max": -1, "runs_out_earliest": "31/07/2016"},
    "provenance": {"via": ["outlet", "outlte"], "origin": "nobody", "credibility": 7, "published_at": "2999-01-01", "method": "count"},
    "sensitivity": "yellow",
}  # fmt: skip


@mostly_sqlite
async def test_all_wrong_fields_stand_in_one_answer_with_near_names(client: httpx.AsyncClient, reference: Reference) -> None:
    expected = {
        "/place": "the nearest: oldtown (Old town)",
        "/source": "the nearest: agency (Agency)",
        "/observed_to": "must not be after stated_at, 2016-07-28",
        "/more": "unknown field",
        "/value/supply": "the nearest: food",
        "/value/in_days_max": "must be 0 or more",
        "/value/runs_out_earliest": "must be a date such as 2016-07-28",
        "/provenance/via/1": "the nearest: outlet (Outlet)",
        "/provenance/origin": "use the slug of a source",
        "/provenance/credibility": "must be 6 or less",
        "/provenance/published_at": "must not be in the future",
        "/provenance/method": "use headcount, registration",
        "/sensitivity": "amber_strict or red",
    }

    def check(errors: list[dict[str, str]], prefix: str = "", **more: str) -> None:
        found = {each["pointer"]: each["detail"] for each in errors}
        assert len(found) == len(errors)
        assert found.keys() == {prefix + at for at in expected} | {prefix + at for at in more}
        assert [at for at, detail in expected.items() if detail not in found[prefix + at]] == []

    check(assert_problem(await client.post("/v1/reports", json=WRONG), 422, "/v1/reports")["errors"])
    items = (await client.post("/v1/reports", json=[report(), WRONG])).json()["items"]
    assert items[0]["status"] == 201
    check(items[1]["problem"]["errors"])
    response = await client.post("/v1/reports?atomic=true", json=[report(), WRONG])
    check(assert_problem(response, 422, "/v1/reports")["errors"], "/1")
    path = f"/v1/reports/{items[0]['id']}/correction"
    response = await client.post(path, json=WRONG)
    check(assert_problem(response, 422, path)["errors"], **{"/reason": ""})


@sqlite_only
async def test_rules_about_several_fields_stand_beside_other_errors(client: httpx.AsyncClient, reference: Reference) -> None:
    value = {"in_days_min": 5, "in_days_max": 4, "runs_out_earliest": "2016-08-05", "runs_out_latest": "2016-08-04", "scope": "all"}
    body = report("supply_runout", value, source="nobody", observed_from="2016-07-27", observed_to="2016-07-26")
    errors = assert_problem(await client.post("/v1/reports", json=body), 422, "/v1/reports")["errors"]
    pointers = {each["pointer"] for each in errors}
    assert pointers == {"/value/in_days_min", "/value/runs_out_earliest", "/value/scope", "/source", "/observed_from"}
    # A wrong figure is not said to be absent besides.
    body = report(value={"people": "many"})
    errors = assert_problem(await client.post("/v1/reports", json=body), 422, "/v1/reports")["errors"]
    assert [each["pointer"] for each in errors] == ["/value/people"]


@sqlite_only
async def test_integer_with_a_zero_fraction_is_an_integer(client: httpx.AsyncClient, reference: Reference) -> None:
    body = json.dumps(report(provenance={"credibility": 2})).replace("300000", "3.0e5").replace('"credibility": 2', '"credibility": 2.0')
    first = await client.post("/v1/reports", content=body, headers={"Content-Type": "application/json"})
    assert first.status_code == 201, first.text
    assert '"people":300000,' in first.text
    assert first.json()["provenance"]["credibility"] == 2
    again = await client.post("/v1/reports", json=report())
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    key = {"name": "a", "organisation": "b", "scopes": ["read"]}
    made = (await client.post("/v1/keys", json=key)).json()["links"]["rotation"]
    for hours, status in ((0.5, 422), (True, 422), ("5", 422), (5.0, 201)):
        assert (await client.post(made, json={"overlap_hours": hours})).status_code == status


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


@mostly_sqlite
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
