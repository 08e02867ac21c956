"""Hypothesis strategies: steps that reporters and curators take, from small vocabularies, so that statements meet."""

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

LABELS = ("clear", "green", "amber", "amber_strict", "red")
# Each source with its grade and whether it is a party to the conflict.
SOURCES = {
    "un": ("B", False),
    "ngo": ("B", False),
    "icrc": ("A", False),
    "media": ("C", False),
    "witness": ("F", False),
    "blog": ("E", False),
    "army": ("D", True),
    "rebels": ("C", True),
}
FIRST_DAY = date(2016, 7, 1)
DAYS = st.integers(0, 75)
SOURCE = st.sampled_from(sorted(SOURCES))
Fields = st.SearchStrategy[dict[str, Any]]


def day(number: int) -> str:
    """Return a day, counted from the first."""
    return (FIRST_DAY + timedelta(days=number)).isoformat()


def _one(name: str, *values: Any) -> Fields:
    """Return one of the values; None leaves the field out."""
    return st.sampled_from([{} if value is None else {name: value} for value in values])


def _some(*parts: Fields) -> Fields:
    return st.tuples(*parts).map(lambda every: {name: value for each in every for name, value in each.items()})


def _ends(low: str, high: str, values: st.SearchStrategy[int], width: st.SearchStrategy[int], said: Any = int) -> Fields:
    return st.tuples(values, width).map(lambda two: {low: said(two[0]), high: said(sum(two))})


FIGURE = st.sampled_from([0, 1200, 1250, 2000, 2040, 2050, 3000, 100500, 120000])
QUALIFIER = _one("qualifier", None, None, "exact", "about", "nearly", "up_to", "more_than", "at_least")
PEOPLE = _some(
    _one("concept", "trapped", "trapped", "trapped", "besieged", "at_risk"),
    QUALIFIER,
    st.one_of(
        FIGURE.map(lambda figure: {"people": figure}),
        FIGURE.map(lambda figure: {"people": figure}),
        _ends("people_low", "people_high", FIGURE, st.sampled_from([0, 100, 1000])),
        FIGURE.map(lambda figure: {"people_high": figure}),
        FIGURE.map(lambda figure: {"people_low": figure}),
    ),
)
SUPPLY = _some(
    _one("supply", "food", "food", "food", "water"),
    _one("state", None, None, None, "will_run_out", "low", "ran_out", "resupplied", "resupplied"),
    _one("scope", None, None, None, None, "agency_stock"),
    st.one_of(
        st.just({}),
        _ends("in_days_min", "in_days_max", st.integers(0, 20), st.integers(0, 10)),
        _ends("in_days_min", "in_days_max", st.integers(0, 20), st.integers(0, 10)),
        _one("in_days_min", 3, 9),
        _one("in_days_max", 3, 9),
        _ends("runs_out_earliest", "runs_out_latest", DAYS, st.integers(0, 10), day),
    ),
    _one("imminence", None, None, None, "hours", "days", "weeks", "months"),
)
ROUTE = _some(
    _one("route", "north", "north", "north", "south"),
    st.one_of(
        _some(_one("status", "closed"), _one("passable_by", None, [])),
        _some(_one("status", "open", "restricted"), _one("passable_by", None, None, [], ["civilian"], ["medical", "humanitarian"])),
    ),
    _one("direction", None, None, "both", "in", "out"),
    _one("assertion", None, None, None, None, "agreed", "announced"),
    st.one_of(
        _one("since", None, "2016-06", "2016-07-01", "2016"),
        st.just({"since_earliest": "2016-06-21", "since_latest": "2016-07-01"}),
    ),
    _one("last_route", None, None, True, False),
)
KINDS = {"trapped_population": PEOPLE, "supply_runout": SUPPLY, "route_closure": ROUTE}
AID = _some(
    _one("operation", "convoy"),
    _one("stage", "planned", "under_way", "denied", "attacked", "partly_delivered", "delivered", "delivered"),
    _one("on_earliest", None, None, None, "2016-06-20", "2016-06-30"),
    _one("planned_for", None, 4000, 5000),
    _one("removed", None, None, [], ["medical"]),
    _one("supplies", None, None, ["food"]),
)
MOVEMENT = _some(
    _one("movement", "evacuated", "fled"),
    _one("since", None, "2016-06-15", "2016-06-15"),
    _one("people", 1000, 1000, 1200, 3000),
    _one("people_high", None, None, 3000),
    _one("until", None, None, None, "2016-06-20", "2016-06-30"),
)
SERVICE = _some(
    _one("service", "hospital"),
    st.one_of(
        _one("state", "working", "partly_working", "out_of_service"),
        _some(_one("state", "partly_working"), _one("working", 1, 2), _one("known", 3, 4)),
    ),
)
ALL_KINDS = KINDS | {"aid_delivery": AID, "population_movement": MOVEMENT, "service_status": SERVICE}
TIME = st.sampled_from(["", "", "", "", "T09:30:00Z", "T23:30:00-05:00", "T00:00:00.000001Z", "T22:00:00Z"])
STATED = st.tuples(DAYS, TIME).map(lambda two: day(two[0]) + two[1])
# The horizon of deliveries is longer than DAYS.
STATED_SPARSELY = st.tuples(DAYS, TIME).map(lambda two: day(4 * two[0]) + two[1])
PROVENANCE = _some(
    _one("credibility", 1, 2, 2, 2, 3, 3, 3, 4, 5, 6),
    _one("directness", None, None, None, "direct", "quoted", "paraphrased"),
    _one("method", None, None, None, "headcount", "registration", "direct_observation", "modelled"),
    _one("origin", None, None, None, None, None, "un", "army", "media"),
    _one("via", None, None, ["media"], ["blog", "media"]),
)


def statements(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return statements of a kind; `relays` is the number of an earlier report, `observed_days` how long before it was observed."""
    return st.fixed_dictionaries(
        {
            "kind": st.just(kind),
            "value": ALL_KINDS[kind],
            "place": st.sampled_from(["town", "town", "town", "town", "quarter"]),
            "source": SOURCE,
            "stated_at": st.one_of(STATED, STATED_SPARSELY) if kind == "aid_delivery" else STATED,
            "sensitivity": st.sampled_from([*LABELS, "clear", "clear", "clear", "green"]),
            "provenance": PROVENANCE,
            "relays": st.one_of(st.none(), st.none(), st.none(), st.integers(0, 40)),
            "observed_days": st.sampled_from([None, None, None, None, None, 0, 3, 20]),
        }
    )


WHICH = st.integers(0, 40)
# A caller cannot amend what is above the clearance: then nothing happens.
READER = st.sampled_from(LABELS)
OUTCOME = st.sampled_from(["materialised", "averted", "overtaken", "unknown"])


def steps(kinds: list[str]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Return lists of steps about these kinds."""
    statement = st.one_of([statements(kind) for kind in kinds])
    report = st.tuples(st.just("report"), statement)
    amendment = st.one_of(
        st.tuples(st.just("correct"), READER, WHICH, statement, st.booleans()),
        st.tuples(st.just("retract"), READER, WHICH),
        st.tuples(st.just("reinstate"), READER, WHICH),
        st.tuples(st.just("outcome"), READER, WHICH, WHICH, OUTCOME),
        st.tuples(st.just("judge"), READER, WHICH, WHICH, st.sampled_from([None, "correction", "retraction"])),
        st.tuples(st.just("grade"), SOURCE, st.sampled_from("ABCDEF")),
        st.tuples(st.just("label"), WHICH, READER),
    )
    batch = st.tuples(st.just("batch"), st.lists(statement, min_size=3, max_size=9))
    return st.tuples(batch, st.lists(st.one_of(report, amendment), min_size=1, max_size=9)).map(lambda two: [two[0], *two[1]])


STEPS = st.sampled_from([*([kind] for kind in KINDS), *([kind] for kind in KINDS), list(KINDS)]).flatmap(steps)
NEW_STEPS = st.sampled_from([["aid_delivery"], ["population_movement"], ["service_status"]]).flatmap(steps)
# Statements of every kind, for what needs no second implementation to compare with.
ALL_STEPS = st.sampled_from([*([kind] for kind in ALL_KINDS), list(ALL_KINDS)]).flatmap(steps)
# A point of view: clearance, days of `as_of` (None: now) and the number of the step up to which the service knew (None: all).
VIEWS = st.lists(
    st.tuples(READER, st.one_of(st.none(), st.integers(0, 90)), st.one_of(st.none(), st.integers(0, 18))), min_size=2, max_size=2
)
