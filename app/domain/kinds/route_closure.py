"""Which routes are shut: one indicator for each route and place it serves, read for each direction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StrictBool, model_validator

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
    partial_date,
)
from app.domain.tlp import Label, strictest

Status = Literal["open", "restricted", "closed"]
Direction = Literal["both", "in", "out"]
User = Literal["civilian", "humanitarian", "commercial", "medical"]
Assertion = Literal["observed", "agreed", "announced"]
# OCHA, Access Monitoring and Reporting Framework: the nine types of access constraint.
Cause = Literal[
    "denial_of_needs",
    "entry_restriction",
    "internal_movement_restriction",
    "interference",
    "violence_against_humanitarians",
    "population_access_restriction",
    "hostilities",
    "mines_uxo",
    "physical_environment",
]
# What is shut by fighting, mines or attacks on those who bring aid.
_OF_SECURITY = frozenset({"hostilities", "mines_uxo", "violence_against_humanitarians"})

# What is worst for people who need the route comes first.
_WORST_FIRST = ("closed", "unknown", "restricted", "open")
_COUNTED = ("closed", "restricted", "open", "unknown")
DIRECTIONS: tuple[Literal["in", "out"], ...] = ("in", "out")


class RouteClosure(Value):
    """The state of a route."""

    route: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="Slug of the route.")]
    status: Status = Field(description="Open, restricted or closed.")
    since: str | None = Field(default=None, max_length=10, description="Since when: `2016-07-07`, `2016-07` or `2016`.")
    since_earliest: Day | None = Field(default=None, description="Or since when at the earliest (early, mid, late month: days 1, 11, 21).")
    since_latest: Day | None = Field(default=None, description="And at the latest (days 10, 20, last of the month).")
    direction: Direction = Field(default="both", description="Which way the statement holds.")
    passable_by: tuple[User, ...] = Field(default=(), description="Who can pass. Empty when closed.")
    assertion: Assertion = Field(
        default="observed", description="What is only announced or agreed never makes a route read as open or restricted."
    )
    cause: Cause | None = Field(default=None, description="OCHA's type of access constraint.")
    last_route: StrictBool | None = Field(default=None, description="Whether the source says that no other way in was left.")

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
            raise field_error("passable_by", "a closed route is passable by nobody")
        if len(set(self.passable_by)) != len(self.passable_by):
            raise field_error("passable_by", "each may stand once")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """First and last day on which the state may have begun; None where that is open."""
        return self.since_earliest, self.since_latest


class RouteClosureReading(BaseModel):
    """The state of one route, as read."""

    route: str
    status: Status | None = Field(
        description="`status_in` and `status_out` where they are equal, else `restricted`; null where passage is only announced or agreed."
    )
    status_in: Status | None = Field(description="Into the place; null where nobody has spoken of it but in announcements.")
    status_out: Status | None = Field(description="Out of the place; null likewise.")
    since: str | None = Field(description="As the preferred report has it.")
    since_earliest: Day | None = Field(description="Earliest of the standing reports of the same status.")
    since_latest: Day | None = Field(description="Latest of the same.")
    passable_by: list[User]
    assertion: Assertion
    cause: Cause | None
    last_route: bool | None = Field(description="Whether a report of the same status says that no other way in was left.")


class RouteClosureKind(Kind[RouteClosure]):
    """Reads each direction on its own; two statements about one direction contradict when status or dates do not agree."""

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
        """A date of reduced precision becomes the days that it may mean."""
        if value.since is None:
            return value
        earliest, latest = partial_date(value.since)
        if value.range() not in ((None, None), (earliest, latest)):
            raise field_error("since", "since is not what since_earliest and since_latest say; send one or the other")
        return value.model_copy(update={"since_earliest": earliest, "since_latest": latest})

    def facet(self, value: RouteClosure) -> str:
        """The direction as said."""
        return value.direction

    def facets(self, value: RouteClosure) -> frozenset[str]:
        """The directions that it covers."""
        return frozenset(DIRECTIONS) if value.direction == "both" else frozenset({value.direction})

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return the route with its state and since when."""
        names = ("route", "status", "status_in", "status_out", "since", "since_earliest", "since_latest", "passable_by")
        return {name: value[name] for name in names}

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by route, then by place."""
        return summary["route"], place

    def situation_fields(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Count each route once, in its worst state, since a route may serve several places."""
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
        """Return `held` for a closed route."""
        return Risk("held", "route_closed") if value["status"] == "closed" else None

    def alert(self, value: RouteClosure, sent_on: date) -> Alert:
        """A route that is not open is to be avoided from when it is so; passage that is only announced changes nothing."""
        categories = ("Transport", "Security") if value.cause in _OF_SECURITY else ("Transport",)
        if not _counts(value):
            return Alert(f"Route passage {value.assertion}: {value.route}", categories, "Monitor", "Unknown", value.since_earliest)
        event = f"Route {value.status}: {value.route}"
        if value.status == "open":
            return Alert(event, categories, "AllClear", "Past", value.since_earliest)
        onset = value.since_earliest or value.since_latest
        return Alert(event, categories, "Avoid", "Immediate" if onset is None or onset <= sent_on else "Future", onset)

    def default_label(self, value: RouteClosure, source_type: str, usual: Label) -> Label:
        """Routes said to be passable are amber: who publishes them tells where people will be."""
        label = super().default_label(value, source_type, usual)
        return label if value.status == "closed" else strictest(label, Label.AMBER)

    def contradicts(self, one: StatedValue[RouteClosure], other: StatedValue[RouteClosure]) -> bool:
        """Whether they differ about a direction of which both speak."""
        if not one.facets & other.facets:
            return False
        return one.value.status != other.value.status or disjoint(one.value.range(), other.value.range())

    def combine(self, standing: Sequence[StatedValue[RouteClosure]]) -> Combined:
        """The status each way by the best report that is more than an announcement of passage."""
        leading = {way: _leading(standing, way) for way in DIRECTIONS}
        status_in, status_out = (standing[at].value.status if (at := leading[way]) is not None else None for way in DIRECTIONS)
        status = status_in if status_in == status_out else "restricted"
        preferred = min((at for at in leading.values() if at is not None), default=0)
        said = standing[preferred].value
        same = [each.value for each in standing if each.value.status == said.status and _counts(each.value)]
        earliest, latest = envelope(value.range() for value in same)
        passable = [standing[at].value for at in sorted(at for at in leading.values() if at is not None)]
        reading = RouteClosureReading(
            route=said.route,
            status=status,
            status_in=status_in,
            status_out=status_out,
            since=said.since,
            since_earliest=earliest,
            since_latest=latest,
            passable_by=next((list(value.passable_by) for value in passable if value.status != "closed"), []),
            assertion=said.assertion,
            cause=next((value.cause for value in same if value.cause), None),
            last_route=any(value.last_route for value in same) or said.last_route,
        )
        return Combined(reading.model_dump(mode="json"), preferred)


def _counts(value: RouteClosure) -> bool:
    return value.status == "closed" or value.assertion == "observed"


def _leading(standing: Sequence[StatedValue[RouteClosure]], way: str) -> int | None:
    return next((at for at, said in enumerate(standing) if way in said.facets and _counts(said.value)), None)
