"""Route closures: one indicator for each route and place that it serves, assessed for each direction."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any, Literal, cast

from app.domain.kinds.base import Kind
from app.domain.kinds.combining import Combined, Part, StatedValue, basis_of, common_range, disjoint
from app.domain.kinds.route_values import RouteClosure, RouteClosureReading, RouteDirectionReading, RouteDirections, partial_date
from app.domain.kinds.showing import Alert, Clause, Risk, StatePlot, code_clause, gettext_noop
from app.domain.kinds.values import field_error
from app.domain.tlp import Label, strictest

# Constraints whose alerts have the CAP category `Security`, too.
_SECURITY_CONSTRAINTS = frozenset({"hostilities", "mines_uxo", "violence_against_humanitarians"})

DIRECTIONS: tuple[Literal["in", "out"], ...] = ("in", "out")


class RouteClosureKind(Kind[RouteClosure]):
    """Assess each direction on its own; different states or disjoint dates for one direction contradict each other."""

    name = "route_closure"
    collection = "route-closures"
    title = "Route closures"
    description = "Which routes are open, restricted or closed."
    horizon_days = 30
    filter_field = "route"
    status_field = "status"
    references = {"route": "route"}
    range_fields = frozenset({"since_earliest", "since_latest", "directions"})
    state_horizon_days = {"restricted": 7, "open": 7}
    worst_first = ("closed", "restricted", "open")
    relief_states = frozenset({"open"})
    has_alerts = True
    situation_group = "routes"
    summary_fields = (
        "route",
        "status",
        "status_in",
        "status_out",
        "directions",
        "since",
        "since_earliest",
        "since_latest",
        "passable_by",
        "last_route",
    )
    brief_codes = ("cause",)
    situation_columns = (
        *((f"routes.{name}", f"#indicator+routes+{name}+num", "integer") for name in ("known", "closed", "restricted", "open", "unknown")),
        ("routes.all_closed", "#status+all_closed", "boolean"),
    )
    hxl = {
        "route": "#access+route+code",
        "status": "#status+route",
        "status_in": "#status+route+in",
        "status_out": "#status+route+out",
        "directions": "#status+route+directions",
        "since": "#description+since",
        "since_earliest": "#date+closed+min",
        "since_latest": "#date+closed+max",
        "direction": "#access+direction",
        "passable_by": "#access+passable+list",
        "assertion": "#meta+assertion",
        "cause": "#access+type",
        "last_route": "#access+last",
    }
    plot = StatePlot(
        state="status",
        states=("open", "restricted", "closed"),
        parts={"in": "status_in", "out": "status_out"},
        part="direction",
        qualifier="assertion",
        missing="only_announced",
    )
    code_labels = {
        "route_closure": gettext_noop("Routes"),
        "open": gettext_noop("open"),
        "restricted": gettext_noop("restricted"),
        "closed": gettext_noop("closed"),
        "only_announced": gettext_noop("passage only announced or claimed"),
        "in": gettext_noop("in"),
        "out": gettext_noop("out"),
        "civilian": gettext_noop("civilians"),
        "humanitarian": gettext_noop("aid"),
        "commercial": gettext_noop("trade"),
        "medical": gettext_noop("medical teams"),
        "observed": gettext_noop("observed"),
        "agreed": gettext_noop("agreed"),
        "announced": gettext_noop("announced"),
        "not_yet_agreed": gettext_noop("only agreed"),
        "not_yet_announced": gettext_noop("only announced"),
        "because_way_in_closed": gettext_noop("no way in"),
        "because_way_out_closed": gettext_noop("no way out"),
        "because_last_route": gettext_noop("no other way in is left"),
    }
    messages = (
        gettext_noop("what is observed began by the day of the statement, %(day)s: send assertion announced for a later day"),
        gettext_noop("since must agree with since_earliest and since_latest; send one or the other"),
        gettext_noop("must be a date such as 2016-07-07, 2016-07 or 2016"),
        gettext_noop("passable_by must be empty if status is closed"),
        gettext_noop("name each user once"),
    )
    value_model = RouteClosure
    assessment_model = RouteClosureReading
    example = {"route": "castello-road", "status": "closed", "since": "2016-07-07", "cause": "hostilities"}

    def resolve(self, value: RouteClosure, stated_on: date) -> RouteClosure:
        """Turn a date of reduced precision into the range of days that it may mean."""
        if value.since is None:
            _check_observed(value, stated_on)
            return value
        earliest, latest = partial_date(value.since)
        if value.range() not in ((None, None), (earliest, latest)):
            raise field_error("since", "since must agree with since_earliest and since_latest; send one or the other")
        resolved = value.model_copy(update={"since_earliest": earliest, "since_latest": latest})
        _check_observed(resolved, stated_on)
        return resolved

    def facet(self, value: RouteClosure) -> str:
        """Return the direction."""
        return value.direction

    def facets(self, value: RouteClosure) -> frozenset[str]:
        """Return the directions that it covers."""
        return frozenset(DIRECTIONS) if value.direction == "both" else frozenset({value.direction})

    def clauses(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return the state, since when, and who can pass, for each direction where the two differ; and whether it is the last route."""
        ways = {way: own for way, own in (value.get("directions") or {}).items() if own["status"] is not None}
        parts = [_shown(own) for own in ways.values()]
        if not ways or (len(ways) == len(DIRECTIONS) and parts[0] == parts[1]):
            way = value.get("direction", "both")
            found = _clauses(value, "" if way == "both" else way, "")
        else:
            found = [each for way, own in ways.items() for each in _clauses(own, way, f"directions.{way}.")]
        return [*found, *([code_clause("because_last_route", path="last_route")] if value.get("last_route") else [])]

    def details(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return the cause, and that a judgement is of what is only agreed or announced."""
        firm = value.get("assertion") or "observed"
        return [*([] if firm == "observed" else [code_clause(f"not_yet_{firm}")]), *super().details(value)]

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by route, then by place."""
        return summary["route"], place

    def situation_fields(self, items: Sequence[dict[str, Any]], unknown: Collection[str]) -> dict[str, Any]:
        """Count each route once, in its worst state, because a route may serve several of the places."""
        worst: dict[str, str] = {}
        for item in items:
            worst[item["route"]] = min(item["status"], worst.get(item["route"], item["status"]), key=self.worst_first.index)
        counts = Counter(worst.values())
        not_known = len(set(unknown) - set(worst))
        return {
            "routes": {
                "known": len(worst) + not_known,
                **{status: counts[status] for status in self.worst_first},
                "unknown": not_known,
                "all_closed": bool(worst) and counts["closed"] == len(worst),
                "items": items,
            }
        }

    def risks(self, values: Sequence[Mapping[str, Any]], at: datetime) -> list[tuple[int, Risk]]:
        """Return `held` if all routes known for one way are closed or impassable for all, or if the last route is closed."""
        found: list[tuple[int, Risk]] = []
        for way in DIRECTIONS:
            known = [(position, own) for position, value in enumerate(values) if (own := value["directions"][way])["status"] is not None]
            if all(own["status"] == "closed" or own["passable_by"] == [] for _, own in known):
                found += [(position, Risk("held", f"way_{way}_closed", figure=f"directions.{way}.status")) for position, _ in known]
        for position, value in enumerate(values):
            if value["last_route"] and "closed" in (value["status"], value["status_in"]):
                found.append((position, Risk("held", "last_route", figure="last_route")))
        return found

    def alert(self, value: RouteClosure, sent_on: date) -> Alert:
        """Tell people to avoid a route that is not open, or passable by no group; passage that is only announced is to be monitored."""
        categories = ("Transport", "Security") if value.cause in _SECURITY_CONSTRAINTS else ("Transport",)
        if value.assertion != "observed" and value.status != "closed":
            event = f"Route passage {value.assertion}: {value.route}"
            return Alert(event, categories, "Monitor", "Unknown", value.since_earliest, value.since_latest)
        impassable = value.status == "open" and value.passable_by is not None and not value.passable_by
        event = f"Route {'impassable' if impassable else value.status}: {value.route}"
        if value.status == "open" and not impassable:
            return Alert(event, categories, "AllClear", "Past", value.since_earliest)
        onset = value.since_earliest or value.since_latest
        urgency = "Immediate" if onset is None or onset <= sent_on else "Future"
        return Alert(event, categories, "Avoid", urgency, onset, value.since_latest)

    def default_label(self, value: RouteClosure, source_type: str, usual: Label) -> Label:
        """Label passable routes at least `amber`, because such a report shows where people will be."""
        label = super().default_label(value, source_type, usual)
        return label if value.status == "closed" else strictest(label, Label.AMBER)

    def is_announced(self, value: RouteClosure) -> bool:
        """Rule 2: tell whether passage, or its end, is only announced or agreed."""
        return value.assertion != "observed"

    def disputes(self, one: StatedValue[RouteClosure], other: StatedValue[RouteClosure]) -> bool:
        """Tell whether two reports give the same state since different days."""
        return one.value.status == other.value.status and disjoint(one.value.range(), other.value.range())

    def not_judged(self, value: Mapping[str, Any], judged: RouteClosure) -> dict[str, Any] | None:
        """Return the direction that a judgement on the other leaves to the reports."""
        left = {way: own for way, own in (value["directions"] or {}).items() if way != judged.direction and own["status"]}
        if judged.direction == "both" or not left:
            return None
        ((way, own),) = left.items()
        other = judged.direction
        blank = {"directions": {way: own, other: dict.fromkeys(own)}, f"status_{way}": own["status"], f"status_{other}": None}
        # Whether another way in is left is said of the way in.
        return {**value, **own, **blank, "last_route": value["last_route"] if way == "in" else None}

    def combine(self, part: Part[RouteClosure]) -> Combined:
        """Return the state of a route as if it had one direction."""
        return self.combine_parts(dict.fromkeys(DIRECTIONS, part), cast("StatedValue[RouteClosure]", part.preferred))

    def combine_parts(self, parts: Mapping[str, Part[RouteClosure]], preferred: StatedValue[RouteClosure]) -> Combined:
        """Rule 8: return each direction, and the status and dates of both where they are equal or only one is known."""
        basis: dict[str, StatedValue[RouteClosure]] = {}
        directions = {}
        for name in DIRECTIONS:
            directions[name], own = _direction(parts.get(name, Part()))
            basis |= {f"directions.{name}.{field}": each for field, each in own.items()}
        known = {each.status for each in directions.values() if each.status is not None}
        status = preferred.value.status if len(known) == 1 else "restricted"
        reports = [preferred, *(each for part in parts.values() for each in part.in_order())]
        same = [each for each in dict.fromkeys(reports) if each.value.status == preferred.value.status]
        # The two directions came into different states at different times.
        earliest, latest = common_range([each.value.range() for each in same]) if len(known) == 1 else (None, None)
        words = [each.value.since for each in same if each.value.since and each.value.range() == (earliest, latest)]
        said = {
            "since": next(iter(words), None),
            "since_earliest": earliest,
            "since_latest": latest,
            "cause": preferred.value.cause,
            "last_route": max((each.value.last_route for each in same if each.value.last_route is not None), default=None),
        }
        assessed = RouteClosureReading(
            route=preferred.value.route,
            status=status,
            status_in=directions["in"].status,
            status_out=directions["out"].status,
            directions=RouteDirections(in_=directions["in"], out=directions["out"]),
            passable_by=preferred.value.passable_by,
            assertion=preferred.value.assertion,
            **said,
        )
        basis |= basis_of(same, {name: (figure, attrgetter(name)) for name, figure in said.items()})
        return Combined(assessed.model_dump(mode="json", by_alias=True), basis)


def _shown(value: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(value.get(name) for name in ("status", "since_earliest", "since_latest", "passable_by"))


def _clauses(value: Mapping[str, Any], way: str, path: str) -> list[Clause]:
    """Return what is said of a direction, or of both; `path` is where its fields are."""
    status, first, last, users = _shown(value)
    if status is None:
        return [code_clause("only_announced", about=way)]
    codes, earliest, latest = {"status": (status,)}, (f"{path}since_earliest", first), (f"{path}since_latest", last)
    if first and last and first != last:
        figures = {"first": earliest, "last": latest}
        since = Clause(gettext_noop("%(status)s since a day between %(first)s and %(last)s"), figures, codes, way)
    elif first or last:
        since = Clause(gettext_noop("%(status)s since %(day)s"), {"day": earliest if first else latest}, codes, way)
    else:
        since = code_clause(status, about=way, path=f"{path}status")
    if status == "closed" or users is None:
        return [since]
    message = gettext_noop("passable by: %(users)s") if users else gettext_noop("passable by no one")
    return [since, Clause(message, codes={"users": users} if users else {}, path=f"{path}passable_by")]


def _direction(part: Part[RouteClosure]) -> tuple[RouteDirectionReading, dict[str, StatedValue[RouteClosure]]]:
    """Return the state of one direction, and the reports behind it and its dates."""
    if part.preferred is None:
        return RouteDirectionReading(agreement=part.agreement), {}
    same = [each for each in part.in_order() if each.value.status == part.preferred.value.status]
    earliest, latest = common_range([each.value.range() for each in same])
    leading = part.preferred.value
    found = RouteDirectionReading(
        status=leading.status, since_earliest=earliest, since_latest=latest, passable_by=leading.passable_by, agreement=part.agreement
    )
    figures = {"status": leading.status, "since_earliest": earliest, "since_latest": latest, "passable_by": leading.passable_by}
    return found, basis_of(same, {name: (figure, attrgetter(name)) for name, figure in figures.items()})


def _check_observed(value: RouteClosure, stated_on: date) -> None:
    first = value.since_earliest or value.since_latest
    if value.assertion == "observed" and first is not None and first > stated_on:
        name = "since" if value.since else "since_earliest" if value.since_earliest else "since_latest"
        raise field_error(
            name, f"what is observed began by the day of the statement, {stated_on}: send assertion announced for a later day"
        )
