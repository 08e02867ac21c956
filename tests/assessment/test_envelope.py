"""Tests of `envelope/2`, rule by rule: which reports stand, which leads, what the value is, and whether they agree."""

import random
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.assessment.envelope import Assessment
from app.assessment.outcomes import Outcome
from app.assessment.statement import Statement
from app.assessment.terms import CREDIBILITIES, GRADES, in_order_of_time
from app.domain.kinds import KINDS
from tests.support.assessing import EPOCH, assessment_of, relations, statement, value_of

PEOPLE, SUPPLY, ROUTE = "trapped_population", "supply_runout", "route_closure"
PARTY = {"grade": "D", "party": True}


def people(count: int | tuple[int, int], source: str = "agency", **more: Any) -> Statement:
    figures = {"people": count} if isinstance(count, int) else {"people_low": count[0], "people_high": count[1]}
    return statement(PEOPLE, {"concept": "trapped"} | figures, source, **more)


def supply(state: str, source: str = "agency", earliest: str | None = None, latest: str | None = None, **more: Any) -> Statement:
    value = {"supply": "food", "state": state, "runs_out_earliest": earliest, "runs_out_latest": latest}
    return statement(SUPPLY, value | {"imminence": more.pop("imminence", None)}, source, **more)


def route(status: str, source: str = "agency", **more: Any) -> Statement:
    own = {name: more.pop(name) for name in ("direction", "assertion", "since", "passable_by") if name in more}
    return statement(ROUTE, {"route": "road", "status": status} | own, source, **more)


def fate(assessment: Assessment, each: Statement) -> str:
    return relations(assessment)[each.global_seq]


# Rules 1 to 3


def test_superseded_or_retracted_report_lets_the_earlier_stand() -> None:
    first = people(1, day=1)
    withdrawn, corrected = people(2, day=2, retracted_from_level=0), people(3, day=2, superseded_from_level=0)
    assessment = assessment_of(PEOPLE, first, withdrawn, corrected)
    assert [fate(assessment, each) for each in (first, withdrawn, corrected)] == ["preferred", "retracted", "superseded"]
    nothing = assessment_of(PEOPLE, withdrawn)
    assert (nothing.value, nothing.agreement, nothing.preferred, nothing.stale_after) == (None, None, None, None)


def test_assessment_has_only_reports_up_to_the_clearance() -> None:
    clear, secret = people(1, "one", day=1, number=1), people(900, "two", day=50, number=2, grade="A", level=3)
    ended_above = people(5, "three", day=2, number=3, superseded_from_level=2)
    below = assessment_of(PEOPLE, clear, secret, ended_above, level=0)
    assert relations(below) == {3: "preferred", 1: "contradicts"}
    assert relations(assessment_of(PEOPLE, clear, secret, ended_above, level=2)) == {1: "preferred", 3: "superseded"}
    assert relations(assessment_of(PEOPLE, clear, secret, ended_above, level=3)) == {2: "preferred", 1: "overtaken", 3: "superseded"}


def test_announcement_neither_leads_nor_contests_nor_replaces() -> None:
    """Rule 2; of an opening and of a closure alike, each until it is observed."""
    shut = route("closed", "ocha", day=1)
    opening, own = route("open", "government", day=2, assertion="announced"), route("open", "ocha", day=3, assertion="agreed")
    assessment = assessment_of(ROUTE, shut, opening, own)
    assert [fate(assessment, each) for each in (shut, opening, own)] == ["preferred", "announced", "announced"]
    assert (value_of(assessment)["status"], assessment.agreement) == ("closed", "single")
    clear = route("open", "ocha", day=1)
    assert value_of(assessment_of(ROUTE, clear, route("closed", "army", day=2, assertion="announced")))["status"] == "open"


def test_report_that_relays_another_counts_for_nothing_else() -> None:
    """Rule 3, directly and through others, as far as the reader sees."""
    said = supply("will_run_out", "envoy", "2016-08-11", "2016-08-18", day=27)
    copied = supply("will_run_out", "agency", "2016-08-18", "2016-08-19", day=28, relays=said.id)
    retold = supply("ran_out", "outlet", day=29, relays=copied.id)
    assessment = assessment_of(SUPPLY, said, copied, retold)
    assert [fate(assessment, each) for each in (said, copied, retold)] == ["preferred", "relayed", "relayed"]
    assert (value_of(assessment)["state"], assessment.sources) == ("will_run_out", 1)
    gone = supply("will_run_out", "agency", "2016-08-18", day=28, relays=said.id, retracted_from_level=0)
    through = supply("low", "outlet", day=29, relays=gone.id)
    assert fate(assessment_of(SUPPLY, said, gone, through), through) == "relayed"
    secret = supply("will_run_out", "envoy", "2016-08-11", day=27, level=3)
    below = supply("will_run_out", "agency", "2016-08-11", day=28, relays=secret.id)
    assert fate(assessment_of(SUPPLY, secret, below), below) == "preferred"
    assert fate(assessment_of(SUPPLY, secret, below, level=3), below) == "relayed"


@pytest.mark.parametrize(
    ("days_later", "directness", "days_left", "expected"),
    [
        (1, "paraphrased", 21, "relayed"),
        (7, "quoted", 21, "relayed"),
        (0, "paraphrased", 21, "relayed"),
        (8, "paraphrased", 21, "preferred"),
        (1, "direct", 21, "preferred"),
        (1, "paraphrased", 3, "preferred"),
        (-1, "paraphrased", 21, "replaced_by_later"),
    ],
)
def test_less_direct_report_of_a_source_is_relayed_for_a_week(days_later: int, directness: str, days_left: int, expected: str) -> None:
    """Rule 3, unless it says worse."""
    said = statement(SUPPLY, {"supply": "food", "in_days_min": 10, "in_days_max": 15}, "envoy", day=27)
    value = {"supply": "food", "in_days_min": days_left, "in_days_max": days_left}
    repeated = statement(SUPPLY, value, "envoy", day=27 + days_later, directness=directness)
    assert fate(assessment_of(SUPPLY, said, repeated), repeated) == expected


def test_unsound_relief_claim_makes_only_what_relays_it_relayed() -> None:
    claim = route("open", "army", day=1, **PARTY)
    later, copied = route("restricted", "army", day=2, directness="quoted", **PARTY), route("open", "outlet", day=2, relays=claim.id)
    assessment = assessment_of(ROUTE, claim, later, copied)
    assert [fate(assessment, each) for each in (claim, later, copied)] == ["replaced_by_later", "preferred", "relayed"]


# Rules 4 and 5


def test_latest_report_of_a_source_replaces_more_credible_ones() -> None:
    first, late_entry = people(1, day=1, credibility=1, number=1), people(2, day=0, credibility=1, number=3)
    second = people(3, day=2, credibility=6, number=2)
    assessment = assessment_of(PEOPLE, first, late_entry, second)
    assert relations(assessment) == {2: "preferred", 1: "replaced_by_later", 3: "replaced_by_later"}
    assert (assessment.agreement, assessment.sources) == ("single", 1)
    same_day = people(4, day=2, number=4)
    assert relations(assessment_of(PEOPLE, second, same_day)) == {4: "preferred", 2: "replaced_by_later"}


def test_time_is_the_end_of_the_observation() -> None:
    december = people(50_000, day=167)
    july = people(250_000, day=172, observed_to=datetime(2016, 7, 31, 23, 59, 59, 999999, UTC), local_day=date(2016, 7, 31), date_only=True)
    assessment = assessment_of(PEOPLE, december, july)
    assert (fate(assessment, december), fate(assessment, july)) == ("preferred", "replaced_by_later")
    assert assessment_of(PEOPLE, july).stated_at == july.observed_to


def test_date_only_is_neither_earlier_nor_later_than_times_of_its_day() -> None:
    date_only = {"date_only": True, "local_day": date(2016, 7, 2)}
    early, late = people(1, day=1.2, number=2), people(2, day=1.8, number=1)
    dated = people(3, day=1, number=3, **date_only)
    for each in (early, late):
        assert (each.age_at(dated), dated.age_at(each)) == (timedelta(0), timedelta(0))
    assert early.age_at(late) > timedelta(0)
    assert [each.global_seq for each in in_order_of_time([dated, late, early])] == [2, 1, 3]
    first = people(3, day=1, number=0, **date_only)
    assert [each.global_seq for each in in_order_of_time([late, first, early])] == [0, 2, 1]
    # 22:30 in UTC on the day before is the same day at the place.
    damascus = people(4, day=0.94, local_day=date(2016, 7, 2))
    assert damascus.age_at(dated) == timedelta(0)


def test_low_without_dates_leaves_its_sources_dated_warning() -> None:
    dated, low = supply("will_run_out", "ocha", "2016-08-11", "2016-08-20", day=24), supply("low", "ocha", day=38)
    assessment = assessment_of(SUPPLY, dated, low)
    assert [fate(assessment, each) for each in (dated, low)] == ["preferred", "supports"]
    assert [value_of(assessment)[name] for name in ("state", "runs_out_earliest", "due")] == ["will_run_out", "2016-08-11", "2016-08-11"]
    again = supply("low", "ocha", day=40)
    assert relations(assessment_of(SUPPLY, dated, low, again))[low.global_seq] == "replaced_by_later"
    new = supply("low", "ocha", "2016-08-30", day=41)
    assert fate(assessment_of(SUPPLY, dated, low, new), dated) == "replaced_by_later"


def test_unsound_relief_claim_replaces_nothing() -> None:
    shut, claim = route("closed", "army", day=1, **PARTY), route("open", "army", day=2, **PARTY)
    assessment = assessment_of(ROUTE, shut, claim)
    assert [fate(assessment, each) for each in (shut, claim)] == ["preferred", "contradicts"]
    assert (value_of(assessment)["status"], assessment.agreement) == ("closed", "contested")
    worse = route("closed", "army", day=3, **PARTY)
    assert relations(assessment_of(ROUTE, shut, claim, worse))[claim.global_seq] == "replaced_by_later"
    fewer = people(20, "army", day=2, **PARTY)
    found = assessment_of(PEOPLE, people(900, "army", day=1, **PARTY), fewer)
    assert (value_of(found)["people"], fate(found, fewer)) == (900, "contradicts")


@pytest.mark.parametrize(
    ("old", "days"),
    [
        (lambda day: people(5, "old", day=day), 60),
        (lambda day: supply("low", "old", day=day), 30),
        (lambda day: supply("resupplied", "old", day=day), 14),
        (lambda day: route("closed", "old", day=day), 30),
        (lambda day: route("restricted", "old", day=day), 7),
        (lambda day: route("open", "old", day=day), 7),
    ],
)
def test_horizon_depends_on_kind_and_state(old: Any, days: int) -> None:
    """Rule 5: beside the newest sound report that stands; with none but claims, beside nothing."""
    kind = next(name for name in KINDS if isinstance(old(0).value, KINDS[name].value_model))
    same = {PEOPLE: lambda **more: people(5, **more), SUPPLY: lambda **more: supply("low", **more), ROUTE: route_like(old(0))}[kind]
    within, beyond = old(100 - days), old(100 - days - 0.01)
    for each, expected in ((within, False), (beyond, True)):
        assert (fate(assessment_of(kind, each, same(source="newest", day=100)), each) == "past_horizon") is expected
    unsound = same(source="party", day=100, **PARTY)
    assert fate(assessment_of(kind, beyond, unsound), beyond) != "past_horizon"


def route_like(each: Statement) -> Any:
    return lambda **more: route(getattr(each.value, "status", "closed"), **more)


def test_ran_out_and_warnings_without_outcome_pass_no_horizon() -> None:
    newest = supply("low", "newest", day=300)
    for old in (
        supply("ran_out", "old"),
        supply("will_run_out", "old"),
        supply("low", "old", "2016-07-09"),
        supply("low", "old", imminence="days"),
    ):
        assert fate(assessment_of(SUPPLY, old, newest), old) != "past_horizon"
        ended = Outcome(EPOCH, 0, "averted", supply("low", "evidence", day=20))
        expected = "past_horizon" if KINDS[SUPPLY].warns(old.value) else "preferred"
        assert fate(assessment_of(SUPPLY, old, newest, outcomes=(ended,)), old) == expected


def test_report_past_the_horizon_does_not_restore_the_one_before() -> None:
    statements = [people(1, "one", day=0, number=1), people(1, "one", day=1, number=2), people(1, "two", day=90, number=3)]
    assert relations(assessment_of(PEOPLE, *statements)) == {3: "preferred", 2: "past_horizon", 1: "replaced_by_later"}


# Rule 6


def test_worse_needs_one_voice_after_the_interval() -> None:
    first = people(50_000, "ocha")
    for day, grade, expected in ((14, "C", "overtaken"), (13.9, "C", "contradicts"), (14, "F", "contradicts"), (14, "D", "contradicts")):
        worse = people(270_000, "un", day=day, grade=grade)
        found = assessment_of(PEOPLE, first, worse)
        assert (fate(found, first) == "overtaken") is (expected == "overtaken"), (day, grade)
    found = assessment_of(PEOPLE, first, people(270_000, "un", day=15))
    assert (value_of(found)["people"], value_of(found)["people_low"], found.agreement) == (270_000, 270_000, "single")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (None, "preferred"),
        ({"source": "icrc"}, "overtaken"),
        ({"source": "icrc", "origin": "un"}, "preferred"),
        ({"source": "icrc", "method": "headcount"}, "overtaken"),
        ({"source": "un", "method": "registration"}, "overtaken"),
        ({"source": "icrc", "origin": "un", "method": "direct_observation"}, "overtaken"),
        ({"source": "icrc", "origin": "un", "method": "remote_sensing"}, "preferred"),
        ({"source": "icrc", "origin": "un", "grade": "A"}, "overtaken"),
        ({"source": "icrc", "grade": "F"}, "preferred"),
        ({"source": "icrc", "credibility": 4}, "preferred"),
        ({"source": "army", "party": True}, "preferred"),
        ({"source": "icrc", "day": 13}, "preferred"),
    ],
)
def test_better_needs_two_voices_or_a_better_one(second: dict[str, Any] | None, expected: str) -> None:
    first, fewer = people(270_000, "ocha"), people(50_000, "un", day=14)
    more = [] if second is None else [people(49_600, second.pop("source"), **({"day": 16} | second))]
    assessment = assessment_of(PEOPLE, first, fewer, *more)
    assert fate(assessment, first) == expected
    if expected == "preferred":
        assert (value_of(assessment)["people"], assessment.agreement) == (270_000, "contested")
    else:
        assert (value_of(assessment)["people_high"], assessment.agreement == "contested") == (
            50_000 if len(assessment.standing) > 1 else 49_600,
            False,
        )


def test_second_voice_must_still_stand_when_the_other_speaks() -> None:
    shut = supply("low", "ocha", day=0)
    once = supply("resupplied", "wfp", day=5)
    changed, stale = supply("low", "wfp", day=8), 20
    again = supply("resupplied", "council", day=9)
    assert fate(assessment_of(SUPPLY, shut, once, again), shut) == "overtaken"
    assert fate(assessment_of(SUPPLY, shut, once, changed, again), shut) == "supports"
    late = supply("resupplied", "council", day=stale)
    assert fate(assessment_of(SUPPLY, shut, once, late), shut) == "preferred"


def test_overtaken_stays_so_when_the_overtaker_is_replaced() -> None:
    shut = route("closed", "ocha", day=0)
    seen, later = (route(status, "monitor", day=day, method="direct_observation") for status, day in (("open", 1), ("restricted", 5)))
    assessment = assessment_of(ROUTE, shut, seen, later)
    assert [fate(assessment, each) for each in (shut, seen, later)] == ["overtaken", "replaced_by_later", "preferred"]
    same_time = route("open", "monitor", day=0, method="direct_observation")
    assert fate(assessment_of(ROUTE, shut, same_time), shut) == "preferred", "a route is overtaken by what is later only"


def test_overtaken_report_counts_for_nothing_else() -> None:
    """A better voice that was overtaken is no second voice."""
    first, one = supply("low", "ocha", day=0), supply("resupplied", "wfp", day=4)
    worse, other = supply("low", "council", day=7), supply("resupplied", "icrc", day=8)
    assessment = assessment_of(SUPPLY, first, one, worse, other)
    assert [fate(assessment, each) for each in (first, one, worse, other)] == ["supports", "overtaken", "preferred", "contradicts"]


def test_partys_report_is_not_overtaken() -> None:
    claim = people(20, "army", **PARTY)
    assessment = assessment_of(PEOPLE, claim, people(900, "un", day=30, grade="A"))
    assert (fate(assessment, claim), assessment.agreement) == ("contradicts", "contested")


def test_ran_out_is_overtaken_by_resupplied_alone() -> None:
    gone = supply("ran_out", "ocha")
    low = [supply("low", "wfp", day=5, method="direct_observation"), supply("low", "icrc", day=6, grade="A")]
    assert fate(assessment_of(SUPPLY, gone, *low), gone) == "preferred"
    full = [supply("resupplied", "wfp", day=5), supply("resupplied", "icrc", day=6)]
    assert fate(assessment_of(SUPPLY, gone, *full), gone) == "overtaken"


# Rules 7 to 9


def test_preferred_of_figures_has_the_best_grade_then_credibility() -> None:
    statements = [people(9, f"source-{grade}", grade=grade, day=at) for at, grade in enumerate(GRADES[:4])]
    assessment = assessment_of(PEOPLE, *reversed(statements))
    assert [each.source.reliability for each in assessment.standing] == list(GRADES[:4])
    assert assessment.preferred is statements[0]
    statements = [people(9, f"source-{at}", credibility=credibility, day=at) for at, credibility in enumerate(CREDIBILITIES)]
    assert [each.credibility for each in assessment_of(PEOPLE, *reversed(statements)).standing] == list(CREDIBILITIES)
    worse, better = people(9, "worse", grade="C", credibility=1, day=9), people(9, "better", grade="B", credibility=3)
    assert assessment_of(PEOPLE, worse, better).preferred is better
    early, late = people(9, "one", day=1, number=9), people(9, "two", day=2, number=1)
    assert assessment_of(PEOPLE, early, late).preferred is late
    first, second = people(9, "one", day=1, number=1), people(9, "two", day=1, number=2)
    assert assessment_of(PEOPLE, second, first).preferred is second


def test_better_figure_does_not_lead_over_an_earlier_one() -> None:
    more, fewer = people(270_000, "ocha", grade="C"), people(50_000, "un", day=5, grade="A", credibility=1)
    assessment = assessment_of(PEOPLE, more, fewer)
    assert (fate(assessment, more), value_of(assessment)["people"]) == ("preferred", 270_000)
    earlier = people(50_000, "un", day=-5, grade="A", credibility=1)
    assert fate(assessment_of(PEOPLE, more, earlier), earlier) == "preferred"


def test_worst_state_that_stands_leads_whatever_its_grade() -> None:
    states = [
        supply(state, state, day=1, grade=grade)
        for state, grade in zip(("resupplied", "low", "will_run_out", "ran_out"), "ABCF", strict=True)
    ]
    for count in range(1, 5):
        assert assessment_of(SUPPLY, *states[:count]).preferred is states[count - 1]
    ways = [route(status, status, day=1, grade=grade) for status, grade in zip(("open", "restricted", "closed"), "ABC", strict=True)]
    for count in range(1, 4):
        assert assessment_of(ROUTE, *ways[:count]).preferred is ways[count - 1]


def test_resupply_swallows_no_fresh_warning() -> None:
    full = supply("resupplied", "wfp", day=31)
    fresh = statement(SUPPLY, {"supply": "food", "in_days_min": 2, "in_days_max": 3}, "council", day=40, grade="C")
    for more in ({}, {"outcomes": (Outcome(EPOCH, 0, "averted", full),)}):
        old = supply("will_run_out", "ocha", "2016-08-01", "2016-08-02", day=20)
        value = value_of(assessment_of(SUPPLY, *([old] if more else []), full, fresh, **more))
        assert [value[name] for name in ("state", "runs_out_earliest", "runs_out_latest", "outcome", "due")] == [
            *("will_run_out", "2016-08-12", "2016-08-13"),
            *("pending", "2016-08-12"),
        ]


def test_relief_claims_of_parties_alone_lead_nothing() -> None:
    claim = route("open", "army", day=1, **PARTY)
    assessment = assessment_of(ROUTE, claim)
    value = value_of(assessment)
    assert (assessment.agreement, assessment.preferred, assessment.stated_at, assessment.basis) == ("claimed", None, None, {})
    assert {name for name, each in value.items() if each is not None} == {"route"}
    assert assessment_of(ROUTE, route("open", "outlet", day=1, origin="army")).agreement == "claimed", "the army said so"
    assert assessment_of(ROUTE, route("closed", "army", day=1, **PARTY)).agreement == "unconfirmed"


def test_party_moves_neither_range_nor_due_date() -> None:
    claim, said = people(2_000_000, "party", grade="E", credibility=5, party=True), people(20_000, "ocha")
    assessment = assessment_of(PEOPLE, claim, said)
    assert ([value_of(assessment)[f"people{end}"] for end in ("", "_low", "_high")], assessment.agreement) == ([20_000] * 3, "contested")
    tomorrow = supply("will_run_out", "party", "2016-07-02", "2016-07-02", grade="E", credibility=5, party=True)
    assert value_of(assessment_of(SUPPLY, tomorrow, supply("will_run_out", "ocha", "2016-09-15")))["due"] == "2016-09-15"
    assert value_of(assessment_of(SUPPLY, tomorrow, supply("resupplied", "ocha")))["due"] == "2016-07-02", "no sound warning stands"


def test_range_leaves_open_what_a_report_leaves_open() -> None:
    more = statement(PEOPLE, {"concept": "trapped", "people": 120_000, "qualifier": "more_than"}, "a", day=1)
    assessment = assessment_of(PEOPLE, more, people(100_500, "b", day=1))
    assert (value_of(assessment)["people_high"], assessment.spread) == (None, None)
    nearly = statement(PEOPLE, {"concept": "trapped", "people": 400_000, "qualifier": "nearly"}, "a", day=1)
    assert value_of(assessment_of(PEOPLE, nearly, people(500_000, "b", day=1)))["people_low"] is None
    spread = assessment_of(PEOPLE, people((250, 275), "a", day=1), people(300, "b", day=1))
    assert (spread.spread, value_of(spread)["people_low"], value_of(spread)["people_high"]) == (1.2, 250, 300)


def test_basis_names_the_report_that_gives_each_figure() -> None:
    low, high = people((250_000, 275_000), "ocha", day=24), people(300_000, "un", day=30)
    assert assessment_of(PEOPLE, low, high).basis == {"people": high.id, "people_low": low.id, "people_high": high.id}
    exact = route("closed", "ocha", day=24, since="2016-07-07", grade="C")
    month, year = route("closed", "un", day=30, since="2016-07"), route("closed", "press", day=29, since="2016", grade="A")
    assessment = assessment_of(ROUTE, exact, month, year)
    assert assessment.preferred is year
    assert [value_of(assessment)[name] for name in ("since_earliest", "since_latest", "since")] == ["2016-07-07"] * 3
    assert {each for name, each in assessment.basis.items() if "since" in name} == {exact.id}
    assert {name: each for name, each in assessment.basis.items() if "since" not in name} == {
        "directions.in.status": year.id,
        "directions.out.status": year.id,
    }
    assert assessment.agreement == "consistent"


@pytest.mark.parametrize(
    ("counts", "parties", "expected"),
    [
        ([300], [False], "single"),
        ([300], [True], "unconfirmed"),
        ([300, 300], [False, False], "consistent"),
        ([300, 300], [True, False], "consistent"),
        ([300, 300], [True, True], "unconfirmed"),
        ([300, 311], [False, False], "contested"),
        ([300, 311], [True, True], "contested"),
        ([300, 300, 311], [False, False, True], "contested"),
    ],
)
def test_agreement_follows_figures_and_parties(counts: list[int], parties: list[bool], expected: str) -> None:
    statements = [people(count, f"source-{at}", party=party) for at, (count, party) in enumerate(zip(counts, parties, strict=True))]
    assert assessment_of(PEOPLE, *statements).agreement == expected


def test_sources_with_one_origin_are_one_voice() -> None:
    statements = [people(270_000, name, day=at, origin="ocha") for at, name in enumerate(("un", "unicef", "who", "press"))]
    assessment = assessment_of(PEOPLE, *statements)
    assert (assessment.agreement, assessment.sources, assessment.origins) == ("single", 4, 1)
    secret = people(1, "ocha", level=3)
    relayed = [people(1, name, relays=secret.id) for name in ("un", "who")]
    assert assessment_of(PEOPLE, secret, *relayed).origins == 2, "a reader who may not see what they relay cannot know"


def test_assessment_time_is_that_of_the_preferred_report() -> None:
    first, newest = people(9, "first", grade="A"), people(9, "newest", day=30)
    assessment = assessment_of(PEOPLE, first, newest)
    assert (assessment.stated_at, assessment.stale_after) == (first.time, first.time + timedelta(days=60))
    assert (assessment.newest_at, assessment.newest_sound_at) == (newest.time, newest.time)
    clear = route("open", "monitor", day=1)
    assert assessment_of(ROUTE, clear).stale_after == clear.time + timedelta(days=7)


# Of all rules together

KIND_OF = {
    PEOPLE: lambda at: {"concept": "trapped", "people": (20, 500, 300_000)[at % 3]},
    SUPPLY: lambda at: (
        {"supply": "food"}
        | ({"state": ("low", "ran_out", "resupplied")[at % 4]} if at % 4 < 3 else {"in_days_min": at, "in_days_max": 2 * at})
    ),
    ROUTE: lambda at: {
        "route": "road",
        "status": ("open", "restricted", "closed")[at % 3],
        "direction": ("both", "in", "out")[at // 3 % 3],
    },
}
PARTS = st.lists(
    st.tuples(
        st.sampled_from("abcdp"), st.integers(0, 11), st.integers(0, 60), st.integers(1, 6), st.sampled_from([0, 0, 3]), st.integers(0, 9)
    ),
    min_size=1,
    max_size=12,
)
GRADE_OF = st.fixed_dictionaries({name: st.sampled_from(GRADES) for name in "abcdp"})
Part = tuple[str, int, int, int, int, int]


def made_of(kind: str, parts: list[Part], grades: dict[str, str]) -> list[Statement]:
    """Return statements recorded in this order, some of them retracted, relayed or seen; source `p` is a party."""
    return [
        statement(
            kind,
            KIND_OF[kind](what),
            source,
            day=day,
            grade=grades[source],
            party=source == "p",
            credibility=credibility,
            number=number,
            level=level,
            retracted_from_level=level if fate == 0 else None,
            relays=UUID(int=number - 1) if fate == 1 else None,
            method="direct_observation" if fate == 2 else "unknown",
            directness="quoted" if fate == 3 else "direct",
        )
        for number, (source, what, day, credibility, level, fate) in enumerate(parts, 1)
    ]


@given(st.sampled_from(list(KIND_OF)), PARTS, GRADE_OF, st.integers(0, 4), st.randoms(use_true_random=False))
def test_assessment_is_independent_of_the_order_of_statements(
    kind: str, parts: list[Part], grades: dict[str, str], level: int, shuffler: random.Random
) -> None:
    statements = made_of(kind, parts, grades)
    expected = assessment_of(kind, *statements, level=level)
    shuffler.shuffle(statements)
    assert assessment_of(kind, *statements, level=level) == expected
    seen = [each for each in statements if each.level <= level]
    assert assessment_of(kind, *seen, level=level) == expected
    assert {each.id for each in seen} == {each.id for each, _ in (*expected.relations, *expected.left_out)}


@given(st.sampled_from(list(KIND_OF)), PARTS, GRADE_OF, st.integers(0, 11), st.integers(0, 60))
def test_relief_claim_of_a_party_moves_no_value(kind: str, parts: list[Part], grades: dict[str, str], what: int, day: int) -> None:
    statements = made_of(kind, parts, grades)
    before = assessment_of(kind, *statements)
    claim = statement(kind, KIND_OF[kind](what), "q", day=day, grade="A", credibility=1, party=True, number=99)
    after = assessment_of(kind, *statements, claim)
    if before.preferred is None or KINDS[kind].state(claim.value) not in KINDS[kind].relief_states:
        return
    value, other = value_of(before), value_of(after)
    if kind == ROUTE:
        value, other = ({name: each for name, each in said.items() if name != "directions"} for said in (value, other))
    assert other == value


@given(st.sampled_from([SUPPLY, ROUTE]), PARTS, GRADE_OF, st.sampled_from("ABCF"))
def test_worst_state_of_a_sound_source_always_leads(kind: str, parts: list[Part], grades: dict[str, str], grade: str) -> None:
    worst = {SUPPLY: {"supply": "food", "state": "ran_out"}, ROUTE: {"route": "road", "status": "closed"}}[kind]
    newest = statement(kind, worst, "new", day=61, grade=grade, number=99)
    assert KINDS[kind].state(assessment_of(kind, *made_of(kind, parts, grades), newest).preferred.value) == KINDS[kind].worst_first[0]  # type: ignore[union-attr]


def test_assessment_of_a_thousand_reports_takes_a_fraction_of_a_second() -> None:
    """A function cubic, or quadratic with a large factor, would take minutes; processor time is the same on a busy machine."""
    dice = random.Random(7)
    statements = [people(dice.randrange(10, 10**6), f"source-{at % 5}", day=at / 4, number=at) for at in range(1000)]
    claims = [route("open", "army", day=at / 400, number=at, **PARTY) for at in range(1000)]
    start = time.thread_time()
    assert assessment_of(PEOPLE, *statements).value is not None
    assert len(assessment_of(ROUTE, *claims).standing) == 1000
    assert time.thread_time() - start < 3
