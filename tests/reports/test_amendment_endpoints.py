"""Corrections and retractions: each has a reason, the original stays readable, and a report is amended only once."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, post_all, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only


async def post(client: httpx.AsyncClient, path: str = "/v1/reports", **body: Any) -> dict[str, Any]:
    response = await client.post(path, json=body)
    assert response.status_code == 201, response.text
    recorded: dict[str, Any] = response.json()
    return recorded


async def get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(path)).json()
    return found


def corrected(**more: Any) -> dict[str, Any]:
    return report(**more) | {"reason": "misread"}


async def test_chain_of_corrections_counts_the_last_and_keeps_all(client: httpx.AsyncClient, reference: Reference) -> None:
    chain = [await post(client, **report(value={"people": 1}))]
    for people in (2, 3, 4):
        body = corrected(value={"people": people})
        response = await client.post(f"/v1/reports/{chain[-1]['id']}/correction", json=body)
        assert (response.status_code, response.headers["location"]) == (201, response.json()["links"]["self"])
        chain.append(response.json())
    for old, new in zip(chain, [*chain[1:], None], strict=True):
        found = await get(client, f"/v1/reports/{old['id']}")
        assert found["value"] == old["value"]
        assert found["status"] == ("standing" if new is None else "superseded")
        expected = [] if new is None else [
            {"seq": new["seq"], "type": "correction", "reason": "misread", "recorded_at": new["recorded_at"], "report": new["id"]}
        ]  # fmt: skip
        assert found["amended"] == expected
        assert found["supersedes"] == (chain[chain.index(old) - 1]["id"] if old is not chain[0] else None)
    detail = await get(client, f"/v1/indicators/{chain[0]['indicator']}")
    assert (detail["value"]["people"], detail["agreement"], detail["assessment"]["reports"]) == (4, "single", 1)
    assert [(each["id"], each["reason"]) for each in detail["left_out"]] == [(each["id"], "superseded") for each in chain[2::-1]]
    for old in chain[:-1]:
        response = await client.post(f"/v1/reports/{old['id']}/correction", json=corrected(value={"people": 9}))
        assert (response.status_code, response.json()["detail"]) == (409, "The report is already superseded.")
        assert (await client.post(f"/v1/reports/{old['id']}/retraction", json={"reason": "no"})).status_code == 409
    # Retracting the last correction does not restore the reports that it superseded.
    await post(client, f"/v1/reports/{chain[-1]['id']}/retraction", reason="withdrawn")
    assert (await get(client, f"/v1/indicators/{chain[0]['indicator']}"))["value"] is None
    # Nothing stands for the repeated statement any more, so it is recorded like a new one.
    again = await client.post("/v1/reports", json=report(value={"people": 1}))
    assert (again.status_code, again.json()["supersedes"], again.json()["status"]) == (201, None, "standing")


async def test_correction_may_move_a_statement_to_another_indicator(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await post(client, **report(value={"people": 5}))
    other = await post(client, **report(value={"people": 7}, source="monitor"))
    new = await post(client, f"/v1/reports/{first['id']}/correction", **corrected(value={"concept": "besieged", "people": 5}))
    assert new["indicator"] != first["indicator"]
    left, joined = [await get(client, f"/v1/indicators/{each['indicator']}") for each in (first, new)]
    assert [each["id"] for each in left["reports"]] == [other["id"]]
    assert [(each["id"], each["reason"]) for each in left["left_out"]] == [(first["id"], "superseded")]
    assert (left["agreement"], joined["agreement"]) == ("single", "single")
    assert left["revision"] == joined["revision"] == new["seq"]
    assert left["recorded_at"] == joined["recorded_at"] == new["recorded_at"]
    (entry,) = (await get(client, "/v1/changes"))["items"][SEEDED + 2 :]
    assert {each["id"] for each in entry["documents"]} == {first["indicator"], new["indicator"]}
    # An indicator without standing reports remains, without a value.
    moved = await post(client, f"/v1/reports/{other['id']}/correction", **corrected(value={"concept": "besieged"}, source="monitor"))
    empty = await get(client, f"/v1/indicators/{first['indicator']}")
    assert (empty["value"], empty["agreement"], empty["provenance"], empty["reports"]) == (None, None, None, [])
    said = empty["assessment"]
    assert (said["method"], said["reports"], said["sources"], said["preferred"]) == ("envelope/2", 0, 0, None)
    assert moved["indicator"] == new["indicator"]


@mostly_sqlite
async def test_amendments_are_in_the_changes(client: httpx.AsyncClient, reference: Reference) -> None:
    """Each has its reason, its report and the current document of the indicator."""
    first = await post(client, **report(value={"people": 5}))
    new = await post(client, f"/v1/reports/{first['id']}/correction", **corrected(value={"people": 6}))
    gone = await post(client, f"/v1/reports/{new['id']}/retraction", reason="withdrawn")
    assert (gone["type"], gone["report"], gone["indicator"], gone["seq"]) == ("retraction", new["id"], new["indicator"], SEEDED + 3)
    assert gone["links"] == {"report": f"/v1/reports/{new['id']}", "indicator": f"/v1/indicators/{new['indicator']}"}
    *_, correction, retraction = (await get(client, "/v1/changes"))["items"]
    assert (correction["type"], correction["reason"], correction["detail"]) == ("correction", "misread", {"supersedes": first["id"]})
    assert correction["report"]["id"] == new["id"]
    assert (retraction["type"], retraction["reason"], retraction["report_id"]) == ("retraction", "withdrawn", new["id"])
    assert [each["value"] for each in retraction["documents"]] == [None]
    assert retraction["recorded_at"] == gone["recorded_at"]


async def test_reinstatement_lets_a_report_stand_again_at_every_time(client: httpx.AsyncClient, reference: Reference) -> None:
    """Past documents keep what stood then; a second retraction and its undoing do the same once more, and the ledger verifies."""
    first = await post(client, **report(value={"people": 5}))
    report_path, indicator_path = f"/v1/reports/{first['id']}", f"/v1/indicators/{first['indicator']}"
    assert (await client.post(f"{report_path}/reinstatement", json={"reason": "no"})).status_code == 409
    moments = [first["recorded_at"]]
    for _ in range(2):
        moments.append((await post(client, f"{report_path}/retraction", reason="withdrawn"))["recorded_at"])
        undone = await post(client, f"{report_path}/reinstatement", reason="said after all")
        moments.append(undone["recorded_at"])
    assert (undone["type"], undone["report"], undone["indicator"]) == ("reinstatement", first["id"], first["indicator"])
    found = await get(client, report_path)
    assert (found["status"], found["links"]["reinstatement"]) == ("standing", f"{report_path}/reinstatement")
    assert [each["type"] for each in found["amended"]] == ["retraction", "reinstatement"] * 2
    assert (await get(client, indicator_path))["value"]["people"] == 5
    for at, moment in enumerate(moments):
        status, people = ("standing", 5) if at % 2 == 0 else ("retracted", None)
        assert (await get(client, f"{report_path}?known_at={moment}"))["status"] == status
        then = await get(client, f"{indicator_path}?known_at={moment}")
        assert (then["value"] or {"people": None})["people"] == people
    *_, entry = (await get(client, "/v1/changes"))["items"]
    assert (entry["type"], entry["reason"], entry["report_id"]) == ("reinstatement", "said after all", first["id"])
    assert [each["value"]["people"] for each in entry["documents"]] == [5]
    # It can be amended like any other that stands.
    await post(client, f"{report_path}/correction", **corrected(value={"people": 6}))
    assert (await client.post(f"{report_path}/reinstatement", json={"reason": "no"})).status_code == 409


@mostly_sqlite
@pytest.mark.parametrize("what", ["correction", "retraction"])
async def test_amending_a_retracted_report_gets_409(client: httpx.AsyncClient, reference: Reference, what: str) -> None:
    recorded = await post(client, **report())
    await post(client, f"/v1/reports/{recorded['id']}/retraction", reason="withdrawn")
    head = await get(client, "/v1/ledger/head")
    body = corrected(value={"people": 1}) if what == "correction" else {"reason": "again"}
    response = await client.post(f"/v1/reports/{recorded['id']}/{what}", json=body)
    assert (response.status_code, response.headers["content-type"]) == (409, "application/problem+json")
    assert response.json()["detail"] == "The report is already retracted."
    assert await get(client, "/v1/ledger/head") == head
    found = await get(client, f"/v1/reports/{recorded['id']}")
    assert (found["status"], found["value"], [each["type"] for each in found["amended"]]) == (
        "retracted",
        recorded["value"],
        ["retraction"],
    )


@mostly_sqlite
@pytest.mark.parametrize("what", ["correction", "retraction"])
async def test_amending_needs_the_organisation_or_the_scope_curate(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, what: str
) -> None:
    """A report that the key does not see gets 404, whatever its scopes."""
    body = corrected(value={"people": 1}) if what == "correction" else {"reason": "withdrawn"}
    *recorded, hidden = await post_all(client, report(), report(source="envoy"), report(sensitivity="red", source="army"))
    reader = await make_client(Scope.READ, organisation="test")
    other = await make_client(Scope.READ, Scope.REPORT, organisation="another")
    same = await make_client(Scope.READ, Scope.REPORT, organisation="test")
    curator = await make_client(Scope.READ, Scope.CURATE, organisation="another")
    for key, report_id, expected in (
        (reader, recorded[0]["id"], 403),
        (other, recorded[0]["id"], 403),
        (same, hidden["id"], 404),
        (curator, hidden["id"], 404),
        (curator, str(uuid4()), 404),
        (same, recorded[0]["id"], 201),
        (curator, recorded[1]["id"], 201),
    ):
        response = await key.post(f"/v1/reports/{report_id}/{what}", json=body)
        assert response.status_code == expected, response.text
    assert (await client.post(f"/v1/reports/no-id/{what}", json=body)).status_code == 422


@sqlite_only
async def test_amendment_without_a_reason_gets_422(client: httpx.AsyncClient, reference: Reference) -> None:
    recorded = await post(client, **report())
    for more in ({}, *({"reason": reason} for reason in ("", 5, ["why"], "x" * 2001))):
        for what, body in (("correction", report(value={"people": 1}) | more), ("retraction", more)):
            response = await client.post(f"/v1/reports/{recorded['id']}/{what}", json=body)
            assert response.status_code == 422, more
            assert [error["pointer"] for error in response.json()["errors"]] == ["/reason"], more
    wrong = await client.post(f"/v1/reports/{recorded['id']}/correction", json=report(value={"people": -1}, place="nowhere"))
    assert {error["pointer"] for error in wrong.json()["errors"]} >= {"/value/people", "/reason"}
    unknown = await client.post(f"/v1/reports/{recorded['id']}/retraction", json={"reason": "withdrawn", "why": 1})
    assert [error["pointer"] for error in unknown.json()["errors"]] == ["/why"]
    assert (await get(client, "/v1/ledger/head"))["seq"] == SEEDED + 1


@mostly_sqlite
async def test_correction_with_unknown_references_names_each(client: httpx.AsyncClient, reference: Reference) -> None:
    recorded = await post(client, **report())
    response = await client.post(f"/v1/reports/{recorded['id']}/correction", json=corrected(place="nowhere", source="nobody"))
    assert [error["pointer"] for error in response.json()["errors"]] == ["/place", "/source"]
    assert (await get(client, f"/v1/reports/{recorded['id']}"))["status"] == "standing"


@mostly_sqlite
async def test_correction_above_the_clearance_is_invisible(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """Below a higher label the original stands; a correction that is lowered later is a plain report below the original's label."""
    raised = await post(client, **report(value={"people": 5}))
    await post(client, f"/v1/reports/{raised['id']}/correction", **corrected(value={"people": 6}, sensitivity="amber"))
    assert (await get(anonymous, f"/v1/reports/{raised['id']}"))["status"] == "standing"
    assert (await get(anonymous, f"/v1/indicators/{raised['indicator']}"))["value"]["people"] == 5
    assert (await get(client, f"/v1/indicators/{raised['indicator']}"))["value"]["people"] == 6
    # A key that sees it standing may correct it; readers above then see both corrections, one of each label.
    curator = await make_client(clearance=Label.CLEAR)
    await post(curator, f"/v1/reports/{raised['id']}/correction", **corrected(value={"people": 7}))
    assert (await get(anonymous, f"/v1/indicators/{raised['indicator']}"))["value"]["people"] == 7
    assert len((await get(client, f"/v1/reports/{raised['id']}"))["amended"]) == 2

    hidden = await post(client, **report("supply_runout", sensitivity="red"))
    lowered = await post(client, f"/v1/reports/{hidden['id']}/correction", **corrected(kind="supply_runout", source="envoy"))
    assert lowered["sensitivity"] == "red"
    second = await make_client(clearance=Label.RED)
    (proposal,) = (await get(second, "/v1/label-proposals"))["items"]
    assert (proposal["report"], proposal["sensitivity"], proposal["reason"]) == (lowered["id"], "clear", "misread")
    await post(second, proposal["links"]["confirmation"])
    seen = await get(anonymous, f"/v1/reports/{lowered['id']}")
    assert (seen["supersedes"], seen["amended"], seen["seq"]) == (None, [], SEEDED + 3)
    entry = (await get(anonymous, "/v1/changes"))["items"][-1]
    assert (entry["type"], entry["reason"], entry["detail"]) == ("report", None, None)
    (step,) = (await get(anonymous, f"/v1/indicators/{lowered['indicator']}/history"))["items"]
    assert (step["type"], step["reason"], step["report"]) == ("report", None, lowered["id"])
    assert (await get(client, f"/v1/reports/{lowered['id']}"))["supersedes"] == hidden["id"]
