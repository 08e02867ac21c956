"""The part of the second implementation of `envelope/1` that concerns the kinds."""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

LABELS = ("clear", "green", "amber", "amber_strict", "red")


@dataclass(slots=True)
class RecordedReport:
    """A report as sent, with what the service added. `ends` has (lowest level that sees the end, global seq) for each end."""

    global_seq: int
    id: str
    indicator: str
    body: dict[str, Any]
    ends: list[tuple[int, int]] = field(default_factory=list)

    @property
    def level(self) -> int:
        return LABELS.index(self.body["sensitivity"])

    @property
    def stated_at(self) -> datetime:
        return instant_of(self.body["stated_at"])


# A report and the facets for which it stands.
Standing = tuple[RecordedReport, set[str]]


def instant_of(text: str) -> datetime:
    """Return the instant of a date or date-time as sent."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def subject(body: dict[str, Any]) -> str:
    """Return the subject of a report."""
    value = body["value"]
    if body["kind"] == "trapped_population":
        return str(value["concept"])
    if body["kind"] == "route_closure":
        return str(value["route"])
    scope = value.get("scope", "all_stock")
    return value["supply"] if scope == "all_stock" else f"{value['supply']}.{scope}"


def directions(body: dict[str, Any]) -> set[str]:
    """Return the directions of a report on a route; of other kinds, one empty facet."""
    if body["kind"] != "route_closure":
        return {""}
    direction = body["value"].get("direction", "both")
    return {"in", "out"} if direction == "both" else {direction}


def range_of(body: dict[str, Any]) -> tuple[Any, Any]:
    """Return low and high, or first and last day; None is an open end."""
    value = body["value"]
    if body["kind"] == "trapped_population":
        point, word = value.get("people"), value.get("qualifier")
        low, high = value.get("people_low"), value.get("people_high")
        if low is None and word not in ("nearly", "up_to"):
            low = point
        if high is None and word not in ("more_than", "at_least"):
            high = point
        return low, high
    if body["kind"] == "supply_runout":
        if "in_days_min" in value or "in_days_max" in value:
            day = instant_of(body["stated_at"]).astimezone(UTC).date()
            return tuple(day + timedelta(days=value[name]) if name in value else None for name in ("in_days_min", "in_days_max"))  # type: ignore[return-value]
        names = ("runs_out_earliest", "runs_out_latest")
        return tuple(date.fromisoformat(value[name]) if name in value else None for name in names)  # type: ignore[return-value]
    since = value.get("since")
    if since is None:
        return None, None
    if len(since) == 10:
        return date.fromisoformat(since), date.fromisoformat(since)
    year, month = int(since[:4]), int(since[5:])
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])


def disjoint(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Tell whether two ranges have no value in common."""
    return any(low is not None and high is not None and low > high for low, high in ((one[0], other[1]), (other[0], one[1]), one, other))


def contradict(kind: str, one: Standing, other: Standing) -> bool:
    """Tell whether two standing reports cannot both be true."""
    values = one[0].body["value"], other[0].body["value"]
    ranges_disjoint = disjoint(range_of(one[0].body), range_of(other[0].body))
    if kind == "supply_runout":
        return not compatible(*values) or ranges_disjoint
    if kind == "route_closure":
        return bool(one[1] & other[1]) and (values[0]["status"] != values[1]["status"] or ranges_disjoint)
    return ranges_disjoint


def compatible(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two states of a supply are compatible."""
    states = {one.get("state", "will_run_out"), other.get("state", "will_run_out")}
    return len(states) == 1 or states == {"low", "will_run_out"}


def envelope_of(bodies: list[dict[str, Any]]) -> tuple[Any, Any]:
    """Return the lowest low and highest high, with both ends of ranges that are open at one end."""
    ranges = [range_of(each) for each in bodies]
    ends = [end for each in ranges for end in each if end is not None]
    low, high = (any(each[at] is not None for each in ranges) for at in (0, 1))
    return min(ends) if low else None, max(ends) if high else None


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


Combined = tuple[dict[str, Any], int]


def people(standing: list[Standing]) -> Combined:
    """Return the preferred figure with the range of all."""
    best = standing[0][0].body["value"]
    low, high = envelope_of([each.body for each, _ in standing])
    value = {"concept": best["concept"], "people": best.get("people"), "people_low": low, "people_high": high}
    return value | {"qualifier": best.get("qualifier"), "includes_combatants": "unknown"}, 0


def supply(standing: list[Standing]) -> Combined:
    """Return the preferred state with the range of compatible states."""
    best = standing[0][0].body["value"]
    first, last = envelope_of([each.body for each, _ in standing if compatible(best, each.body["value"])])
    return {
        "supply": best["supply"],
        "state": best.get("state", "will_run_out"),
        "runs_out_earliest": _iso(first),
        "runs_out_latest": _iso(last),
        "relative_text": best.get("relative_text"),
        "scope": best.get("scope", "all_stock"),
        "conditional_on": None,
    }, 0


def route(standing: list[Standing]) -> Combined:
    """Return the state of each direction by its best report that is more than an announcement of passage."""

    def counts(value: dict[str, Any]) -> bool:
        return value["status"] == "closed" or value.get("assertion", "observed") == "observed"

    firm = [(at, each.body["value"], facets) for at, (each, facets) in enumerate(standing) if counts(each.body["value"])]
    leading = [next(((at, value) for at, value, facets in firm if direction in facets), None) for direction in ("in", "out")]
    status_in, status_out = (None if lead is None else lead[1]["status"] for lead in leading)
    leads = sorted((lead for lead in leading if lead is not None), key=lambda lead: lead[0])
    first = leads[0][0] if leads else 0
    preferred = standing[first][0].body["value"]
    same = [each.body for each, _ in standing if each.body["value"]["status"] == preferred["status"] and counts(each.body["value"])]
    earliest, latest = envelope_of(same)
    passable = [list(value.get("passable_by", [])) for _, value in leads if value["status"] != "closed"]
    return {
        "route": preferred["route"],
        "status": status_in if status_in == status_out else "restricted",
        "status_in": status_in,
        "status_out": status_out,
        "since": preferred.get("since"),
        "since_earliest": _iso(earliest),
        "since_latest": _iso(latest),
        "passable_by": passable[0] if passable else [],
        "assertion": preferred.get("assertion", "observed"),
        "cause": None,
        "last_route": True if any(each["value"].get("last_route") for each in same) else preferred.get("last_route"),
    }, first


KINDS = {"trapped_population": people, "supply_runout": supply, "route_closure": route}
