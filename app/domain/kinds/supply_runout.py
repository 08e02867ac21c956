"""Supply run-outs: one indicator for each supply and scope, because an agency's stock says nothing about the market."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from math import inf
from operator import attrgetter
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import Kind, Severity
from app.domain.kinds.combining import Combined, Part, basis_of
from app.domain.kinds.showing import Alert, Clause, DatePlot, Risk, code_clause, date_clauses, gettext_noop, words_clause
from app.domain.kinds.values import Day, Days, ShortText, SupplyType, Value, WarningFields, closed_set, field_error
from app.domain.tlp import Label, strictest

SupplyState = TypeAliasType("SupplyState", Literal["will_run_out", "low", "ran_out", "resupplied"])
# Soonest first.
Imminence = TypeAliasType("Imminence", Literal["hours", "days", "weeks", "months"])
SupplyScope = TypeAliasType("SupplyScope", Literal["all_stock", "agency_stock", "market", "facility"])

# States that warn; they do not contradict each other, because a supply that is low may run out on a given day.
_WARNING_STATES: frozenset[str] = frozenset({"will_run_out", "low"})
_WILL_RUN_OUT = (
    gettext_noop("will run out between %(first)s and %(last)s"),
    gettext_noop("will run out on %(day)s"),
    gettext_noop("will run out on %(day)s or later"),
    gettext_noop("will run out by %(day)s"),
)
# CAP 1.2 categories; those of other supplies are `Other`.
_CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "medical": ("Health",),
    **dict.fromkeys(("water", "fuel", "electricity"), ("Infra",)),
    **dict.fromkeys(("food", "basic"), ("Other", "Safety")),
}
# CAP 1.2 urgency of a warning without a date.
_IMMINENT: Mapping[str, str] = {"hours": "Immediate", "days": "Expected"}


class SupplyRunout(Value):
    """When a supply runs out, in dates or in days from the day of the statement."""

    supply: SupplyType = Field(description="What runs out.")
    state: SupplyState = Field(default="will_run_out", description="State of the supply.")
    runs_out_earliest: Day | None = Field(default=None, description="Earliest day on which it runs out.")
    runs_out_latest: Day | None = Field(default=None, description="Latest day on which it runs out.")
    in_days_min: Days | None = Field(default=None, description="Minimum days from `stated_at`, instead of dates.")
    in_days_max: Days | None = Field(default=None, description="Maximum days from `stated_at`, instead of dates.")
    imminence: Imminence | None = Field(
        default=None, description="How soon, for words without a number: `hours, if not days` is `hours`; null if not said."
    )
    relative_text: ShortText | None = Field(default=None, description="The source's own words, such as `two to three weeks`.")
    scope: SupplyScope = Field(default="all_stock", description="Whose stock.")
    conditional_on: ShortText | None = Field(default=None, description="Condition, such as `if no convoy gets in`.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.in_days_min is not None and self.in_days_max is not None and self.in_days_min > self.in_days_max:
            raise field_error("in_days_min", "in_days_min must not exceed in_days_max")
        if self.runs_out_earliest and self.runs_out_latest and self.runs_out_earliest > self.runs_out_latest:
            raise field_error("runs_out_earliest", "runs_out_earliest must not be after runs_out_latest")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """Return the first and last day on which it runs out; None is an open end."""
        return self.runs_out_earliest, self.runs_out_latest


class SupplyRunoutReading(WarningFields):
    """When one supply runs out, assessed; null where no report leads."""

    supply: SupplyType = Field(description="What runs out.")
    state: SupplyState | None = Field(description="Worst state that stands; null if only relief is claimed.")
    runs_out_earliest: Day | None = Field(description="Earliest day by the warnings that stand without an outcome; null if none gives one.")
    runs_out_latest: Day | None = Field(description="Latest day by the same warnings; null if none gives one.")
    imminence: Imminence | None = Field(description="Soonest imminence by the same warnings; null if none gives one.")
    relative_text: str | None = Field(description="Words of the preferred report; null for none.")
    scope: SupplyScope = Field(description="Whose stock.")
    conditional_on: str | None = Field(description="Condition by the preferred report; null for none.")


class SupplyRunoutKind(Kind[SupplyRunout]):
    """Combine run-out dates; ranges that do not meet contradict each other, and so do states other than `low` and `will_run_out`."""

    name = "supply_runout"
    collection = "supply-runouts"
    title = "Supply run-outs"
    description = "When food, water, fuel, medicine and other supplies run out."
    horizon_days = 30
    state_horizon_days = {"resupplied": 14}
    interval_days = 3
    worst_first = ("ran_out", "will_run_out", "low", "resupplied")
    relief_states = frozenset({"resupplied"})
    subject_fields = ("scope",)
    filter_field = "supply"
    status_field = "state"
    range_fields = frozenset({"runs_out_earliest", "runs_out_latest", "due"})
    has_outcome = True
    evidence_kinds = frozenset({"aid_delivery"})
    has_alerts = True
    situation_group = "supplies"
    summary_fields = (
        *("supply", "scope", "state", "runs_out_earliest", "runs_out_latest", "imminence", "relative_text", "conditional_on"),
        *("outcome", "due"),
    )
    situation_columns = (
        ("soonest_runout.supply", "#item+type", "text"),
        ("soonest_runout.state", "#status+supply", "text"),
        ("soonest_runout.runs_out_earliest", "#date+runout+min", "date"),
        ("soonest_runout.runs_out_latest", "#date+runout+max", "date"),
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
        "imminence": "#status+imminence",
        "relative_text": "#description+runout",
        "scope": "#meta+scope",
        "conditional_on": "#description+condition",
        "outcome": "#status+outcome",
        "due": "#date+due",
    }
    plot = DatePlot(
        earliest="runs_out_earliest",
        latest="runs_out_latest",
        state="state",
        states=("resupplied", "will_run_out", "low", "ran_out"),
        imminence="imminence",
        quote="relative_text",
        condition="conditional_on",
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
        "hours": gettext_noop("within hours"),
        "days": gettext_noop("within days"),
        "weeks": gettext_noop("within weeks"),
        "months": gettext_noop("within months"),
        "field_conditional_on": gettext_noop("On condition"),
        "because_past_due": gettext_noop("may have run out, outcome not known"),
        "because_due_soon": gettext_noop("runs out soon"),
        "because_imminent": gettext_noop("runs out within hours or days"),
    }
    messages = (
        gettext_noop("what ran out did so by the day of the statement, %(day)s: send that day or an earlier one"),
        gettext_noop("%(read)s is before the statement of %(day)s: write the year; for what ran out send the state ran_out"),
        gettext_noop("the dates must be those that in_days_min and in_days_max give; send one or the other"),
    )
    value_model = SupplyRunout
    assessment_model = SupplyRunoutReading
    example = {"supply": "basic", "in_days_min": 14, "in_days_max": 21, "relative_text": "two to three weeks"}

    def resolve(self, value: SupplyRunout, stated_on: date) -> SupplyRunout:
        """Turn days from the statement into dates; stored reports have both, which must agree."""
        if value.in_days_min is None and value.in_days_max is None:
            _check_days(value, value, stated_on)
            return value
        first, last = (None if days is None else stated_on + timedelta(days=days) for days in (value.in_days_min, value.in_days_max))
        resolved = value.model_copy(update={"runs_out_earliest": first, "runs_out_latest": last})
        if value.range() not in ((None, None), resolved.range()):
            raise field_error("runs_out_earliest", "the dates must be those that in_days_min and in_days_max give; send one or the other")
        _check_days(resolved, value, stated_on)
        return resolved

    def forecast_range(self, value: SupplyRunout) -> tuple[date | None, date | None] | None:
        """Return the range of days of a warning that names any."""
        return value.range() if self.warns(value) and value.range() != (None, None) else None

    def occurred_on(self, value: SupplyRunout, stated_on: date) -> date | None:
        """Return the earliest day, else that of the statement, if the report says that the supply ran out."""
        return (value.runs_out_earliest or value.runs_out_latest or stated_on) if value.state == "ran_out" else None

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Add the days left, None unless the supply has a due date."""
        due, latest = self.due_date(value), value["runs_out_latest"]
        return super().summary(value, at) | {
            "days_left": None if due is None else (due - at.date()).days,
            "days_left_latest": None if due is None or latest is None else (date.fromisoformat(latest) - at.date()).days,
        }

    def clauses(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return the state with its days, or how soon where no day is given, and on what condition."""
        state, warns = value.get("state"), value.get("state") in _WARNING_STATES
        days = (value, "runs_out_earliest", "runs_out_latest")
        dates = date_clauses(*days, _WILL_RUN_OUT) if warns else date_clauses(*days)
        said = [] if state is None or (state == "will_run_out" and dates) else [code_clause(state)]
        soon = [code_clause(value["imminence"], path="imminence")] if warns and not dates and value.get("imminence") else []
        return [*said, *dates, *soon, *words_clause(value, "conditional_on")]

    def situation_fields(self, items: Sequence[dict[str, Any]], unknown: Collection[str]) -> dict[str, Any]:
        """Add the soonest run-out."""
        return {"supplies": items, "soonest_runout": next((each for each in items if each["days_left"] is not None), None)}

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `short` if the supply ran out, is past due or due soon, or is said to run out within hours or days."""
        if value["state"] == "ran_out":
            return Risk("short", "ran_out")
        return super().risk(value, at) or (Risk("short", "imminent", figure="imminence") if self.is_imminent(value) else None)

    def is_imminent(self, value: Mapping[str, Any]) -> bool:
        """Tell whether an open warning says that it runs out within hours or days."""
        return value["outcome"] == "pending" and value["imminence"] in ("hours", "days")

    def subject(self, value: SupplyRunout) -> str:
        """Return the supply, with its scope unless that is all stock."""
        return value.supply if value.scope == "all_stock" else f"{value.supply}.{value.scope}"

    def alert(self, value: SupplyRunout, sent_on: date) -> Alert:
        """Derive the urgency from the days until the earliest run-out, else from the imminence; a resupply gives the all-clear."""
        categories = _CATEGORIES.get(value.supply, ("Other",))
        event = f"Supply run-out: {value.supply.replace('_', ' ')}"
        if value.state == "resupplied":
            return Alert(f"Supply restored: {value.supply.replace('_', ' ')}", categories, "AllClear", "Past")
        day = value.runs_out_earliest or value.runs_out_latest
        if value.state == "ran_out":
            return Alert(event, categories, "Prepare", "Immediate" if day is None or day >= sent_on else "Past", day)
        urgency = _IMMINENT.get(value.imminence or "", "Unknown") if day is None else _urgency((day - sent_on).days)
        return Alert(event, categories, "Prepare", urgency, day, value.runs_out_latest or day)

    def default_label(self, value: SupplyRunout, source_type: str, usual: Label) -> Label:
        """Label stocks of facilities at least `amber`, because such a report shows a target."""
        label = super().default_label(value, source_type, usual)
        return strictest(label, Label.AMBER) if value.scope == "facility" else label

    def warns(self, value: SupplyRunout) -> bool:
        """Tell whether a report warns that the supply will run out; `low` does if it says when."""
        return value.state == "will_run_out" or (value.state == "low" and (value.range() != (None, None) or value.imminence is not None))

    def came_true(self, value: SupplyRunout) -> SupplyRunout:
        """Return that the supply ran out."""
        return SupplyRunout(supply=value.supply, scope=value.scope, state="ran_out")

    def severity(self, value: SupplyRunout) -> Severity:
        """Return the state, `low` and `will_run_out` as one, and within it the days that are left, fewer of them worse."""
        earliest, latest = value.range()
        state = {"resupplied": 0, "ran_out": 2}.get(value.state, 1)
        return (state, -inf if latest is None else -latest.toordinal()), (state, inf if earliest is None else -earliest.toordinal())

    def never_passes(self, value: SupplyRunout) -> bool:
        """Rule 5: what ran out passes no horizon."""
        return value.state == "ran_out"

    def leaves_standing(self, later: SupplyRunout, earlier: SupplyRunout) -> bool:
        """Rule 4: a later `low` without dates leaves a dated warning."""
        return later.state == "low" and later.range() == (None, None) and self.warns(earlier) and earlier.range() != (None, None)

    def may_overtake(self, later: SupplyRunout, earlier: SupplyRunout) -> bool:
        """Rule 6: what ran out is overtaken by `resupplied` alone."""
        return earlier.state != "ran_out" or later.state == "resupplied"

    def combine(self, part: Part[SupplyRunout]) -> Combined:
        """Rule 8: return the state that leads, with the days from the earliest to the latest of the warnings."""
        assert part.preferred is not None
        preferred = part.preferred.value
        warnings = [each for each in part.in_order() if self.warns(each.value)]
        earliest = min((each.value.runs_out_earliest for each in warnings if each.value.runs_out_earliest), default=None)
        latest = max((each.value.runs_out_latest for each in warnings if each.value.runs_out_latest), default=None)
        if earliest and latest and earliest > latest:
            # Half-open ranges that do not meet: keep the sooner end.
            earliest = None
        imminence = min((said for each in warnings if (said := each.value.imminence)), key=closed_set(Imminence).index, default=None)
        found = {"runs_out_earliest": earliest, "runs_out_latest": latest, "imminence": imminence}
        figures = {name: (figure, attrgetter(name)) for name, figure in found.items()}
        return Combined(SupplyRunoutReading(**dict(preferred) | found).model_dump(mode="json"), basis_of(warnings, figures))


def _check_days(resolved: SupplyRunout, sent: SupplyRunout, stated_on: date) -> None:
    for name, relative in (("runs_out_earliest", "in_days_min"), ("runs_out_latest", "in_days_max")):
        day, at = getattr(resolved, name), name if getattr(sent, relative) is None else relative
        if day is not None and resolved.state == "ran_out" and day > stated_on:
            raise field_error(at, f"what ran out did so by the day of the statement, {stated_on}: send that day or an earlier one")
        if day is not None and resolved.state != "ran_out" and day < stated_on:
            raise field_error(at, f"{day} is before the statement of {stated_on}: write the year; for what ran out send the state ran_out")


def _urgency(days: int) -> str:
    return "Past" if days < 0 else "Immediate" if days <= 1 else "Expected" if days <= 7 else "Future"
