"""Tests for the timeline of a place."""

from datetime import date
from typing import Any

from app.board.drawing.timeline import build_timeline
from app.http.localization import localization_for

ENGLISH = localization_for("en")
CLOSED = {"status": "closed", "assertion": "observed", "status_in": "closed", "status_out": "closed"}
WINDOW = {"state": "will_run_out", "runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-18", "relative_text": None}


def stated(day: str, value: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"stated_at": f"{day}T00:00:00Z", "source": {"name": "Agency"}, "value": value, **(more or {"relation": "preferred"})}


def section(kind: str, reports: list[dict[str, Any]], history: list[tuple[date, dict[str, Any], str]], **more: Any) -> dict[str, Any]:
    """Return a section of a place's page; `history` has days, values and agreements."""
    past = [(day, {"value": value, "agreement": agreement, "provenance": {}}) for day, value, agreement in history]
    named = {"kind": kind, "anchor": f"i-{kind}", "title": kind, "text": "", "agreement": "single", "left_out": []}
    return {**named, "reports": reports, "history": past, **more}


def test_timeline_has_a_lane_for_each_indicator_with_bands_and_marks() -> None:
    open_ = CLOSED | {"status": "open", "status_in": "open", "status_out": "open"}
    days = [(date(2016, 7, 20), CLOSED, "single"), (date(2016, 7, 25), CLOSED, "single"), (date(2016, 7, 30), open_, "contested")]
    route = section(
        "route_closure", [stated("2016-07-20", CLOSED), stated("2016-07-30", open_, relation="contradicts")], days, agreement="contested"
    )
    route["left_out"] = [stated("2016-07-20", open_, reason="superseded")]
    supply = section("supply_runout", [stated("2016-07-28", WINDOW)], [(date(2016, 7, 28), WINDOW, "single")])
    timeline = build_timeline([route, supply], date(2016, 8, 5), ENGLISH)
    assert timeline is not None
    roads, food = timeline.lanes
    # Days without a change are one band; a forecast lies on the days that it names, beyond today.
    assert [(each.style, each.contested) for each in roads.bands] == [("closed", False), ("open", True)]
    assert roads.bands[0].end == roads.bands[1].start
    assert [each.style for each in food.bands] == ["window"]
    assert timeline.today is not None
    assert roads.bands[1].end == timeline.today < food.bands[0].start < food.bands[0].end < 100
    assert [each.relation for each in roads.marks] == ["preferred", "superseded", "contradicts"]
    assert roads.marks[0].at == roads.marks[1].at
    assert (roads.marks[0].aside, roads.marks[1].aside > 0, roads.corrected, roads.contested) == (0, True, 1, True)
    assert (timeline.ticks[0], timeline.ticks[-1]) == ((0, "18 Jul 2016"), (100, "20 Aug 2016"))


def test_timeline_leaves_out_a_today_long_after_and_forecasts_of_years() -> None:
    value = WINDOW | {"runs_out_latest": "2019-01-01"}
    supply = section("supply_runout", [stated("2016-07-28", value)], [(date(2016, 7, 28), value, "single")])
    timeline = build_timeline([supply], date(2026, 1, 1), ENGLISH)
    assert timeline is not None
    assert timeline.today is None
    assert timeline.ticks[-1][1].endswith("Nov 2016")
    assert all(0 <= each.start <= each.end <= 100 for each in timeline.lanes[0].bands)


def test_timeline_without_statements_or_values_draws_no_band() -> None:
    assert build_timeline([section("route_closure", [], [])], date(2016, 8, 5), ENGLISH) is None
    claimed = build_timeline([section("route_closure", [stated("2016-07-20", CLOSED, relation="claimed")], [])], date(2016, 8, 5), ENGLISH)
    assert claimed is not None
    assert (claimed.lanes[0].bands, len(claimed.lanes[0].marks)) == ([], 1)
