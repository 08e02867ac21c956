"""Aid deliveries: one indicator for each operation, such as one convoy, from the request to its end."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from math import inf
from operator import attrgetter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import ANY_SEVERITY, Kind, Severity
from app.domain.kinds.combining import Combined, Part, StatedValue, basis_of, common_range, disjoint
from app.domain.kinds.showing import Clause, Risk, StatePlot, gettext_noop
from app.domain.kinds.values import AccessConstraint, Day, People, SupplyType, Value, field_error
from app.domain.tlp import Label, strictest

DeliveryStage = TypeAliasType(
    "DeliveryStage",
    Literal[
        "requested", "approved", "planned", "under_way", "denied", "cancelled", "turned_back", "attacked", "partly_delivered", "delivered"
    ],
)
_ARRIVED = frozenset({"partly_delivered", "delivered"})
_FAILED = frozenset({"attacked", "turned_back", "denied", "cancelled"})
# Stages that have happened when they are reported; other days may lie ahead.
_HAPPENED = _ARRIVED | {"attacked", "turned_back"}
# Days without a delivery after which people are held.
MAX_DAYS_WITHOUT_DELIVERY = 60


class AidDelivery(Value):
    """How far one operation to deliver aid has come."""

    operation: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9-]{1,64}$",
            description="Slug of the operation, chosen by reporters, such as `un-convoy-2016-07`: a-z, 0-9 and -, at most 64 characters. "
            "Reports with the same slug are about the same operation.",
        ),
    ]
    stage: DeliveryStage = Field(description="How far the operation has come. The last six are ends.")
    on_earliest: Day | None = Field(default=None, description="First day on which it happened, or is to happen.")
    on_latest: Day | None = Field(default=None, description="Last day on which it happened, or is to happen.")
    planned_for: People | None = Field(default=None, description="Number of persons that the aid is for.")
    supplies: tuple[SupplyType, ...] | None = Field(default=None, description="What is delivered; null if not said.")
    removed: tuple[SupplyType, ...] | None = Field(
        default=None, description="What was taken off the convoy; null if not said, `[]` if the source says that nothing was."
    )
    route: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] | None = Field(default=None, description="Slug of the route that it takes.")
    cause: AccessConstraint | None = Field(
        default=None, description="Type of access constraint that stopped, delayed or reduced it, by OCHA's framework."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.on_earliest and self.on_latest and self.on_earliest > self.on_latest:
            raise field_error("on_earliest", "on_earliest must not be after on_latest")
        for name in ("supplies", "removed"):
            named = getattr(self, name) or ()
            if len(set(named)) != len(named):
                raise field_error(name, "name each supply once")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """Return the first and last day on which it happened, or is to happen; None is an open end."""
        return self.on_earliest, self.on_latest


class AidDeliveryReading(BaseModel):
    """How far one operation to deliver aid has come, assessed; null where no report leads."""

    operation: str = Field(description="Slug of the operation.")
    stage: DeliveryStage | None = Field(
        description="The worst end that stands; without an end that failed, how far it has come; null if a delivery is only claimed."
    )
    on_earliest: Day | None = Field(
        description="First day on which the reports of this stage agree, else that of the preferred one; null if not known."
    )
    on_latest: Day | None = Field(description="Last day by the same reports; null if not known.")
    planned_for: int | None = Field(description="Number of persons that the aid is for; null if no report says.")
    supplies: tuple[SupplyType, ...] | None = Field(description="What is delivered; null if no report says.")
    removed: tuple[SupplyType, ...] | None = Field(description="What was taken off the convoy; null if no report says.")
    route: str | None = Field(description="Slug of the route; null if no report says.")
    cause: AccessConstraint | None = Field(description="Type of access constraint, by the reports of this stage; null if none names one.")
    last_delivery: Day | None = Field(
        description="Last day of the delivery, else that of the first report that has said since that it arrived; null if none did."
    )
    denied_since: Day | None = Field(description="First day on which a report that stands says `denied`; null unless that leads.")
    followed_since: Day | None = Field(description="Day of the first report on the operation; null if none leads.")


class AidDeliveryKind(Kind[AidDelivery]):
    """Combine the stages of an operation; only what arrived and what failed contradict each other, and days that do not meet."""

    name = "aid_delivery"
    collection = "aid-deliveries"
    title = "Aid deliveries"
    description = "How far operations to deliver aid have come, and how they ended."
    horizon_days = 90
    filter_field = "operation"
    status_field = "stage"
    references = {"route": "route"}
    range_fields = frozenset({"on_earliest", "on_latest"})
    # Failures first, then the stage that has come furthest.
    worst_first = (
        *("attacked", "turned_back", "denied", "cancelled"),
        *("partly_delivered", "delivered", "under_way", "planned", "approved", "requested"),
    )
    relief_states = _ARRIVED
    reads_all = True
    report_fields = frozenset({"followed_since"})
    summary_fields = (
        *("operation", "stage", "on_earliest", "on_latest", "planned_for", "supplies", "removed", "route", "cause"),
        *("last_delivery", "denied_since"),
    )
    note_fields = ("days_since", "denied_since", "planned_for", "supplies", "removed", "route", "cause")
    brief_codes = ("cause",)
    place_reasons = frozenset({"no_delivery"})
    situation_columns = (
        ("facts.aid_delivery.last_delivery", "#date+delivery+last", "date"),
        ("facts.aid_delivery.days_since", "#indicator+days_since+delivery+num", "integer"),
        ("facts.aid_delivery.denied_since", "#date+denied+start", "date"),
    )
    hxl = {
        "operation": "#operations+code",
        "stage": "#status+delivery",
        "on_earliest": "#date+delivery+min",
        "on_latest": "#date+delivery+max",
        "planned_for": "#targeted+ind",
        "supplies": "#item+delivery+list",
        "removed": "#item+removed+list",
        "route": "#access+route+code",
        "cause": "#access+type",
        "last_delivery": "#date+delivery+last",
        "denied_since": "#date+denied+start",
        "followed_since": "#date+delivery+followed",
    }
    plot = StatePlot(
        state="stage",
        states=(
            *("delivered", "partly_delivered", "under_way", "planned", "approved", "requested"),
            *("cancelled", "denied", "turned_back", "attacked"),
        ),
        tones={
            **dict.fromkeys(_ARRIVED, "open"),
            **dict.fromkeys(("requested", "approved", "planned", "under_way"), "restricted"),
            **dict.fromkeys(_FAILED, "closed"),
        },
        days=("on_earliest", "on_latest"),
    )
    code_labels = {
        "aid_delivery": gettext_noop("Aid"),
        "requested": gettext_noop("requested"),
        "approved": gettext_noop("approved"),
        "planned": gettext_noop("planned"),
        "under_way": gettext_noop("under way"),
        "denied": gettext_noop("denied"),
        "cancelled": gettext_noop("cancelled"),
        "turned_back": gettext_noop("turned back"),
        "attacked": gettext_noop("attacked"),
        "partly_delivered": gettext_noop("partly delivered"),
        "delivered": gettext_noop("delivered"),
        "unknown": gettext_noop("not known"),
        "denial_of_needs": gettext_noop("needs or rights denied"),
        "entry_restriction": gettext_noop("entry restricted"),
        "internal_movement_restriction": gettext_noop("movement restricted"),
        "interference": gettext_noop("interference"),
        "violence_against_humanitarians": gettext_noop("violence against aid workers"),
        "population_access_restriction": gettext_noop("people kept from aid"),
        "hostilities": gettext_noop("hostilities"),
        "mines_uxo": gettext_noop("mines and unexploded ordnance"),
        "physical_environment": gettext_noop("terrain or weather"),
        "field_operation": gettext_noop("Operation"),
        "field_stage": gettext_noop("Stage"),
        "field_on": gettext_noop("When"),
        "field_on_earliest": gettext_noop("At the earliest"),
        "field_on_latest": gettext_noop("At the latest"),
        "field_planned_for": gettext_noop("Planned for people"),
        "field_cause": gettext_noop("Cause"),
        "field_supplies": gettext_noop("Supplies"),
        "field_removed": gettext_noop("Taken off the convoy"),
        "field_last_delivery": gettext_noop("Last delivery"),
        "field_days_since": gettext_noop("Days since the delivery"),
        "field_denied_since": gettext_noop("Denied since"),
        "help_operation": gettext_noop("A short name that you choose for this convoy, airdrop or request, always the same one."),
        "help_on": gettext_noop("The day on which it happened or is to happen, or two days."),
        "none_of_these": gettext_noop("nothing at all"),
        "because_no_delivery": gettext_noop("no aid was delivered for 60 days"),
    }
    value_model = AidDelivery
    assessment_model = AidDeliveryReading
    example = {"operation": "un-convoy-2016-07", "stage": "delivered", "on_earliest": "2016-07-01", "on_latest": "2016-07-10"}

    def resolve(self, value: AidDelivery, stated_on: date) -> AidDelivery:
        """Check that what has happened did so by the day of the statement; what is under way has begun."""
        began, ended = value.on_earliest or value.on_latest, value.on_latest or value.on_earliest
        for day, stages in ((began, _HAPPENED | {"under_way"}), (ended, _HAPPENED)):
            if day is not None and day > stated_on and value.stage in stages:
                at = "on_earliest" if day == value.on_earliest else "on_latest"
                raise field_error(at, f"must not be after the day of the statement, {stated_on}, because the stage is {value.stage}")
        return value

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by the last delivery, the newest first, then what did not arrive by operation."""
        last = summary["last_delivery"]
        return -date.fromisoformat(last).toordinal() if last else 0, summary["operation"]

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return the fields in a situation, with the days since the delivery."""
        return super().summary(value, at) | {"days_since": _days_since(value["last_delivery"], at)}

    def clauses(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return the stage with its days, for how many it is, with what, and since when it is denied."""
        found = super().clauses(value)
        if value.get("planned_for") is not None:
            found.append(Clause(gettext_noop("planned for %(number)s"), {"number": ("planned_for", value["planned_for"])}))
        for name, message in (("supplies", gettext_noop("with: %(codes)s")), ("removed", gettext_noop("taken off: %(codes)s"))):
            if value.get(name) is not None:
                found.append(Clause(message, codes={"codes": value[name] or ("none_of_these",)}, path=name))
        if value.get("denied_since"):
            found[0] = Clause(gettext_noop("denied since %(day)s"), {"day": ("denied_since", value["denied_since"])})
        return found

    def risks(self, values: Sequence[Mapping[str, Any]], at: datetime) -> list[tuple[int, Risk]]:
        """Return `held` where deliveries are followed, but none arrived for MAX_DAYS_WITHOUT_DELIVERY.

        Without any delivery, the days count from the first report on one.
        """
        arrived = [(each["last_delivery"], position) for position, each in enumerate(values) if each["last_delivery"]]
        followed = [(each["followed_since"], position) for position, each in enumerate(values) if each["followed_since"]]
        since, position = max(arrived) if arrived else min(followed, default=(None, 0))
        if since is None or (at.date() - date.fromisoformat(since)).days < MAX_DAYS_WITHOUT_DELIVERY:
            return []
        return [(position, Risk("held", "no_delivery", since=since))]

    def place_facts(self, values: Sequence[Mapping[str, Any]], at: datetime) -> dict[str, Any]:
        """Return the last delivery of all operations, the days since, and the first day since which one is denied."""
        last = max((each["last_delivery"] for each in values if each["last_delivery"]), default=None)
        denied = min((each["denied_since"] for each in values if each["denied_since"]), default=None)
        return {"last_delivery": last, "days_since": _days_since(last, at), "denied_since": denied}

    def default_label(self, value: AidDelivery, source_type: str, usual: Label) -> Label:
        """Label an operation that has not ended at least `amber_strict`, because such a report shows where a convoy will be."""
        label = super().default_label(value, source_type, usual)
        return label if value.stage in _ARRIVED | _FAILED else strictest(label, Label.AMBER_STRICT)

    def severity(self, value: AidDelivery) -> Severity:
        """Return whether it arrived or failed; any other stage contradicts nothing."""
        if value.stage in _ARRIVED:
            return (0,), (0,)
        return ((1,), (1,)) if value.stage in _FAILED else ANY_SEVERITY

    def disputes(self, one: StatedValue[AidDelivery], other: StatedValue[AidDelivery]) -> bool:
        """Tell whether two reports give other days for one stage, or for two ends."""
        stages = {one.value.stage, other.value.stage}
        return (len(stages) == 1 or stages <= _ARRIVED | _FAILED) and disjoint(one.value.range(), other.value.range())

    def repeated_severity(self, value: AidDelivery, severity: Severity) -> Severity:
        """Return that an end that failed is worse than any other stage: in the words of an outlet, too, it must not be missed."""
        return super().severity(value) if value.stage in _FAILED else ((-inf,), (-inf,))

    def combine(self, part: Part[AidDelivery]) -> Combined:
        """Return the stage that leads, with its days, and what the other reports add."""
        assert part.preferred is not None
        preferred, reports = part.preferred, part.in_order()
        same = [each for each in reports if each.value.stage == preferred.value.stage]
        earliest, latest = common_range([each.value.range() for each in same])

        def first(name: str, among: Sequence[StatedValue[AidDelivery]]) -> Any:
            return next((said for each in among if (said := getattr(each.value, name)) is not None), None)

        said = {name: first(name, reports) for name in ("planned_for", "supplies", "removed", "route")} | {"cause": first("cause", same)}
        found = said | {"on_earliest": earliest, "on_latest": latest}
        basis = basis_of(reports, {name: (figure, attrgetter(name)) for name, figure in said.items()})
        basis |= basis_of(same, {name: (found[name], attrgetter(name)) for name in ("on_earliest", "on_latest", "cause")})
        followed = part.first or preferred
        days: dict[str, tuple[StatedValue[AidDelivery], date]] = {"followed_since": (followed, followed.day)}
        if preferred.value.stage in _ARRIVED:
            # The same delivery told once more was no later one.
            began = part.began or preferred
            by = basis.get("on_latest") or basis.get("on_earliest")
            days["last_delivery"] = (by or began), (latest or earliest or began.day)
        if preferred.value.stage == "denied":
            first_denied = min([part.began or preferred, *same], key=_first_day)
            days["denied_since"] = first_denied, _first_day(first_denied)
        found |= dict.fromkeys(("last_delivery", "denied_since")) | {name: day for name, (_, day) in days.items()}
        assessed = AidDeliveryReading(operation=preferred.value.operation, stage=preferred.value.stage, **found)
        return Combined(assessed.model_dump(mode="json"), basis | {name: each for name, (each, _) in days.items()})


def _days_since(day: str | None, at: datetime) -> int | None:
    return (at.date() - date.fromisoformat(day)).days if day else None


def _first_day(each: StatedValue[AidDelivery]) -> date:
    """Return the first day that a report names, else its own."""
    return each.value.on_earliest or each.value.on_latest or each.day
