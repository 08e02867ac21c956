"""When a supply runs out: one indicator for each supply and scope, since an agency's last ration is not the city's last bread."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from app.domain.kinds.base import (
    Alert,
    Combined,
    DatePlot,
    Day,
    Days,
    Kind,
    Outcome,
    Risk,
    StatedValue,
    Value,
    Words,
    disjoint,
    envelope,
    field_error,
    gettext_noop,
)
from app.domain.tlp import Label, strictest

Supply = Literal["basic", "food", "medical", "water", "fuel", "electricity", "shelter", "hygiene"]
State = Literal["will_run_out", "low", "ran_out", "resupplied"]
Scope = Literal["all_stock", "agency_stock", "market", "facility"]

# A supply that is low may well be one that will run out on a given day.
COMPATIBLE: frozenset[str] = frozenset({"will_run_out", "low"})

# CAP 1.2 categories; what is not here is `Other`.
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "medical": ("Health",),
    "water": ("Infra",),
    "fuel": ("Infra",),
    "electricity": ("Infra",),
    "food": ("Other", "Safety"),
    "basic": ("Other", "Safety"),
}


class SupplyRunout(Value):
    """When a supply runs out, as dates or as days counted from the day of the statement."""

    supply: Supply = Field(description="What runs out.")
    state: State = Field(default="will_run_out", description="What is said of it.")
    runs_out_earliest: Day | None = Field(default=None, description="The earliest day on which it runs out.")
    runs_out_latest: Day | None = Field(default=None, description="The latest day on which it runs out.")
    in_days_min: Days | None = Field(default=None, description="Days from `stated_at`, at the least; instead of dates.")
    in_days_max: Days | None = Field(default=None, description="Days from `stated_at`, at the most; instead of dates.")
    relative_text: Words | None = Field(default=None, description="The words themselves: 'two to three weeks', 'hours, if not days'.")
    scope: Scope = Field(default="all_stock", description="Whose stock.")
    conditional_on: Words | None = Field(default=None, description="What it hangs on, such as 'if no convoy gets in'.")

    @model_validator(mode="after")
    def _one_way_of_saying_when(self) -> Self:
        if self.in_days_min is not None and self.in_days_max is not None and self.in_days_min > self.in_days_max:
            raise field_error("in_days_min", "in_days_min must not be above in_days_max")
        if self.runs_out_earliest and self.runs_out_latest and self.runs_out_earliest > self.runs_out_latest:
            raise field_error("runs_out_earliest", "runs_out_earliest must not be after runs_out_latest")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """First and last day on which it runs out; None where that is open."""
        return self.runs_out_earliest, self.runs_out_latest


class SupplyRunoutReading(BaseModel):
    """When one supply runs out, as read."""

    supply: Supply
    state: State
    runs_out_earliest: Day | None = Field(description="Earliest day of the standing reports whose state fits the preferred one's.")
    runs_out_latest: Day | None = Field(description="Latest day of the same.")
    relative_text: str | None
    scope: Scope
    conditional_on: str | None
    outcome: Outcome = Field(default="pending", description="What became of the warning; set by a curator, with the report that shows it.")


class SupplyRunoutKind(Kind[SupplyRunout]):
    """Reads run-out dates: ranges that do not meet contradict each other, and so do states, but for `low` and `will_run_out`."""

    name = "supply_runout"
    collection = "supply-runouts"
    title = "Supply run-outs"
    description = "When food, water, fuel, medicine and other supplies run out."
    horizon_days = 30
    filter_field = "supply"
    status_field = "state"
    range_fields = frozenset({"runs_out_earliest", "runs_out_latest"})
    has_outcome = True
    has_alerts = True
    situation_group = "supplies"
    situation_columns = (
        ("soonest_runout.supply", "#item+type", "text"),
        ("soonest_runout.state", "#status+supply", "text"),
        ("soonest_runout.runs_out_earliest", "#date+runout+min", "text"),
        ("soonest_runout.runs_out_latest", "#date+runout+max", "text"),
        ("soonest_runout.days_left", "#indicator+days_remaining+num", "integer"),
        ("soonest_runout.agreement", "#status+agreement", "text"),
        ("soonest_runout.source", "#meta+source+code", "text"),
    )
    hxl = {
        "supply": "#item+type",
        "state": "#status+supply",
        "runs_out_earliest": "#date+runout+min",
        "runs_out_latest": "#date+runout+max",
        "in_days_min": "#indicator+days_remaining+min+num",
        "in_days_max": "#indicator+days_remaining+max+num",
        "relative_text": "#description+runout",
        "scope": "#meta+scope",
        "conditional_on": "#description+condition",
        "outcome": "#status+outcome",
    }
    plot = DatePlot(
        earliest="runs_out_earliest",
        latest="runs_out_latest",
        state="state",
        states=("resupplied", "will_run_out", "low", "ran_out"),
        quote="relative_text",
    )
    code_labels = {
        "supply_runout": gettext_noop("Supplies"),
        "basic": gettext_noop("Basic supplies"),
        "food": gettext_noop("Food"),
        "medical": gettext_noop("Medical supplies"),
        "water": gettext_noop("Water"),
        "fuel": gettext_noop("Fuel"),
        "electricity": gettext_noop("Electricity"),
        "shelter": gettext_noop("Shelter"),
        "hygiene": gettext_noop("Hygiene"),
        "all_stock": gettext_noop("all stock"),
        "agency_stock": gettext_noop("agency stock"),
        "market": gettext_noop("market"),
        "facility": gettext_noop("facility"),
        "will_run_out": gettext_noop("will run out"),
        "low": gettext_noop("low"),
        "ran_out": gettext_noop("ran out"),
        "resupplied": gettext_noop("resupplied"),
    }
    value_model = SupplyRunout
    assessment_model = SupplyRunoutReading
    example = {"supply": "basic", "in_days_min": 14, "in_days_max": 21, "relative_text": "two to three weeks"}

    def resolve(self, value: SupplyRunout, stated_on: date) -> SupplyRunout:
        """Days counted from the statement become dates.

        A stored report holds both, so both are taken when they agree; else the error names the field.
        """
        if value.in_days_min is None and value.in_days_max is None:
            return value
        resolved = value.model_copy(
            update={
                "runs_out_earliest": None if value.in_days_min is None else stated_on + timedelta(days=value.in_days_min),
                "runs_out_latest": None if value.in_days_max is None else stated_on + timedelta(days=value.in_days_max),
            }
        )
        if value.range() not in ((None, None), resolved.range()):
            raise field_error("runs_out_earliest", "the dates are not those that in_days_min and in_days_max give; send one or the other")
        return resolved

    def due_date(self, reading: Mapping[str, Any]) -> date | None:
        """The earliest day on which it runs out, else the latest, while that is still a warning."""
        day = reading["runs_out_earliest"] or reading["runs_out_latest"]
        return date.fromisoformat(day) if day and reading["state"] in COMPATIBLE and reading["outcome"] == "pending" else None

    def forecast_range(self, value: SupplyRunout) -> tuple[date | None, date | None] | None:
        """The days on which it is said to run out, of a statement that says so of the future."""
        return value.range() if value.state == "will_run_out" and value.range() != (None, None) else None

    def occurred_on(self, value: SupplyRunout) -> date | None:
        """The first day named, of a statement that it ran out."""
        return (value.runs_out_earliest or value.runs_out_latest) if value.state == "ran_out" else None

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return all but the condition, with the days left while the run-out is a warning."""
        names = ("supply", "scope", "state", "runs_out_earliest", "runs_out_latest", "relative_text", "outcome")
        due, latest = self.due_date(value), value["runs_out_latest"]
        return {name: value[name] for name in names} | {
            "days_left": None if due is None else (due - at.date()).days,
            "days_left_latest": None if due is None or latest is None else (date.fromisoformat(latest) - at.date()).days,
        }

    def situation_fields(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Add the soonest run-out; None without one."""
        return {"supplies": items, "soonest_runout": next((each for each in items if each["days_left"] is not None), None)}

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `short` for what ran out, is past due or is due soon."""
        return Risk("short", "ran_out") if value["state"] == "ran_out" else super().risk(value, at)

    def subject(self, value: SupplyRunout) -> str:
        """The supply, and the scope where it is not all stock."""
        return value.supply if value.scope == "all_stock" else f"{value.supply}.{value.scope}"

    def alert(self, value: SupplyRunout, sent_on: date) -> Alert:
        """Urgency by the days from sending to the earliest run-out; a supply that has come again calls for nothing."""
        categories = _CATEGORIES.get(value.supply, ("Other",))
        event = f"Supply run-out: {value.supply.replace('_', ' ')}"
        if value.state == "resupplied":
            return Alert(f"Supply restored: {value.supply.replace('_', ' ')}", categories, "AllClear", "Past")
        day = value.runs_out_earliest or value.runs_out_latest
        if value.state == "ran_out":
            return Alert(event, categories, "Prepare", "Immediate" if day is None or day >= sent_on else "Past", day)
        return Alert(event, categories, "Prepare", "Unknown" if day is None else _urgency((day - sent_on).days), day)

    def default_label(self, value: SupplyRunout, source_type: str, usual: Label) -> Label:
        """Facility stocks are amber: they tell where there is something to take or to hit."""
        label = super().default_label(value, source_type, usual)
        return strictest(label, Label.AMBER) if value.scope == "facility" else label

    def contradicts(self, one: StatedValue[SupplyRunout], other: StatedValue[SupplyRunout]) -> bool:
        """Whether the states exclude each other or the dates do not meet."""
        return not _compatible(one.value, other.value) or disjoint(one.value.range(), other.value.range())

    def combine(self, standing: Sequence[StatedValue[SupplyRunout]]) -> Combined:
        """The preferred state, with the envelope of the dates of those that say the same."""
        preferred = standing[0].value
        earliest, latest = envelope(said.value.range() for said in standing if _compatible(preferred, said.value))
        reading = SupplyRunoutReading(
            supply=preferred.supply,
            state=preferred.state,
            runs_out_earliest=earliest,
            runs_out_latest=latest,
            relative_text=preferred.relative_text,
            scope=preferred.scope,
            conditional_on=preferred.conditional_on,
        )
        return Combined(reading.model_dump(mode="json"), 0)


def _urgency(days: int) -> str:
    if days < 0:
        return "Past"
    return "Immediate" if days <= 1 else "Expected" if days <= 7 else "Future"


def _compatible(one: SupplyRunout, other: SupplyRunout) -> bool:
    return one.state == other.state or {one.state, other.state} <= COMPATIBLE
