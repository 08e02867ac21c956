"""Tests of assessments as clients see them: figures that differ, parties, vague dates, announcements, outlets and grades."""

from typing import Any

import httpx

from tests.support.factories import SEEDED, Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite


async def read(client: httpx.AsyncClient, made: dict[str, Any], **params: str) -> tuple[Any, ...]:
    """Return figure, range, agreement, and the numbers of sources and reports."""
    found = (await client.get(f"/v1/indicators/{made['indicator']}", params=params)).json()
    value, count = found["value"], found["assessment"]
    return value["people"], value["people_low"], value["people_high"], found["agreement"], count["sources"], count["reports"]


async def route(client: httpx.AsyncClient) -> tuple[Any, ...]:
    """Return the status of the route and of each direction, since when, and the agreement."""
    (item,) = (await client.get("/v1/route-closures")).json()["items"]
    value = item["value"]
    return value["status"], value["status_in"], value["status_out"], value["since_earliest"], value["since_latest"], item["agreement"]


@mostly_sqlite
async def test_retraction_of_a_contested_figure_leaves_the_other(client: httpx.AsyncClient, reference: Reference) -> None:
    """Both are in the range while both stand, and still for `known_at` before the retraction."""
    worse = await post(client, **report(value={"people": 100_000}, source="monitor"))
    assert await read(client, worse) == (100_000, 100_000, 100_000, "single", 1, 1)
    better = await post(client, **report(value={"people": 250_000}, source="agency"))
    both = (250_000, 100_000, 250_000, "contested", 2, 2)
    assert await read(client, better) == both
    detail = (await client.get(f"/v1/indicators/{better['indicator']}")).json()
    assert [(each["source"]["slug"], each["relation"]) for each in detail["reports"]] == [
        ("agency", "preferred"),
        ("monitor", "contradicts"),
    ]
    gone = await post(client, f"/v1/reports/{better['id']}/retraction", reason="withdrawn")
    alone = (100_000, 100_000, 100_000, "single", 1, 1)
    assert await read(client, better) == alone
    assert await read(client, better, known_at=better["recorded_at"]) == both
    assert await read(client, better, known_at=gone["recorded_at"]) == alone
    assert await read(client, better, known_at=worse["recorded_at"]) == alone
    left = (await client.get(f"/v1/indicators/{better['indicator']}")).json()["left_out"]
    assert [(each["id"], each["reason"]) for each in left] == [(better["id"], "retracted")]


@mostly_sqlite
async def test_ten_outlets_that_relay_one_figure_count_as_one_source(client: httpx.AsyncClient, reference: Reference) -> None:
    """This is so for ten reports with different URLs and for one; no outlet is a source."""
    for at in range(10):
        await reference.add("sources", slug=f"outlet-{at}", name=f"Outlet {at}", type="media", reliability="C")
    relayed = [{"via": [f"outlet-{at}"], "url": f"https://outlet-{at}.example/story"} for at in range(10)]
    *_, made = await post_all(client, *(report(value={"people": 300_000}, provenance=each) for each in relayed))
    assert await read(client, made) == (300_000, 300_000, 300_000, "single", 1, 1)
    detail = (await client.get(f"/v1/indicators/{made['indicator']}")).json()
    assert [each["reason"] for each in detail["left_out"]] == ["replaced_by_later"] * 9
    await post(client, **report(value={"people": 300_000}, source="envoy", provenance={"via": [f"outlet-{at}" for at in range(10)]}))
    assert await read(client, made) == (300_000, 300_000, 300_000, "consistent", 2, 2)


@mostly_sqlite
async def test_reports_of_parties_alone_are_unconfirmed(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await post(client, **report(value={"people": 5000}, source="army"))
    assert (await read(client, made))[3] == "unconfirmed"
    await post(client, **report(value={"people_low": 4000, "people_high": 6000, "people": 5000}, source="rebels"))
    assert await read(client, made) == (5000, 4000, 6000, "unconfirmed", 2, 2)
    (listed,) = (await client.get("/v1/indicators?agreement=unconfirmed")).json()["items"]
    assert listed["id"] == made["indicator"]
    unknown = await post(client, **report(value={"people": 5500}, source="unknown"))
    assert (await read(client, made))[3] == "contested", "5,000 and 5,500 are two figures"
    await post(client, f"/v1/reports/{unknown['id']}/correction", **report(value={"people": 5000}, source="unknown", reason="misread"))
    assert (await read(client, made))[3] == "consistent"


@mostly_sqlite
async def test_vaguer_date_around_an_exact_one_is_consistent(client: httpx.AsyncClient, reference: Reference) -> None:
    await post(client, **report("route_closure", {"since": "2016-07-07"}))
    await post(client, **report("route_closure", {"since": "2016-07"}, source="monitor"))
    assert await route(client) == ("closed", "closed", "closed", "2016-07-07", "2016-07-07", "consistent")
    await post(client, **report("route_closure", {"since_earliest": "2016-07-01", "since_latest": "2016-07-10"}, source="envoy"))
    assert (await route(client))[5] == "consistent"
    await post(client, **report("route_closure", {"since_earliest": "2016-07-08", "since_latest": "2016-07-10"}, source="unknown"))
    assert (await route(client))[5] == "contested"


@mostly_sqlite
async def test_announced_or_agreed_opening_does_not_open_a_route(client: httpx.AsyncClient, reference: Reference) -> None:
    """A better grade does not change that; an observed opening does, for what a party closed."""
    opened = {"status": "open", "passable_by": ["humanitarian"]}
    for assertion, source in (("announced", "agency"), ("agreed", "envoy")):
        made = await post(client, **report("route_closure", opened | {"assertion": assertion}, source=source))
    # Nothing stands: lists leave the indicator out, and the indicator says why.
    for params, shown in (
        ({}, 0),
        ({"include_empty": "true"}, 1),
        ({"as_of": "2016-08-01"}, 0),
        ({"as_of": "2016-08-01", "include_empty": "true"}, 1),
    ):
        for path in ("/v1/route-closures", "/v1/indicators"):
            assert len((await client.get(path, params=params)).json()["items"]) == shown, (path, params)
    found = (await client.get(f"/v1/indicators/{made['indicator']}")).json()
    assert (found["value"], found["agreement"]) == (None, None)
    assert [each["relation"] for each in found["reports"]] == ["announced", "announced"]
    await post(client, **report("route_closure", {"since": "2016-07-07"}, source="army"))
    assert await route(client) == ("closed", "closed", "closed", "2016-07-07", "2016-07-07", "unconfirmed")
    await post(client, **report("route_closure", opened | {"direction": "out"}, source="monitor"))
    assert (await route(client))[:3] == ("restricted", "closed", "open")
    await post(client, **report("route_closure", opened, source="monitor", stated_at="2016-07-29"))
    assert await route(client) == ("open", "open", "open", None, None, "contested")


@mostly_sqlite
async def test_new_grade_changes_the_preferred_report(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await post(client, **report(value={"people": 1}, source="monitor"))
    await post(client, **report(value={"people": 2}, source="unknown"))
    assert (await read(client, made))[0] == 1
    graded = await post(client, "/v1/sources/unknown/grades", reliability="B", reason="was right")
    assert (graded["type"], graded["source"], graded["reliability"], graded["before"]) == ("grade", "unknown", "B", "F")
    assert (await read(client, made))[0] == 2
    assert (await client.get("/v1/sources/unknown")).json()["reliability"] == "B"
    for body, status in (
        ({"reliability": "B", "reason": "again"}, 409),
        ({"reliability": "G", "reason": "worse"}, 422),
        ({"reliability": "C"}, 422),
        ({"reliability": "C", "reason": ""}, 422),
    ):
        assert (await client.post("/v1/sources/unknown/grades", json=body)).status_code == status
    assert (await client.post("/v1/sources/nobody/grades", json={"reliability": "C", "reason": "worse"})).status_code == 404
    assert (await client.get("/v1/ledger/head")).json()["seq"] == graded["seq"] == SEEDED + 3
