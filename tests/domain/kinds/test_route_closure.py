"""Routes: each direction on its own, dates of any precision, and no passage by announcement."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from app.domain.kinds import KINDS
from app.domain.kinds.base import StatedValue
from app.domain.kinds.route_closure import RouteClosure
from app.domain.tlp import Label
from tests.support.assessing import assessment_of, relations, statement, value_of

NAME = "route_closure"
KIND = KINDS[NAME]


def route(status: str = "closed", **value: Any) -> RouteClosure:
    return RouteClosure.model_validate({"route": "north", "status": status, **value})


def said(status: str, source: str, **value: Any) -> Any:
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
def test_since_of_reduced_precision_is_the_days_that_it_may_mean(since: str, earliest: date, latest: date) -> None:
    value = KIND.resolve(route(since=since), date(2016, 7, 31))
    assert value.since == since
    assert value.range() == (earliest, latest)
    assert KIND.resolve(value, date(2016, 7, 31)) == value


@pytest.mark.parametrize(
    "since", ["2016-7", "2016-07-1", "2016-13", "2016-00", "2016-02-30", "16-07", "2016/07", "July 2016", "20160707", "", "2016-07-"]
)
def test_what_is_no_date_is_refused_at_since(since: str) -> None:
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
def test_what_cannot_be_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        route(**value)


def test_since_and_other_ends_beside_it_are_not_guessed_between() -> None:
    with pytest.raises(PydanticCustomError):
        KIND.resolve(route(since="2016-07", since_earliest="2016-07-05"), date(2016, 7, 31))


def test_a_vaguer_date_that_contains_the_exact_one_agrees() -> None:
    exact = said("closed", "un", since="2016-07-07", day=24)
    early = said("closed", "agency", since_earliest="2016-07-01", since_latest="2016-07-10", day=30, grade="C", last_route=True)
    month = said("closed", "monitor", since="2016-07", day=30, grade="C", credibility=3)
    read = assessment_of(NAME, exact, early, month)
    assert read.agreement == "consistent"
    assert list(read.relations) == ["preferred", "supports", "supports"]
    value = value_of(read)
    assert (value["since"], value["since_earliest"], value["since_latest"]) == ("2016-07-07", "2016-07-01", "2016-07-31")
    assert value["last_route"] is True
    other = said("closed", "outlet", since="2016-07-11", day=30, grade="C")
    apart = assessment_of(NAME, exact, early, other)
    assert apart.agreement == "contested"
    assert relations(apart)[other.global_seq] == "contradicts"


@pytest.mark.parametrize("assertion", ["announced", "agreed"])
@pytest.mark.parametrize("status", ["open", "restricted"])
def test_passage_that_is_only_announced_or_agreed_never_reads_as_open(assertion: str, status: str) -> None:
    """However well graded and however late it is said."""
    promised = said(status, "best", grade="A", credibility=1, day=20, assertion=assertion, passable_by=["humanitarian"])
    closed = value_of(assessment_of(NAME, promised, said("closed", "worst", grade="E", credibility=5)))
    assert [closed[name] for name in ("status", "status_in", "status_out", "passable_by")] == ["closed", "closed", "closed", []]
    alone = value_of(assessment_of(NAME, promised))
    assert [alone[name] for name in ("status", "status_in", "status_out", "passable_by")] == [None, None, None, []]


def test_a_closure_that_is_announced_is_a_closure() -> None:
    assert value_of(assessment_of(NAME, said("closed", "army", assertion="announced")))["status"] == "closed"


def test_each_direction_is_read_on_its_own() -> None:
    into = said("closed", "agency", direction="in", since="2016-07-07")
    out = said("open", "envoy", direction="out", passable_by=["civilian"])
    read = assessment_of(NAME, into, out)
    value = value_of(read)
    assert [value[name] for name in ("status", "status_in", "status_out")] == ["restricted", "closed", "open"]
    assert value["passable_by"] == ["civilian"]
    assert read.agreement == "consistent"
    assert set(relations(read).values()) == {"preferred", "supports"}


def test_a_word_on_one_direction_leaves_the_sources_word_on_the_other() -> None:
    both = said("closed", "agency", day=1, number=1)
    opened = said("open", "agency", direction="in", day=2, number=2)
    read = assessment_of(NAME, both, opened)
    value = value_of(read)
    assert [value[name] for name in ("status", "status_in", "status_out")] == ["restricted", "open", "closed"]
    assert (read.agreement, read.sources, len(read.standing)) == ("single", 1, 2)
    opened_out = said("open", "agency", direction="out", day=3, number=3)
    all_open = assessment_of(NAME, both, opened, opened_out)
    assert value_of(all_open)["status"] == "open"
    assert relations(all_open)[1] == "replaced_by_later"
    closed_again = said("closed", "agency", day=4, number=4)
    shut = assessment_of(NAME, both, opened, opened_out, closed_again)
    assert value_of(shut)["status"] == "closed"
    assert relations(shut) == {4: "preferred", 1: "replaced_by_later", 2: "replaced_by_later", 3: "replaced_by_later"}


def test_a_direction_of_which_nobody_spoke_is_not_invented() -> None:
    value = value_of(assessment_of(NAME, said("closed", "agency", direction="in")))
    assert [value[name] for name in ("status_in", "status_out")] == ["closed", None]


def test_statements_contradict_only_about_a_direction_of_which_both_speak() -> None:
    whole, into, out = frozenset({"in", "out"}), frozenset({"in"}), frozenset({"out"})
    shut, clear = route("closed"), route("open")
    assert KIND.contradicts(StatedValue(shut, whole), StatedValue(clear, into))
    assert KIND.contradicts(StatedValue(clear, into), StatedValue(shut, whole))
    assert not KIND.contradicts(StatedValue(shut, into), StatedValue(clear, out))
    assert not KIND.contradicts(StatedValue(shut, whole), StatedValue(shut, whole))


def test_routes_said_to_be_passable_and_witnesses_are_amber() -> None:
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
def test_what_reads_as_open_was_observed(parts: list[tuple[str, str, str, str, int, int]]) -> None:
    """Each way: the status of the best graded statement on it that counts; `status` sums both up, and nobody passes what is shut."""
    made = [
        said(status, f"source-{source}", direction=way, assertion=assertion, grade=grade, day=day)
        for status, way, assertion, grade, source, day in parts
    ]
    read = assessment_of(NAME, *made)
    value = value_of(read)
    for way in ("in", "out"):
        spoken = [each.statement.value for each in read.standing if way in each.facets]
        counted = [
            each.status for each in spoken if isinstance(each, RouteClosure) and (each.status == "closed" or each.assertion == "observed")
        ]
        assert value[f"status_{way}"] == (counted[0] if counted else None)
    assert value["status"] == (value["status_in"] if value["status_in"] == value["status_out"] else "restricted")
    if value["status"] == "closed":
        assert value["passable_by"] == []
