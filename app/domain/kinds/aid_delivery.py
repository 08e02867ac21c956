"""Aid deliveries: one indicator for each operation, such as one convoy, from the request to its end."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from math import inf
from operator import attrgetter
from typing import Any

from app.domain.kinds.aid_values import ARRIVED, FAILED, HAPPENED, AidDelivery, AidDeliveryReading
from app.domain.kinds.base import ANY_SEVERITY, Kind, Severity
from app.domain.kinds.combining import Combined, Part, StatedValue, basis_of, common_range, disjoint
from app.domain.kinds.showing import Clause, Risk, StatePlot, gettext_noop
from app.domain.kinds.values import field_error
from app.domain.tlp import Label, strictest

# Days without a delivery after which people are held.
MAX_DAYS_WITHOUT_DELIVERY = 60


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
    relief_states = ARRIVED
    reads_all = keeps_relief = True
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
            **dict.fromkeys(ARRIVED, "open"),
            **dict.fromkeys(("requested", "approved", "planned", "under_way"), "restricted"),
            **dict.fromkeys(FAILED, "closed"),
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
        "because_no_delivery": gettext_noop("no aid was delivered for 60 days or more"),
    }
    messages = (
        gettext_noop("must not be after the day of the statement, %(day)s, because the stage is %(code)s"),
        gettext_noop("name each supply once"),
        gettext_noop("must be empty if the stage is requested: nothing was taken off yet"),
    )
    value_model = AidDelivery
    assessment_model = AidDeliveryReading
    example = {"operation": "un-convoy-2016-07", "stage": "delivered", "on_earliest": "2016-07-01", "on_latest": "2016-07-10"}

    def resolve(self, value: AidDelivery, stated_on: date) -> AidDelivery:
        """Return it with the day of the statement as the last day of an end without one; check that no end is later.

        What is under way has begun.
        """
        began, ended = value.on_earliest or value.on_latest, value.on_latest or value.on_earliest
        for day, stages in ((began, HAPPENED | {"under_way"}), (ended, HAPPENED)):
            if day is not None and day > stated_on and value.stage in stages:
                at = "on_earliest" if day == value.on_earliest else "on_latest"
                raise field_error(at, f"must not be after the day of the statement, {stated_on}, because the stage is {value.stage}")
        is_open = value.stage in HAPPENED and value.on_earliest is not None and value.on_latest is None
        return value.model_copy(update={"on_latest": stated_on}) if is_open else value

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
            # Supplies that were taken off did not arrive.
            taken_off = (value.get("removed") or ()) if name == "supplies" else ()
            said = value.get(name)
            codes = [each for each in said if each not in taken_off] if said else [] if said is None else ["none_of_these"]
            if codes:
                found.append(Clause(message, codes={"codes": tuple(codes)}, path=name))
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
        return [(position, Risk("held", "no_delivery", figure="last_delivery" if arrived else "followed_since", since=since))]

    def place_facts(self, values: Sequence[Mapping[str, Any]], at: datetime) -> dict[str, Any]:
        """Return the last delivery of all operations, the days since, and the first day since which one is denied."""
        last = max((each["last_delivery"] for each in values if each["last_delivery"]), default=None)
        denied = min((each["denied_since"] for each in values if each["denied_since"]), default=None)
        return {"last_delivery": last, "days_since": _days_since(last, at), "denied_since": denied}

    def default_label(self, value: AidDelivery, source_type: str, usual: Label) -> Label:
        """Label an operation that has not ended at least `amber_strict`, because such a report shows where a convoy will be."""
        label = super().default_label(value, source_type, usual)
        return label if value.stage in ARRIVED | FAILED else strictest(label, Label.AMBER_STRICT)

    def is_about(self, value: AidDelivery, subject: str) -> bool:
        """Tell whether it brings a supply that was not taken off, or does not say what it brings; `basic` is a word for any."""
        taken_off = value.removed or ()
        if subject in taken_off or value.supplies is None:
            return subject not in taken_off
        brought = set(value.supplies).difference(taken_off)
        return bool(brought) and (subject == "basic" or not brought.isdisjoint({subject, "basic"}))

    def severity(self, value: AidDelivery) -> Severity:
        """Return whether it arrived or failed; any other stage contradicts nothing."""
        if value.stage in ARRIVED:
            return (0,), (0,)
        return ((1,), (1,)) if value.stage in FAILED else ANY_SEVERITY

    def disputes(self, one: StatedValue[AidDelivery], other: StatedValue[AidDelivery]) -> bool:
        """Tell whether two reports give other days for one stage, or for two ends."""
        stages = {one.value.stage, other.value.stage}
        return (len(stages) == 1 or stages <= ARRIVED | FAILED) and disjoint(one.value.range(), other.value.range())

    def leaves_standing(self, later: AidDelivery, earlier: AidDelivery) -> bool:
        """Tell whether a source that said that aid arrived names a stage before any end, such as the plan of a next convoy."""
        return earlier.stage in ARRIVED and later.stage not in ARRIVED | FAILED

    def repeated_severity(self, value: AidDelivery, severity: Severity) -> Severity:
        """Return that an end that failed is worse than any other stage: in the words of an outlet, too, it must not be missed."""
        return super().severity(value) if value.stage in FAILED else ((-inf,), (-inf,))

    def combine(self, part: Part[AidDelivery]) -> Combined:
        """Return the stage that leads, with its days, and what the other reports add."""
        assert part.preferred is not None
        preferred, reports = part.preferred, part.in_order()
        same = [each for each in reports if each.value.stage == preferred.value.stage]
        earliest, latest = common_range([each.value.range() for each in same])

        def first(name: str, among: Sequence[StatedValue[AidDelivery]]) -> Any:
            return next((said for each in among if (said := getattr(each.value, name)) is not None), None)

        # A source need not repeat what it said at an earlier stage.
        told = [*reports, *part.earlier]
        said = {name: first(name, told) for name in ("planned_for", "supplies", "removed", "route")} | {"cause": first("cause", same)}
        found = said | {"on_earliest": earliest, "on_latest": latest}
        basis = basis_of(told, {name: (figure, attrgetter(name)) for name, figure in said.items()})
        basis |= basis_of(same, {name: (found[name], attrgetter(name)) for name in ("on_earliest", "on_latest", "cause")})
        followed = part.first or preferred
        days: dict[str, tuple[StatedValue[AidDelivery], date]] = {"followed_since": (followed, followed.day)}
        if preferred.value.stage in ARRIVED:
            # The same delivery told once more was no later one.
            began = part.began or preferred
            by = basis.get("on_latest") or basis.get("on_earliest") or began
            last = latest or earliest or began.day
            is_told_again = last == by.day and (earliest or last) <= began.day < last
            days["last_delivery"] = (began, began.day) if is_told_again else (by, last)
        elif part.before is not None:
            arrived = self.combine(part.before)
            days["last_delivery"] = arrived.basis["last_delivery"], date.fromisoformat(arrived.value["last_delivery"])
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
