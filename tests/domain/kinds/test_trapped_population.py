"""Tests of trapped populations: ranges, open ends, concepts and contradictions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.kinds import KINDS
from app.domain.kinds.combining import StatedValue
from app.domain.kinds.trapped_population import TrappedPopulation
from tests.support.assessing import EPOCH, assessment_of, statement, value_of

KIND = KINDS["trapped_population"]


def people(concept: str = "trapped", **value: Any) -> TrappedPopulation:
    return TrappedPopulation.model_validate({"concept": concept, **value})


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ({"people": 300}, 300, 300),
        ({"people": 300, "qualifier": "exact"}, 300, 300),
        ({"people": 300, "qualifier": "about"}, 300, 300),
        ({"people_low": 250, "people_high": 275}, 250, 275),
        ({"people_low": 250, "people": 260, "people_high": 275}, 250, 275),
        ({"people": 400, "qualifier": "nearly"}, None, 400),
        ({"people": 400, "qualifier": "up_to"}, None, 400),
        ({"people_high": 400}, None, 400),
        ({"people_high": 400, "qualifier": "nearly"}, None, 400),
        ({"people_low": 200, "people": 400, "qualifier": "nearly"}, 200, 400),
        ({"people": 400, "qualifier": "more_than"}, 400, None),
        ({"people": 400, "qualifier": "at_least"}, 400, None),
        ({"people_low": 400}, 400, None),
        ({"people": 0}, 0, 0),
        ({"people": 300.0}, 300, 300),
        ({"people": 0, "qualifier": "up_to"}, 0, 0),
    ],
)
def test_range_has_ends_by_figures_and_qualifier(value: dict[str, Any], low: int | None, high: int | None) -> None:
    assert people(**value).range() == (low, high)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({}, "people"),
        ({"people_low": 3, "people_high": 2}, "people_low"),
        ({"people_low": 3, "people": 2}, "people_low"),
        ({"people": 3, "people_high": 2}, "people_high"),
        ({"people_low": 1, "people": 3, "people_high": 2}, "people_high"),
    ],
)
def test_value_with_figures_out_of_order_is_rejected_at_the_field(value: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        people(**value)
    (error,) = caught.value.errors()
    assert error["ctx"]["field"] == field


@pytest.mark.parametrize("value", [{"people": -1}, {"people": True}, {"people": 1.5}, {"people": "1"}, {"people": 1, "killed": 2}])
def test_value_without_a_valid_figure_is_rejected(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        people(**value)


def test_subject_is_the_concept() -> None:
    concepts = ("trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining")
    assert [KIND.subject(people(concept, people=1)) for concept in concepts] == list(concepts)
    with pytest.raises(ValidationError):
        people("evacuated", people=1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"people_low": 250, "people_high": 275}, {"people": 300}, "better"),
        ({"people_low": 250, "people_high": 275}, {"people": 275}, None),
        ({"people_low": 250, "people_high": 275}, {"people_low": 270, "people_high": 300}, None),
        ({"people": 1}, {"people": 2}, "better"),
        ({"people": 12}, {"people": 13}, None),
        ({"people": 0}, {"people": 1}, "better"),
        ({"people": 0}, {"people": 0}, None),
        ({"people": 400, "qualifier": "nearly"}, {"people_low": 250, "people_high": 275}, None),
        ({"people": 200, "qualifier": "up_to"}, {"people_low": 250, "people_high": 275}, "better"),
        ({"people": 300, "qualifier": "more_than"}, {"people_low": 250, "people_high": 275}, "worse"),
        ({"people": 300, "qualifier": "more_than"}, {"people": 400, "qualifier": "more_than"}, None),
        ({"people": 300, "qualifier": "more_than"}, {"people": 100, "qualifier": "nearly"}, "worse"),
        # Half a unit of the last significant digit on either side, at least two digits significant; touching is meeting.
        ({"people": 590_000}, {"people": 590_200}, None),
        ({"people": 590_000}, {"people": 595_000, "qualifier": "exact"}, None),
        ({"people": 590_000}, {"people": 595_001, "qualifier": "exact"}, "better"),
        ({"people": 590_000, "qualifier": "exact"}, {"people": 590_200, "qualifier": "exact"}, "better"),
        ({"people": 300_000}, {"people": 305_000, "qualifier": "exact"}, None),
        ({"people": 300_000}, {"people": 305_001, "qualifier": "exact"}, "better"),
        ({"people_low": 250_000, "people_high": 275_000}, {"people": 300_000, "qualifier": "about"}, "better"),
        ({"people": 120_000, "qualifier": "more_than"}, {"people": 100_500}, "worse"),
    ],
)
def test_compare_tells_fewer_people_from_more(one: dict[str, Any], other: dict[str, Any], expected: str | None) -> None:
    first, second = StatedValue(people(**one)), StatedValue(people(**other))
    assert KIND.compare(first, second) == expected
    assert KIND.compare(second, first) == {"better": "worse", "worse": "better", None: None}[expected]
    assert KIND.compare(first, first) is None


def test_combine_neither_adds_nor_averages_figures() -> None:
    assessment = assessment_of(
        "trapped_population",
        statement("trapped_population", {"concept": "trapped", "people": 1}, "agency"),
        statement("trapped_population", {"concept": "trapped", "people": 3}, "envoy"),
    )
    assert {name: value_of(assessment)[name] for name in ("people", "people_low", "people_high")} == {
        "people": 3,
        "people_low": 1,
        "people_high": 3,
    }
    assert assessment.agreement == "contested"


def test_combine_adds_no_margin_and_keeps_open_ends_open() -> None:
    point = assessment_of(
        "trapped_population", statement("trapped_population", {"concept": "trapped", "people": 300, "qualifier": "about"})
    )
    assert (value_of(point)["people_low"], value_of(point)["people_high"], value_of(point)["qualifier"]) == (300, 300, "about")
    nearly = assessment_of(
        "trapped_population", statement("trapped_population", {"concept": "trapped", "people_high": 400, "qualifier": "nearly"})
    )
    assert (value_of(nearly)["people"], value_of(nearly)["people_low"], value_of(nearly)["people_high"]) == (None, None, 400)


def figures() -> st.SearchStrategy[dict[str, Any]]:
    """Return any value that a report may have."""
    count = st.integers(0, 12)
    qualifier = st.sampled_from([None, "exact", "about", "nearly", "up_to", "more_than", "at_least"])
    point = st.builds(lambda n, q: {"people": n, "qualifier": q}, count, qualifier)
    pair = st.builds(lambda a, b: {"people_low": min(a, b), "people_high": max(a, b)}, count, count)
    low, high = count.map(lambda n: {"people_low": n}), count.map(lambda n: {"people_high": n})
    return st.one_of(point, pair, low, high).map(lambda value: {"concept": "trapped", **value})


@given(st.lists(figures(), min_size=1, max_size=5))
def test_combine_returns_lowest_low_and_highest_high(values: list[dict[str, Any]]) -> None:
    """An end that a statement leaves open is null, but for one of the leading statement where all would be null."""
    assessment = assessment_of(
        "trapped_population", *(statement("trapped_population", value, f"source-{at}") for at, value in enumerate(values))
    )
    ranges = [TrappedPopulation.model_validate(value).range() for value in values]
    value = value_of(assessment)
    lows, highs = zip(*ranges, strict=True)
    expected = None if None in lows else min(lows), None if None in highs else max(highs)
    if value["people"] is None and expected == (None, None):
        assert assessment.preferred is not None
        low, high = assessment.preferred.value.range()
        expected = (low, None) if low is not None else (None, high)
    assert (value["people_low"], value["people_high"]) == expected
    said = {each.id: each.value.model_dump() for each in assessment.standing}
    for name, report in assessment.basis.items():
        assert value[name] in said[report].values()


@given(st.lists(figures(), min_size=1, max_size=5))
def test_combined_range_is_in_order_and_includes_every_figure(values: list[dict[str, Any]]) -> None:
    """As in reports, low <= people <= high."""
    assessment = assessment_of(
        "trapped_population", *(statement("trapped_population", value, f"source-{at}") for at, value in enumerate(values))
    )
    value = value_of(assessment)
    low, high = value["people_low"], value["people_high"]
    if value["people"] is None and None in (low, high):
        # An end of the leading statement alone.
        return
    stated = [end for each in values for end in TrappedPopulation.model_validate(each).range() if end is not None]
    for figure in [*stated, value["people"]]:
        if figure is not None:
            assert low is None or low <= figure, (value, values)
            assert high is None or figure <= high, (value, values)


@pytest.mark.parametrize(
    ("value", "people"),
    [
        ({"concept": "trapped", "people": 300}, 300),
        ({"concept": "besieged", "people_low": 200, "people_high": 400}, 400),
        ({"concept": "encircled", "people_low": 200}, 200),
        ({"concept": "trapped", "people": 0}, None),
        ({"concept": "hard_to_reach", "people": 300}, None),
    ],
)
def test_risk_is_held_for_people_who_cannot_leave(value: dict[str, Any], people: int | None) -> None:
    assessed = value_of(assessment_of("trapped_population", statement("trapped_population", value)))
    risk = KIND.risk(assessed, EPOCH)
    assert (risk.state, risk.reason, risk.people) == ("held", value["concept"], people) if risk else people is None
