"""A second, naive implementation of `urgency/1`, written from the text of the contract without the code of the app."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from tests.assessment.oracle import Oracle
from tests.assessment.oracle_kinds import people_range, said, served_time, state_of

TRAPPED = ("trapped", "besieged", "encircled", "remaining")


@dataclass
class Urgency:
    """Level and its reasons, each with its indicator; the level is None where nothing leads."""

    level: str | None
    because: set[tuple[str, str]]
    silent_days: int | None
    dormant: bool


def _is_shut(oracle: Oracle, way: str) -> bool:
    leader = oracle.leaders[way]
    return leader is not None and (state_of(leader) == "closed" or leader["value"].get("passable_by") == [])


def _held(indicators: dict[str, Oracle], today: date) -> set[tuple[str, str]]:
    held = set()
    for name, each in indicators.items():
        concept = said(each.preferred, "concept") if each.preferred else None
        if concept in TRAPPED:
            # One voice is enough: a figure above 0, or a number that may be any.
            ranges = [people_range(report) for report in each.sets[""]]
            if any(high is None or max(low or 0, high) > 0 for low, high in ranges):
                held.add((concept, name))
    routes = {name: each for name, each in indicators.items() if each.kind == "route_closure"}
    for way in ("in", "out"):
        known = {name: each for name, each in routes.items() if each.leaders[way] is not None}
        if all(_is_shut(each, way) for each in known.values()):
            held |= {(f"way_{way}_closed", name) for name in known}
    for name, each in routes.items():
        way_in = each.leaders["in"]
        closed = each.figures()["status"] == "closed" or (way_in is not None and state_of(way_in) == "closed")
        if each.figures()["last_route"] and closed:
            held.add(("last_route", name))
    return held | _without_delivery(indicators, today)


def _without_delivery(indicators: dict[str, Oracle], today: date) -> set[tuple[str, str]]:
    """Return the operations of which one is the reason that no aid came for 60 days, where deliveries are followed."""
    operations = {name: each for name, each in indicators.items() if each.kind == "aid_delivery" and each.preferred is not None}
    figures = {name: each.figures() for name, each in operations.items()}
    arrived = {name: date.fromisoformat(each["last_delivery"]) for name, each in figures.items() if each["last_delivery"]}
    followed = {name: date.fromisoformat(each["followed_since"]) for name, each in figures.items()}
    day = max(arrived.values()) if arrived else min(followed.values(), default=today)
    if (today - day).days < 60:
        return set()
    return {("no_delivery", name) for name, each in (arrived or followed).items() if each == day}


def _short(oracle: Oracle, today: date) -> set[str]:
    if oracle.preferred is None:
        return set()
    if oracle.kind == "service_status":
        out = state_of(oracle.preferred) == "out_of_service" and said(oracle.preferred, "service") in ("hospital", "water")
        return {"out_of_service"} if out else set()
    if oracle.kind != "supply_runout":
        return set()
    reasons = {"ran_out"} if state_of(oracle.preferred) == "ran_out" else set()
    due = oracle.due()
    if due is not None and due <= today + timedelta(days=7):
        reasons.add("past_due" if due < today else "due_soon")
    return reasons | ({"imminent"} if oracle.imminent_since() else set())


def silence(oracles: Iterable[Oracle], today: date) -> int | None:
    """Return the days since the newest sound report, or the newest where none is sound."""
    said_so = [(each, oracle) for oracle in oracles for each in oracle.visible]
    sound = [(each, oracle) for each, oracle in said_so if oracle.is_sound(each)] or said_so
    return min(((today - served_time(each).date()).days for each, _ in sound), default=None)


def urgency(indicators: dict[str, Oracle], today: date) -> Urgency:
    """Return the urgency of the indicators of one place."""
    held = _held(indicators, today)
    short = {(reason, name) for name, each in indicators.items() for reason in _short(each, today)}
    leads = any(each.preferred is not None for each in indicators.values())
    level = "critical" if held and short else "serious" if held or short else "watch" if leads else None
    silent_days = silence(indicators.values(), today)
    return Urgency(level, held | short, silent_days, silent_days is not None and silent_days > 365)
