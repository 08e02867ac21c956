"""What is drawn and in which order: urgency, the slider's days, the base map, bars and plots. Pure."""

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from app.board.cards import BAR_WIDTH, card
from app.board.drawing.basemap import frame_around, outlines
from app.board.drawing.plots import BOTTOM, FOOT, HEIGHT, INSET, LEFT, RIGHT, WIDTH, Reading, plot
from app.board.localization import tongue
from app.board.time_slider import Timeline, timeline
from app.situations.urgency import urgency

TODAY = date(2016, 8, 10)


def item(**more: Any) -> dict[str, Any]:
    """What all items of a situation have."""
    common = {"place": "a", "agreement": "single", "stated_at": "2016-08-01T00:00:00Z", "stale": False, "source": "s"}
    return common | {"links": {"indicator": "/v1/indicators/1"}} | more


def trapped(**more: Any) -> dict[str, Any]:
    """People trapped."""
    return item(concept="trapped", people=100, people_low=None, people_high=None, qualifier=None, **more)


def supply(first: int | None, last: int | None = None, **more: Any) -> dict[str, Any]:
    """A supply with so many days left."""
    dates = {"runs_out_earliest": None, "runs_out_latest": None, "relative_text": None}
    value = {"supply": "food", "scope": "all_stock", "state": "will_run_out", "outcome": "pending"} | dates
    return item(**(value | {"days_left": first, "days_left_latest": last} | more))


def route(status: str | None, **more: Any) -> dict[str, Any]:
    """A route in a state."""
    dates = {"since": None, "since_earliest": None, "since_latest": None}
    return item(**({"route": "r", "status": status, "status_in": status, "status_out": status, "passable_by": []} | dates | more))


def situation(name: str = "A", people: Any = (), supplies: Any = (), routes: Any = ()) -> dict[str, Any]:
    """A situation."""
    return {
        "place": {"slug": name.lower(), "name": name},
        "trapped": list(people),
        "supplies": list(supplies),
        "routes": {"items": list(routes)},
        "contested": [],
        "newest_statement": "2016-08-01T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("level", "given"),
    [
        ("critical", situation(people=[trapped()], supplies=[supply(7)])),
        ("critical", situation(routes=[route("closed")], supplies=[supply(None, state="ran_out")])),
        ("critical", situation(people=[trapped()], supplies=[supply(-3, -1)])),
        ("serious", situation(people=[trapped()], supplies=[supply(8)])),
        ("serious", situation(supplies=[supply(2)])),
        ("serious", situation(routes=[route("closed"), route("closed")])),
        ("watch", situation(routes=[route("closed"), route("restricted")])),
        ("watch", situation(supplies=[supply(2, outcome="averted")])),
        ("watch", situation(people=[item(concept="at_risk", people=9, people_low=None, people_high=None, qualifier=None)])),
        ("quiet", situation(people=[trapped(stale=True)], supplies=[supply(1, stale=True)])),
        ("quiet", situation()),
    ],
)
def test_urgency(level: str, given: dict[str, Any]) -> None:
    assert urgency(given).level == level


def test_the_order_of_places_is_level_then_days_then_people_then_name() -> None:
    worst_first = [
        situation("Short and held", [trapped()], [supply(5)]),
        situation("Sooner", supplies=[supply(1)]),
        situation("Later", supplies=[supply(3)]),
        situation("Held, many", [trapped() | {"people": 900}]),
        situation("Held, few", [trapped()]),
        situation("Held, few, too", [trapped()]),
    ]
    mixed = worst_first[3:] + worst_first[:3]
    assert sorted(mixed, key=urgency) == worst_first


@pytest.mark.parametrize(
    ("first", "newest", "as_of", "start", "days"),
    [
        ("2016-07-25", "2016-08-01", None, date(2016, 7, 24), 18),
        ("2016-07-25", "2016-07-26", None, date(2016, 7, 24), 17),
        (None, None, None, TODAY, 1),
        ("2015-07-25", "2016-08-10", None, date(2016, 7, 23), 19),
        ("2015-07-25", "2016-08-10", "2015-09-01", date(2015, 7, 24), 365),
        ("2015-07-25", "2016-08-10", "1999-01-01", date(2015, 7, 24), 365),
        ("2016-08-12", "2016-08-12", None, TODAY, 1),
    ],
)
def test_the_sliders_days(first: str | None, newest: str | None, as_of: str | None, start: date, days: int) -> None:
    assert timeline(first, newest, as_of, TODAY) == Timeline(start, days)


def test_each_step_is_a_day_and_the_last_is_now() -> None:
    slider = Timeline(date(2016, 7, 24), 18)
    assert [slider.as_of(step) for step in (0, 1, 17, 18, 99)] == ["2016-07-24", "2016-07-25", "2016-08-10", None, None]
    assert [slider.step(each) for each in ("2016-07-24", "2016-08-10T10:00:00Z", None, "2000-01-01", "2020-01-01")] == [0, 17, 18, 0, 17]


def test_a_frame_shows_the_countries_around() -> None:
    frame = frame_around([[37.19, 36.2]], 440, 340, least_degrees=5)
    assert frame is not None
    assert frame.xy([37.19, 36.2]) == (220, 170)
    west, north = frame.xy([36.19, 36.2]), frame.xy([37.19, 37.2])
    # A degree of longitude is shorter than one of latitude, by the cosine.
    assert (220 - west[0]) / (170 - north[1]) == pytest.approx(0.807, abs=0.01)
    shown = outlines(frame)
    assert {"SY", "TR", "CY"} <= {each.code for each in shown}
    assert "FR" not in {each.code for each in shown}
    kilometres, pixels = frame.scale_bar()
    assert pixels * frame.kilometres == pytest.approx(kilometres, abs=1)
    assert frame_around([], 440, 340, least_degrees=5) is None


def test_the_whole_world_stays_small() -> None:
    frame = frame_around([[-120, -40], [170, 60]], 440, 340, least_degrees=5)
    assert frame is not None
    shown = outlines(frame)
    assert len(shown) > 100
    assert sum(len(each.path) for each in shown) < 100_000


NAMES = {"sources": {"s": {"name": "Somebody"}}, "routes": {"r": {"name": "A road"}}}


def bars_of(*supplies: dict[str, Any]) -> list[Any]:
    """The supplies of a card."""
    return card(situation(supplies=supplies), NAMES, tongue("en")).supplies


def test_bars_reach_to_the_earliest_and_the_latest_day() -> None:
    two, one, long, past, none = bars_of(supply(6, 15), supply(10), supply(20, 90), supply(-5, -2), supply(None, relative_text="hours"))
    assert (two.bar.sure, two.bar.possible, two.bar.urgent) == (BAR_WIDTH / 5, BAR_WIDTH / 2, True)
    assert one.bar.sure == one.bar.possible == BAR_WIDTH / 3
    assert (long.bar.possible, long.bar.more) == (BAR_WIDTH, True)
    assert (past.bar, past.value, past.past_due) == (None, "due 2 days ago", True)
    assert (none.bar, none.value) == (None, "will run out: \u201chours\u201d")
    assert bars_of(supply(-1, 3))[0].value == "0\u20133 days left"


def test_a_route_says_each_way_and_who_can_pass() -> None:
    routes = [
        route("restricted", status_in="closed", status_out="open", passable_by=["civilian"]),
        route(None),
        route("closed", since_earliest="2016-07-01", since_latest="2016-07-10"),
    ]
    split, announced, closed = card(situation(routes=routes), NAMES, tongue("en")).routes
    assert (split.value, split.notes) == ("in: closed, out: open", ["passable by: civilians"])
    assert (announced.value, announced.state, announced.notes) == ("passage only announced", "unknown", [])
    assert closed.notes == ["since between 1 Jul 2016 and 10 Jul 2016"]


def said(day: str, value: dict[str, Any], relation: str = "preferred") -> dict[str, Any]:
    """A statement as an indicator lists it."""
    return {"stated_at": f"{day}T00:00:00Z", "source": {"name": "Somebody"}, "value": value, "relation": relation}


def test_a_plot_has_a_band_for_each_reading_and_a_point_for_each_statement() -> None:
    narrow = {"people": None, "people_low": 250000, "people_high": 275000, "qualifier": None}
    wide = {"people": 300000, "people_low": 250000, "people_high": 300000, "qualifier": "about"}
    point = {"people": 300000, "people_low": None, "people_high": None, "qualifier": "about"}
    readings = [Reading(date(2016, 7, day), narrow, "single") for day in (25, 28)] + [Reading(date(2016, 7, 31), wide, "contested")]
    statements = [said("2016-07-25", narrow, "contradicts"), said("2016-07-31", point)]
    made = plot("trapped_population", readings, statements, TODAY, tongue("en"))
    assert made is not None
    first, second = made.spans
    assert first.end == second.start
    assert (first.contested, second.contested) == (False, True)
    assert (second.high, second.low) == (made.statements[1].y, first.low)
    assert [each.relation for each in made.statements] == ["contradicts", "preferred"]
    assert made.statements[1].title == "31 Jul 2016, Somebody: about 300,000"
    assert second.end == WIDTH - RIGHT
    # No point stands on the labels of the axis.
    assert first.start == LEFT + INSET
    assert [tick.label for tick in made.y] == ["0", "100K", "200K", "300K"]
    assert all(one.at > other.at for one, other in pairwise(made.y))


def test_a_supply_is_plotted_as_the_day_it_runs_out_and_where_it_meets_the_day() -> None:
    value = {"state": "will_run_out", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-18", "relative_text": None}
    made = plot("supply_runout", [Reading(date(2016, 7, 28), value, "single")], [said("2016-07-28", value)], TODAY, tongue("en"))
    assert made is not None
    assert made.meets
    assert made.statements[0].high < made.statements[0].low < HEIGHT
    assert [tick.label for tick in made.y] == ["8 Aug", "14 Aug", "21 Aug"]


def test_a_supply_of_which_no_date_is_said_is_plotted_too() -> None:
    """In a row of its own below the dates, where it cannot be taken for one; by states where nobody names a date."""
    value = {"state": "will_run_out", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-18", "relative_text": None}
    low = value | {"state": "low", "runs_out_earliest": None, "runs_out_latest": None}
    statements = [said("2016-07-28", value, "supports"), said("2016-07-31", low)]
    made = plot("supply_runout", [Reading(date(2016, 7, 28), value, "single")], statements, TODAY, tongue("en"))
    assert made is not None
    assert made.y[0].label == "no date"
    assert made.statements[1].y == made.y[0].at
    assert made.statements[0].low < HEIGHT - BOTTOM - FOOT < made.statements[1].y

    statements = [said("2016-07-28", low), said("2016-08-02", low | {"state": "ran_out"})]
    readings = [Reading(date(2016, 7, 28), low, "single"), Reading(date(2016, 8, 2), statements[1]["value"], "single")]
    made = plot("supply_runout", readings, statements, TODAY, tongue("en"))
    assert made is not None
    assert [tick.label for tick in made.y] == ["low", "ran out"]
    assert [each.y for each in made.statements] == [tick.at for tick in made.y] == [span.high for span in made.spans]
    assert made.meets is None


def test_a_kind_without_a_plot_has_none() -> None:
    assert plot("a_fourth_kind", [Reading(TODAY, {"value": 1}, "single")], [said("2016-08-01", {"value": 1})], TODAY, tongue("en")) is None
