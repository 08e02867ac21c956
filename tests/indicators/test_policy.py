"""Tests of assessments under a policy of the reader, and of the reports that decide an assessment."""

from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

pytestmark = pytest.mark.usefixtures("reference")


async def record(client: httpx.AsyncClient) -> tuple[str, list[str]]:
    """Record three figures of an agency (B), a monitor (C) that cites the envoy, and an army; return the indicator and their ids."""
    made = await post_all(
        client,
        report(value={"people": 250_000}, source="agency"),
        report(value={"people": 300_000}, source="monitor", provenance={"origin": "envoy"}),
        report(value={"people": 20_000}, source="army"),
    )
    return f"/v1/indicators/{made[0]['indicator']}", [each["id"] for each in made]


async def test_policy_assesses_again_and_says_so(client: httpx.AsyncClient) -> None:
    path, ids = await record(client)

    async def read(**params: str) -> tuple[Any, ...]:
        found = (await client.get(path, params=params)).json()
        reasons = {each["id"]: each.get("relation") or each["reason"] for each in found["reports"] + found["left_out"]}
        policy = found["assessment"]["policy"]
        return found["value"] and found["value"]["people_high"], found["agreement"], [reasons[each] for each in ids], policy

    assert await read() == (300_000, "contested", ["preferred", "contradicts", "contradicts"], None)
    no_policy = {"basis": None, "min_reliability": None, "without": None}
    for extra in ({}, {"as_of": "2016-08-01"}):
        assert await read(basis="no_parties", **extra) == (
            *(300_000, "contested", ["preferred", "contradicts", "policy"]),
            no_policy | {"basis": "no_parties"},
        )
        assert await read(min_reliability="B", **extra) == (
            *(250_000, "single", ["preferred", "policy", "policy"]),
            no_policy | {"min_reliability": "B"},
        )
    # As source and as origin.
    assert await read(without="agency") == (
        *(300_000, "contested", ["policy", "preferred", "contradicts"]),
        no_policy | {"without": "agency"},
    )
    both = await read(without="envoy", basis="no_parties")
    assert both == (
        250_000,
        "single",
        ["preferred", "policy", "policy"],
        {"basis": "no_parties", "min_reliability": None, "without": "envoy"},
    )
    assert await read(without="agency", min_reliability="B") == (
        *(None, None, ["policy"] * 3),
        {"basis": None, "min_reliability": "B", "without": "agency"},
    )
    # Nothing of it is stored.
    assert (await client.get("/v1/indicators")).json()["items"][0]["assessment"]["policy"] is None


@sqlite_only
@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("basis=all", "?basis"),
        ("min_reliability=G", "?min_reliability"),
        ("without=nobody", "?without"),
        ("without=No+body", "?without"),
        ("policy=1", "?policy"),
    ],
)
async def test_invalid_policy_is_rejected_at_its_parameter(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    path, _ = await record(client)
    answer = await client.get(f"{path}?{query}")
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (422, [pointer])


@sqlite_only
async def test_policy_knows_a_protected_source_by_its_alias_only(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    await reference.add("sources", slug="hidden", name="Hidden", type="witness", reliability="C", alias="A witness")
    (made,) = await post_all(client, report(source="hidden") | {"sensitivity": "green"})
    path = f"/v1/indicators/{made['indicator']}"
    below = await make_client(clearance=Label.GREEN, organisation="another")
    assert (await below.get(path, params={"without": "hidden"})).status_code == 422
    alias = (await below.get(path)).json()["provenance"]["source"]["slug"]
    found = (await below.get(path, params={"without": alias})).json()
    assert (found["value"], found["assessment"]["policy"]["without"]) == (None, alias)
    assert b"hidden" not in (await below.get(path, params={"without": alias})).content.lower()
    assert (await client.get(path, params={"without": "hidden"})).json()["value"] is None


@mostly_sqlite
async def test_deciding_names_the_reports_that_the_assessment_depends_on(client: httpx.AsyncClient) -> None:
    path, ids = await record(client)

    async def read(**params: str) -> list[str]:
        found: list[str] = (await client.get(path, params=params)).json()["assessment"]["deciding"]
        return found

    # Two contradictions are left without the army's figure, and without the agency's the monitor leads.
    assert await read() == [ids[0]]
    assert await read(without="army") == [ids[1]], "of two the newest"
    assert "deciding" not in (await client.get("/v1/indicators")).json()["items"][0]["assessment"]
