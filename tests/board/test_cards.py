"""Tests for the cards of the board."""

from typing import Any

import pytest

from app.board.cards import BAR_PIXELS, Card, build_card
from app.board.localization import localization_for
from app.domain.kinds import KINDS
from tests.situations.documents import item, route, situation, supply, trapped

RECORDS = {"sources": {"s": {"name": "Agency"}}, "routes": {"r": {"name": "A road"}}}


def card_of(**items: Any) -> Card:
    """Build the card of a situation with some items."""
    return build_card(situation(**items), RECORDS, localization_for("en"))


def test_bar_reaches_to_the_earliest_and_the_latest_date() -> None:
    supplies = [supply(6, 15), supply(10), supply(20, 90), supply(-5, -2), supply(None, relative_text="hours"), supply(-1, 3)]
    both, one, long, past, undated, begun = card_of(supplies=supplies).supplies
    assert both.bar
    assert one.bar
    assert long.bar
    assert (both.bar.certain, both.bar.possible, both.bar.urgent) == (BAR_PIXELS / 5, BAR_PIXELS / 2, True)
    assert one.bar.certain == one.bar.possible == BAR_PIXELS / 3
    assert (long.bar.possible, long.bar.overflows) == (BAR_PIXELS, True)
    assert (past.bar, past.value, past.past_due) == (None, "was due 8 Aug 2016", True)
    assert (undated.bar, undated.value) == (None, "will run out: \u201chours\u201d")
    assert begun.value == "0\u20133 days left"


def test_supply_with_an_outcome_is_not_past_due() -> None:
    (done,) = card_of(supplies=[supply(None, state="ran_out", outcome="materialised", scope="market")]).supplies
    assert (done.label, done.value, done.notes, done.past_due) == ("Food (market)", "ran out", ["came true"], False)


def test_people_have_a_note_with_the_preferred_figure_of_a_range() -> None:
    people = [trapped(people=300000, people_low=250000, people_high=300000, qualifier="about"), trapped(people_low=100, people_high=100)]
    ranged, exact = card_of(people=people).people
    assert (ranged.label, ranged.value, ranged.notes) == ("Trapped", "250,000\u2013300,000", ["preferred figure: about 300,000"])
    assert (exact.value, exact.notes) == ("100", [])


def test_route_shows_each_direction_and_who_can_pass() -> None:
    routes = [
        route("restricted", status_in="closed", status_out="open", passable_by=["civilian", "medical"]),
        route(None),
        route("closed", since_earliest="2016-07-01", since_latest="2016-07-10"),
    ]
    split, announced, closed = card_of(routes=routes).routes
    assert (split.label, split.value, split.notes) == ("A road", "in: closed, out: open", ["passable by: civilians, medical teams"])
    assert (announced.value, announced.state, announced.notes) == ("passage only announced", "unknown", [])
    assert closed.notes == ["since between 1 Jul 2016 and 10 Jul 2016"]


def test_other_kinds_show_their_name_value_and_days_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supply kind serves as a kind without a group, since the service has none yet."""
    monkeypatch.setattr(type(KINDS["supply_runout"]), "situation_group", "other")
    value = supply(1, scope="agency_stock")
    (shown,) = card_of(other=[item(kind="supply_runout", subject="food.agency_stock", value=value)]).other
    assert (shown.label, shown.value) == ("Supplies: Food (agency stock)", "11 Aug 2016")
    assert (shown.notes, shown.source) == (["1 day left"], "Agency")
