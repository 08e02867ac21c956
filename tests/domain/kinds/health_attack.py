"""Attacks on health care: one indicator for each type of facility."""

# ruff: noqa: ARG002, RUF012 - as for the kinds in `app/domain/kinds`

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StrictInt

from app.domain.kinds.base import Kind
from app.domain.kinds.combining import Combined, Part, StatedValue
from app.domain.kinds.showing import Alert, StatePlot, gettext_noop
from app.domain.kinds.values import Day, Value, WarningFields

Facility = Literal["hospital", "clinic", "ambulance"]
Service = Literal["working", "partly_working", "out_of_service"]


class HealthAttack(Value):
    """Attacks on facilities of one type, and whether they still give care."""

    facility: Facility = Field(description="Type of facility.")
    attacks: Annotated[StrictInt, Field(ge=0)] = Field(description="Number of attacks.")
    service: Service = Field(description="State of the service.")
    closes_on: Day | None = Field(default=None, description="Day on which the service ends.")


class HealthAttackReading(WarningFields):
    """Attacks on facilities of one type, assessed."""

    facility: Facility = Field(description="Type of facility.")
    attacks_low: int | None = Field(description="Lowest number of attacks.")
    attacks_high: int | None = Field(description="Highest number of attacks.")
    service: Service | None = Field(description="State of the service.")
    closes_on: Day | None = Field(description="Day on which the service ends.")


class HealthAttackKind(Kind[HealthAttack]):
    """Combine counts of attacks; different states contradict each other, and so do different counts, of which none is better."""

    name = "health_attack"
    collection = "health-attacks"
    title = "Attacks on health care"
    description = "Attacks on hospitals, clinics and ambulances."
    example = {"facility": "hospital", "attacks": 2, "service": "partly_working"}
    horizon_days = 30
    interval_days = 1
    worst_first = ("out_of_service", "partly_working", "working")
    relief_states = frozenset({"working"})
    value_model = HealthAttack
    assessment_model = HealthAttackReading
    range_fields = frozenset({"attacks_low", "attacks_high"})
    filter_field = "facility"
    status_field = "service"
    has_outcome = True
    has_alerts = True
    hxl = {"facility": "#loc+type", "attacks": "#indicator+attacks+num", "service": "#status+service"}
    plot = StatePlot(state="service", states=("working", "partly_working", "out_of_service"))
    code_labels = {"health_attack": gettext_noop("Health care"), "partly_working": gettext_noop("partly working")}

    def warns(self, value: HealthAttack) -> bool:
        """Tell whether the service is expected to end."""
        return self.forecast_range(value) is not None

    def came_true(self, value: HealthAttack) -> HealthAttack:
        """Return that the service ended."""
        return HealthAttack(facility=value.facility, attacks=value.attacks, service="out_of_service")

    def forecast_range(self, value: HealthAttack) -> tuple[date | None, date | None] | None:
        """Return the day on which the service is expected to end."""
        return (value.closes_on, value.closes_on) if value.closes_on and value.service != "out_of_service" else None

    def occurred_on(self, value: HealthAttack, stated_on: date) -> date | None:
        """Return the day on which the service ended."""
        return value.closes_on if value.service == "out_of_service" else None

    def alert(self, value: HealthAttack, sent_on: date) -> Alert:
        """Return an alert for health services."""
        return Alert(f"Attacks on health care: {value.facility}", ("Health",), "Prepare", "Expected", value.closes_on)

    def disputes(self, one: StatedValue[HealthAttack], other: StatedValue[HealthAttack]) -> bool:
        """Tell whether the counts differ."""
        return one.value.attacks != other.value.attacks

    def combine(self, part: Part[HealthAttack]) -> Combined:
        """Return the worst state, and the lowest and highest count."""
        assert part.preferred is not None
        preferred = part.preferred.value
        counts = [each.value.attacks for each in part.standing]
        assessed = HealthAttackReading(
            facility=preferred.facility,
            attacks_low=min(counts),
            attacks_high=max(counts),
            service=preferred.service,
            closes_on=preferred.closes_on,
        )
        return Combined(assessed.model_dump(mode="json"))
