"""The part of the second implementation of `envelope/2` for deliveries, movements and services, from the table at the end of the contract.

Reports are plain dicts as `GET /v1/reports` serves them. Nothing here imports the app.
"""

from datetime import date, tzinfo
from typing import Any, NamedTuple

from tests.assessment.oracle_kinds import Report, below, half_unit, said, spanned, state_of, time_of

NEW_KINDS = ("aid_delivery", "population_movement", "service_status")
ARRIVED = ("delivered", "partly_delivered")
# Worst first, then what came furthest.
FAILED = ("attacked", "turned_back", "denied", "cancelled")
STAGES = (*FAILED, "partly_delivered", "delivered", "under_way", "planned", "approved", "requested")
SERVICE_STATES = ("out_of_service", "partly_working", "working")


class Days(NamedTuple):
    """First and last day that a report on a delivery names; None is an open end."""

    first: date | None
    last: date | None


def days_of(report: Report) -> Days:
    """Return the days of a delivery."""
    found = [said(report, name) for name in ("on_earliest", "on_latest")]
    return Days(*(each and date.fromisoformat(each) for each in found))


def counted_on(report: Report, zone: tzinfo) -> date:
    """Return the day up to which a movement was counted."""
    until = said(report, "until")
    return date.fromisoformat(until) if until else time_of(report, zone).day


def moved_range(report: Report) -> tuple[int | None, int | None]:
    """Return the lowest and highest number of people who moved."""
    best = said(report, "people")
    return said(report, "people_low", best), said(report, "people_high", best)


def _widened(report: Report) -> tuple[Any, Any]:
    low, high = moved_range(report)
    return (None if low is None else low - half_unit(low)), (None if high is None else high + half_unit(high))


def _works(report: Report) -> tuple[float, float]:
    """Return how many facilities may work: the count, none if out of service, at least one if working."""
    count = said(report, "working")
    if count is not None:
        return count, count
    return {"working": (1, float("inf")), "partly_working": (0, float("inf")), "out_of_service": (0, 0)}[state_of(report)]


def better(one: Report, other: Report) -> bool:
    """Tell whether a report contradicts another and says better than it."""
    if one["kind"] == "aid_delivery":
        return state_of(one) in ARRIVED and state_of(other) in FAILED
    return one["kind"] == "service_status" and _works(one)[0] > _works(other)[1]


def differ_otherwise(one: Report, other: Report, zone: tzinfo) -> bool:
    """Tell whether two reports cannot both be true though neither is better."""
    if one["kind"] == "service_status":
        return None not in (said(one, "known"), said(other, "known")) and said(one, "known") != said(other, "known")
    if one["kind"] == "aid_delivery":
        ends = state_of(one) in ARRIVED + FAILED and state_of(other) in ARRIVED + FAILED
        alike = state_of(one) == state_of(other) or ends
        return alike and (below(days_of(one), days_of(other)) or below(days_of(other), days_of(one)))
    first, last = sorted((one, other), key=lambda each: counted_on(each, zone))
    if counted_on(first, zone) == counted_on(last, zone) and below(_widened(first), _widened(last)):
        return True
    # The number of those who have moved does not fall.
    return below(_widened(last), _widened(first))


def leaves_standing(later: Report, earlier: Report) -> bool:
    """Tell whether a later report of a source leaves its earlier one: what arrived stays so whatever is planned.

    Those who moved do not become fewer, so that a lower count may be of another movement, unless both name the day it began.
    """
    if earlier["kind"] == "population_movement":
        return said(later, "since") is None and below(_widened(later), _widened(earlier))
    return earlier["kind"] == "aid_delivery" and state_of(earlier) in ARRIVED and state_of(later) not in ARRIVED + FAILED


def says_worse(one: Report, other: Report) -> bool:
    """Tell whether less direct words on the same are no repetition, though neither contradicts: a failed end, or more who moved."""
    if one["kind"] == "aid_delivery":
        return state_of(one) in FAILED and STAGES.index(state_of(one)) < STAGES.index(state_of(other))
    if one["kind"] == "population_movement":
        figures = [
            next(f for name in ("people", "people_high", "people_low") if (f := said(each, name)) is not None) for each in (one, other)
        ]
        return bool(figures[0] > figures[1])
    return False


def _first_said(reports: list[Report], name: str) -> Any:
    return next((found for each in reports if (found := each["value"].get(name)) is not None), None)


def delivery_figures(
    preferred: Report | None, reports: list[Report], earlier: list[Report], began: date | None, zone: tzinfo
) -> dict[str, Any]:
    """Return the value of a delivery from the reports that count, best first, and the day since which its stage has been said.

    `earlier` are all that their sources said, newest first.
    """
    names = ("planned_for", "supplies", "removed", "route", "cause", "on_earliest", "on_latest", "last_delivery", "denied_since", "stage")
    if preferred is None:
        return dict.fromkeys(names)
    same = [each for each in reports if state_of(each) == state_of(preferred)]
    firsts, lasts = ([day for day in ends if day] for ends in zip(*map(days_of, same), strict=True))
    days = Days(max(firsts, default=None), min(lasts, default=None))
    if days.first and days.last and days.first > days.last:
        days = days_of(same[0])
    found = {name: _first_said([*reports, *earlier], name) for name in names[:4]} | {"cause": _first_said(same, "cause")}
    last = (days.last or days.first or began) if state_of(preferred) in ARRIVED else None
    told = next((each for each in same if days.last and days_of(each).last == days.last), None)
    # An open end is that of the statement, and the same delivery told once more was no later one.
    if last and told and began and time_of(told, zone).day == last > began >= (days.first or last):
        last = began
    named = [day for first, last in map(days_of, same) if (day := first or last)]
    denied = min([*named, *([began] if began else [])]) if state_of(preferred) == "denied" else None
    dates = {"on_earliest": days.first, "on_latest": days.last, "last_delivery": last, "denied_since": denied}
    return found | {"stage": state_of(preferred)} | {name: day and day.isoformat() for name, day in dates.items()}


def movement_figures(preferred: Report | None, reports: list[Report], zone: tzinfo) -> dict[str, Any]:
    """Return the value of a movement: the range of what counts as far as the report that leads, or contradicts it."""
    if preferred is None:
        return dict.fromkeys(("people", "people_low", "people_high", "until"))
    until = counted_on(preferred, zone)
    far = [each for each in reports if counted_on(each, zone) >= until or differ_otherwise(each, preferred, zone)]
    found = spanned([*map(moved_range, far)], moved_range(preferred), said(preferred, "people"))
    return found | {"people": said(preferred, "people"), "until": until.isoformat()}


def service_figures(preferred: Report | None, reports: list[Report]) -> dict[str, Any]:
    """Return the value of a service; the counts are those of the first report of the state that counts."""
    if preferred is None:
        return dict.fromkeys(("state", "working", "known", "working_low", "working_high"))
    same = [each for each in reports if state_of(each) == state_of(preferred)]
    counting = next((each for each in same if said(each, "working") is not None), None)
    counts = [said(each, "working") for each in reports if said(each, "working") is not None]
    found = {"state": state_of(preferred), "working": counting and said(counting, "working"), "known": said(counting or preferred, "known")}
    return found | {"working_low": min(counts, default=None), "working_high": max(counts, default=None)}
