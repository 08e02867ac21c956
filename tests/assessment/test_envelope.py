"""Tests of `envelope/1`: which statements stand, which is preferred, and whether they agree."""

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

# F and 6 mean unknown: they rank below C and 3, above D and 4.
GRADES = "ABCFDE"
CREDIBILITIES = (1, 2, 3, 6, 4, 5)


def people(count: int, source: str = "agency", **more: Any) -> Statement:
    return statement(NAME, {"concept": "trapped", "people": count}, source, **more)


def test_preferred_has_the_best_reliability_f_between_c_and_d() -> None:
    statements = [people(at, f"source-{grade}", grade=grade, day=at) for at, grade in enumerate(GRADES)]
    assessment = assessment_of(NAME, *reversed(statements))
    assert [each.statement.source.reliability for each in assessment.standing] == list(GRADES)
    assert assessment.preferred is statements[0]
    assert assessment_of(NAME, *statements[3:]).preferred is statements[3], "F ranks above D and E"


def test_preferred_has_the_best_credibility_6_between_3_and_4() -> None:
    statements = [people(at, f"source-{at}", credibility=credibility, day=at) for at, credibility in enumerate(CREDIBILITIES)]
    assessment = assessment_of(NAME, *reversed(statements))
    assert [each.statement.credibility for each in assessment.standing] == list(CREDIBILITIES)


def test_preferred_is_chosen_by_reliability_before_credibility() -> None:
    worse, better = people(1, "worse", grade="C", credibility=1, day=9), people(2, "better", grade="B", credibility=5)
    assert assessment_of(NAME, worse, better).preferred is better


def test_preferred_of_equal_grades_is_the_latest_stated_then_recorded() -> None:
    early, late = people(1, "one", day=1, number=9), people(2, "two", day=2, number=1)
    assert assessment_of(NAME, early, late).preferred is late
    first, second = people(1, "one", day=1, number=1), people(2, "two", day=1, number=2)
    assert assessment_of(NAME, second, first).preferred is second
    moment = people(3, "three", day=1.001, number=0)
    assert assessment_of(NAME, first, second, moment).preferred is moment


def test_latest_statement_of_a_source_replaces_more_credible_ones() -> None:
    first = people(1, day=1, credibility=1, number=1)
    late_entry = people(2, day=0, credibility=1, number=3)
    second = people(3, day=2, credibility=5, number=2)
    assessment = assessment_of(NAME, first, late_entry, second)
    assert value_of(assessment)["people"] == 3
    assert relations(assessment) == {2: "preferred", 1: "replaced_by_later", 3: "replaced_by_later"}
    assert (assessment.agreement, assessment.sources) == ("single", 1)
    same_day = people(4, day=2, number=4)
    assert relations(assessment_of(NAME, second, same_day)) == {4: "preferred", 2: "replaced_by_later"}


def test_superseded_or_retracted_statement_lets_the_earlier_stand() -> None:
    first = people(1, day=1, number=1)
    withdrawn = people(2, day=2, number=2, retracted_from_level=0)
    assessment = assessment_of(NAME, first, withdrawn)
    assert relations(assessment) == {1: "preferred", 2: "retracted"}
    superseded = people(3, day=2, number=3, superseded_from_level=0)
    assert relations(assessment_of(NAME, first, superseded)) == {1: "preferred", 3: "superseded"}
    nothing = assessment_of(NAME, withdrawn)
    assert (nothing.value, nothing.agreement, nothing.preferred, nothing.stale_after) == (None, None, None, None)
    assert relations(nothing) == {2: "retracted"}


def test_assessment_has_only_statements_up_to_the_clearance() -> None:
    clear, secret = people(1, "one", day=1, number=1), people(900, "two", day=50, number=2, grade="A", level=3)
    ended_above = people(5, "three", day=2, number=3, superseded_from_level=2)
    below = assessment_of(NAME, clear, secret, ended_above, level=0)
    assert relations(below) == {3: "preferred", 1: "contradicts"}
    assert value_of(below)["people_high"] == 5
    assert relations(assessment_of(NAME, clear, secret, ended_above, level=2)) == {1: "preferred", 3: "superseded"}
    assert relations(assessment_of(NAME, clear, secret, ended_above, level=3)) == {2: "preferred", 1: "contradicts", 3: "superseded"}


def test_horizon_counts_from_the_newest_statement() -> None:
    horizon = KIND.horizon_days
    assert (horizon, KINDS["supply_runout"].horizon_days, KINDS["route_closure"].horizon_days) == (60, 30, 30)
    newest = people(1, "newest", day=100, grade="C", number=1)
    on_it = people(2, "on-it", day=100 - horizon, number=2)
    past_it = people(3, "past-it", day=100 - horizon - 0.001, grade="A", number=3)
    assessment = assessment_of(NAME, newest, on_it, past_it)
    assert relations(assessment) == {2: "preferred", 1: "contradicts", 3: "past_horizon"}
    assert assessment.stale_after == newest.stated_at + timedelta(days=horizon)
    assert assessment.stated_at == on_it.stated_at


def test_horizon_ignores_statements_that_do_not_stand() -> None:
    old = people(1, "old", day=0, number=1)
    withdrawn = people(2, "new", day=100, number=2, retracted_from_level=0)
    secret = people(3, "secret", day=100, number=3, level=4)
    assert relations(assessment_of(NAME, old, withdrawn, secret)) == {1: "preferred", 2: "retracted"}
    assert relations(assessment_of(NAME, old, withdrawn, secret, level=4)) == {3: "preferred", 2: "retracted", 1: "past_horizon"}


def test_statement_past_the_horizon_does_not_restore_the_one_before() -> None:
    statements = [people(1, "one", day=0, number=1), people(2, "one", day=1, number=2), people(3, "two", day=90, number=3)]
    assert relations(assessment_of(NAME, *statements)) == {3: "preferred", 2: "past_horizon", 1: "replaced_by_later"}


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
def test_agreement_follows_figures_and_parties(counts: list[int], parties: list[bool], expected: str) -> None:
    statements = [people(count, f"source-{at}", party=party) for at, (count, party) in enumerate(zip(counts, parties, strict=True))]
    assert assessment_of(NAME, *statements).agreement == expected


def test_agreement_is_contested_if_two_others_contradict_each_other() -> None:
    middle = statement(NAME, {"concept": "trapped", "people_low": 1, "people_high": 9}, "middle", grade="A")
    assessment = assessment_of(NAME, middle, people(1, "low"), people(9, "high"))
    assert assessment.agreement == "contested"
    assert sorted(assessment.relations) == ["preferred", "supports", "supports"]


def test_ten_statements_of_one_source_count_once() -> None:
    statements = [people(300, "envoy", day=at) for at in range(10)]
    assessment = assessment_of(NAME, *statements)
    assert (assessment.agreement, assessment.sources, len(assessment.standing), len(assessment.left_out)) == ("single", 1, 1, 9)


SOURCES = st.sampled_from(["one", "two", "three", "four", "five"])
GRADE_OF = st.fixed_dictionaries({name: st.sampled_from(GRADES) for name in ("one", "two", "three", "four", "five")})
PARTS = st.lists(
    st.tuples(SOURCES, st.integers(0, 5), st.integers(0, 5), st.integers(0, 130), st.integers(1, 6), st.integers(0, 4), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def made_of(parts: Sequence[tuple[str, int, int, int, int, int, int]], grades: dict[str, str]) -> list[Statement]:
    """Return statements recorded in this order, some of them retracted or superseded."""
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
def test_assessment_is_independent_of_the_order_of_statements(
    parts: list[tuple[str, int, int, int, int, int, int]], grades: dict[str, str], level: int, shuffler: random.Random
) -> None:
    statements = made_of(parts, grades)
    expected = assessment_of(NAME, *statements, level=level)
    shuffler.shuffle(statements)
    assert assessment_of(NAME, *statements, level=level) == expected


@given(PARTS, GRADE_OF, st.integers(0, 4))
def test_assessment_can_be_recomputed_from_the_reports(
    parts: list[tuple[str, int, int, int, int, int, int]], grades: dict[str, str], level: int
) -> None:
    """The steps of docs/method.md, one by one."""
    statements = made_of(parts, grades)
    assessment = assessment_of(NAME, *statements, level=level)
    seen = [each for each in statements if each.level <= level]
    not_ended = [
        each
        for each in seen
        if (each.retracted_from_level is None or each.retracted_from_level > level)
        and (each.superseded_from_level is None or each.superseded_from_level > level)
    ]
    latest: dict[str, Statement] = {}
    for each in sorted(not_ended, key=lambda each: (each.stated_at, each.global_seq)):
        latest[each.source.slug] = each
    newest = max((each.stated_at for each in latest.values()), default=None)
    standing = [each for each in latest.values() if newest and newest - each.stated_at <= timedelta(days=60)]
    assert {each.statement.global_seq for each in assessment.standing} == {each.global_seq for each in standing}
    assert {each.global_seq for each, _ in assessment.left_out} == {each.global_seq for each in seen} - {
        each.global_seq for each in standing
    }
    if not standing:
        assert assessment.value is None
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
    assert assessment.preferred is best
    ranges = [(each.value.people_low, each.value.people_high) for each in standing]  # type: ignore[attr-defined]
    assert (value_of(assessment)["people_low"], value_of(assessment)["people_high"]) == (
        min(low for low, _ in ranges),
        max(high for _, high in ranges),
    )
    if any(one[0] > other[1] or other[0] > one[1] for one, other in combinations(ranges, 2)):
        assert assessment.agreement == "contested"
    elif len(standing) == 1:
        assert assessment.agreement == "single"
    elif all(each.source.party_to_conflict for each in standing):
        assert assessment.agreement == "unconfirmed"
    else:
        assert assessment.agreement == "consistent"
    for each, relation in zip(assessment.standing, assessment.relations, strict=True):
        if each.statement is best:
            assert relation == "preferred"
        else:
            contradicts = KIND.contradicts(StatedValue(each.statement.value), StatedValue(best.value))
            assert relation == ("contradicts" if contradicts else "supports")
