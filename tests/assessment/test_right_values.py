"""Literal values that `envelope/2` gives, each told over HTTP.

The sources are the seeded ones: `agency` and `envoy` (B), `monitor` and `outlet` (C), `unknown` and `neighbour` (F), `army` and `rebels`
(D, parties to the conflict).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.assessment.stories import (
    assessed,
    dates_of,
    due,
    food,
    outcome,
    people,
    range_of,
    road,
    say,
    situation,
    statement,
    states_of,
)
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


async def test_only_a_party_says_open_reads_null_and_claimed(client: httpx.AsyncClient) -> None:
    claim = await say(client, "army", "2016-08-01", road("open"))
    found = await assessed(client, claim)
    assert (states_of(found), found["agreement"], found["assessment"]["preferred"]) == ((None, None, None), "claimed", None)


async def test_party_does_not_open_a_road_that_a_seen_monitor_opens(client: httpx.AsyncClient) -> None:
    closed = await say(client, "agency", "2016-08-11", road("closed"))
    await say(client, "rebels", "2016-09-11", road("open"))
    found = await assessed(client, closed)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "contested")
    seen = await say(client, "monitor", "2016-09-12", road("open"), method="direct_observation")
    found = await assessed(client, closed)
    assert (states_of(found), found["assessment"]["preferred"]) == (("open",) * 3, seen["id"])


@pytest.mark.parametrize("averted", [False, True])
async def test_fresh_warning_after_a_resupply_is_read_and_listed(client: httpx.AsyncClient, averted: bool) -> None:
    if averted:
        old = await say(client, "envoy", "2016-07-20", food(days=(10, 12)))
    resupplied = await say(client, "agency", "2016-08-01", food("resupplied"))
    if averted:
        await outcome(client, old, resupplied, "averted")
        assert await due(client, "2016-08-24") == []
    fresh = await say(client, "monitor", "2016-08-25", food(days=(2, 3)))
    found = await assessed(client, fresh)
    assert dates_of(found) == ("will_run_out", "2016-08-27", "2016-08-28")
    assert await due(client, "2016-08-25") == [("food", "2016-08-27")]
    assert found["relations"][resupplied["id"]] in ("overtaken", "past_horizon")


async def test_later_low_without_dates_keeps_the_dated_warning(client: httpx.AsyncClient) -> None:
    dated = await say(client, "agency", "2016-07-25", food(runs_out_earliest="2016-08-11", runs_out_latest="2016-08-20"))
    before = await situation(client, "2016-08-08")
    low = await say(client, "agency", "2016-08-08", food("low"))
    found = await assessed(client, dated)
    assert dates_of(found) == ("will_run_out", "2016-08-11", "2016-08-20")
    assert (found["agreement"], found["relations"]) == ("single", {dated["id"]: "preferred", low["id"]: "supports"})
    assert await due(client, "2016-08-08") == [("food", "2016-08-11")]
    assert (await situation(client, "2016-08-08"))["level"] == before["level"] == "serious"


async def test_hours_if_not_days_is_a_warning_without_a_due_date(client: httpx.AsyncClient) -> None:
    await say(client, "agency", "2016-08-08", food(imminence="hours", relative_text="hours, if not days"))
    assert await due(client, "2016-08-08") == [("food", None)]
    assert (await situation(client, "2016-08-08"))["level"] == "serious"


async def test_vague_dates_agree_with_the_exact_day_which_is_read(client: httpx.AsyncClient) -> None:
    exact = await say(client, "agency", "2016-07-25", road("closed", since="2016-07-07"))
    await say(client, "monitor", "2016-07-31", road("closed", since_earliest="2016-07-01", since_latest="2016-07-10"))
    await say(client, "outlet", "2016-07-31", road("closed", since="2016"))
    found = await assessed(client, exact)
    value = found["value"]
    assert (value["since_earliest"], value["since_latest"], found["agreement"]) == ("2016-07-07", "2016-07-07", "consistent")
    assert value["since"] == "2016-07-07"
    assert {each["since_earliest"] for each in value["directions"].values()} == {"2016-07-07"}
    based = found["assessment"]["basis"]
    assert {based[name] for name in ("since_earliest", "since_latest")} == {exact["id"]}


@pytest.mark.parametrize(
    ("one", "other", "agreement"),
    [
        (people(590_000, "about"), people(590_200), "consistent"),
        (people(590_000, "exact"), people(590_200), "contested"),
        (people(590_000, "exact"), people(590_200, "exact"), "contested"),
        (people(people_low=250_000, people_high=275_000), people(300_000, "about"), "contested"),
        (people(585_000, "exact"), people(590_000), "consistent"),
        (people(584_999, "exact"), people(590_000), "contested"),
        (people(0), people(1, "exact"), "contested"),
        (people(400_000, "nearly"), people(300_000, "exact"), "consistent"),
        (people(400_000, "nearly"), people(410_000, "exact"), "contested"),
        (people(120_000, "at_least"), people(2_000_000), "consistent"),
        (people(120_000, "at_least"), people(100_500), "contested"),
    ],
)
async def test_figures_contradict_beyond_half_a_unit(
    client: httpx.AsyncClient, one: dict[str, Any], other: dict[str, Any], agreement: str
) -> None:
    said = await say(client, "agency", "2016-08-01", one)
    await say(client, "monitor", "2016-08-02", other)
    assert (await assessed(client, said))["agreement"] == agreement


async def test_lower_figure_leads_only_once_it_overtakes(client: httpx.AsyncClient) -> None:
    high = await say(client, "agency", "2015-12-01", people(270_000))
    low = await say(client, "envoy", "2015-12-15", people(50_000))
    found = await assessed(client, high)
    assert (range_of(found), found["agreement"]) == ((270_000, 50_000, 270_000), "contested")
    assert found["relations"] == {high["id"]: "preferred", low["id"]: "contradicts"}
    assert found["assessment"]["spread"] == pytest.approx(5.4)
    await say(client, "unknown", "2015-12-17", people(49_000), method="headcount", credibility=1)
    assert (await assessed(client, high))["relations"][high["id"]] == "preferred", "F is two grades less reliable than B"


async def test_headcount_of_an_equal_source_overtakes_the_higher_figure(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("sources", slug="icrc", name="ICRC", type="ngo", reliability="B")
    high = await say(client, "agency", "2015-12-01", people(270_000))
    low = await say(client, "envoy", "2015-12-15", people(50_000))
    counted = await say(client, "icrc", "2015-12-17", people(49_000), method="headcount")
    found = await assessed(client, high)
    assert range_of(found) == (49_000, 49_000, 50_000)
    assert found["relations"] == {high["id"]: "overtaken", low["id"]: "supports", counted["id"]: "preferred"}
    assert (found["agreement"], found["assessment"]["reports"]) == ("consistent", 2)
    # A withdrawn report overtakes nothing.
    assert (await client.post(f"/v1/reports/{counted['id']}/retraction", json={"reason": "miscounted"})).status_code == 201
    assert (await assessed(client, high))["relations"] == {high["id"]: "preferred", low["id"]: "contradicts", counted["id"]: "retracted"}


async def test_higher_figure_of_another_source_leads_at_once(client: httpx.AsyncClient) -> None:
    low = await say(client, "agency", "2016-08-01", people(50_000))
    high = await say(client, "envoy", "2016-08-16", people(270_000))
    found = await assessed(client, low)
    assert (range_of(found), found["agreement"]) == ((270_000,) * 3, "single")
    assert found["relations"] == {low["id"]: "overtaken", high["id"]: "preferred"}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (people(120_000, "more_than"), people(100_500), (100_500, None)),
        (people(400_000, "nearly"), people(500_000), (None, 500_000)),
        (people(400_000, "up_to"), people(120_000, "at_least"), (None, None)),
        (people(people_low=100), people(people_low=50, people_high=80), (50, None)),
        (people(people_high=900), people(700), (None, 900)),
    ],
)
async def test_open_end_of_any_figure_is_null(
    client: httpx.AsyncClient, one: dict[str, Any], other: dict[str, Any], expected: tuple[Any, Any]
) -> None:
    said = await say(client, "agency", "2016-08-01", one)
    await say(client, "envoy", "2016-08-01", other)
    found = await assessed(client, said)
    assert range_of(found)[1:] == expected
    assert found["assessment"]["spread"] is None


async def test_figure_observed_long_ago_does_not_replace_a_newer_one(client: httpx.AsyncClient) -> None:
    newer = await say(client, "agency", "2015-12-15", people(50_000))
    older = await say(client, "agency", "2015-12-20", people(250_000), observed_to="2015-07-31")
    found = await assessed(client, newer)
    assert range_of(found) == (50_000, 50_000, 50_000)
    assert found["relations"] == {newer["id"]: "preferred", older["id"]: "replaced_by_later"}


async def test_sources_that_cite_one_origin_are_single(client: httpx.AsyncClient) -> None:
    for source in ("envoy", "monitor", "unknown", "outlet"):
        said = await say(client, source, "2016-08-01", people(300_000), origin="agency")
    found = await assessed(client, said)
    assert found["agreement"] == "single"
    assert [found["assessment"][name] for name in ("reports", "sources", "origins")] == [4, 4, 1]


async def test_announced_opening_neither_leads_nor_contests(client: httpx.AsyncClient) -> None:
    seen = await say(client, "agency", "2016-08-01", road("closed"))
    announced = await say(client, "monitor", "2016-08-05", road("open", assertion="announced"))
    agreed = await say(client, "agency", "2016-08-06", road("open", assertion="agreed"))
    found = await assessed(client, seen)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "single")
    assert found["relations"] == {seen["id"]: "preferred", announced["id"]: "announced", agreed["id"]: "announced"}


async def test_announced_closure_closes_nothing_before_it_is_observed(client: httpx.AsyncClient) -> None:
    seen = await say(client, "agency", "2016-08-01", road("open"))
    await say(client, "agency", "2016-08-02", road("closed", assertion="announced", since="2016-08-05"))
    assert states_of(await assessed(client, seen)) == ("open",) * 3
    await say(client, "agency", "2016-08-05", road("closed", since="2016-08-05"))
    assert states_of(await assessed(client, seen)) == ("closed",) * 3


async def test_partys_worst_case_contests_and_moves_no_value(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("sources", slug="militia", name="Militia", type="armed_actor", reliability="E")
    figure = await say(client, "agency", "2016-09-01", people(20_000))
    await say(client, "militia", "2016-09-01", people(2_000_000), credibility=5)
    warning = await say(client, "agency", "2016-09-01", food(runs_out_earliest="2016-09-15", runs_out_latest="2016-09-15"))
    await say(client, "militia", "2016-09-01", food(days=(1, 1)), credibility=5)
    found = await assessed(client, figure)
    assert (range_of(found), found["agreement"]) == ((20_000,) * 3, "contested")
    found = await assessed(client, warning)
    assert (dates_of(found), found["agreement"]) == (("will_run_out", "2016-09-15", "2016-09-15"), "contested")
    assert [(await situation(client, day))["level"] for day in ("2016-09-02", "2016-09-07", "2016-09-08")] == [
        "serious",
        "serious",
        "critical",
    ]


async def test_days_are_counted_from_the_speakers_day(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="damascus", name="Damascus", country="SYR", timezone="Asia/Damascus")
    await reference.add("places", slug="douma", name="Douma", parent="damascus")
    for place in ("damascus", "douma"):
        said = await say(client, "agency", "2016-08-01T01:30:00+03:00", food(days=(3, 3)), place=place)
        assert dates_of(await assessed(client, said)) == ("will_run_out", "2016-08-04", "2016-08-04")
    said = await say(client, "agency", "2016-08-01T01:30:00+03:00", food(days=(3, 3)))
    assert dates_of(await assessed(client, said)) == ("will_run_out", "2016-08-03", "2016-08-03"), "the top is in UTC"


async def test_date_that_has_begun_anywhere_on_earth_is_taken(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="kabul", name="Kabul", country="AFG", timezone="Asia/Kabul")
    newest = (datetime.now(UTC) + timedelta(hours=14)).date()
    taken = await client.post("/v1/reports", json=statement("agency", newest.isoformat(), people(5), place="kabul"))
    refused = await client.post("/v1/reports", json=statement("agency", f"{newest + timedelta(days=1)}", people(5), place="kabul"))
    assert (taken.status_code, refused.status_code) == (201, 422)
    assert [each["pointer"] for each in refused.json()["errors"]] == ["/stated_at"]
