"""Directness, relays and origin of reports, and the days and dates that a statement may name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

NIGHT = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)
DEFAULTS = {"directness": "direct", "relays": None, "origin": None}


def _refused(response: httpx.Response) -> dict[str, str]:
    """Return the details of a 422 by pointer."""
    assert response.status_code == 422, response.text
    return {each["pointer"]: each["detail"] for each in response.json()["errors"]}


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        ({}, DEFAULTS),
        ({"via": ["outlet"]}, DEFAULTS | {"directness": "paraphrased"}),
        ({"via": ["outlet"], "directness": None}, DEFAULTS | {"directness": "paraphrased"}),
        ({"via": ["outlet"], "directness": "direct"}, DEFAULTS),
        ({"directness": "quoted", "origin": "army"}, DEFAULTS | {"directness": "quoted", "origin": "army"}),
    ],
)
@sqlite_only
async def test_report_has_the_provenance_that_was_sent(
    client: httpx.AsyncClient, reference: Reference, provenance: dict[str, Any], expected: dict[str, Any]
) -> None:
    sent = await post(client, **report(provenance=provenance))
    (change,) = (await client.get("/v1/changes")).json()["items"][SEEDED:]
    for served in (sent, (await client.get(f"/v1/reports/{sent['id']}")).json(), change["report"]):
        assert expected.items() <= served["provenance"].items()


async def test_relays_names_a_visible_report_of_the_same_indicator(
    client: httpx.AsyncClient, reference: Reference, make_client: MakeClient
) -> None:
    told = await post(client, **report(source="outlet", sensitivity="amber"))
    hidden = await post(client, **report(source="envoy", sensitivity="red"))
    other = await post(client, **report(value={"concept": "besieged"}))
    reader = await make_client(clearance=Label.AMBER)

    def repeating(id_: Any, **more: Any) -> dict[str, Any]:
        return report(source="monitor", provenance={"relays": id_}, stated_at="2016-07-29", **more)

    unknown = _refused(await reader.post("/v1/reports", json=repeating("01900000-0000-7000-8000-000000000000")))
    assert unknown.keys() == {"/provenance/relays"}
    assert _refused(await reader.post("/v1/reports", json=repeating(hidden["id"]))) == unknown
    assert _refused(await reader.post("/v1/reports", json=repeating(other["id"]))) == unknown
    assert _refused(await reader.post("/v1/reports", json=repeating("no id"))).keys() == {"/provenance/relays"}
    # A lower label would tell its readers of a report that they may not see.
    lower = _refused(await reader.post("/v1/reports", json=repeating(told["id"], sensitivity="green")))
    assert "amber" in lower["/provenance/relays"]
    unlabelled = await post(reader, **{name: each for name, each in repeating(told["id"]).items() if name != "sensitivity"})
    assert (unlabelled["sensitivity"], unlabelled["provenance"]["relays"]) == ("amber", told["id"])
    wrong = report(provenance={"origin": "nobody", "directness": "heard"})
    assert _refused(await reader.post("/v1/reports", json=wrong)).keys() == {"/provenance/directness", "/provenance/origin"}
    assert _refused(await reader.post("/v1/reports", json=report(provenance={"origin": "nobody"}))).keys() == {"/provenance/origin"}


@mostly_sqlite
async def test_relayed_report_that_was_raised_is_no_longer_named(
    client: httpx.AsyncClient, reference: Reference, make_client: MakeClient
) -> None:
    told = await post(client, **report(source="outlet"))
    repeated = await post(client, **report(source="monitor", provenance={"relays": told["id"]}))
    public = await make_client()
    paths = ["/v1/reports", f"/v1/reports/{repeated['id']}", "/v1/changes", f"/v1/indicators/{told['indicator']}"]
    paths += ["/v1/reports.csv", "/v1/reports.geojson", f"/v1/reports/{repeated['id']}/provenance", "/v1/changes.csv"]
    assert told["id"] in (await public.get(paths[1])).text
    answer = await client.post(f"/v1/reports/{told['id']}/label", json={"sensitivity": "red", "reason": "names people"})
    assert answer.status_code == 201, answer.text
    for path in paths:
        # The tombstone alone names it.
        lines = [each for each in (await public.get(path)).text.replace("},{", "}\n{").splitlines() if "tombstone" not in each]
        assert not any(told["id"] in each for each in lines), path
    (change,) = [each for each in (await public.get("/v1/changes")).json()["items"] if each["report_id"] == repeated["id"]]
    assert change["redacted"] == ["relays", "salt"]
    assert (await client.get(f"/v1/reports/{repeated['id']}")).json()["provenance"]["relays"] == told["id"]
    # Nor can the label of the repetition be lowered below it.
    raised = await client.post(f"/v1/reports/{repeated['id']}/label", json={"sensitivity": "amber", "reason": "with the other"})
    assert raised.status_code == 201
    lowered = await client.post(f"/v1/reports/{repeated['id']}/label", json={"sensitivity": "clear", "reason": "known now"})
    assert (lowered.status_code, lowered.json()["type"].rpartition(":")[2]) == (409, "not-lowerable")


@sqlite_only
async def test_protected_origin_has_its_alias_below_amber(client: httpx.AsyncClient, reference: Reference, make_client: MakeClient) -> None:
    source = {"slug": "dr-samir", "name": "Dr Samir", "type": "witness", "alias": "A doctor"}
    await post(client, "/v1/sources", **source)
    sent = await post(client, **report(provenance={"origin": "dr-samir"}))
    assert sent["provenance"]["origin"] == "dr-samir"
    public = await make_client()
    (shown,) = (await public.get("/v1/reports")).json()["items"]
    assert shown["provenance"]["origin"].startswith("protected-")
    for path in (
        "/v1/reports",
        "/v1/changes",
        f"/v1/indicators/{sent['indicator']}",
        f"/v1/reports/{sent['id']}/provenance",
        "/v1/reports.csv",
    ):
        assert "dr-samir" not in (await public.get(path)).text, path
    assert _refused(await public.post("/v1/reports", json=report(provenance={"origin": "dr-samir"})))["/provenance/origin"]


@mostly_sqlite
async def test_relative_days_count_from_the_day_at_the_place(client: httpx.AsyncClient, reference: Reference) -> None:
    land = await reference.add("places", slug="land", name="Land", timezone="Asia/Damascus")
    town = await reference.add("places", slug="town", name="Town", parent="land")
    assert (land["timezone"], town["timezone"], (await client.get("/v1/places/oldtown")).json()["timezone"]) == (
        "Asia/Damascus", "Asia/Damascus", "UTC",
    )  # fmt: skip
    for place, day in (("town", "2016-08-04"), ("oldtown", "2016-08-03")):
        said = report("supply_runout", {"in_days_min": 3, "in_days_max": 3}, place=place, stated_at="2016-08-01T01:30:00+03:00")
        assert (await post(client, **said))["value"]["runs_out_earliest"] == day
    for wrong in ("Asia/Aleppo", "../etc/passwd", "localtime", "", 3):
        answer = await client.post("/v1/places", json={"slug": "x", "name": "X", "timezone": wrong})
        assert _refused(answer).keys() == {"/timezone"}


@sqlite_only
async def test_date_that_has_begun_somewhere_is_taken(
    client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 20:30 UTC it is the next day already in Kabul, and at UTC+14, but nowhere is it the day after."""
    monkeypatch.setattr("app.domain.times.utc_now", lambda: NIGHT)
    await reference.add("places", slug="kabul", name="Kabul", timezone="Asia/Kabul")
    await post(client, **report(place="kabul", stated_at="2026-12-01"))
    await post(client, **report(place="kabul", stated_at="2026-12-01T01:00:00+04:30"))
    for late in ("2026-12-02", "2026-12-01T01:05:00+04:30"):
        assert _refused(await client.post("/v1/reports", json=report(place="kabul", stated_at=late))).keys() == {"/stated_at"}


def _soon(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


DATES = {"in_days_min": None, "in_days_max": None}
IMPOSSIBLE: list[tuple[dict[str, Any], set[str]]] = [
    (report("supply_runout", DATES | {"runs_out_earliest": "2016-07-27"}), {"/value/runs_out_earliest"}),
    (report("supply_runout", DATES | {"runs_out_latest": "2016-07-27", "state": "low"}), {"/value/runs_out_latest"}),
    (report("supply_runout", {"state": "ran_out", "runs_out_earliest": "2016-07-29"}), {"/value/runs_out_earliest"}),
    (report("supply_runout", {"state": "ran_out", "in_days_min": 1}), {"/value/in_days_min"}),
    (report("supply_runout", {"state": "ran_out", "runs_out_latest": _soon(9)}, stated_at=_soon(0)), {"/value/runs_out_latest"}),
    (report("supply_runout", DATES | {"runs_out_earliest": "1899-12-31"}), {"/value/runs_out_earliest"}),
    (report("route_closure", {"since": "2016-07-29"}), {"/value/since"}),
    (report("route_closure", {"since": str(datetime.now(UTC).year + 1)}, stated_at=_soon(0)), {"/value/since"}),
    (report("route_closure", {"since": "1899"}), {"/value/since"}),
    (report("route_closure", {"since_earliest": "2016-08"}), {"/value/since_earliest"}),
    (report("route_closure", {"since_latest": "1899-12-31"}), {"/value/since_latest"}),
    (report(stated_at="1899-12-31"), {"/stated_at"}),
    (report(observed_from="1899-12-31", observed_to=_soon(3)), {"/observed_from", "/observed_to"}),
    (report(observed_from="2016-07-28", observed_to="2016-07-27"), {"/observed_from"}),
    (report(observed_from=_soon(3)), {"/observed_from"}),
    (report(stated_at="2016-07-28", observed_to="2016-09-28"), {"/observed_to"}),
    (report(stated_at="2016-07-28", observed_from="2016-07-29", observed_to="2016-07-30"), {"/observed_from", "/observed_to"}),
    (report(stated_at="2016-07-28T12:00:00Z", observed_to="2016-07-28T12:00:01Z"), {"/observed_to"}),
    (report(stated_at="2016-07-28T23:59:00Z", observed_to="2016-07-30"), {"/observed_to"}),
    (report(stated_at="2016-07-28", observed_to="2016-07-29T00:00:00Z"), {"/observed_to"}),
    (report(stated_at="2016-07-28", observed_to="2016-07-29T00:00:00Z", source="nobody"), {"/observed_to", "/source"}),
    (report(provenance={"published_at": _soon(3)}, stated_at=_soon(4)), {"/provenance/published_at", "/stated_at"}),
    (report(provenance={"published_at": "1066-10-14T12:00:00Z"}, value={"people": -1}), {"/provenance/published_at", "/value/people"}),
]
POSSIBLE = [
    report("supply_runout", DATES | {"runs_out_earliest": "2016-07-28"}),
    report("supply_runout", {"state": "ran_out", "runs_out_earliest": "2016-07-28", "runs_out_latest": "2016-07-28"}),
    # The month of the statement, which has not ended yet, and what is announced for a later day.
    report("route_closure", {"since": "2016-07"}),
    report("route_closure", {"since": "2016-08-02", "assertion": "announced"}),
    report(stated_at="1900-01-01", observed_to="1900-01-01"),
    report(stated_at="2016-07-28T01:00:00Z", observed_from="2016-07-28T01:00:00Z", observed_to="2016-07-28"),
    report(stated_at="2016-07-28", observed_to="2016-07-28T20:00:00Z"),
]


@sqlite_only
async def test_dates_that_cannot_be_are_refused_with_the_field(client: httpx.AsyncClient, reference: Reference) -> None:
    response = await client.post("/v1/reports", json=[body for body, _ in IMPOSSIBLE] + POSSIBLE)
    items = response.json()["items"]
    refused = [{each["pointer"] for each in item.get("problem", {}).get("errors", [])} for item in items]
    assert refused == [pointers for _, pointers in IMPOSSIBLE] + [set()] * len(POSSIBLE)


@mostly_sqlite
async def test_outcome_needs_evidence_about_the_same_place_and_kind(client: httpx.AsyncClient, reference: Reference) -> None:
    warning = await post(client, **report("supply_runout"))
    later = await post(client, **report("supply_runout", {"in_days_min": 30, "in_days_max": 40}, source="envoy", stated_at="2016-08-02"))
    elsewhere = await post(client, **report("supply_runout", {"state": "ran_out"}, place="country", stated_at="2016-08-12"))
    people = await post(client, **report(stated_at="2016-08-12"))
    water = await post(client, **report("supply_runout", {"supply": "water", "state": "resupplied"} | DATES, stated_at="2016-08-12"))
    path = f"/v1/indicators/{warning['indicator']}/outcome"
    for evidence in (warning, elsewhere, people):
        sent = {"outcome": "materialised", "reason": "seen", "report": evidence["id"]}
        assert _refused(await client.post(path, json=sent)).keys() == {"/report"}, evidence
    for evidence in (later, water):
        sent = {"outcome": "overtaken", "reason": "seen", "report": evidence["id"]}
        assert (await client.post(path, json=sent)).status_code == 201
