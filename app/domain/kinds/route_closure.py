"""Route closures: one indicator for each route and place that it serves, assessed for each direction."""

import calendar
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StrictBool, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import (
    Alert,
    Combined,
    Day,
    Kind,
    Risk,
    StatedValue,
    StatePlot,
    Value,
    disjoint,
    envelope,
    field_error,
    gettext_noop,
)
from app.domain.tlp import Label, strictest

RouteStatus = TypeAliasType("RouteStatus", Literal["open", "restricted", "closed"])
RouteDirection = TypeAliasType("RouteDirection", Literal["both", "in", "out"])
RouteUser = TypeAliasType("RouteUser", Literal["civilian", "humanitarian", "commercial", "medical"])
RouteAssertion = TypeAliasType("RouteAssertion", Literal["observed", "agreed", "announced"])
# The nine types of OCHA's Access Monitoring and Reporting Framework.
AccessConstraint = TypeAliasType(
    "AccessConstraint",
    Literal[
        "denial_of_needs",
        "entry_restriction",
        "internal_movement_restriction",
        "interference",
        "violence_against_humanitarians",
        "population_access_restriction",
        "hostilities",
        "mines_uxo",
        "physical_environment",
    ],
)
# Constraints whose alerts have the CAP category `Security`, too.
_SECURITY_CONSTRAINTS = frozenset({"hostilities", "mines_uxo", "violence_against_humanitarians"})

# The status that is worst for people who need the route comes first.
_WORST_FIRST = ("closed", "unknown", "restricted", "open")
_COUNTED = ("closed", "restricted", "open", "unknown")
DIRECTIONS: tuple[Literal["in", "out"], ...] = ("in", "out")


def partial_date(text: str) -> tuple[date, date]:
    """Return the first and last day of an ISO 8601 date: `2016-07-07`, `2016-07` or `2016`; raise ValueError for anything else."""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text, re.ASCII):
        raise ValueError("must be a date such as 2016-07-07, 2016-07 or 2016")
    year, *rest = (int(part) for part in text.split("-"))
    if len(rest) == 2:
        day = date(year, *rest)
        return day, day
    first, last = (rest[0], rest[0]) if rest else (1, 12)
    return date(year, first, 1), date(year, last, calendar.monthrange(year, last)[1])


class RouteClosure(Value):
    """The state of a route."""

    route: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="Slug of the route.")]
    status: RouteStatus = Field(description="State of the route.")
    since: str | None = Field(default=None, max_length=10, description="Since when: `2016-07-07`, `2016-07` or `2016`.")
    since_earliest: Day | None = Field(
        default=None, description="Earliest day, instead of `since`; early, mid, late in a month: 1, 11, 21."
    )
    since_latest: Day | None = Field(default=None, description="Latest day, instead of `since`; early, mid, late in a month: 10, 20, last.")
    direction: RouteDirection = Field(default="both", description="Direction that the report is about: into the place, out of it, or both.")
    passable_by: tuple[RouteUser, ...] = Field(default=(), description="Who can pass; must be empty if closed.")
    assertion: RouteAssertion = Field(
        default="observed", description="How firm the report is. Passage that is only announced or agreed never opens a route."
    )
    cause: AccessConstraint | None = Field(default=None, description="Type of access constraint, by OCHA's framework.")
    last_route: StrictBool | None = Field(default=None, description="Whether the source says that this was the last route into the place.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.since is not None:
            try:
                partial_date(self.since)
            except ValueError as error:
                raise field_error("since", str(error)) from None
        if self.since_earliest and self.since_latest and self.since_earliest > self.since_latest:
            raise field_error("since_earliest", "since_earliest must not be after since_latest")
        if self.status == "closed" and self.passable_by:
            raise field_error("passable_by", "passable_by must be empty if status is closed")
        if len(set(self.passable_by)) != len(self.passable_by):
            raise field_error("passable_by", "name each user once")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """Return the first and last day on which the state may have begun; None is an open end."""
        return self.since_earliest, self.since_latest


class RouteClosureReading(BaseModel):
    """The state of one route, assessed."""

    route: str = Field(description="Slug of the route.")
    status: RouteStatus | None = Field(
        description="`status_in` and `status_out` if they are equal, else `restricted`; null if passage is only announced or agreed."
    )
    status_in: RouteStatus | None = Field(description="State into the place; null if no report but announcements is about it.")
    status_out: RouteStatus | None = Field(description="State out of the place; null if no report but announcements is about it.")
    since: str | None = Field(description="Since when, as the preferred report states it; null if it does not.")
    since_earliest: Day | None = Field(description="Earliest day by the standing reports with the same status; null if not known.")
    since_latest: Day | None = Field(description="Latest day by the same reports; null if not known.")
    passable_by: list[RouteUser] = Field(description="Who can pass; empty if closed or not known.")
    assertion: RouteAssertion = Field(description="How firm the preferred report is.")
    cause: AccessConstraint | None = Field(description="Type of access constraint; null if no report with the same status names one.")
    last_route: bool | None = Field(description="Whether a report with the same status says that this was the last route into the place.")


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
    range_fields = frozenset({"since_earliest", "since_latest"})
    has_alerts = True
    situation_group = "routes"
    summary_fields = ("route", "status", "status_in", "status_out", "since", "since_earliest", "since_latest", "passable_by")
    situation_columns = (
        *((f"routes.{name}", f"#indicator+routes+{name}+num", "integer") for name in ("known", *_COUNTED)),
        ("routes.all_closed", "#status+all_closed", "boolean"),
    )
    risk_needs_all = True
    hxl = {
        "route": "#access+route+code",
        "status": "#status+route",
        "status_in": "#status+route+in",
        "status_out": "#status+route+out",
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
        qualifier="assertion",
        missing="only_announced",
    )
    code_labels = {
        "route_closure": gettext_noop("Routes"),
        "open": gettext_noop("open"),
        "restricted": gettext_noop("restricted"),
        "closed": gettext_noop("closed"),
        "only_announced": gettext_noop("passage only announced"),
        "in": gettext_noop("in"),
        "out": gettext_noop("out"),
        "civilian": gettext_noop("civilians"),
        "humanitarian": gettext_noop("aid"),
        "commercial": gettext_noop("trade"),
        "medical": gettext_noop("medical teams"),
        "observed": gettext_noop("observed"),
        "agreed": gettext_noop("agreed"),
        "announced": gettext_noop("announced"),
    }
    value_model = RouteClosure
    assessment_model = RouteClosureReading
    example = {"route": "castello-road", "status": "closed", "since": "2016-07-07", "cause": "hostilities"}

    def resolve(self, value: RouteClosure, stated_on: date) -> RouteClosure:
        """Turn a date of reduced precision into the range of days that it may mean."""
        if value.since is None:
            return value
        earliest, latest = partial_date(value.since)
        if value.range() not in ((None, None), (earliest, latest)):
            raise field_error("since", "since must agree with since_earliest and since_latest; send one or the other")
        return value.model_copy(update={"since_earliest": earliest, "since_latest": latest})

    def facet(self, value: RouteClosure) -> str:
        """Return the direction."""
        return value.direction

    def facets(self, value: RouteClosure) -> frozenset[str]:
        """Return the directions that it covers."""
        return frozenset(DIRECTIONS) if value.direction == "both" else frozenset({value.direction})

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by route, then by place."""
        return summary["route"], place

    def situation_fields(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Count each route once, in its worst state, because a route may serve several of the places."""
        worst: dict[str, str] = {}
        for item in items:
            status = item["status"] or "unknown"
            worst[item["route"]] = min(status, worst.get(item["route"], status), key=_WORST_FIRST.index)
        counts = Counter(worst.values())
        return {
            "routes": {
                "known": len(worst),
                **{status: counts[status] for status in _COUNTED},
                "all_closed": bool(worst) and counts["closed"] == len(worst),
                "items": items,
            }
        }

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `held` if the route is closed."""
        return Risk("held", "route_closed") if value["status"] == "closed" else None

    def alert(self, value: RouteClosure, sent_on: date) -> Alert:
        """Tell people to avoid a route that is not open; passage that is only announced is to be monitored."""
        categories = ("Transport", "Security") if value.cause in _SECURITY_CONSTRAINTS else ("Transport",)
        if not _counts(value):
            return Alert(f"Route passage {value.assertion}: {value.route}", categories, "Monitor", "Unknown", value.since_earliest)
        event = f"Route {value.status}: {value.route}"
        if value.status == "open":
            return Alert(event, categories, "AllClear", "Past", value.since_earliest)
        onset = value.since_earliest or value.since_latest
        return Alert(event, categories, "Avoid", "Immediate" if onset is None or onset <= sent_on else "Future", onset)

    def default_label(self, value: RouteClosure, source_type: str, usual: Label) -> Label:
        """Label passable routes at least `amber`, because such a report shows where people will be."""
        label = super().default_label(value, source_type, usual)
        return label if value.status == "closed" else strictest(label, Label.AMBER)

    def contradicts(self, one: StatedValue[RouteClosure], other: StatedValue[RouteClosure]) -> bool:
        """Tell whether the values differ for a direction that both cover."""
        if not one.facets & other.facets:
            return False
        return one.value.status != other.value.status or disjoint(one.value.range(), other.value.range())

    def combine(self, standing: Sequence[StatedValue[RouteClosure]]) -> Combined:
        """Return the state of each direction, by its best report that is not merely an announcement of passage."""
        leading = [_leading(standing, direction) for direction in DIRECTIONS]
        status_in, status_out = (None if at is None else standing[at].value.status for at in leading)
        status = status_in if status_in == status_out else "restricted"
        positions = sorted(at for at in leading if at is not None)
        preferred = positions[0] if positions else 0
        value = standing[preferred].value
        same = [each.value for each in standing if each.value.status == value.status and _counts(each.value)]
        earliest, latest = envelope(each.range() for each in same)
        passable = (standing[at].value for at in positions if standing[at].value.status != "closed")
        assessed = RouteClosureReading(
            route=value.route,
            status=status,
            status_in=status_in,
            status_out=status_out,
            since=value.since,
            since_earliest=earliest,
            since_latest=latest,
            passable_by=next((list(each.passable_by) for each in passable), []),
            assertion=value.assertion,
            cause=next((each.cause for each in same if each.cause), None),
            last_route=any(each.last_route for each in same) or value.last_route,
        )
        return Combined(assessed.model_dump(mode="json"), preferred)


def _counts(value: RouteClosure) -> bool:
    return value.status == "closed" or value.assertion == "observed"


def _leading(standing: Sequence[StatedValue[RouteClosure]], direction: str) -> int | None:
    return next((at for at, each in enumerate(standing) if direction in each.facets and _counts(each.value)), None)
