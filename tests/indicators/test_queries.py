"""Tests of the filters of indicators."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.factories import Reference, post_all, report
from tests.support.fixtures import FULL, mostly_sqlite, sqlite_only

TODAY = datetime.now(UTC).date().isoformat()
VIEWS = {"trapped_population": "/v1/trapped-populations", "supply_runout": "/v1/supply-runouts", "route_closure": "/v1/route-closures"}
FILTER_FIELDS = {"trapped_population": "concept", "supply_runout": "supply", "route_closure": "route"}
REPORTS: dict[str, dict[str, Any]] = {
    "trapped": report(source="agency"),
    "besieged": report(value={"concept": "besieged"}, source="monitor"),
    "country": report(place="country", source="unknown"),
    "food": report("supply_runout", source="army"),
    "water": report("supply_runout", {"supply": "water", "state": "ran_out"}, source="envoy", stated_at=TODAY),
    "agency food": report("supply_runout", {"scope": "agency_stock", "state": "low"}, source="agency"),
    "north": report("route_closure", source="agency"),
    "south": report("route_closure", {"route": "south-road", "status": "open"}, source="envoy", place="pacific-west"),
    "east": report(source="outlet", place="pacific-east"),
    "unplaced": report(source="agency", place="unplaced"),
}


@pytest.fixture
async def named(client: httpx.AsyncClient, reference: Reference) -> dict[str, str]:
    """Return names for indicators of different kinds, places, grades and states, two of which have two sources."""
    await reference.add("places", slug="pacific-west", name="West of the line", country="FJI", centroid=[179.5, -17.0])
    await reference.add("places", slug="pacific-east", name="East of the line", country="WSM", centroid=[-172.0, -13.8])
    await reference.add("places", slug="unplaced", name="Somewhere")
    await client.post("/v1/sources", json={"slug": "poor", "name": "Poor", "type": "media", "reliability": "E"})
    second = [report(source="envoy", value={"people": 250000}), report("route_closure", {"status": "open"}, source="poor")]
    bodies = [*REPORTS.values(), *second]
    items = []
    # One list is recorded at one time.
    for start in range(0, len(bodies), 4):
        items += await post_all(client, *bodies[start : start + 4])
    found = dict(zip((item["indicator"] for item in items), REPORTS, strict=False))
    assert len(found) == len(REPORTS)
    return found


async def names(client: httpx.AsyncClient, named: dict[str, str], path: str = "/v1/indicators", **params: Any) -> set[str]:
    """Return the names of the indicators in a list, which has each once."""
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found = [named[item["id"]] for item in answer.json()["items"]]
    assert len(found) == len(set(found))
    return set(found)


EVERY = set(REPORTS)
FILTERS: list[tuple[dict[str, str], set[str]]] = [
    ({}, EVERY),
    ({"kind": "trapped_population"}, {"trapped", "besieged", "country", "east", "unplaced"}),
    ({"kind": "supply_runout"}, {"food", "water", "agency food"}),
    ({"kind": "route_closure"}, {"north", "south"}),
    ({"place": "oldtown"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"place": "pcode:SY02"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"place": "country"}, {"country"}),
    ({"place": "country", "within": "true"}, {"trapped", "besieged", "country", "food", "water", "agency food", "north"}),
    ({"place": "country", "within": "false"}, {"country"}),
    ({"country": "SYR"}, {"trapped", "besieged", "country", "food", "water", "agency food", "north"}),
    ({"country": "FJI"}, {"south"}),
    ({"country": "LBN"}, set()),
    ({"source": "agency"}, {"agency food", "north", "unplaced"}),
    # With equal grades and times, the later recorded report is preferred.
    ({"source": "envoy"}, {"trapped", "water", "south"}),
    ({"source": "army"}, {"food"}),
    ({"concept": "trapped"}, {"trapped", "country", "east", "unplaced"}),
    ({"concept": "besieged"}, {"besieged"}),
    ({"supply": "food"}, {"food", "agency food"}),
    ({"supply": "water"}, {"water"}),
    ({"supply": "fuel"}, set()),
    ({"route": "north-road"}, {"north"}),
    ({"status": "closed"}, {"north"}),
    ({"status": "open"}, {"south"}),
    ({"status": "ran_out"}, {"water"}),
    ({"status": "low"}, {"agency food"}),
    ({"status": "restricted"}, set()),
    ({"agreement": "contested"}, {"trapped", "north"}),
    ({"agreement": "single"}, EVERY - {"trapped", "north", "food"}),
    ({"agreement": "unconfirmed"}, {"food"}),
    ({"agreement": "claimed"}, set()),
    ({"min_reliability": "A"}, set()),
    ({"min_reliability": "B"}, {"trapped", "water", "agency food", "north", "south", "unplaced"}),
    ({"min_reliability": "C"}, EVERY - {"country", "food"}),
    # F means unknown and ranks below C, above D.
    ({"min_reliability": "F"}, EVERY - {"food"}),
    ({"min_reliability": "D"}, EVERY),
    ({"min_reliability": "E"}, EVERY),
    ({"stale": "true"}, EVERY - {"water"}),
    ({"stale": "false"}, {"water"}),
    ({"updated_since": "2016-01-01"}, EVERY),
    ({"updated_since": TODAY}, EVERY),
    ({"updated_since": "2999-01-01T00:00:00Z"}, set()),
    ({"bbox": "36,35.5,38,37"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"bbox": "37.19,36.2,37.19,36.2"}, {"trapped", "besieged", "food", "water", "agency food", "north"}),
    ({"bbox": "-180,-90,180,90"}, EVERY - {"unplaced"}),
    ({"bbox": "0,0,1,1"}, set()),
    ({"bbox": "170,-20,180,-10"}, {"south"}),
    ({"bbox": "-180,-20,-170,-10"}, {"east"}),
    # West above east crosses the antimeridian (RFC 7946, 5.2).
    ({"bbox": "170,-20,-170,-10"}, {"south", "east"}),
    ({"bbox": "179.9,-20,-170,-10"}, {"east"}),
    ({"kind": "trapped_population", "place": "oldtown", "agreement": "single"}, {"besieged"}),
    ({"kind": "supply_runout", "route": "north-road"}, set()),
    ({"place": "oldtown", "country": "FJI"}, set()),
    ({"source": "agency", "status": "low", "supply": "food", "min_reliability": "B", "stale": "true"}, {"agency food"}),
]


async def test_filter_returns_the_indicators_that_match(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    """Each filter is tried on the list of all kinds and on that of one kind; with TEST_FULL=1, of all kinds."""
    failed = []
    kinds = {name: REPORTS[name]["kind"] for name in REPORTS}
    for at, (params, expected) in enumerate(FILTERS):
        found = await names(client, named, **params)
        if found != expected:
            failed.append(f"{params}: {sorted(found)}, not {sorted(expected)}")
        views = [kind for kind in VIEWS if not params.keys() & {"kind", "status", *FILTER_FIELDS.values()} - {FILTER_FIELDS[kind]}]
        for kind in views if FULL or not views else [views[at % len(views)]]:
            path = VIEWS[kind]
            found = await names(client, named, path, **params)
            if found != {name for name in expected if kinds[name] == kind}:
                failed.append(f"{path} {params}: {sorted(found)}")
    assert not failed, "\n".join(failed)


@mostly_sqlite
async def test_list_of_a_kind_accepts_only_its_own_states(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    assert await names(client, named, VIEWS["supply_runout"], status="ran_out") == {"water"}
    assert await names(client, named, VIEWS["route_closure"], status="closed") == {"north"}
    for kind, status in (("supply_runout", "closed"), ("route_closure", "ran_out"), ("trapped_population", "closed")):
        answer = await client.get(VIEWS[kind], params={"status": status})
        assert [error["pointer"] for error in answer.json()["errors"]] == ["?status"], kind


async def test_updated_since_has_microseconds_and_is_inclusive(client: httpx.AsyncClient, named: dict[str, str]) -> None:
    """A new report on an old indicator changes its time."""
    recorded = {named[item["id"]]: item["recorded_at"] for item in (await client.get("/v1/indicators")).json()["items"]}
    assert len(set(recorded.values())) == 3
    later = ""
    for at in sorted(set(recorded.values())):
        assert await names(client, named, updated_since=at) == {name for name in recorded if recorded[name] >= at}
        later = (datetime.fromisoformat(at) + timedelta(microseconds=1)).isoformat()
        assert await names(client, named, updated_since=later) == {name for name in recorded if recorded[name] > at}
    await client.post("/v1/reports", json=REPORTS["besieged"] | {"stated_at": "2016-07-29"})
    assert await names(client, named, updated_since=later) == {"besieged"}


WRONG: list[tuple[str, str]] = [
    *[("bbox", value) for value in (
        "", "36,35,38", "36,35,38,37,1", "a,b,c,d", "36;35;38;37", "36,37,38,35", "0,91,1,92", "0,-92,1,-91",
        "nan,0,1,1", "0,0,inf,1", "3_6,35,38,37", "\u0663\u0666,35,38,37", "36,35,38,", "[36,35,38,37]",
    )],
    *[("limit", value) for value in ("0", "-1", "1001", "", "x", "1.5", "1e2", "\u0661", "99999999999999999999")],
    *[("cursor", value) for value in (
        "", "x", "0", "null", "AAAA", "A" * 200, "a" * 201, "../x", "é", "eyJpZCI6MX0=", "AhIAAAAAAAAAAA",
        "019f0000-0000-7000-8000-000000000000"
    )],
    *[("min_reliability", value) for value in ("", "b", "G", "AB", "1")],
    *[("agreement", value) for value in ("", "disputed", "Single")],
    *[("kind", value) for value in ("", "trapped", "trapped-populations")],
    *[("concept", value) for value in ("", "people")],
    *[("supply", value) for value in ("", "bread", "food.agency_stock")],
    *[("route", value) for value in ("", "North Road", "a" * 65)],
    *[("source", value) for value in ("", "The Agency", "a" * 65)],
    *[("status", value) for value in ("", "shut")],
    *[("stale", value) for value in ("", "maybe", "2")],
    *[("within", value) for value in ("", "maybe")],
    *[("country", value) for value in ("", "SY", "syr", "SYRIA")],
    *[("place", value) for value in ("a" * 101, "a\0")],
    *[(name, value) for name in ("updated_since", "as_of", "known_at") for value in (
        "", "yesterday", "2016-02-30", "2016-07-28T09:30:00", "1469664000", "2016", "0000-01-01", "2016-07-28T09:30:00+25:00",
    )],
]  # fmt: skip


@sqlite_only
async def test_invalid_filter_is_rejected_at_its_parameter(client: httpx.AsyncClient) -> None:
    failed = []
    for name, value in WRONG:
        answer = await client.get("/v1/indicators", params={name: value})
        problem = answer.headers["content-type"] == "application/problem+json"
        if answer.status_code != 422 or not problem or [error["pointer"] for error in answer.json()["errors"]] != [f"?{name}"]:
            failed.append(f"{name}={value[:40]!r}: {answer.status_code} {answer.text[:150]}")
    assert not failed, "\n".join(failed)
