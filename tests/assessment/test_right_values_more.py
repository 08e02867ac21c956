"""More literal values of `envelope/2` over HTTP: other orders, grades, kinds, directions and times of day."""

from typing import Any

import httpx
import pytest

from tests.assessment.stories import assessed, dates_of, due, food, outcome, people, range_of, road, say, states_of
from tests.support.factories import Reference, post
from tests.support.fixtures import sqlite_only

pytestmark = [sqlite_only, pytest.mark.usefixtures("reference")]


async def retract(client: httpx.AsyncClient, report: dict[str, Any]) -> None:
    """Withdraw a report."""
    await post(client, f"/v1/reports/{report['id']}/retraction", reason="wrong")


async def test_directions_of_a_route_are_assessed_apart(client: httpx.AsyncClient) -> None:
    way_in = await say(client, "agency", "2016-08-01", road("closed", direction="in", since="2016-07-07"))
    way_out = await say(client, "monitor", "2016-08-02", road("open", direction="out"))
    found = await assessed(client, way_in)
    assert (states_of(found), found["agreement"]) == (("restricted", "closed", "open"), "consistent")
    directions = found["value"]["directions"]
    assert [each["agreement"] for each in directions.values()] == ["single", "single"]
    assert directions["in"]["since_earliest"] == "2016-07-07"
    assert directions["out"]["since_earliest"] is None
    assert found["assessment"]["preferred"] == way_in["id"]
    assert found["relations"][way_out["id"]] in ("supports", "preferred")


async def test_later_report_on_one_way_replaces_only_that_way(client: httpx.AsyncClient) -> None:
    both = await say(client, "agency", "2016-08-01", road("closed"))
    await say(client, "agency", "2016-08-03", road("open", direction="out"))
    found = await assessed(client, both)
    assert states_of(found) == ("restricted", "closed", "open")
    assert found["relations"][both["id"]] == "preferred"


async def test_scopes_of_a_supply_are_two_indicators(client: httpx.AsyncClient) -> None:
    every = await say(client, "agency", "2016-08-01", food(days=(20, 20)))
    agency = await say(client, "monitor", "2016-08-01", food("ran_out", scope="agency_stock"))
    assert [(await assessed(client, each))["subject"] for each in (every, agency)] == ["food", "food.agency_stock"]
    assert [(await assessed(client, each))["agreement"] for each in (every, agency)] == ["single", "single"]
    assert [dates_of(await assessed(client, each))[0] for each in (every, agency)] == ["will_run_out", "ran_out"]


@pytest.mark.parametrize(("credibility", "sound"), [(1, True), (2, True), (3, True), (6, True), (4, False), (5, False)])
async def test_doubtful_credibility_widens_no_range(client: httpx.AsyncClient, credibility: int, sound: bool) -> None:
    said = await say(client, "agency", "2016-08-01", people(20_000))
    await say(client, "monitor", "2016-08-01", people(90_000), credibility=credibility)
    found = await assessed(client, said)
    assert range_of(found) == (20_000, 20_000, 90_000 if sound else 20_000)
    assert found["agreement"] == "contested"


@pytest.mark.parametrize(("grade", "sound"), [("A", True), ("B", True), ("C", True), ("F", True), ("D", False), ("E", False)])
async def test_unreliable_source_widens_no_range(client: httpx.AsyncClient, reference: Reference, grade: str, sound: bool) -> None:
    await reference.add("sources", slug="paper", name="Paper", type="media", reliability=grade)
    said = await say(client, "agency", "2016-08-01", people(20_000), credibility=1)
    await say(client, "paper", "2016-08-01", people(10_000))
    assert range_of(await assessed(client, said))[1] == (10_000 if sound else 20_000)


async def test_f_source_closes_beside_b_but_does_not_overtake_it(client: httpx.AsyncClient) -> None:
    opened = await say(client, "agency", "2016-08-01", road("open"))
    closed = await say(client, "unknown", "2016-08-02", road("closed"))
    found = await assessed(client, opened)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "contested")
    assert found["relations"] == {opened["id"]: "contradicts", closed["id"]: "preferred"}


async def test_f_source_overtakes_c_at_once_when_it_says_worse(client: httpx.AsyncClient) -> None:
    opened = await say(client, "monitor", "2016-08-01", road("open"))
    closed = await say(client, "unknown", "2016-08-02", road("closed"))
    found = await assessed(client, opened)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "single")
    assert found["relations"] == {opened["id"]: "overtaken", closed["id"]: "preferred"}


async def test_chain_of_relays_counts_once_and_from_its_origin(client: httpx.AsyncClient) -> None:
    first = await say(client, "agency", "2016-08-01", people(1000))
    second = await say(client, "monitor", "2016-08-02", people(5000), relays=first["id"])
    third = await say(client, "outlet", "2016-08-03", people(9000), relays=second["id"])
    found = await assessed(client, first)
    assert (range_of(found), found["agreement"]) == ((1000, 1000, 1000), "single")
    assert found["relations"] == {first["id"]: "preferred", second["id"]: "relayed", third["id"]: "relayed"}
    await retract(client, first)
    found = await assessed(client, first)
    assert range_of(found) == (5000, 5000, 5000)
    assert found["relations"] == {first["id"]: "retracted", second["id"]: "preferred", third["id"]: "relayed"}


async def test_two_that_relay_a_retracted_report_share_its_origin(client: httpx.AsyncClient) -> None:
    first = await say(client, "agency", "2016-08-01", people(1000))
    for source in ("monitor", "outlet"):
        await say(client, source, "2016-08-02", people(1000), relays=first["id"])
    await retract(client, first)
    found = await assessed(client, first)
    assert (found["agreement"], found["assessment"]["sources"], found["assessment"]["origins"]) == ("single", 2, 1)


async def test_party_that_repeats_a_sound_source_is_relayed(client: httpx.AsyncClient) -> None:
    closed = await say(client, "agency", "2016-08-01", road("closed"))
    repeated = await say(client, "army", "2016-08-02", road("closed"), relays=closed["id"])
    found = await assessed(client, closed)
    assert (found["agreement"], found["relations"][repeated["id"]]) == ("single", "relayed")


async def test_partys_relief_claim_relays_no_other_report_of_its_own(client: httpx.AsyncClient) -> None:
    """Its own words of relief, said directly, do not hide what an outlet quotes of it afterwards."""
    await say(client, "agency", "2016-08-01", road("closed"))
    claim = await say(client, "army", "2016-08-02", road("open"))
    quoted = await say(client, "army", "2016-08-03", road("restricted"), directness="paraphrased")
    found = await assessed(client, claim)
    assert found["relations"][quoted["id"]] == found["relations"][claim["id"]] == "contradicts"
    repeated = await say(client, "monitor", "2016-08-04", road("open"), relays=claim["id"], method="direct_observation")
    found = await assessed(client, claim)
    assert (found["relations"][repeated["id"]], states_of(found)) == ("relayed", ("closed",) * 3)


async def test_neutral_source_that_cites_a_party_is_not_sound(client: httpx.AsyncClient) -> None:
    claim = await say(client, "agency", "2016-08-01", road("open"), origin="army")
    assert (await assessed(client, claim))["agreement"] == "claimed"


async def test_only_parties_that_say_worse_lead_unconfirmed(client: httpx.AsyncClient) -> None:
    closed = await say(client, "army", "2016-08-01", road("closed"))
    await say(client, "rebels", "2016-08-02", road("closed"))
    found = await assessed(client, closed)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "unconfirmed")
    await say(client, "rebels", "2016-08-03", road("open"))
    found = await assessed(client, closed)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "contested")


@pytest.mark.parametrize(
    ("first", "second", "overtaken"),
    [
        ("2016-08-01", "2016-08-01", False),
        ("2016-08-01", "2016-08-01T12:00:00Z", False),
        ("2016-08-01T12:00:00Z", "2016-08-01", False),
        ("2016-08-01T12:00:00Z", "2016-08-01T12:00:00.000001Z", True),
        ("2016-08-01T12:00:00+02:00", "2016-08-01T10:00:00Z", False),
        ("2016-08-01T23:30:00-05:00", "2016-08-01", False),
        ("2016-08-01", "2016-08-01T23:30:00-05:00", True),
        ("2016-08-01", "2016-08-02T00:30:00+03:00", False),
    ],
)
async def test_route_reports_overtake_only_when_they_are_later(client: httpx.AsyncClient, first: str, second: str, overtaken: bool) -> None:
    """The place is in UTC, so 23:30 five hours west of it is the next day there."""
    opened = await say(client, "agency", first, road("open"))
    await say(client, "envoy", second, road("closed"))
    found = await assessed(client, opened)
    assert states_of(found) == ("closed",) * 3
    assert (found["agreement"], found["relations"][opened["id"]]) == (
        ("single", "overtaken") if overtaken else ("contested", "contradicts")
    )


async def test_retracted_overtaker_lets_the_earlier_report_stand_again(client: httpx.AsyncClient) -> None:
    opened = await say(client, "agency", "2016-08-01", road("open"))
    closed = await say(client, "envoy", "2016-08-02", road("closed"))
    assert (await assessed(client, opened))["relations"][opened["id"]] == "overtaken"
    await retract(client, closed)
    found = await assessed(client, opened)
    assert (states_of(found), found["agreement"]) == (("open",) * 3, "single")


async def test_overtaken_report_stays_so_once_its_overtaker_is_replaced(client: httpx.AsyncClient) -> None:
    closed = await say(client, "agency", "2016-08-01", road("closed"))
    opened = await say(client, "envoy", "2016-08-02", road("open"), method="direct_observation")
    again = await say(client, "envoy", "2016-08-03", road("restricted"))
    found = await assessed(client, closed)
    assert (states_of(found), found["agreement"]) == (("restricted",) * 3, "single")
    assert found["relations"] == {closed["id"]: "overtaken", opened["id"]: "replaced_by_later", again["id"]: "preferred"}


async def test_correction_is_read_instead_of_what_it_corrects(client: httpx.AsyncClient) -> None:
    wrong = await say(client, "agency", "2016-08-01", people(30_000))
    body = {name: wrong[name] for name in ("kind", "place", "source", "stated_at", "provenance", "sensitivity")}
    right = await post(client, f"/v1/reports/{wrong['id']}/correction", **body, value=people(3000), reason="a nought too many")
    found = await assessed(client, right)
    assert range_of(found) == (3000, 3000, 3000)
    assert found["relations"] == {wrong["id"]: "superseded", right["id"]: "preferred"}


async def test_new_warning_after_an_averted_one_is_due(client: httpx.AsyncClient) -> None:
    old = await say(client, "agency", "2016-08-01", food(days=(5, 5)))
    convoy = await say(client, "monitor", "2016-08-04", food("resupplied"))
    await outcome(client, old, convoy, "averted")
    assert await due(client, "2016-08-10") == []
    await say(client, "envoy", "2016-08-09", food(days=(4, 4)))
    assert await due(client, "2016-08-10") == [("food", "2016-08-13")]


async def test_resupply_by_lesser_sources_takes_two_origins(client: httpx.AsyncClient) -> None:
    warning = await say(client, "agency", "2016-08-01", food(days=(9, 12)))
    one = await say(client, "monitor", "2016-08-04", food("resupplied"))
    same = await say(client, "unknown", "2016-08-05", food("resupplied"))
    found = await assessed(client, warning)
    assert (dates_of(found), found["agreement"]) == (("will_run_out", "2016-08-10", "2016-08-13"), "contested")
    assert found["relations"][same["id"]] == "contradicts", "F is two grades below B, so it is no second voice"
    await say(client, "outlet", "2016-08-05", food("resupplied"), origin="monitor")
    assert dates_of(await assessed(client, warning))[0] == "will_run_out", "the same origin is no second voice"
    await say(client, "outlet", "2016-08-06", food("resupplied"))
    found = await assessed(client, warning)
    assert (dates_of(found), found["agreement"]) == (("resupplied", None, None), "consistent")
    assert found["relations"][warning["id"]] == "overtaken"
    assert found["assessment"]["preferred"] != one["id"]


@pytest.mark.parametrize(("stated_at", "state"), [("2016-08-03", "will_run_out"), ("2016-08-04", "resupplied")])
async def test_resupply_overtakes_a_warning_after_three_days(client: httpx.AsyncClient, stated_at: str, state: str) -> None:
    warning = await say(client, "monitor", "2016-08-01", food(days=(9, 12)))
    await say(client, "agency", stated_at, food("resupplied"))
    assert dates_of(await assessed(client, warning))[0] == state


@pytest.mark.parametrize(("stated_at", "overtaken"), [("2016-08-14", False), ("2016-08-15", True)])
async def test_higher_figure_overtakes_after_fourteen_days(client: httpx.AsyncClient, stated_at: str, overtaken: bool) -> None:
    low = await say(client, "agency", "2016-08-01", people(5000), credibility=1)
    await say(client, "monitor", stated_at, people(9000))
    found = await assessed(client, low)
    assert range_of(found) == ((9000, 9000, 9000) if overtaken else (5000, 5000, 9000))


async def test_ran_out_is_overtaken_by_a_resupply_alone(client: httpx.AsyncClient) -> None:
    gone = await say(client, "monitor", "2016-08-01", food("ran_out"))
    await say(client, "agency", "2016-08-10", food(days=(40, 50)))
    found = await assessed(client, gone)
    assert (found["value"]["state"], found["agreement"]) == ("ran_out", "contested")
    assert (await assessed(client, gone, as_of="2016-08-09"))["agreement"] == "single"
    resupplied = await say(client, "envoy", "2016-10-20", food("resupplied"))
    found = await assessed(client, gone)
    assert (found["relations"][gone["id"]], found["relations"][resupplied["id"]]) == ("overtaken", "contradicts")
    assert found["value"]["state"] == "will_run_out"


@pytest.mark.parametrize(
    ("value", "stated_at", "reason"),
    [
        (road("open"), "2016-08-09", None),
        (road("open"), "2016-08-08", None),
        (road("closed"), "2016-09-01", "past_horizon"),
        (food("ran_out"), "2016-12-01", None),
        (food(days=(5, 5)), "2016-12-01", None),
        (food("low"), "2016-12-01", "past_horizon"),
        (people(5000), "2016-09-30", None),
        (people(5000), "2016-10-01", "past_horizon"),
    ],
)
async def test_report_passes_its_horizon_before_the_newest_sound_one(
    client: httpx.AsyncClient, value: dict[str, Any], stated_at: str, reason: str | None
) -> None:
    """The later report agrees with the earlier, so that nothing is overtaken."""
    old = await say(client, "agency", "2016-08-01", value)
    await say(client, "army", "2017-06-01", value)
    found = await assessed(client, old)
    assert found["relations"][old["id"]] == "preferred", "a party's report is not the newest sound one"
    await say(client, "monitor", stated_at, value)
    expected = "past_horizon" if value.get("status") == "open" and stated_at == "2016-08-09" else reason
    assert (await assessed(client, old))["relations"][old["id"]] in ({expected} if expected else {"preferred", "supports"})


@pytest.mark.parametrize(
    ("stated_at", "days", "relation"),
    [
        ("2016-07-29", (20, 20), "relayed"),
        ("2016-08-04", (20, 20), "relayed"),
        ("2016-08-05", (20, 20), "preferred"),
        ("2016-07-29", (3, 3), "preferred"),
        ("2016-07-28", (15, 15), "relayed"),
        ("2016-07-27", (15, 15), "replaced_by_later"),
    ],
)
async def test_paraphrase_within_seven_days_is_relayed_unless_worse(
    client: httpx.AsyncClient, stated_at: str, days: tuple[int, int], relation: str
) -> None:
    quoted = await say(client, "envoy", "2016-07-28", food(days=(14, 21)), via=["outlet"], directness="quoted")
    heard = await say(client, "envoy", stated_at, food(days=days), via=["outlet"])
    found = await assessed(client, quoted)
    assert found["relations"][heard["id"]] == relation
    if relation == "relayed":
        assert dates_of(found) == ("will_run_out", "2016-08-11", "2016-08-18")


async def test_low_and_will_run_out_do_not_contradict(client: httpx.AsyncClient) -> None:
    low = await say(client, "monitor", "2016-08-01", food("low"))
    await say(client, "agency", "2016-08-01", food(days=(10, 20)))
    found = await assessed(client, low)
    assert (dates_of(found), found["agreement"]) == (("will_run_out", "2016-08-11", "2016-08-21"), "consistent")


async def test_dates_run_over_all_sound_warnings_and_name_each_report(client: httpx.AsyncClient) -> None:
    early = await say(client, "monitor", "2016-08-01", food(days=(5, 15)))
    late = await say(client, "agency", "2016-08-02", food(days=(9, 29)))
    found = await assessed(client, early)
    assert dates_of(found) == ("will_run_out", "2016-08-06", "2016-08-31")
    basis = found["assessment"]["basis"]
    assert (basis["runs_out_earliest"], basis["runs_out_latest"]) == (early["id"], late["id"])
    assert found["assessment"]["preferred"] == late["id"]


async def test_order_of_recording_does_not_move_the_value(client: httpx.AsyncClient) -> None:
    """The news of October is recorded before that of July."""
    bodies: list[tuple[str, str, dict[str, Any]]] = [
        ("agency", "2016-07-01", people(9000)),
        ("monitor", "2016-07-10", people(12_000)),
        ("envoy", "2016-07-20", people(4000)),
        ("outlet", "2016-08-09", people(20_000)),
    ]
    found = []
    for place, told in (("oldtown", bodies), ("country", bodies[::-1])):
        for source, stated_at, value in told:
            said = await say(client, source, stated_at, value, place=place)
        found.append(await assessed(client, said))
    assert range_of(found[0]) == range_of(found[1])
    assert found[0]["agreement"] == found[1]["agreement"]
    assert sorted(found[0]["relations"].values()) == sorted(found[1]["relations"].values())


async def test_contradicted_since_contests_and_overtakes_nothing(client: httpx.AsyncClient) -> None:
    first = await say(client, "monitor", "2016-08-01", road("closed", since="2016-07-07"))
    second = await say(client, "agency", "2016-08-05", road("closed", since="2016-06"))
    found = await assessed(client, first)
    assert (states_of(found), found["agreement"]) == (("closed",) * 3, "contested")
    assert (found["value"]["since_earliest"], found["value"]["since_latest"]) == ("2016-06-01", "2016-06-30")
    assert found["relations"] == {first["id"]: "contradicts", second["id"]: "preferred"}


async def test_earlier_claims_of_relief_end_with_the_sources_worse_word(client: httpx.AsyncClient) -> None:
    closed = await say(client, "agency", "2016-08-01", road("closed"))
    claim = await say(client, "army", "2016-08-02", road("open"))
    worse = await say(client, "army", "2016-08-03", road("closed"))
    found = await assessed(client, closed)
    assert (found["agreement"], found["relations"][claim["id"]]) == ("consistent", "replaced_by_later")
    again = await say(client, "army", "2016-08-04", road("restricted"))
    found = await assessed(client, closed)
    assert (found["agreement"], found["relations"][worse["id"]], found["relations"][again["id"]]) == (
        "contested",
        "supports",
        "contradicts",
    )


async def test_grade_that_falls_turns_a_lead_into_a_claim(client: httpx.AsyncClient) -> None:
    said = await say(client, "monitor", "2016-08-01", road("open"))
    assert (await assessed(client, said))["agreement"] == "single"
    await post(client, "/v1/sources/monitor/grades", reliability="E", reason="was wrong")
    found = await assessed(client, said)
    assert (states_of(found), found["agreement"]) == ((None,) * 3, "claimed")
    assert (await assessed(client, said, as_of="2016-08-02"))["agreement"] == "single", "a grade counts from its change on"
