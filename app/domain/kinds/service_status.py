"""Status of services: one indicator for each service, never for a site."""

from collections.abc import Mapping
from datetime import date, datetime
from math import inf
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StrictInt, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import Kind, Severity
from app.domain.kinds.combining import Combined, Part, StatedValue, basis_of
from app.domain.kinds.showing import Alert, Clause, Risk, StatePlot, gettext_noop
from app.domain.kinds.values import WHOLE, Day, ShortText, Value, field_error
from app.domain.tlp import Label, strictest

Service = TypeAliasType("Service", Literal["hospital", "water", "electricity", "bakery", "communications", "school"])
ServiceState = TypeAliasType("ServiceState", Literal["working", "partly_working", "out_of_service"])
Count = Annotated[StrictInt, Field(ge=0, le=1_000_000), WHOLE]

# Services whose failure alone makes people short.
_VITAL = frozenset({"hospital", "water"})
# Fewer than this many that work are easily found by an attacker.
MIN_UNIDENTIFIABLE = 5
# CAP 1.2 categories; those of other services are `Infra`.
_CATEGORIES: Mapping[str, tuple[str, ...]] = {"hospital": ("Health",), "bakery": ("Other", "Safety"), "school": ("Other",)}


class ServiceStatus(Value):
    """Whether a service works at a place, and how many of its facilities do; never a name or a site."""

    service: Service = Field(description="The service, all its facilities together.")
    state: ServiceState = Field(description="Whether it works.")
    working: Count | None = Field(default=None, description="Number of facilities that work, at least in part.")
    known: Count | None = Field(default=None, description="Number of facilities that are known.")
    reason: ShortText | None = Field(default=None, description="Why, in words, such as `no fuel`; never a name or a site.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.working is not None and self.known is not None and self.working > self.known:
            raise field_error("working", "working must not exceed known")
        if self.state == "out_of_service" and self.working:
            raise field_error("working", "must be 0 if state is out_of_service: for a service of which some works send partly_working")
        if self.state != "out_of_service" and self.working == 0:
            raise field_error("working", f"must not be 0 if state is {self.state}: for a service of which none works send out_of_service")
        if self.state == "working" and None not in (self.working, self.known) and self.working != self.known:
            raise field_error(
                "working", "must be as many as known if state is working: for a service of which some fail send partly_working"
            )
        return self


class ServiceStatusReading(BaseModel):
    """Whether a service works at a place, assessed; null where no report leads."""

    service: Service = Field(description="The service.")
    state: ServiceState | None = Field(description="Worst state that stands; null if only relief is claimed.")
    since: Day | None = Field(
        description="Day of the first report since which one that counts has always said this state; null if none leads."
    )
    working: int | None = Field(description="Number that work, by the first report of this state that counts; null if none does.")
    known: int | None = Field(description="Number of facilities that are known, by the same report; null if it does not say.")
    working_low: int | None = Field(description="Lowest number that work, by the reports that count; null if none counts.")
    working_high: int | None = Field(description="Highest number that work, by the same reports; null if none counts.")
    reason: str | None = Field(description="Why, by the first report of this state that says so; null if none does.")


class ServiceStatusKind(Kind[ServiceStatus]):
    """Combine states and counts; `working` and `out_of_service` contradict each other, and so do counts that differ, more being better."""

    name = "service_status"
    collection = "service-statuses"
    title = "Status of services"
    description = "Whether hospitals, water, electricity, bakeries, communications and schools work."
    horizon_days = 30
    state_horizon_days = {"working": 14}
    interval_days = 1
    worst_first = ("out_of_service", "partly_working", "working")
    relief_states = frozenset({"working"})
    reads_all = True
    filter_field = "service"
    status_field = "state"
    range_fields = frozenset({"working_low", "working_high"})
    has_alerts = True
    note_fields = ("since", "reason")
    brief_words = ("reason",)
    hxl = {
        "service": "#service+code",
        "state": "#status+service",
        "since": "#date+service+start",
        "working": "#capacity+working+num",
        "known": "#capacity+known+num",
        "working_low": "#capacity+working+min+num",
        "working_high": "#capacity+working+max+num",
        "reason": "#cause+service",
    }
    plot = StatePlot(
        state="state",
        states=("working", "partly_working", "out_of_service"),
        tones={"working": "open", "partly_working": "restricted", "out_of_service": "closed"},
        counts=("working", "known"),
    )
    code_labels = {
        "service_status": gettext_noop("Services"),
        "hospital": gettext_noop("Hospitals"),
        "water": gettext_noop("Water"),
        "electricity": gettext_noop("Electricity"),
        "bakery": gettext_noop("Bakeries"),
        "communications": gettext_noop("Communications"),
        "school": gettext_noop("Schools"),
        "working": gettext_noop("working"),
        "partly_working": gettext_noop("partly working"),
        "out_of_service": gettext_noop("out of service"),
        "unknown": gettext_noop("not known"),
        "field_service": gettext_noop("Service"),
        "field_working": gettext_noop("How many work"),
        "field_known": gettext_noop("How many are known"),
        "field_reason": gettext_noop("Reason"),
        "help_reason": gettext_noop("In words, such as no fuel; never a name or a site."),
        "because_out_of_service": gettext_noop("out of service"),
    }
    messages = (
        gettext_noop("must be 0 if state is out_of_service: for a service of which some works send partly_working"),
        gettext_noop("must not be 0 if state is %(code)s: for a service of which none works send out_of_service"),
        gettext_noop("must be as many as known if state is working: for a service of which some fail send partly_working"),
    )
    value_model = ServiceStatus
    assessment_model = ServiceStatusReading
    example = {"service": "hospital", "state": "out_of_service", "working": 0, "known": 9, "reason": "no fuel"}

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by state, the worst first, then by service."""
        return self.worst_first.index(summary["state"]), summary["service"], place

    def clauses(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return the state, since when, and the counts, but no 0 that the state says already."""
        state, *counts = super().clauses(value)
        if value.get("known") is None and value.get("working") == 0:
            counts = []
        if value.get("since"):
            state = Clause(gettext_noop("%(status)s since %(day)s"), {"day": ("since", value["since"])}, {"status": (value["state"],)})
        return [state, *counts]

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `short` if hospitals or the water supply are out of service."""
        is_out = value["state"] == "out_of_service" and value["service"] in _VITAL
        return Risk("short", "out_of_service", figure="since", since=value["since"]) if is_out else None

    def alert(self, value: ServiceStatus, sent_on: date) -> Alert | None:
        """Return an alert for a service that is out of service only."""
        if value.state != "out_of_service":
            return None
        return Alert(f"Out of service: {value.service}", _CATEGORIES.get(value.service, ("Infra",)), "Prepare", "Immediate")

    def cancels_alerts(self, value: ServiceStatus) -> bool:
        """Tell whether the service works, at least in part."""
        return value.state != "out_of_service"

    def default_label(self, value: ServiceStatus, source_type: str, usual: Label) -> Label:
        """Label a service of which fewer than MIN_UNIDENTIFIABLE are known to work at least `amber`: each of these is a target."""
        label = super().default_label(value, source_type, usual)
        return label if (value.working or 0) >= MIN_UNIDENTIFIABLE else strictest(label, Label.AMBER)

    def severity(self, value: ServiceStatus) -> Severity:
        """Return how many may be working, fewer of them worse; without a count, any number that the state leaves possible."""
        if value.working is not None:
            return (-value.working,), (-value.working,)
        return {"working": ((-inf,), (-1,)), "partly_working": ((-inf,), (0,))}.get(value.state, ((0,), (0,)))

    def disputes(self, one: StatedValue[ServiceStatus], other: StatedValue[ServiceStatus]) -> bool:
        """Tell whether two reports give other numbers of known facilities."""
        return None not in (one.value.known, other.value.known) and one.value.known != other.value.known

    def combine(self, part: Part[ServiceStatus]) -> Combined:
        """Return the worst state, since when, and the counts of its reports within the range of all."""
        assert part.preferred is not None
        preferred, reports = part.preferred.value, part.in_order()
        same = [each for each in reports if each.value.state == preferred.state]
        counting = next((each for each in same if each.value.working is not None), None)
        counts = [each.value.working for each in reports if each.value.working is not None]
        found = {
            "working": None if counting is None else counting.value.working,
            "known": (part.preferred if counting is None else counting).value.known,
            "reason": next((each.value.reason for each in same if each.value.reason), None),
        }
        ends = {"working_low": min(counts, default=None), "working_high": max(counts, default=None)}
        first = part.began or part.preferred
        basis = basis_of(same, {name: (figure, attrgetter(name)) for name, figure in found.items()})
        basis |= basis_of(reports, {name: (figure, attrgetter("working")) for name, figure in ends.items()})
        assessed = ServiceStatusReading(service=preferred.service, state=preferred.state, since=first.day, **found, **ends)
        return Combined(assessed.model_dump(mode="json"), basis | {"since": first})
