"""Tests for the cards of the board."""

from typing import Any

import pytest

from app.board.cards import BAR_PIXELS, Card, build_card
from app.domain.kinds import KINDS
from app.http.localization import localization_for
from tests.situations.documents import item, route, situation, supply, trapped

RECORDS: dict[str, Any] = {"sources": {"s": {"name": "Agency"}}, "routes": {"r": {"name": "A road"}}, "indicators": {}, "reports": {}}


def card_of(**items: Any) -> Card:
    """Build the card of a situation with some items."""
    return build_card(situation(**items), RECORDS, localization_for("en"))


def test_bar_reaches_to_the_earliest_and_the_latest_date() -> None:
    supplies = [supply(6, 15), supply(10), supply(20, 90), supply(-5, -2), supply(None, relative_text="hours"), supply(-1, 3), supply(0, 3)]
    both, one, long, past, undated, begun, today = card_of(supplies=supplies).supplies
    assert both.bar
    assert one.bar
    assert long.bar
    assert (both.bar.certain, both.bar.possible, both.bar.urgent) == (BAR_PIXELS / 5, BAR_PIXELS / 2, False)
    assert one.bar.certain == one.bar.possible == BAR_PIXELS / 3
    assert (long.bar.possible, long.bar.overflows) == (BAR_PIXELS, True)
    assert (past.bar, past.value, past.past_due, past.notes) == (None, "was due 5 Aug 2016", False, ["5 Aug 2016 \u2013 8 Aug 2016"])
    assert (undated.bar, undated.value) == (None, "will run out: \u201chours\u201d")
    # A warning is due on its earliest date, though it may come true later.
    assert (begun.bar, begun.value, begun.notes) == (None, "was due 9 Aug 2016", ["9 Aug 2016 \u2013 13 Aug 2016"])
    assert today.value == "0\u20133 days left"


@pytest.mark.parametrize("reason", ["past_due", "due_soon"])
def test_supply_is_urgent_only_as_the_situation_says(reason: str) -> None:
    because = [{"reason": reason, "indicator": "1", "since": "2016-08-01T00:00:00Z", "judged": False}]
    shown = situation(supplies=[supply(25), supply(-9, links={"indicator": "/v1/indicators/2"})]) | {"because": because}
    named, other = build_card(shown, RECORDS, localization_for("en")).supplies
    assert named.bar
    assert (named.bar.urgent, named.past_due, other.past_due) == (True, reason == "past_due", False)


def test_supply_shows_its_outcome_and_how_soon_it_runs_out() -> None:
    supplies = [
        supply(None, state="ran_out", outcome="materialised", scope="market"),
        supply(None, state="low", outcome=None),
        supply(None, imminence="days"),
    ]
    done, low, imminent = card_of(supplies=supplies).supplies
    assert (done.label, done.value, done.notes) == ("Food (market)", "ran out", ["came true"])
    assert (low.value, low.notes) == ("low", [])
    assert imminent.value == "will run out: within days"


def test_people_have_a_note_with_the_preferred_figure_of_a_range() -> None:
    people = [trapped(people=300000, people_low=250000, people_high=300000, qualifier="about"), trapped(people_low=100, people_high=100)]
    ranged, exact = card_of(people=people).people
    assert (ranged.label, ranged.value, ranged.notes) == ("Trapped", "250,000\u2013300,000", ["preferred figure: about 300,000"])
    assert (exact.value, exact.notes) == ("100", [])


def test_route_shows_each_direction_and_who_can_pass() -> None:
    routes = [
        route("restricted", way_in={"status": "closed"}, way_out={"status": "open", "passable_by": ["civilian", "medical"]}),
        route("closed", since_earliest="2016-07-01", since_latest="2016-07-10"),
        route("restricted", passable_by=[]),
        route("open", way_in={"since_latest": "2016-07-01"}, way_out={"status": None}),
    ]
    split, closed, nobody, half = card_of(routes=routes).routes
    assert (split.label, split.value, split.notes) == ("A road", "in: closed, out: open", ["out: passable by: civilians, medical teams"])
    assert closed.notes == ["since between 1 Jul 2016 and 10 Jul 2016"]
    assert nobody.notes == ["passable by: no one"]
    assert half.notes == ["since 1 Jul 2016", "who can pass is not said"]


def reason(code: str, indicator: str = "1", since: str = "2016-08-01T00:00:00Z", **fields: Any) -> dict[str, Any]:
    """Return a reason for a level."""
    return {"reason": code, "indicator": indicator, "since": since, "judged": False} | fields


def test_reasons_are_in_words_with_their_age() -> None:
    subjects = {"1": ("trapped_population", "trapped"), "2": ("supply_runout", "food"), "3": ("route_closure", "r")}
    indicators = {
        name: {"kind": kind, "subject": subject, "place": {"slug": "b"}, "assessment": {"basis": {}, "newest_sound_at": None}}
        for name, (kind, subject) in subjects.items()
    }
    because = [
        reason("trapped"),
        reason("ran_out", "2", since="2016-08-10T00:00:00Z"),
        reason("way_in_closed", "3", since="2016-08-09T00:00:00Z"),
        reason("last_route", "3", since="2016-08-09T00:00:00Z"),
        reason("way_out_closed", "3", judged=True),
        reason("never_heard_of", "4"),
        reason("no_delivery", "5"),
        reason("no_delivery", "5", judged=True),
    ]
    aside = [reason("past_due", "2", judged=True)]
    card = build_card(situation() | {"because": because, "set_aside": aside}, RECORDS | {"indicators": indicators}, localization_for("en"))
    assert card.reasons == [
        "People are trapped \u2013 last said 1 Aug 2016, 9 days ago",
        "Food: ran out \u2013 last said 10 Aug 2016, today",
        "A road: no way in, no other way in is left \u2013 last said 9 Aug 2016, 1 day ago",
        "A road: no way out \u2013 an analyst's judgement of 1 Aug 2016, 9 days ago",
        "Never heard of \u2013 last said 1 Aug 2016, 9 days ago",
        "No aid was delivered for 9 days, since 1 Aug 2016",
        "No aid was delivered for 60 days or more \u2013 an analyst's judgement of 1 Aug 2016, 9 days ago",
        "Food: may have run out, outcome not known \u2013 not counted, by an analyst's judgement of 1 Aug 2016, 9 days ago",
    ]


def test_figures_are_credited_to_the_reports_that_give_them() -> None:
    value = {"people": 300, "people_low": 250, "people_high": 300, "qualifier": None}
    basis = {"people": "lead", "people_low": "other", "people_high": "lead"}
    assessment = {"basis": basis, "newest_sound_at": None}
    assessed = {"kind": "trapped_population", "place": {"slug": "a"}, "provenance": {}, "value": value, "assessment": assessment}
    assessed["judgement"] = None
    records = RECORDS | {"indicators": {"1": assessed}, "reports": {"other": {"source": "t", "stated_at": "2016-07-25"}}}
    (shown,) = build_card(situation(people=[trapped(**value)]), records, localization_for("en")).people
    assert shown.source == "Agency"
    assert shown.notes == ["preferred figure: 300", "250: t, 25 Jul 2016"]


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"level": "critical"}, "critical"),
        ({"level": "critical", "dormant": True}, "dormant"),
        ({"level": None}, "nothing_known"),
        ({"level": None, "dormant": True}, "nothing_known"),
    ],
)
def test_level_is_as_served(fields: dict[str, Any], level: str) -> None:
    assert build_card(situation() | fields, RECORDS, localization_for("en")).level == level


def test_other_kinds_show_their_name_value_and_days_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supply kind serves as a kind without a group, since the service has none yet."""
    monkeypatch.setattr(type(KINDS["supply_runout"]), "situation_group", "other")
    value = supply(1, scope="agency_stock")
    (shown,) = card_of(other=[item(kind="supply_runout", subject="food.agency_stock", value=value)]).other
    assert (shown.label, shown.value) == ("Supplies: Food (agency stock)", "11 Aug 2016")
    assert (shown.notes, shown.source) == (["1 day left"], "Agency")
