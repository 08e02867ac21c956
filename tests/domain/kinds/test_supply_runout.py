"""Tests of supply run-outs: durations from the day of the statement, scopes, states and ranges of dates."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from app.assessment.outcomes import Outcome
from app.domain.kinds import KINDS
from app.domain.kinds.combining import StatedValue
from app.domain.kinds.supply_runout import SupplyRunout
from app.domain.tlp import Label
from tests.support.assessing import EPOCH, assessment_of, july, relations, statement, value_of

KIND = KINDS["supply_runout"]
NAME = "supply_runout"
STATES = ("will_run_out", "low", "ran_out", "resupplied")


def supply(**value: Any) -> SupplyRunout:
    return SupplyRunout.model_validate({"supply": "food", **value})


def test_resolve_turns_two_to_three_weeks_into_dates() -> None:
    value = KIND.resolve(supply(in_days_min=14, in_days_max=21, relative_text="two to three weeks"), date(2016, 7, 28))
    assert value.range() == (date(2016, 8, 11), date(2016, 8, 18))
    assert (value.in_days_min, value.in_days_max, value.relative_text) == (14, 21, "two to three weeks")


@pytest.mark.parametrize(
    ("stated", "value", "expected"),
    [
        (date(2016, 7, 29), {"in_days_min": 21, "in_days_max": 21}, (date(2016, 8, 19), date(2016, 8, 19))),
        (date(2016, 2, 27), {"in_days_min": 2, "in_days_max": 3}, (date(2016, 2, 29), date(2016, 3, 1))),
        (date(2015, 2, 27), {"in_days_min": 2}, (date(2015, 3, 1), None)),
        (date(2016, 12, 31), {"in_days_max": 1}, (None, date(2017, 1, 1))),
        (date(2016, 7, 28), {"in_days_min": 0, "in_days_max": 0}, (date(2016, 7, 28), date(2016, 7, 28))),
        (date(2016, 7, 28), {"relative_text": "hours, if not days"}, (None, None)),
        (date(2016, 7, 28), {"runs_out_earliest": "2016-08-11"}, (date(2016, 8, 11), None)),
    ],
)
def test_resolve_keeps_dates_and_open_ends(stated: date, value: dict[str, Any], expected: tuple[date | None, date | None]) -> None:
    assert KIND.resolve(supply(**value), stated).range() == expected


@given(st.dates(date(1950, 1, 1), date(2100, 1, 1)), st.integers(0, 3650), st.integers(0, 3650))
def test_resolve_is_idempotent(stated: date, one: int, other: int) -> None:
    low, high = min(one, other), max(one, other)
    value = KIND.resolve(supply(in_days_min=low, in_days_max=high), stated)
    assert value.range() == (stated + timedelta(days=low), stated + timedelta(days=high))
    assert KIND.resolve(value, stated) == value


def test_resolve_rejects_dates_that_disagree_with_days() -> None:
    both = supply(in_days_min=14, in_days_max=21, runs_out_earliest="2016-08-11", runs_out_latest="2016-08-18")
    assert KIND.resolve(both, date(2016, 7, 28)) == both
    with pytest.raises(PydanticCustomError):
        KIND.resolve(both, date(2016, 7, 31))


@pytest.mark.parametrize(
    "value",
    [
        {"in_days_min": 3, "in_days_max": 2},
        {"runs_out_earliest": "2016-08-02", "runs_out_latest": "2016-08-01"},
        {"in_days_min": -1},
        {"in_days_min": 1.5},
        {"in_days_min": True},
        {"runs_out_earliest": "2016-08"},
        {"runs_out_earliest": 1470000000},
        {"supply": "bread"},
        {"state": "gone"},
        {"outcome": "averted"},
    ],
)
def test_invalid_value_is_rejected_at_the_field(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        supply(**value)


def test_subject_has_the_scope_unless_all_stock() -> None:
    assert KIND.subject(supply()) == "food"
    assert [KIND.subject(supply(scope=scope)) for scope in ("agency_stock", "market", "facility")] == [
        "food.agency_stock",
        "food.market",
        "food.facility",
    ]


def test_default_label_is_amber_for_facilities_and_witnesses() -> None:
    assert KIND.default_label(supply(), "ngo", Label.GREEN) is Label.GREEN
    assert KIND.default_label(supply(scope="facility"), "ngo", Label.GREEN) is Label.AMBER
    assert KIND.default_label(supply(), "witness", Label.GREEN) is Label.AMBER
    assert KIND.default_label(supply(scope="facility"), "ngo", Label.RED) is Label.RED


def test_compare_takes_low_and_will_run_out_for_one_state() -> None:
    places = {"resupplied": 0, "low": 1, "will_run_out": 1, "ran_out": 2}
    for one in STATES:
        for other in STATES:
            apart = places[one] - places[other]
            expected = "worse" if apart > 0 else "better" if apart < 0 else None
            assert KIND.compare(StatedValue(supply(state=one)), StatedValue(supply(state=other))) == expected, (one, other)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("2016-08-11", "2016-08-18"), ("2016-08-19", "2016-08-19"), "worse"),
        (("2016-08-11", "2016-08-18"), ("2016-08-18", "2016-08-20"), None),
        (("2016-08-11", "2016-08-20"), ("2016-08-15", "2016-08-15"), None),
        (("2016-08-11", None), ("2016-08-01", "2016-08-10"), "better"),
        (("2016-08-11", None), ("2016-08-01", None), None),
        ((None, "2016-08-10"), ("2016-08-11", None), "worse"),
        ((None, None), ("2016-08-11", "2016-08-11"), None),
    ],
)
def test_compare_takes_what_lasts_longer_for_better(
    one: tuple[str | None, str | None], other: tuple[str | None, str | None], expected: str | None
) -> None:
    first, second = (StatedValue(supply(runs_out_earliest=earliest, runs_out_latest=latest)) for earliest, latest in (one, other))
    assert KIND.compare(first, second) == expected
    assert KIND.compare(second, first) == {"better": "worse", "worse": "better", None: None}[expected]


def test_compare_takes_what_ran_out_later_for_better() -> None:
    first, second = (
        StatedValue(supply(state="ran_out", runs_out_earliest=day, runs_out_latest=day)) for day in ("2016-08-01", "2016-08-09")
    )
    assert (KIND.compare(first, second), KIND.compare(second, first), KIND.compare(first, first)) == ("worse", "better", None)


def test_combine_takes_dates_of_warnings_and_leaves_out_other_states() -> None:
    dated = statement(NAME, {"supply": "food", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-20"}, "a", day=24)
    low = statement(NAME, {"supply": "food", "state": "low", "relative_text": "dwindling", "imminence": "weeks"}, "b", day=30)
    late = statement(NAME, {"supply": "food", "runs_out_latest": "2016-08-25", "imminence": "days"}, "c", day=31)
    gone = statement(NAME, {"supply": "food", "state": "ran_out", "runs_out_earliest": "2016-07-30"}, "d", day=31, grade="D", party=True)
    assessment = assessment_of(NAME, dated, low, late, gone)
    value = value_of(assessment)
    assert [value[name] for name in ("state", "runs_out_earliest", "runs_out_latest", "imminence")] == [
        "will_run_out",
        "2016-08-11",
        "2016-08-25",
        "days",
    ]
    assert assessment.basis == {"runs_out_earliest": dated.id, "runs_out_latest": late.id, "imminence": late.id}
    assert assessment.agreement == "contested"
    # Dates are those of the warnings, whichever state leads.
    shut = statement(NAME, {"supply": "food", "state": "ran_out", "runs_out_latest": "2016-07-25"}, "d", day=24.5)
    ran_out = value_of(assessment_of(NAME, dated, shut))
    assert [ran_out[name] for name in ("state", "runs_out_earliest", "runs_out_latest")] == ["ran_out", "2016-08-11", "2016-08-20"]
    alone = value_of(assessment_of(NAME, shut))
    assert [alone[name] for name in ("state", "runs_out_earliest", "runs_out_latest")] == ["ran_out", None, None]


@given(st.lists(st.tuples(st.sampled_from(["both", "from", "until"]), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=5))
def test_combined_range_is_in_order_and_due_on_the_soonest_day(ends: list[tuple[str, int, int]]) -> None:
    values: list[dict[str, Any]] = []
    for which, one, other in ends:
        value: dict[str, Any] = {"supply": "food"}
        if which != "until":
            value["runs_out_earliest"] = july(min(one, other)).isoformat()
        if which != "from":
            value["runs_out_latest"] = july(max(one, other)).isoformat()
        values.append(value)
    value = value_of(assessment_of(NAME, *(statement(NAME, each, f"source-{at}") for at, each in enumerate(values))))
    low, high = value["runs_out_earliest"], value["runs_out_latest"]
    assert low is None or high is None or low <= high, (value, values)
    for each in values:
        assert low is None or low <= each.get("runs_out_earliest", low), (value, values)
        assert high is None or each.get("runs_out_latest", high) <= high, (value, values)
    soonest = min(each.get("runs_out_earliest") or each["runs_out_latest"] for each in values)
    assert value["due"] == soonest


def outcome(name: str, day: float, number: int, level: int = 0, source: str = "observer", **more: Any) -> Outcome:
    """Return an outcome whose evidence was stated on a day."""
    return Outcome(
        EPOCH + timedelta(seconds=number), level, name, statement(NAME, {"supply": "food", "state": "ran_out"}, source, day=day, **more)
    )


def test_outcome_ends_warnings_stated_before_its_evidence_only() -> None:
    first = statement(NAME, {"supply": "food", "in_days_min": 5, "in_days_max": 5}, "a", number=1)
    averted = outcome("averted", 2, number=2)
    assert value_of(assessment_of(NAME, first))["outcome"] == "pending"
    assert KIND.due_date(value_of(assessment_of(NAME, first))) == july(6)
    ended = value_of(assessment_of(NAME, first, outcomes=(averted,)))
    assert (ended["outcome"], ended["state"], KIND.due_date(ended)) == ("averted", "will_run_out", None)
    for source in ("a", "b"):
        later = statement(NAME, {"supply": "food", "in_days_min": 5, "in_days_max": 6}, source, day=3)
        value = value_of(assessment_of(NAME, first, later, outcomes=(averted,)))
        assert [value[name] for name in ("outcome", "due", "runs_out_earliest", "runs_out_latest")] == [
            "pending",
            *("2016-07-09", "2016-07-09", "2016-07-10"),
        ]
    same_time = statement(NAME, {"supply": "food", "in_days_min": 5}, "b", day=2)
    assert value_of(assessment_of(NAME, first, same_time, outcomes=(averted,)))["due"] == "2016-07-08"
    fresh = statement(NAME, {"supply": "food", "in_days_min": 5, "in_days_max": 6}, "b", day=3)
    both = assessment_of(NAME, first, fresh, outcomes=(averted,))
    assert (both.agreement, both.reports, relations(both)[1]) == ("single", 1, "contradicts"), "what was averted contests no fresh warning"
    back = outcome("pending", 2, number=3)
    assert value_of(assessment_of(NAME, first, outcomes=(averted, back)))["outcome"] == "pending"


def test_outcome_is_hidden_with_its_entry_or_evidence() -> None:
    first = statement(NAME, {"supply": "food", "in_days_min": 5, "in_days_max": 5}, "a", number=1)
    averted, hidden = outcome("averted", 2, number=2), outcome("materialised", 2, number=4, level=3)
    raised = Outcome(EPOCH + timedelta(5), 0, "materialised", statement(NAME, {"supply": "food", "state": "ran_out"}, "b", day=2, level=3))
    for above in (hidden, raised):
        assert value_of(assessment_of(NAME, first, outcomes=(averted, above)))["outcome"] == "averted"
        assert value_of(assessment_of(NAME, first, outcomes=(averted, above), level=3))["outcome"] == "materialised"
    retracted = outcome("averted", 2, number=2, retracted_from_level=2)
    assert value_of(assessment_of(NAME, first, outcomes=(retracted,), level=1))["outcome"] == "averted"
    assert value_of(assessment_of(NAME, first, outcomes=(retracted,), level=2))["outcome"] == "pending"


def test_later_recorded_outcome_revises_what_came_true() -> None:
    warning = statement(NAME, {"supply": "food", "in_days_min": 1, "in_days_max": 5}, "a", number=1)
    gone = outcome("materialised", 4, number=2)
    for name, day, expected in (("averted", 4, "will_run_out"), ("averted", 3, "ran_out"), ("pending", 5, "will_run_out")):
        value = value_of(assessment_of(NAME, warning, outcomes=(gone, outcome(name, day, number=3))))
        assert value["state"] == expected, (name, day)


def test_materialised_warning_stands_as_ran_out_until_overtaken() -> None:
    warning = statement(NAME, {"supply": "food", "in_days_min": 1, "in_days_max": 5}, "a", number=1)
    gone = outcome("materialised", 4, number=2, grade="D", party=True)
    found = assessment_of(NAME, warning, outcomes=(gone,))
    assert found.preferred == gone.evidence
    assert [value_of(found)[name] for name in ("state", "outcome", "due", "runs_out_earliest")] == ["ran_out", "materialised", None, None]
    assert (found.reports, found.origins, found.agreement) == (1, 1, "single"), "a warning that came true is not contested by the event"
    # Not even a later report of the evidence's own source replaces it, nor silence.
    low = statement(NAME, {"supply": "food", "state": "low"}, "observer", day=90)
    assert value_of(assessment_of(NAME, warning, low, outcomes=(gone,)))["state"] == "ran_out"
    one = statement(NAME, {"supply": "food", "state": "resupplied"}, "wfp", day=8, grade="E")
    assert value_of(assessment_of(NAME, warning, one, outcomes=(gone,)))["state"] == "ran_out"
    seen = statement(NAME, {"supply": "food", "state": "resupplied"}, "wfp", day=8, method="direct_observation")
    found = assessment_of(NAME, warning, seen, outcomes=(gone,))
    assert (value_of(found)["state"], found.preferred) == ("resupplied", seen)


def test_due_date_without_earliest_day_is_the_latest() -> None:
    assert KIND.due_date(value_of(assessment_of(NAME, statement(NAME, {"supply": "food", "runs_out_latest": "2016-08-20"})))) == date(
        2016, 8, 20
    )
    assert KIND.due_date(value_of(assessment_of(NAME, statement(NAME, {"supply": "food", "relative_text": "soon"})))) is None
    gone = {"supply": "food", "state": "ran_out", "runs_out_earliest": "2016-06-11"}
    assert KIND.due_date(value_of(assessment_of(NAME, statement(NAME, gone)))) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"runs_out_earliest": "2016-07-08", "runs_out_latest": "2016-07-20"}, "due_soon"),
        ({"runs_out_latest": "2016-07-08"}, "due_soon"),
        ({"runs_out_earliest": "2016-07-09"}, None),
        ({"state": "low", "runs_out_earliest": "2016-07-01"}, "due_soon"),
        ({"state": "low"}, None),
        ({"state": "ran_out"}, "ran_out"),
        ({"state": "resupplied", "runs_out_earliest": "2016-07-01"}, None),
    ],
)
def test_risk_is_short_if_ran_out_or_due_soon(value: dict[str, Any], reason: str | None) -> None:
    assessed = value_of(assessment_of(NAME, statement(NAME, {"supply": "food"} | value)))
    risk = KIND.risk(assessed, EPOCH)
    assert (risk and risk.state, risk and risk.reason) == (reason and "short", reason)


def test_risk_ends_with_an_outcome_unless_the_supply_ran_out() -> None:
    averted = (outcome("averted", 2, number=10**9),)
    due = assessment_of(NAME, statement(NAME, {"supply": "food", "runs_out_earliest": "2016-07-02"}), outcomes=averted)
    gone = assessment_of(NAME, statement(NAME, {"supply": "food", "state": "ran_out"}), outcomes=averted)
    assert KIND.risk(value_of(due), EPOCH) is None
    assert KIND.risk(value_of(gone), EPOCH) is not None
