"""The part of the second implementation of `envelope/2` that concerns one statement or two: times, ranges, contradiction, better and worse.

Reports are plain dicts as `GET /v1/reports` serves them. Nothing here imports the app.
"""

import calendar
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple

Report = dict[str, Any]

GRADES = "ABCFDE"
CREDIBILITIES = (1, 2, 3, 6, 4, 5)
DIRECTNESS = ("direct", "quoted", "paraphrased")
COUNTED = ("headcount", "registration", "direct_observation")
# Worst first.
SUPPLY_STATES = ("ran_out", "will_run_out", "low", "resupplied")
ROUTE_STATES = ("closed", "restricted", "open")
INTERVALS = {"trapped_population": 14, "supply_runout": 3, "route_closure": 0, "aid_delivery": 0, "service_status": 1}
RELIEF_WORDS = ("open", "resupplied", "delivered", "partly_delivered", "working")


class Moment(NamedTuple):
    """A time as precise as it was sent: the day at the place and, unless only a date was sent, the instant."""

    day: date
    instant: datetime | None

    def is_after(self, other: "Moment") -> bool:
        """Tell whether it is later. Of one day of which one is only a date, neither is later."""
        if self.instant and other.instant:
            return self.instant > other.instant
        return self.day > other.day

    def since(self, other: "Moment") -> timedelta:
        """Return the time since another moment: days where one of them is only a date."""
        if self.instant and other.instant:
            return self.instant - other.instant
        return self.day - other.day


def moment(text: str, zone: tzinfo = UTC) -> Moment:
    """Read a date or date-time."""
    if len(text) == 10:
        return Moment(date.fromisoformat(text), None)
    instant = datetime.fromisoformat(text)
    return Moment(instant.astimezone(zone).date(), instant.astimezone(UTC))


def begins(text: str) -> datetime:
    """Return the first instant of a date or date-time, in UTC."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def time_of(report: Report, zone: tzinfo) -> Moment:
    """Return the time of a report: the end of what it observed, else when it was stated."""
    return moment(report.get("observed_to") or report["stated_at"], zone)


def served_time(report: Report) -> datetime:
    """Return the time of a report as an instant: the end of an observed day, the beginning of a day of a statement."""
    observed = report.get("observed_to")
    if observed and len(observed) == 10:
        return datetime.combine(date.fromisoformat(observed), time.max, UTC)
    return begins(observed or report["stated_at"])


def said(report: Report, name: str, default: Any = None) -> Any:
    """Return a field of the value; null means not said."""
    found = report["value"].get(name)
    return default if found is None else found


def state_of(report: Report) -> str:
    """Return the state of a report; of people, none."""
    if report["kind"] == "supply_runout":
        return str(said(report, "state", "will_run_out"))
    return str(said(report, {"aid_delivery": "stage", "service_status": "state"}.get(report["kind"], "status"), ""))


def parts_of(report: Report) -> set[str]:
    """Return the directions of a report on a route; of other kinds, one part without a name."""
    if report["kind"] != "route_closure":
        return {""}
    direction = said(report, "direction", "both")
    return {"in", "out"} if direction == "both" else {direction}


def horizon_of(report: Report) -> int:
    """Return the days after which a newer sound report makes it pass."""
    if report["kind"] in ("trapped_population", "aid_delivery"):
        return 60 if report["kind"] == "trapped_population" else 90
    return {"open": 7, "restricted": 7, "resupplied": 14, "working": 14}.get(state_of(report), 30)


def people_range(report: Report) -> tuple[int | None, int | None]:
    """Return the low and high of a figure as said; None is an open end."""
    point, word = said(report, "people"), said(report, "qualifier")
    low, high = said(report, "people_low"), said(report, "people_high")
    if low is None and word not in ("nearly", "up_to"):
        low = point
    if high is None and word not in ("more_than", "at_least"):
        high = point
    return (0 if high == 0 else low), high


def spanned(ranges: list[tuple[int | None, int | None]], leading: tuple[int | None, int | None], figure: int | None) -> dict[str, Any]:
    """Return the lowest low and the highest high; an open end is null, but for one of the leading report where all would be."""
    lows, highs = [low for low, _ in ranges], [high for _, high in ranges]
    if figure is None and None in lows and None in highs:
        return {"people_low": leading[0], "people_high": leading[1] if leading[0] is None else None}
    return {"people_low": None if None in lows else min(lows), "people_high": None if None in highs else max(highs)}  # type: ignore[type-var]


def half_unit(figure: int) -> float:
    """Return half a unit of the last significant digit, at least two digits counted as significant; 0 of 0."""
    if figure == 0:
        return 0
    digits = str(figure)
    significant = max(2, len(digits.rstrip("0")))
    unit: float = 10 ** (len(digits) - significant)
    return unit / 2


def supply_range(report: Report, zone: tzinfo) -> tuple[date | None, date | None]:
    """Return the first and last day; None is an open end."""
    day = moment(report["stated_at"], zone).day
    found = []
    for exact, relative in (("runs_out_earliest", "in_days_min"), ("runs_out_latest", "in_days_max")):
        if said(report, exact):
            found.append(date.fromisoformat(said(report, exact)))
        else:
            found.append(None if said(report, relative) is None else day + timedelta(days=said(report, relative)))
    return found[0], found[1]


def since_range(report: Report) -> tuple[date | None, date | None]:
    """Return the first and last day since when a route is in its state."""
    since = said(report, "since")
    if since is None:
        first, last = (said(report, name) for name in ("since_earliest", "since_latest"))
        return first and date.fromisoformat(first), last and date.fromisoformat(last)
    year, month, day = (int(part) for part in (f"{since}-0-0").split("-")[:3])
    months = (month, month) if month else (1, 12)
    if day:
        return date(year, month, day), date(year, month, day)
    return date(year, months[0], 1), date(year, months[1], calendar.monthrange(year, months[1])[1])


def range_of(report: Report, zone: tzinfo) -> tuple[Any, Any]:
    """Return the range that decides whether it contradicts another."""
    if report["kind"] == "supply_runout":
        return supply_range(report, zone)
    if report["kind"] == "route_closure":
        return since_range(report)
    low, high = people_range(report)
    if said(report, "qualifier") == "exact":
        return low, high
    return (None if low is None else low - half_unit(low)), (None if high is None else high + half_unit(high))


def below(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Tell whether a range ends before another begins."""
    return one[1] is not None and other[0] is not None and one[1] < other[0]


def contradict(one: Report, other: Report, zone: tzinfo) -> bool:
    """Tell whether two reports on one part of the subject cannot both be true."""
    return better(one, other, zone) or better(other, one, zone) or since_alone(one, other)


def since_alone(one: Report, other: Report) -> bool:
    """Tell whether two reports contradict each other only in since when a route is in its state."""
    if one["kind"] != "route_closure" or state_of(one) != state_of(other):
        return False
    ranges = since_range(one), since_range(other)
    return below(*ranges) or below(*reversed(ranges))


def better(one: Report, other: Report, zone: tzinfo) -> bool:
    """Tell whether a report contradicts another and says better than it."""
    states = state_of(one), state_of(other)
    if one["kind"] == "route_closure":
        return ROUTE_STATES.index(states[0]) > ROUTE_STATES.index(states[1])
    ranges = [range_of(each, zone) for each in (one, other)]
    if one["kind"] == "trapped_population":
        return below(ranges[0], ranges[1])
    # Both warnings: which lasts longer. A supply that lasts at all lasts longer than one that ran out.
    ranks = [{"ran_out": 0, "will_run_out": 1, "low": 1, "resupplied": 2}[each] for each in states]
    if ranks[0] != ranks[1]:
        return ranks[0] > ranks[1]
    return below(ranges[1], ranges[0])


def is_warning(report: Report, zone: tzinfo) -> bool:
    """Tell whether a report warns: it says when a supply runs out, or that it will."""
    if report["kind"] != "supply_runout":
        return False
    dated = supply_range(report, zone) != (None, None) or said(report, "imminence") is not None
    return state_of(report) == "will_run_out" or (state_of(report) == "low" and dated)


def is_dated_warning(report: Report, zone: tzinfo) -> bool:
    """Tell whether a report warns of a date."""
    return is_warning(report, zone) and supply_range(report, zone) != (None, None)


def is_undated_low(report: Report, zone: tzinfo) -> bool:
    """Tell whether a report says `low` without dates."""
    return report["kind"] == "supply_runout" and state_of(report) == "low" and supply_range(report, zone) == (None, None)
