"""`envelope/1`: which statements stand, which is preferred, whether they agree (contract, Reading reports together)."""

import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.assessment.statement import Statement
from app.domain.kinds import KINDS
from app.domain.kinds.base import StatedValue
from tests.support.assessing import assessment_of, relations, statement, value_of

NAME = "trapped_population"
KIND = KINDS[NAME]

# As the contract has it: F and 6 mean unknown and rank below C and 3, above D and 4.
GRADES = "ABCFDE"
CREDIBILITIES = (1, 2, 3, 6, 4, 5)


def people(count: int, source: str = "agency", **more: Any) -> Statement:
    return statement(NAME, {"concept": "trapped", "people": count}, source, **more)


def test_better_reliability_is_preferred_with_f_between_c_and_d() -> None:
    made = [people(at, f"source-{grade}", grade=grade, day=at) for at, grade in enumerate(GRADES)]
    read = assessment_of(NAME, *reversed(made))
    assert [each.statement.source.reliability for each in read.standing] == list(GRADES)
    assert read.preferred is made[0]
    assert assessment_of(NAME, *made[3:]).preferred is made[3], "F ranks above D and E"


def test_then_better_credibility_with_6_between_3_and_4() -> None:
    made = [people(at, f"source-{at}", credibility=credibility, day=at) for at, credibility in enumerate(CREDIBILITIES)]
    read = assessment_of(NAME, *reversed(made))
    assert [each.statement.credibility for each in read.standing] == list(CREDIBILITIES)


def test_reliability_counts_before_credibility() -> None:
    worse, better = people(1, "worse", grade="C", credibility=1, day=9), people(2, "better", grade="B", credibility=5)
    assert assessment_of(NAME, worse, better).preferred is better


def test_ties_go_to_the_latest_statement_then_to_the_later_recorded() -> None:
    early, late = people(1, "one", day=1, number=9), people(2, "two", day=2, number=1)
    assert assessment_of(NAME, early, late).preferred is late
    first, second = people(1, "one", day=1, number=1), people(2, "two", day=1, number=2)
    assert assessment_of(NAME, second, first).preferred is second
    moment = people(3, "three", day=1.001, number=0)
    assert assessment_of(NAME, first, second, moment).preferred is moment


def test_a_sources_latest_statement_replaces_its_earlier_ones_though_they_were_more_credible() -> None:
    first = people(1, day=1, credibility=1, number=1)
    late_entry = people(2, day=0, credibility=1, number=3)
    second = people(3, day=2, credibility=5, number=2)
    read = assessment_of(NAME, first, late_entry, second)
    assert value_of(read)["people"] == 3
    assert relations(read) == {2: "preferred", 1: "replaced_by_later", 3: "replaced_by_later"}
    assert (read.agreement, read.sources) == ("single", 1)
    same_day = people(4, day=2, number=4)
    assert relations(assessment_of(NAME, second, same_day)) == {4: "preferred", 2: "replaced_by_later"}


def test_what_is_superseded_or_retracted_does_not_stand_and_lets_the_earlier_word_stand() -> None:
    first = people(1, day=1, number=1)
    withdrawn = people(2, day=2, number=2, retracted_from_level=0)
    read = assessment_of(NAME, first, withdrawn)
    assert relations(read) == {1: "preferred", 2: "retracted"}
    superseded = people(3, day=2, number=3, superseded_from_level=0)
    assert relations(assessment_of(NAME, first, superseded)) == {1: "preferred", 3: "superseded"}
    nothing = assessment_of(NAME, withdrawn)
    assert (nothing.value, nothing.agreement, nothing.preferred, nothing.stale_after) == (None, None, None, None)
    assert relations(nothing) == {2: "retracted"}


def test_a_reader_is_given_only_what_his_clearance_may_see() -> None:
    clear, secret = people(1, "one", day=1, number=1), people(900, "two", day=50, number=2, grade="A", level=3)
    ended_above = people(5, "three", day=2, number=3, superseded_from_level=2)
    below = assessment_of(NAME, clear, secret, ended_above, level=0)
    assert relations(below) == {3: "preferred", 1: "contradicts"}
    assert value_of(below)["people_high"] == 5
    assert relations(assessment_of(NAME, clear, secret, ended_above, level=2)) == {1: "preferred", 3: "superseded"}
    assert relations(assessment_of(NAME, clear, secret, ended_above, level=3)) == {2: "preferred", 1: "contradicts", 3: "superseded"}


def test_the_horizon_is_measured_from_the_newest_statement() -> None:
    horizon = KIND.horizon_days
    assert (horizon, KINDS["supply_runout"].horizon_days, KINDS["route_closure"].horizon_days) == (60, 30, 30)
    newest = people(1, "newest", day=100, grade="C", number=1)
    on_it = people(2, "on-it", day=100 - horizon, number=2)
    past_it = people(3, "past-it", day=100 - horizon - 0.001, grade="A", number=3)
    read = assessment_of(NAME, newest, on_it, past_it)
    assert relations(read) == {2: "preferred", 1: "contradicts", 3: "past_horizon"}
    assert read.stale_after == newest.stated_at + timedelta(days=horizon)
    assert read.stated_at == on_it.stated_at


def test_what_does_not_stand_does_not_move_the_horizon() -> None:
    old = people(1, "old", day=0, number=1)
    withdrawn = people(2, "new", day=100, number=2, retracted_from_level=0)
    secret = people(3, "secret", day=100, number=3, level=4)
    assert relations(assessment_of(NAME, old, withdrawn, secret)) == {1: "preferred", 2: "retracted"}
    assert relations(assessment_of(NAME, old, withdrawn, secret, level=4)) == {3: "preferred", 2: "retracted", 1: "past_horizon"}


def test_what_a_source_said_before_does_not_come_back_when_its_latest_is_past_the_horizon() -> None:
    made = [people(1, "one", day=0, number=1), people(2, "one", day=1, number=2), people(3, "two", day=90, number=3)]
    assert relations(assessment_of(NAME, *made)) == {3: "preferred", 2: "past_horizon", 1: "replaced_by_later"}


@pytest.mark.parametrize(
    ("counts", "parties", "expected"),
    [
        ([300], [False], "single"),
        ([300], [True], "single"),
        ([300, 300], [False, False], "consistent"),
        ([300, 300], [True, False], "consistent"),
        ([300, 300], [True, True], "unconfirmed"),
        ([300, 300, 300], [True, True, True], "unconfirmed"),
        ([300, 300, 300], [True, True, False], "consistent"),
        ([300, 301], [False, False], "contested"),
        ([300, 301], [True, True], "contested"),
        ([300, 300, 301], [False, False, True], "contested"),
    ],
)
def test_agreement(counts: list[int], parties: list[bool], expected: str) -> None:
    made = [people(count, f"source-{at}", party=party) for at, (count, party) in enumerate(zip(counts, parties, strict=True))]
    assert assessment_of(NAME, *made).agreement == expected


def test_contested_though_the_preferred_report_contradicts_neither() -> None:
    """Two that cannot both be true make it contested, whoever is preferred."""
    middle = statement(NAME, {"concept": "trapped", "people_low": 1, "people_high": 9}, "middle", grade="A")
    read = assessment_of(NAME, middle, people(1, "low"), people(9, "high"))
    assert read.agreement == "contested"
    assert sorted(read.relations) == ["preferred", "supports", "supports"]


def test_ten_outlets_that_quote_one_source_are_one_source() -> None:
    made = [people(300, "envoy", day=at) for at in range(10)]
    read = assessment_of(NAME, *made)
    assert (read.agreement, read.sources, len(read.standing), len(read.left_out)) == ("single", 1, 1, 9)


SOURCES = st.sampled_from(["one", "two", "three", "four", "five"])
GRADE_OF = st.fixed_dictionaries({name: st.sampled_from(GRADES) for name in ("one", "two", "three", "four", "five")})
PARTS = st.lists(
    st.tuples(SOURCES, st.integers(0, 5), st.integers(0, 5), st.integers(0, 130), st.integers(1, 6), st.integers(0, 4), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def made_of(parts: Sequence[tuple[str, int, int, int, int, int, int]], grades: dict[str, str]) -> list[Statement]:
    """Statements recorded in the order given; a few of them retracted or superseded."""
    return [
        statement(
            NAME,
            {"concept": "trapped", "people_low": min(one, other), "people_high": max(one, other)},
            source,
            day=day,
            grade=grades[source],
            credibility=credibility,
            party=source in ("one", "two"),
            number=number,
            level=level,
            retracted_from_level=level if fate == 0 else None,
            superseded_from_level=min(4, level + 1) if fate == 1 else None,
        )
        for number, (source, one, other, day, credibility, level, fate) in enumerate(parts, 1)
    ]


@given(PARTS, GRADE_OF, st.integers(0, 4), st.randoms(use_true_random=False))
def test_the_order_in_which_statements_are_given_does_not_matter(
    parts: list[tuple[str, int, int, int, int, int, int]], grades: dict[str, str], level: int, shuffler: random.Random
) -> None:
    made = made_of(parts, grades)
    expected = assessment_of(NAME, *made, level=level)
    shuffler.shuffle(made)
    assert assessment_of(NAME, *made, level=level) == expected


@given(PARTS, GRADE_OF, st.integers(0, 4))
def test_a_reading_can_be_recomputed_from_the_reports(
    parts: list[tuple[str, int, int, int, int, int, int]], grades: dict[str, str], level: int
) -> None:
    """The steps of the README, taken one by one."""
    made = made_of(parts, grades)
    read = assessment_of(NAME, *made, level=level)
    seen = [each for each in made if each.level <= level]
    unended = [
        each
        for each in seen
        if (each.retracted_from_level is None or each.retracted_from_level > level)
        and (each.superseded_from_level is None or each.superseded_from_level > level)
    ]
    latest: dict[str, Statement] = {}
    for each in sorted(unended, key=lambda each: (each.stated_at, each.global_seq)):
        latest[each.source.slug] = each
    newest = max((each.stated_at for each in latest.values()), default=None)
    standing = [each for each in latest.values() if newest and newest - each.stated_at <= timedelta(days=60)]
    assert {each.statement.global_seq for each in read.standing} == {each.global_seq for each in standing}
    assert {each.global_seq for each, _ in read.left_out} == {each.global_seq for each in seen} - {each.global_seq for each in standing}
    if not standing:
        assert read.value is None
        return
    best = min(
        standing,
        key=lambda each: (
            GRADES.index(each.source.reliability),
            CREDIBILITIES.index(each.credibility),
            -each.stated_at.timestamp(),
            -each.global_seq,
        ),
    )
    assert read.preferred is best
    ranges = [(each.value.people_low, each.value.people_high) for each in standing]  # type: ignore[attr-defined]
    assert (value_of(read)["people_low"], value_of(read)["people_high"]) == (min(low for low, _ in ranges), max(high for _, high in ranges))
    if any(one[0] > other[1] or other[0] > one[1] for one, other in combinations(ranges, 2)):
        assert read.agreement == "contested"
    elif len(standing) == 1:
        assert read.agreement == "single"
    elif all(each.source.party_to_conflict for each in standing):
        assert read.agreement == "unconfirmed"
    else:
        assert read.agreement == "consistent"
    for each, relation in zip(read.standing, read.relations, strict=True):
        if each.statement is best:
            assert relation == "preferred"
        else:
            contradicts = KIND.contradicts(StatedValue(each.statement.value), StatedValue(best.value))
            assert relation == ("contradicts" if contradicts else "supports")
