"""Literal levels that `urgency/1` gives, each told over HTTP."""

from typing import Any

import httpx
import pytest

from tests.assessment.stories import assessed, due, food, get, outcome, people, range_of, road, say, situation
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


async def level(client: httpx.AsyncClient, as_of: str, place: str = "oldtown") -> str | None:
    """Return the level of a place."""
    found: str | None = (await situation(client, as_of, place))["level"]
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (people(1), "serious"),
        (people(0), "watch"),
        (people(concept="besieged", people_high=5), "serious"),
        (people(concept="encircled", people_low=5), "serious"),
        (people(5, concept="remaining"), "serious"),
        (people(5, concept="at_risk"), "watch"),
        (people(5, concept="hard_to_reach"), "watch"),
        (people(5, concept="in_need"), "watch"),
        (road("closed"), "serious"),
        (road("closed", direction="in"), "serious"),
        (road("closed", direction="out"), "serious"),
        (road("restricted"), "watch"),
        (road("restricted", passable_by=["medical"]), "watch"),
        (road("restricted", passable_by=[]), "serious"),
        (road("restricted", direction="out", passable_by=[]), "serious"),
        (road("open"), "watch"),
        (food("ran_out"), "serious"),
        (food(days=(7, 30)), "serious"),
        (food(days=(8, 30)), "watch"),
        (food("low", days=(7, 30)), "serious"),
        (food("low"), "watch"),
        (food("resupplied"), "watch"),
        (food(imminence="hours"), "serious"),
        (food(imminence="days"), "serious"),
        (food(imminence="weeks"), "watch"),
        (food(days=(30, 40), imminence="days"), "serious"),
        (food(runs_out_latest="2016-08-08"), "serious"),
        (food(runs_out_latest="2016-08-09"), "watch"),
        (road("closed", assertion="announced"), None),
    ],
)
async def test_one_report_gives_its_level(client: httpx.AsyncClient, value: dict[str, Any], expected: str | None) -> None:
    said = await say(client, "agency", "2016-08-01", value)
    found = await situation(client, "2016-08-01")
    assert (found["level"], found["silent_days"]) == (expected, 0)
    reasons = {each["indicator"] for each in found["because"]}
    assert reasons == ({said["indicator"]} if expected in ("serious", "critical") else set())


async def test_held_and_short_together_are_critical(client: httpx.AsyncClient) -> None:
    held = await say(client, "agency", "2016-08-01", people(20_000))
    short = await say(client, "monitor", "2016-08-01", food(days=(10, 20)))
    assert [await level(client, f"2016-08-{day:02}") for day in (1, 3, 4, 11, 31)] == ["serious", "serious", *["critical"] * 3]
    found = await situation(client, "2016-08-05")
    assert {each["indicator"] for each in found["because"]} == {held["indicator"], short["indicator"]}
    assert all(each["reason"] and each["judged"] is False for each in found["because"])
    assert await level(client, "2016-07-31") is None


async def test_all_routes_closed_one_way_hold_even_if_the_other_way_is_open(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", road("closed", direction="in"))
    await say(client, "agency", "2016-08-01", road("open", direction="out"))
    assert await level(client, "2016-08-01") == "serious"
    await say(client, "agency", "2016-08-02", road("restricted", "south-road", direction="out"))
    assert await level(client, "2016-08-02") == "serious", "nothing is known of the other route's way in"
    await say(client, "agency", "2016-08-03", road("restricted", "south-road", direction="in"))
    assert await level(client, "2016-08-03") == "watch"
    await say(client, "agency", "2016-08-04", road("restricted", "south-road", direction="in", passable_by=[]))
    assert await level(client, "2016-08-04") == "serious"


@pytest.mark.parametrize(
    ("leading", "beside", "expected"),
    [
        ({"people_low": 7000, "qualifier": "at_least"}, people(8000, "nearly"), (None, 7000, None)),
        (people(people_low=7000), people(people_high=8000), (None, 7000, None)),
        (people(people_low=7000), people(people_low=0, people_high=8000), (None, 0, None)),
        (people(people_high=8000), people(7000, "more_than"), (None, None, 8000)),
        (people(7000, "at_least"), people(8000, "nearly"), (7000, None, None)),
        (people(0), people(7000), (0, 0, 7000)),
        (people(0), people(7000, "at_least"), (0, 0, None)),
        (people(people_high=0), people(people_low=7000), (None, 0, None)),
    ],
)
async def test_second_voice_takes_away_neither_figure_nor_level(
    client: httpx.AsyncClient, leading: dict[str, Any], beside: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    said = await say(client, "agency", "2016-08-01", people() | leading)
    await say(client, "monitor", "2016-08-01", beside)
    found = await assessed(client, said)
    assert (found["assessment"]["preferred"], range_of(found)) == (said["id"], expected)
    basis = found["assessment"]["basis"]
    assert set(basis) == {name for name, each in zip(("people", "people_low", "people_high"), expected, strict=True) if each is not None}
    assert await level(client, "2016-08-01") == "serious"
    brief = (await client.get("/v1/situations/oldtown/brief.txt", params={"as_of": "2016-08-01"})).text
    assert "known [" not in brief


async def test_movement_keeps_the_low_of_the_report_that_leads(client: httpx.AsyncClient) -> None:
    value = {"movement": "fled", "since": "2016-08-01"}
    said = await say(client, "agency", "2016-08-03", value | {"people_low": 1000})
    await say(client, "monitor", "2016-08-03", value | {"people_high": 3000})
    assert range_of(await assessed(client, said)) == (None, 1000, None)
    digest = await get(client, "/v1/situations/oldtown/digest", since="2016-08-02", as_of="2016-08-03", format="json")
    assert "Assessed: at least 1,000, counted until 3 Aug 2016." in digest["items"][0]["text"]


async def test_closed_last_route_holds_beside_an_open_one(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", road("open", "south-road"))
    last = await say(client, "agency", "2016-08-01", road("closed"))
    assert await level(client, "2016-08-01") == "watch"
    await say(client, "monitor", "2016-08-02", road("closed", last_route=True))
    found = await situation(client, "2016-08-02")
    assert (found["level"], [each["indicator"] for each in found["because"]]) == ("serious", [last["indicator"]])


async def test_reason_is_as_old_as_the_report_that_says_it(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", road("closed"))
    await say(client, "outlet", "2016-07-25", road("closed", last_route=True, direction="in"), observed_to="2016-07-24")
    await say(client, "agency", "2016-08-02", food("ran_out"))
    await say(client, "agency", "2016-08-03", road("closed", "south-road"))
    await say(client, "monitor", "2016-07-31", food(imminence="hours", supply="water"))
    await say(client, "agency", "2016-08-01", food(imminence="days", supply="water"))
    expected = {
        ("way_in_closed", "2016-08-01T00:00:00Z"),
        ("way_out_closed", "2016-08-01T00:00:00Z"),
        ("way_in_closed", "2016-08-03T00:00:00Z"),
        ("way_out_closed", "2016-08-03T00:00:00Z"),
        ("last_route", "2016-07-24T23:59:59.999999Z"),
        ("ran_out", "2016-08-02T00:00:00Z"),
        ("imminent", "2016-07-31T00:00:00Z"),
    }
    alone = await situation(client, "2016-08-03")
    (listed,) = [each for each in (await get(client, "/v1/situations"))["items"] if each["place"]["slug"] == "oldtown"]
    for found in (alone, listed):
        assert {(each["reason"], each["since"]) for each in found["because"]} == expected


async def test_partys_claim_of_an_opening_opens_nothing(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", road("closed"))
    await say(client, "rebels", "2016-08-02", road("open", "south-road"))
    await say(client, "rebels", "2016-08-02", road("open"))
    assert await level(client, "2016-08-02") == "serious"


async def test_level_of_long_ago_stays_and_says_that_it_is_silent(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2015-07-29", people(20_000))
    await say(client, "monitor", "2015-07-29", food(days=(30, 40)))
    found = {day: await situation(client, day) for day in ("2015-08-20", "2015-08-28", "2015-08-29", "2015-09-29", "2016-07-28")}
    assert [(each["level"], each["silent_days"]) for each in found.values()] == [
        ("serious", 22),
        ("critical", 30),
        ("critical", 31),
        ("critical", 62),
        ("critical", 365),
    ]
    # A party's word is no sound report, so the place stays silent.
    await say(client, "army", "2015-09-28", road("closed"))
    assert (await situation(client, "2015-09-29"))["silent_days"] == 62
    dormant = await situation(client, "2016-07-29")
    assert (dormant["level"], dormant["silent_days"], dormant["dormant"]) == ("critical", 366, True)
    assert not any(each["dormant"] for each in found.values())


async def test_warning_that_came_true_lowers_nothing_until_a_resupply(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    shown = await say(client, "monitor", "2016-08-06", food("ran_out"))
    assert await level(client, "2016-08-06") == "serious"
    await outcome(client, warning, shown, "materialised")
    assert [await level(client, f"2016-08-{day:02}") for day in (5, 6, 10, 30)] == ["serious"] * 4
    assert await due(client, "2016-08-10") == []
    await say(client, "outlet", "2016-08-09", food("resupplied"))
    assert await level(client, "2016-08-10") == "serious", "better needs two voices"
    await say(client, "agency", "2016-08-10", food("resupplied"))
    found = await assessed(client, warning)
    assert (found["value"]["state"], await level(client, "2016-08-10")) == ("resupplied", "watch")


async def test_warning_that_was_averted_is_not_short(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(4, 6)))
    convoy = await say(client, "monitor", "2016-08-04", food("resupplied"))
    assert await level(client, "2016-08-05") == "serious"
    await outcome(client, warning, convoy, "averted")
    assert [await level(client, day) for day in ("2016-08-03", "2016-08-05")] == ["serious", "watch"]


async def test_nearer_warning_of_a_party_does_not_make_it_due(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", food(days=(40, 50)))
    await say(client, "army", "2016-08-01", food(days=(1, 1)))
    assert await level(client, "2016-08-02") == "watch"
    assert await due(client, "2016-08-02", within_days=60) == [("food", "2016-09-10")]


async def test_partys_warning_is_due_where_no_sound_one_stands(client: httpx.AsyncClient) -> None:
    await say(client, "army", "2016-08-01", food(days=(3, 3)))
    assert (await level(client, "2016-08-02"), await due(client, "2016-08-02")) == ("serious", [("food", "2016-08-04")])


async def test_situations_are_sorted_by_level_then_silence_then_date(client: httpx.AsyncClient, reference: Reference) -> None:
    for slug in ("a", "b", "c", "d", "e"):
        await reference.add("places", slug=slug, name=slug.upper(), country="SYR")
    await say(client, "agency", "2016-08-01", people(10), place="a")
    await say(client, "agency", "2016-09-01", people(20), place="b")
    await say(client, "agency", "2016-09-01", food(days=(5, 5)), place="c")
    await say(client, "agency", "2016-09-01", food(days=(3, 3)), place="d")
    for value in (people(5), food("ran_out")):
        await say(client, "agency", "2016-07-01", value, place="e")
    page = await get(client, "/v1/situations", as_of="2016-09-02")
    found = [each["place"]["slug"] for each in page["items"] if each["place"]["slug"] in "abcde"]
    assert found == ["e", "d", "c", "b", "a"]


async def test_parent_shows_its_childrens_worst_level(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-01", people(10))
    found = await situation(client, "2016-08-01", "country")
    assert found["level"] is None
    assert found["children_level"] == "serious"
