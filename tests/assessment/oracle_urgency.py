"""A second, naive implementation of `urgency/1`, written from the text of the contract without the code of the app."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from tests.assessment.oracle import Oracle
from tests.assessment.oracle_kinds import said, served_time, state_of

TRAPPED = ("trapped", "besieged", "encircled", "remaining")


@dataclass
class Urgency:
    """Level and the indicators that are reasons for it; None where nothing leads."""

    level: str | None
    held: set[str]
    short: set[str]
    silent_days: int | None
    dormant: bool


def _is_trapped(oracle: Oracle) -> bool:
    if oracle.kind != "trapped_population" or oracle.preferred is None or said(oracle.preferred, "concept") not in TRAPPED:
        return False
    figures = oracle.figures()
    figure = next((figures[name] for name in ("people", "people_high", "people_low") if figures[name] is not None), 0)
    return bool(figure > 0)


def _is_shut(oracle: Oracle, way: str) -> bool:
    leader = oracle.leaders[way]
    return leader is not None and (state_of(leader) == "closed" or leader["value"].get("passable_by") == [])


def _held(indicators: dict[str, Oracle]) -> set[str]:
    held = {name for name, each in indicators.items() if _is_trapped(each)}
    routes = {name: each for name, each in indicators.items() if each.kind == "route_closure"}
    for way in ("in", "out"):
        known = {name: each for name, each in routes.items() if each.leaders[way] is not None}
        if all(_is_shut(each, way) for each in known.values()):
            held |= set(known)
    for name, each in routes.items():
        way_in = each.leaders["in"]
        closed = each.figures()["status"] == "closed" or (way_in is not None and state_of(way_in) == "closed")
        if each.figures()["last_route"] and closed:
            held.add(name)
    return held


def _is_short(oracle: Oracle, today: date) -> bool:
    if oracle.kind != "supply_runout" or oracle.preferred is None:
        return False
    due = oracle.due()
    return state_of(oracle.preferred) == "ran_out" or (due is not None and due <= today + timedelta(days=7)) or oracle.is_imminent()


def silence(oracles: Iterable[Oracle], today: date) -> int | None:
    """Return the days since the newest sound report, or the newest where none is sound."""
    said_so = [(each, oracle) for oracle in oracles for each in oracle.visible]
    sound = [(each, oracle) for each, oracle in said_so if oracle.is_sound(each)] or said_so
    return min(((today - served_time(each).date()).days for each, _ in sound), default=None)


def urgency(indicators: dict[str, Oracle], today: date) -> Urgency:
    """Return the urgency of the indicators of one place."""
    held = _held(indicators)
    short = {name for name, each in indicators.items() if _is_short(each, today)}
    leads = any(each.preferred is not None for each in indicators.values())
    level = "critical" if held and short else "serious" if held or short else "watch" if leads else None
    silent_days = silence(indicators.values(), today)
    return Urgency(level, held, short, silent_days, silent_days is not None and silent_days > 365)
