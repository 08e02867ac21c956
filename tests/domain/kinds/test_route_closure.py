"""Tests of route closures: each direction on its own, dates of any precision, announcements."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from app.domain.kinds import KINDS
from app.domain.kinds.combining import StatedValue
from app.domain.kinds.route_values import RouteClosure
from app.domain.tlp import Label
from tests.support.assessing import EPOCH, assessment_of, relations, statement, value_of

NAME = "route_closure"
KIND = KINDS[NAME]


def route(status: str = "closed", **value: Any) -> RouteClosure:
    return RouteClosure.model_validate({"route": "north", "status": status, **value})


def stated(status: str, source: str, **value: Any) -> Any:
    more = {name: value.pop(name) for name in ("day", "grade", "credibility", "party", "number") if name in value}
    return statement(NAME, {"route": "north", "status": status, **value}, source, **more)


@pytest.mark.parametrize(
    ("since", "earliest", "latest"),
    [
        ("2016-07-07", date(2016, 7, 7), date(2016, 7, 7)),
        ("2016-07", date(2016, 7, 1), date(2016, 7, 31)),
        ("2016-02", date(2016, 2, 1), date(2016, 2, 29)),
        ("2015-02", date(2015, 2, 1), date(2015, 2, 28)),
        ("2016-12", date(2016, 12, 1), date(2016, 12, 31)),
        ("2016", date(2016, 1, 1), date(2016, 12, 31)),
    ],
)
def test_resolve_turns_reduced_precision_into_a_range_of_days(since: str, earliest: date, latest: date) -> None:
    value = KIND.resolve(route(since=since), date(2016, 12, 31))
    assert value.since == since
    assert value.range() == (earliest, latest)
    assert KIND.resolve(value, date(2016, 12, 31)) == value


@pytest.mark.parametrize(
    "since", ["2016-7", "2016-07-1", "2016-13", "2016-00", "2016-02-30", "16-07", "2016/07", "July 2016", "20160707", "", "2016-07-"]
)
def test_since_that_is_no_date_is_rejected(since: str) -> None:
    with pytest.raises(ValidationError) as caught:
        route(since=since)
    assert caught.value.errors()[0]["ctx"]["field"] == "since"


@pytest.mark.parametrize(
    "value",
    [
        {"since_earliest": "2016-07-02", "since_latest": "2016-07-01"},
        {"passable_by": ["civilian"]},
        {"status": "open", "passable_by": ["civilian", "civilian"]},
        {"status": "open", "passable_by": ["military"]},
        {"direction": "north"},
        {"assertion": "rumoured"},
        {"cause": "bad luck"},
        {"last_route": 1},
        {"route": "North Road"},
    ],
)
def test_invalid_value_is_rejected_at_the_field(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        route(**value)


def test_resolve_rejects_since_that_disagrees_with_days() -> None:
    with pytest.raises(PydanticCustomError):
        KIND.resolve(route(since="2016-07", since_earliest="2016-07-05"), date(2016, 7, 31))


def test_since_is_the_days_on_which_reports_agree() -> None:
    exact = stated("closed", "un", since="2016-07-07", day=24)
    early = stated("closed", "agency", since_earliest="2016-07-01", since_latest="2016-07-10", day=30, grade="C", last_route=True)
    month = stated("closed", "monitor", since="2016-07", day=30, grade="C", credibility=3)
    assessment = assessment_of(NAME, exact, early, month)
    assert assessment.agreement == "consistent"
    assert [relation for _, relation in assessment.relations] == ["preferred", "supports", "supports"]
    value = value_of(assessment)
    assert (value["since"], value["since_earliest"], value["since_latest"]) == ("2016-07-07", "2016-07-07", "2016-07-07")
    assert value["last_route"] is True
    assert {name: assessment.basis[name] for name in ("since", "since_earliest", "since_latest", "last_route")} == {
        **dict.fromkeys(("since", "since_earliest", "since_latest"), exact.id),
        "last_route": early.id,
    }
    other = stated("closed", "outlet", since="2016-07-11", day=30, grade="C")
    apart = assessment_of(NAME, exact, early, other)
    assert apart.agreement == "contested"
    assert relations(apart)[other.global_seq] == "contradicts"
    assert (value_of(apart)["since_earliest"], value_of(apart)["since_latest"]) == ("2016-07-07", "2016-07-07"), "the preferred one's"
    assert KIND.compare(StatedValue(exact.value), StatedValue(other.value)) == "neither"


@pytest.mark.parametrize("assertion", ["announced", "agreed"])
@pytest.mark.parametrize("status", ["open", "restricted", "closed"])
def test_announcement_counts_for_nothing(assertion: str, status: str) -> None:
    """Neither a better grade nor a later time changes that, and it replaces not even its own source's observation."""
    promised = stated(status, "worst", grade="A", credibility=1, day=20, assertion=assertion)
    seen = stated("restricted", "worst", grade="C", passable_by=["civilian"])
    both = assessment_of(NAME, promised, seen)
    assert relations(both) == {seen.global_seq: "preferred", promised.global_seq: "announced"}
    assert (value_of(both)["status"], both.agreement) == ("restricted", "single")
    alone = assessment_of(NAME, promised)
    assert (alone.value, alone.agreement, relations(alone)) == (None, None, {promised.global_seq: "announced"})


def test_combine_assesses_each_direction_on_its_own() -> None:
    into = stated("closed", "agency", direction="in", since="2016-06-07")
    out = stated("open", "envoy", direction="out", passable_by=["civilian"])
    assessment = assessment_of(NAME, into, out)
    value = value_of(assessment)
    assert [value[name] for name in ("status", "status_in", "status_out")] == ["restricted", "closed", "open"]
    assert value["passable_by"] is None, "the preferred report, of the closed direction, does not say"
    assert value["directions"] == {
        "in": {
            "status": "closed",
            "since_earliest": "2016-06-07",
            "since_latest": "2016-06-07",
            "passable_by": None,
            "agreement": "single",
        },
        "out": {"status": "open", "since_earliest": None, "since_latest": None, "passable_by": ["civilian"], "agreement": "single"},
    }
    assert (value["since"], value["since_earliest"]) == (None, None), "nobody said since when it is restricted"
    assert assessment.agreement == "consistent"
    assert set(relations(assessment).values()) == {"preferred", "supports"}


def test_report_on_one_direction_keeps_the_earlier_on_the_other() -> None:
    both = stated("closed", "agency", day=1, number=1)
    opened = stated("open", "agency", direction="in", day=2, number=2)
    assessment = assessment_of(NAME, both, opened)
    value = value_of(assessment)
    assert [value[name] for name in ("status", "status_in", "status_out")] == ["restricted", "open", "closed"]
    assert (assessment.agreement, assessment.sources, len(assessment.standing)) == ("single", 1, 2)
    opened_out = stated("open", "agency", direction="out", day=3, number=3)
    all_open = assessment_of(NAME, both, opened, opened_out)
    assert value_of(all_open)["status"] == "open"
    assert relations(all_open)[1] == "replaced_by_later"
    closed_again = stated("closed", "agency", day=4, number=4)
    shut = assessment_of(NAME, both, opened, opened_out, closed_again)
    assert value_of(shut)["status"] == "closed"
    assert relations(shut) == {4: "preferred", 1: "replaced_by_later", 2: "replaced_by_later", 3: "replaced_by_later"}


def test_combine_leaves_a_direction_without_reports_unknown() -> None:
    value = value_of(assessment_of(NAME, stated("closed", "agency", direction="in")))
    assert [value[name] for name in ("status", "status_in", "status_out")] == ["closed", "closed", None]
    assert value["directions"]["out"]["agreement"] is None


@pytest.mark.parametrize(("said", "expected"), [(None, None), ([], []), (["medical"], ["medical"])])
def test_passable_by_null_is_not_nobody(said: list[str] | None, expected: list[str] | None) -> None:
    other = stated("restricted", "monitor", grade="C", passable_by=["civilian"])
    value = value_of(assessment_of(NAME, other, stated("restricted", "un", grade="A", passable_by=said)))
    assert value["passable_by"] == value["directions"]["in"]["passable_by"] == expected


def test_compare_orders_closed_restricted_and_open() -> None:
    shut, hard, clear = (StatedValue(route(status)) for status in ("closed", "restricted", "open"))
    assert [KIND.compare(one, other) for one, other in ((shut, hard), (shut, clear), (hard, clear))] == ["worse"] * 3
    assert [KIND.compare(one, other) for one, other in ((hard, shut), (clear, shut), (clear, hard), (shut, shut))] == [
        *["better"] * 3,
        None,
    ]


def test_default_label_is_amber_for_passable_routes_and_witnesses() -> None:
    assert KIND.default_label(route("closed"), "ngo", Label.GREEN) is Label.GREEN
    assert KIND.default_label(route("closed"), "witness", Label.GREEN) is Label.AMBER
    for status in ("open", "restricted"):
        assert KIND.default_label(route(status), "ngo", Label.CLEAR) is Label.AMBER


STATEMENTS = st.lists(
    st.tuples(
        st.sampled_from(["open", "restricted", "closed"]),
        st.sampled_from(["both", "in", "out"]),
        st.sampled_from(["observed", "agreed", "announced"]),
        st.sampled_from("ABCDEF"),
        st.integers(0, 3),
        st.integers(0, 10),
    ),
    min_size=1,
    max_size=6,
)


@given(STATEMENTS)
def test_combined_status_is_the_worst_that_is_observed(parts: list[tuple[str, str, str, str, int, int]]) -> None:
    statements = [
        stated(status, f"source-{source}", direction=way, assertion=assertion, grade=grade, day=day)
        for status, way, assertion, grade, source, day in parts
    ]
    assessment = assessment_of(NAME, *statements)
    if assessment.value is None:
        assert assessment.standing == ()
        return
    value = assessment.value
    known = {value["status_in"], value["status_out"]} - {None}
    assert value["status"] == (known.pop() if len(known) == 1 else "restricted" if known else None)
    for way in ("in", "out"):
        said = [each.value for each in assessment.standing if way in KIND.facets(each.value)]
        assert all(isinstance(each, RouteClosure) and each.assertion == "observed" for each in said)
        assert value[f"status_{way}"] in (None, *(each.status for each in said if isinstance(each, RouteClosure)))


@pytest.mark.parametrize(("status", "held"), [("closed", True), ("restricted", False), ("open", False)])
def test_risk_is_held_for_routes_that_are_all_closed(status: str, held: bool) -> None:
    value = value_of(assessment_of(NAME, stated(status, "un", direction="in")))
    assert [risk.reason for _, risk in KIND.risks([value], EPOCH)] == (["way_in_closed"] if held else [])
