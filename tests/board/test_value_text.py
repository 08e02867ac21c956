"""Tests for values as text."""

from typing import Any

import pytest

from app.board.value_text import credited_figures, subject_text, value_text
from app.domain.kinds import KINDS
from app.http.localization import localization_for

ENGLISH = localization_for("en")
DATES = {"runs_out_earliest": "2016-08-11", "runs_out_latest": "2016-08-20"}
_CONDITIONAL = "11 Aug 2016 \u2013 20 Aug 2016, On condition: \u201cif no convoy comes\u201d"
NO_DATES = dict.fromkeys(DATES)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"people": 300000, "people_low": 250000, "people_high": 300000, "qualifier": "about"}, "250,000\u2013300,000"),
        ({"people": 300000, "people_low": 300000, "people_high": 300000, "qualifier": "about"}, "about 300,000"),
        ({"people": 5, "people_low": None, "people_high": None, "qualifier": None}, "5"),
        ({"people": None, "people_low": None, "people_high": 275000, "qualifier": None}, "up to 275,000"),
        ({"people": None, "people_low": 100, "people_high": None, "qualifier": None}, "at least 100"),
        ({"people": None, "people_low": 100, "people_high": None, "qualifier": "more_than"}, "more than 100"),
        ({"people": None, "people_low": None, "people_high": None, "qualifier": None}, "\u2013"),
        ({"people": 120000, "people_low": 100500, "people_high": None, "qualifier": "more_than"}, "at least 100,500 (more than 120,000)"),
        ({"people": 400000, "people_low": None, "people_high": 500000, "qualifier": "nearly"}, "up to 500,000 (nearly 400,000)"),
        ({"people": 400000, "people_low": None, "people_high": 400000, "qualifier": "nearly"}, "nearly 400,000"),
    ],
)
def test_range_is_shown_with_its_ends_or_its_qualifier(value: dict[str, Any], text: str) -> None:
    assert value_text(value, "trapped_population", ENGLISH) == text


def test_states_of_two_sources_are_credited_by_direction() -> None:
    assert value_text({"status": "closed", "direction": "in"}, "route_closure", ENGLISH) == "in: closed"
    value = {"directions": {"in": {"status": "closed"}, "out": {"status": "open"}}}
    for basis, expected in (("12", {"1": "in: closed", "2": "out: open"}), ("11", {})):
        assessment = {"basis": {f"directions.{way}.status": report for way, report in zip(("in", "out"), basis, strict=True)}}
        assert credited_figures({"kind": "route_closure", "value": value, "assessment": assessment}, ENGLISH) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"state": "will_run_out", "conditional_on": "if no convoy comes", **DATES}, _CONDITIONAL),
        ({"state": "will_run_out", **DATES}, "11 Aug 2016 \u2013 20 Aug 2016"),
        ({"state": "low", **NO_DATES, "relative_text": "dwindling"}, "low (\u201cdwindling\u201d)"),
        ({"state": "will_run_out", **NO_DATES, "imminence": "hours"}, "will run out: within hours"),
        ({"state": None, **NO_DATES, "imminence": None}, "\u2013"),
    ],
)
def test_date_is_shown_with_its_range_or_the_state(value: dict[str, Any], text: str) -> None:
    assert value_text(value, "supply_runout", ENGLISH) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"status": "closed", "assertion": "observed"}, "closed"),
        ({"status": "open", "assertion": "announced"}, "open (announced)"),
        ({"status": "restricted", "status_in": "closed", "status_out": None}, "in: closed, out: not stated"),
        ({"status": None, "status_in": None, "status_out": None, "assertion": "agreed"}, "passage only announced or claimed"),
    ],
)
def test_state_is_shown_with_its_parts_or_its_qualifier(value: dict[str, Any], text: str) -> None:
    assert value_text(value, "route_closure", ENGLISH) == text


def test_kind_without_a_plot_is_shown_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(KINDS["route_closure"]), "plot", None)
    value = {"status": "closed", "since": None, "cause": "mines_uxo", "attacks": 2, "passable_by": []}
    assert value_text(value, "route_closure", ENGLISH) == "status: closed, cause: mines and unexploded ordnance, attacks: 2"


def test_subject_is_the_name_of_a_route_or_the_labels_of_codes() -> None:
    routes = {"north-road": {"name": "North road"}, "food": {"name": "Food road"}}
    assert subject_text("north-road", "route_closure", routes, ENGLISH) == "North road"
    assert subject_text("unknown-road", "route_closure", routes, ENGLISH) == "unknown-road"
    assert subject_text("food", "supply_runout", routes, ENGLISH) == "Food"
    assert subject_text("food.agency_stock", "supply_runout", routes, ENGLISH) == "Food (agency stock)"


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("aid_delivery", {"stage": "planned", "on_latest": "2016-09-19"}, "planned (19 Sep 2016)"),
        ("aid_delivery", {"stage": None}, "not known"),
        ("population_movement", {"people_low": 25000, "until": None}, "at least 25,000"),
        ("population_movement", {"people": 35000, "until": "2016-12-22"}, "35,000 by 22 Dec 2016"),
        ("service_status", {"state": "out_of_service", "working": 0, "known": None}, "out of service"),
        ("service_status", {"state": "out_of_service", "working": 0, "known": 8}, "out of service: 0 of 8"),
        ("service_status", {"state": "working", "working": 12, "known": None}, "working: 12"),
    ],
)
def test_other_kinds_are_shown_with_days_and_counts(kind: str, value: dict[str, Any], text: str) -> None:
    assert value_text(value, kind, ENGLISH) == text


@pytest.mark.parametrize(("supplies", "shown"), [(["food", "medical"], ("food",)), (["medical"], None), ([], ("none_of_these",))])
def test_supply_that_was_taken_off_is_not_said_to_come(supplies: list[str], shown: tuple[str, ...] | None) -> None:
    clauses = KINDS["aid_delivery"].clauses({"stage": "delivered", "supplies": supplies, "removed": ["medical"]})
    assert [each.codes["codes"] for each in clauses if each.path in ("supplies", "removed")] == [
        *([shown] if shown else []),
        ("medical",),
    ]
