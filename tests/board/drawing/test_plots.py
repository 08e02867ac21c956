"""Tests for plots, one for each way in which a kind declares its plot."""

from datetime import date
from itertools import pairwise
from typing import Any

import pytest

from app.board.drawing.plots import BOTTOM, HEIGHT, INSET_PIXELS, LEFT, RIGHT, UNDATED_ROW_PIXELS, WIDTH, build_plot
from app.domain.kinds import KINDS
from app.http.localization import localization_for

TODAY = date(2016, 8, 10)
ENGLISH = localization_for("en")


def stated(day: str, value: dict[str, Any], relation: str = "preferred") -> dict[str, Any]:
    """Return a report as an indicator lists it."""
    return {"stated_at": f"{day}T00:00:00Z", "source": {"name": "Agency"}, "value": value, "relation": relation}


def assessed(day: date, value: dict[str, Any], agreement: str) -> tuple[date, dict[str, Any]]:
    """Return an indicator as of a day."""
    return day, {"value": value, "agreement": agreement}


def test_range_plot_has_a_band_for_each_value_and_a_point_for_each_report() -> None:
    narrow = {"people": None, "people_low": 250000, "people_high": 275000, "qualifier": None}
    wide = {"people": 300000, "people_low": 250000, "people_high": 300000, "qualifier": "about"}
    point = {"people": 300000, "people_low": None, "people_high": None, "qualifier": "about"}
    values = [assessed(date(2016, 7, day), narrow, "single") for day in (25, 28)] + [assessed(date(2016, 7, 31), wide, "contested")]
    reports = [stated("2016-07-25", narrow, "contradicts"), stated("2016-07-31", point)]
    plot = build_plot("trapped_population", values, reports, TODAY, ENGLISH)
    assert plot is not None
    first, second = plot.spans
    assert first.end == second.start
    assert (first.contested, second.contested) == (False, True)
    assert (second.high, second.low) == (plot.points[1].y, first.low)
    assert [each.relation for each in plot.points] == ["contradicts", "preferred"]
    assert plot.points[1].title == "31 Jul 2016, Agency: about 300,000"
    assert second.end == WIDTH - RIGHT
    # No point covers the labels of the axis.
    assert first.start == LEFT + INSET_PIXELS
    assert [tick.label for tick in plot.y.ticks] == ["0", "100K", "200K", "300K"]
    assert all(one.at > other.at for one, other in pairwise(plot.y.ticks))


def test_date_plot_has_a_due_line() -> None:
    value = {"state": "will_run_out", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-18", "relative_text": None}
    plot = build_plot("supply_runout", [assessed(date(2016, 7, 28), value, "single")], [stated("2016-07-28", value)], TODAY, ENGLISH)
    assert plot is not None
    assert plot.y.due_line
    assert plot.points[0].high < plot.points[0].low < HEIGHT
    assert [tick.label for tick in plot.y.ticks] == ["8 Aug 2016", "14 Aug 2016", "21 Aug 2016"]


def test_date_plot_shows_reports_without_a_date_in_a_row_below() -> None:
    value = {"state": "will_run_out", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-18", "relative_text": None}
    low = value | {"state": "low", "runs_out_earliest": None, "runs_out_latest": None}
    reports = [stated("2016-07-28", value, "supports"), stated("2016-07-31", low)]
    plot = build_plot("supply_runout", [assessed(date(2016, 7, 28), value, "single")], reports, TODAY, ENGLISH)
    assert plot is not None
    assert plot.y.ticks[0].label == "no date"
    assert plot.points[1].y == plot.y.ticks[0].at
    assert plot.points[0].low < HEIGHT - BOTTOM - UNDATED_ROW_PIXELS < plot.points[1].y


def test_date_plot_without_any_date_has_a_row_for_each_state() -> None:
    low = {"state": "low", "runs_out_earliest": None, "runs_out_latest": None, "relative_text": None}
    reports = [stated("2016-07-28", low), stated("2016-08-02", low | {"state": "ran_out"})]
    values = [assessed(date(2016, 7, 28), low, "single"), assessed(date(2016, 8, 2), reports[1]["value"], "single")]
    plot = build_plot("supply_runout", values, reports, TODAY, ENGLISH)
    assert plot is not None
    assert [tick.label for tick in plot.y.ticks] == ["low", "ran out"]
    assert [each.y for each in plot.points] == [tick.at for tick in plot.y.ticks] == [span.high for span in plot.spans]
    assert plot.y.due_line is None


def test_state_plot_has_a_row_for_each_declared_state() -> None:
    closed = {"status": "closed", "assertion": "observed"}
    plot = build_plot("route_closure", [assessed(date(2016, 7, 28), closed, "single")], [stated("2016-07-28", closed)], TODAY, ENGLISH)
    assert plot is not None
    assert [tick.label for tick in plot.y.ticks] == ["open", "restricted", "closed"]
    assert plot.points[0].y == plot.y.ticks[2].at


def test_kind_without_a_plot_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(KINDS["route_closure"]), "plot", None)
    value = {"status": "closed"}
    assert build_plot("route_closure", [assessed(TODAY, value, "single")], [stated("2016-08-01", value)], TODAY, ENGLISH) is None
