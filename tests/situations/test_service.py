"""Tests of situations: nothing is added up, a route counts once, days count from `as_of`."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.situations import service
from tests.support.factories import Reference, post, post_all, report
from tests.support.fixtures import mostly_sqlite


async def situation(client: httpx.AsyncClient, place: str = "oldtown", **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/v1/situations/{place}", params={"as_of": "2016-08-10"} | params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@mostly_sqlite
async def test_situation_never_adds_up_places_or_concepts(client: httpx.AsyncClient, reference: Reference) -> None:
    besieged = report(value={"concept": "besieged", "people": 700})
    await post_all(client, report(value={"people": 1000}), report(value={"people": 5000}, place="country"), besieged)
    own = await situation(client, "country")
    assert [(each["concept"], each["place"], each["people"]) for each in own["trapped"]] == [("trapped", "country", 5000)]
    every = await situation(client, "country", within=True)
    assert [(each["concept"], each["place"], each["people"]) for each in every["trapped"]] == [
        ("trapped", "country", 5000),
        ("trapped", "oldtown", 1000),
        ("besieged", "oldtown", 700),
    ]
    assert not {"6000", "6700", "1700", "5700"} & set(str(every).replace(",", " ").replace("}", " ").split())
    assert every["place"]["slug"] == "country"
    by_code = await situation(client, "pcode:SY02")
    assert len(by_code["trapped"]) == 2
    listed = (await client.get("/v1/situations?as_of=2016-08-10")).json()["items"]
    assert [each["place"]["slug"] for each in listed] == ["country", "oldtown"]
    found = [own, await situation(client)]
    words = [each.pop("detail") for one in found for each in one["checks"]]
    assert [each.pop("detail") for one in listed for each in one["checks"]] == [None] * len(words)
    assert listed == found
    assert (await client.get("/v1/situations/nowhere")).status_code == 404
    assert (await client.get("/v1/situations/SY02")).status_code == 404


@mostly_sqlite
async def test_situation_has_days_left_and_the_soonest_runout(client: httpx.AsyncClient, reference: Reference) -> None:
    """Food that lasts 14 to 21 days from 28 July runs out on 11 to 18 August."""
    water = report("supply_runout", {"supply": "water", "in_days_min": 10, "in_days_max": 10})
    medical = report("supply_runout", {"supply": "medical", "state": "ran_out"})
    fuel = report("supply_runout", {"supply": "fuel", "relative_text": "hours, if not days"})
    fuel["value"] = {name: each for name, each in fuel["value"].items() if not name.startswith("in_days")}
    food, *_ = await post_all(client, report("supply_runout"), water, medical, fuel)
    for as_of, expected in (("2016-08-10", (1, 8, -3)), ("2016-08-11T23:00:00+14:00", (0, 7, -4)), ("2016-08-20", (-9, -2, -13))):
        found = await situation(client, as_of=as_of)
        left = {each["supply"]: (each["days_left"], each["days_left_latest"]) for each in found["supplies"]}
        assert left == {"food": expected[:2], "water": (expected[2], expected[2]), "medical": (None, None), "fuel": (None, None)}
        assert (found["soonest_runout"]["supply"], found["soonest_runout"]["days_left"]) == ("water", expected[2])
        assert [each["supply"] for each in found["supplies"]][:2] == ["water", "food"]
    today = (datetime.now(UTC).date() - datetime(2016, 8, 11, tzinfo=UTC).date()).days
    now = (await client.get("/v1/situations/oldtown")).json()
    assert (now["as_of"][10:], {each["supply"]: each["days_left"] for each in now["supplies"]}["food"]) == ("T23:59:59.999999Z", -today)
    # A warning with an outcome has no days left.
    indicator = next(each["links"]["indicator"] for each in now["supplies"] if each["supply"] == "water")
    convoy = report("supply_runout", source="monitor", stated_at="2016-07-29") | {"value": {"supply": "water", "state": "resupplied"}}
    outcome = {"outcome": "averted", "reason": "a convoy", "report": (await post(client, **convoy))["id"]}
    assert (await client.post(f"{indicator}/outcome", json=outcome)).status_code == 201
    found = await situation(client)
    assert (found["soonest_runout"]["supply"], found["soonest_runout"]["links"]["indicator"]) == (
        "food",
        f"/v1/indicators/{food['indicator']}",
    )
    assert {each["supply"]: (each["days_left"], each["outcome"]) for each in found["supplies"]}["water"] == (None, "averted")


@mostly_sqlite
async def test_route_that_serves_two_places_counts_once(client: httpx.AsyncClient, reference: Reference) -> None:
    assert (await situation(client, "country", within=True))["routes"] == {
        "known": 0, "closed": 0, "restricted": 0, "open": 0, "unknown": 0, "all_closed": False, "items": []
    }  # fmt: skip
    restricted = report("route_closure", {"status": "restricted"}, place="country")
    await post_all(client, report("route_closure"), restricted, report("route_closure", {"route": "south-road"}))
    both = (await situation(client, "country", within=True))["routes"]
    assert (both["known"], both["closed"], both["restricted"], both["all_closed"]) == (2, 2, 0, True)
    assert [(each["route"], each["place"], each["status"]) for each in both["items"]] == [
        ("north-road", "country", "restricted"),
        ("north-road", "oldtown", "closed"),
        ("south-road", "oldtown", "closed"),
    ]
    own = (await situation(client, "country"))["routes"]
    assert (own["known"], own["closed"], own["restricted"], own["all_closed"]) == (1, 0, 1, False)
    announced = report("route_closure", {"route": "south-road", "status": "open", "assertion": "announced"}, place="country")
    await post(client, **announced)
    own = (await situation(client, "country"))["routes"]
    assert (own["known"], own["restricted"], own["open"], own["unknown"], own["all_closed"]) == (2, 1, 0, 1, False)
    south = report("route_closure", {"route": "south-road", "status": "open"}, stated_at="2016-07-30")
    out = report("route_closure", {"status": "open", "direction": "out"}, stated_at="2016-07-30")
    await post_all(client, south, out)
    town = (await situation(client))["routes"]
    assert (town["known"], town["open"], town["restricted"], town["all_closed"]) == (2, 1, 1, False)
    assert [(each["status_in"], each["status_out"]) for each in town["items"]] == [("closed", "open"), ("open", "open")]


async def test_situation_has_contested_newest_and_stale_indicators(client: httpx.AsyncClient, reference: Reference) -> None:
    """The newest standing report counts even if it is not preferred, to the microsecond."""
    assert (await situation(client))["newest_statement"] is None
    newest = report(value={"people": 9000}, source="army", stated_at="2016-07-29T00:00:00.5Z")
    people, *_ = await post_all(client, report(value={"people": 1000}), newest, report("supply_runout", stated_at="2016-07-29"))
    found = await situation(client)
    assert found["contested"] == [f"/v1/indicators/{people['indicator']}"]
    assert found["newest_statement"] == "2016-07-29T00:00:00.500000Z"
    assert [each["stale"] for each in (*found["trapped"], *found["supplies"])] == [False, False]
    assert found["links"] == {"self": "/v1/situations/oldtown", "indicators": "/v1/indicators?place=oldtown"}
    for as_of, expected in (
        ("2016-08-27", [False, False]),
        ("2016-08-28", [False, True]),
        ("2016-09-26T00:00:00Z", [False, True]),
        ("2016-09-26T00:00:00.000001Z", [True, True]),
    ):
        found = await situation(client, as_of=as_of)
        assert [each["stale"] for each in (*found["trapped"], *found["supplies"])] == expected, as_of


@mostly_sqlite
async def test_situation_reveals_nothing_above_the_clearance(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    await post_all(client, report(value={"people": 1000}), report("route_closure"))
    before = await situation(anonymous)
    await post_all(
        client,
        report(value={"people": 9000}, source="envoy", sensitivity="amber", stated_at="2016-08-09"),
        report("route_closure", {"status": "open"}, source="envoy", sensitivity="red", stated_at="2016-08-09"),
        report("supply_runout", sensitivity="green"),
        report(place="country", sensitivity="red"),
    )
    assert await situation(anonymous) == before
    assert [each["place"]["slug"] for each in (await anonymous.get("/v1/situations")).json()["items"]] == ["oldtown"]
    seen = await situation(client)
    assert (len(seen["contested"]), len(seen["supplies"]), seen["newest_statement"]) == (2, 1, "2016-08-09T00:00:00Z")
    assert (seen["routes"]["closed"], before["routes"]["closed"]) == (1, 1)


async def test_pages_of_situations_have_each_place_once(
    client: httpx.AsyncClient, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than a page, and less than all places.
    monkeypatch.setattr(service, "MAX_PLACES_PER_STEP", 2)
    for at in range(5):
        await reference.add("places", slug=f"quarter-{at}", name=f"Quarter {at}", parent="oldtown")
    await post_all(client, *(report(place=f"quarter-{at}", stated_at=f"2016-07-{20 + at}") for at in range(5)))
    for query, expected in (
        ("", 5),
        ("as_of=2016-07-22&", 3),
        ("place=oldtown&within=true&", 5),
        ("country=LBN&", 0),
        ("place=oldtown&", 0),
    ):
        for limit in (1, 5):
            path, seen = f"/v1/situations?{query}limit={limit}", []
            for _ in range(8):
                answer = await client.get(path)
                seen += [each["place"]["slug"] for each in answer.json()["items"]]
                if answer.json()["next"] is None:
                    break
                path = answer.links["next"]["url"]
            assert seen == [f"quarter-{at}" for at in range(expected)], path
