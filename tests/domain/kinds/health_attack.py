"""Attacks on health care: one indicator for each type of facility."""

# ruff: noqa: ARG002, RUF012 - as for the kinds in `app/domain/kinds`

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictInt

from app.domain.kinds.base import (
    Alert,
    Combined,
    Day,
    Kind,
    StatedValue,
    StatePlot,
    Value,
    WarningOutcome,
    disjoint,
    envelope,
    gettext_noop,
)

Facility = Literal["hospital", "clinic", "ambulance"]
Service = Literal["working", "partly_working", "out_of_service"]


class HealthAttack(Value):
    """Attacks on facilities of one type, and whether they still give care."""

    facility: Facility = Field(description="Type of facility.")
    attacks: Annotated[StrictInt, Field(ge=0)] = Field(description="Number of attacks.")
    service: Service = Field(description="State of the service.")
    closes_on: Day | None = Field(default=None, description="Day on which the service ends.")


class HealthAttackReading(BaseModel):
    """Attacks on facilities of one type, assessed."""

    facility: Facility = Field(description="Type of facility.")
    attacks_low: int | None = Field(description="Lowest number of attacks.")
    attacks_high: int | None = Field(description="Highest number of attacks.")
    service: Service = Field(description="State of the service.")
    closes_on: Day | None = Field(description="Day on which the service ends.")
    outcome: WarningOutcome = Field(default="pending", description="Outcome of the warning.")


class HealthAttackKind(Kind[HealthAttack]):
    """Combine counts of attacks; different counts or states contradict each other."""

    name = "health_attack"
    collection = "health-attacks"
    title = "Attacks on health care"
    description = "Attacks on hospitals, clinics and ambulances."
    example = {"facility": "hospital", "attacks": 2, "service": "partly_working"}
    horizon_days = 30
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

    def due_date(self, value: Mapping[str, Any]) -> date | None:
        """Return the day on which the service ends, without an outcome."""
        day = value["closes_on"]
        return date.fromisoformat(day) if day and value["service"] != "out_of_service" and value["outcome"] == "pending" else None

    def forecast_range(self, value: HealthAttack) -> tuple[date | None, date | None] | None:
        """Return the day on which the service is expected to end."""
        return (value.closes_on, value.closes_on) if value.closes_on and value.service != "out_of_service" else None

    def occurred_on(self, value: HealthAttack) -> date | None:
        """Return the day on which the service ended."""
        return value.closes_on if value.service == "out_of_service" else None

    def alert(self, value: HealthAttack, sent_on: date) -> Alert:
        """Return an alert for health services."""
        return Alert(f"Attacks on health care: {value.facility}", ("Health",), "Prepare", "Expected", value.closes_on)

    def contradicts(self, one: StatedValue[HealthAttack], other: StatedValue[HealthAttack]) -> bool:
        """Tell whether counts or states differ."""
        counts = [(each.value.attacks, each.value.attacks) for each in (one, other)]
        return one.value.service != other.value.service or disjoint(*counts)

    def combine(self, standing: Sequence[StatedValue[HealthAttack]]) -> Combined:
        """Return the preferred state, and the envelope of the counts."""
        low, high = envelope((each.value.attacks, each.value.attacks) for each in standing)
        preferred = standing[0].value
        assessed = HealthAttackReading(
            facility=preferred.facility, attacks_low=low, attacks_high=high, service=preferred.service, closes_on=preferred.closes_on
        )
        return Combined(assessed.model_dump(mode="json"), 0)
