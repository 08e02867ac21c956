"""Hypothesis strategies: steps that reporters and curators take."""

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from app.domain.tlp import Label

# Each source with its grade and whether it is a party to the conflict.
SOURCES = {
    "un": ("B", False),
    "ngo": ("B", False),
    "media": ("C", False),
    "witness": ("F", False),
    "army": ("D", True),
    "rebels": ("D", True),
}

LABEL = st.sampled_from([each.value for each in Label])
SOURCE = st.sampled_from(sorted(SOURCES))
DAYS = st.integers(0, 75)


def _dates(names: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    ends = st.tuples(DAYS, st.integers(0, 20)).map(
        lambda two: [(date(2016, 7, 1) + timedelta(days=day)).isoformat() for day in (two[0], sum(two))]
    )
    return ends.map(lambda two: dict(zip(names, two, strict=True)))


def _some(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda every: {name: value for each in every for name, value in each.items()})


def _one(name: str, *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.sampled_from([{} if value is None else {name: value} for value in values])


PEOPLE = _some(
    _one("concept", "trapped", "trapped", "besieged"),
    st.one_of(
        _some(_one("people", 1000, 2000, 3000), _one("qualifier", None, "about", "nearly", "up_to", "more_than", "at_least")),
        st.tuples(st.integers(500, 3000), st.integers(0, 1500)).map(lambda two: {"people_low": two[0], "people_high": sum(two)}),
        _one("people_high", 1500, 2500),
        _one("people_low", 1500, 2500),
    ),
)
SUPPLY = _some(
    _one("supply", "food", "food", "water"),
    _one("state", None, None, "will_run_out", "low", "ran_out", "resupplied"),
    _one("scope", None, None, None, "agency_stock"),
    st.one_of(
        st.just({}),
        st.tuples(st.integers(0, 30), st.integers(0, 10)).map(lambda two: {"in_days_min": two[0], "in_days_max": sum(two)}),
        _one("in_days_min", 3, 9),
        _one("in_days_max", 3, 9),
        _dates(("runs_out_earliest", "runs_out_latest")),
    ),
    _one("relative_text", None, "hours, if not days"),
)
ROUTE = _some(
    _one("route", "north-road", "north-road", "south-road"),
    st.one_of(
        _one("status", "closed"),
        _some(
            _one("status", "open", "restricted"),
            st.sampled_from([{}, {"passable_by": ["civilian"]}, {"passable_by": ["medical", "humanitarian"]}]),
        ),
    ),
    _one("direction", None, "both", "in", "out"),
    _one("assertion", None, None, "agreed", "announced"),
    _one("since", None, "2016-07", "2016-07-07", "2016-08-01"),
    _one("last_route", None, True, False),
)
VALUE = st.one_of(
    st.tuples(st.just("trapped_population"), PEOPLE),
    st.tuples(st.just("supply_runout"), SUPPLY),
    st.tuples(st.just("route_closure"), ROUTE),
)
STATED = st.tuples(DAYS, st.sampled_from(["", "", "T09:30:00Z", "T23:30:00-05:00", "T00:00:00.000001Z"])).map(
    lambda two: (date(2016, 7, 1) + timedelta(days=two[0])).isoformat() + two[1]
)
STATEMENT = st.fixed_dictionaries(
    {
        "value": VALUE,
        "place": st.sampled_from(["town", "town", "town", "quarter"]),
        "source": SOURCE,
        "stated_at": STATED,
        "sensitivity": LABEL,
        "credibility": st.integers(1, 6),
        "via": st.sampled_from([[], [], ["media"]]),
    }
)
WHICH = st.integers(0, 40)
# A caller cannot amend what is above the clearance: then nothing happens.
LEVEL = st.sampled_from([4, 4, 4, 2, 0])
STEP = st.one_of(
    st.tuples(st.just("report"), STATEMENT),
    st.tuples(st.just("report"), STATEMENT),
    st.tuples(st.just("correct"), LEVEL, WHICH, STATEMENT, st.booleans()),
    st.tuples(st.just("retract"), LEVEL, WHICH),
    st.tuples(st.just("outcome"), LEVEL, WHICH, WHICH, st.sampled_from(["materialised", "averted", "overtaken", "unknown"])),
    st.tuples(st.just("grade"), SOURCE, st.sampled_from("ABCDEF")),
)
STEPS = st.lists(STEP, min_size=6, max_size=24)
