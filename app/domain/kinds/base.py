"""The interface of a kind: its values, how its reports are assessed together, and how it is shown. Pure.

To add a kind, write one file and register it in `app.domain.kinds`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from math import inf
from typing import Any, ClassVar, Generic, Literal

from pydantic import BaseModel

from app.domain.kinds.combining import Combined, Part, StatedValue
from app.domain.kinds.showing import Alert, Clause, DatePlot, RangePlot, Risk, StatePlot, code_clause, plot_clauses, words_clause
from app.domain.kinds.values import V
from app.domain.times import MIN_DAY
from app.domain.tlp import Label, strictest

SituationGroup = Literal["trapped", "supplies", "routes", "other"]
# Days before its due date from which a warning is a risk.
MAX_SHORT_DAYS = 7
# Undated warnings are listed by the day of their statement, moved before all days that a report may name.
_UNDATED_SHIFT = MIN_DAY - date.min
LAST_UNDATED = MIN_DAY - timedelta(days=1)


ALL_FACETS: frozenset[str] = frozenset({""})

# The lowest and highest place of a value on the scale of its kind, on which higher is worse for people.
Severity = tuple[tuple[float, ...], tuple[float, ...]]
ANY_SEVERITY: Severity = ((-inf,), (inf,))
Contradiction = Literal["better", "worse", "neither"]


def undated_day(stated_on: date) -> date:
    """Return the day to list an undated warning by, not after LAST_UNDATED; the order is that of the statements."""
    return min(max(stated_on, MIN_DAY) - _UNDATED_SHIFT, LAST_UNDATED)


class Kind(ABC, Generic[V]):
    """One kind of indicator.

    Values: `value_model` is that of reports, `assessment_model` that of indicators, of which `range_fields` are the range.
    Lists: `filter_field` is the field to filter by, `status_field` that behind the filter `status`. `references` maps fields that hold
    slugs to their collection. Warnings: a kind with `has_outcome` has the fields of `WarningFields` in its `assessment_model`; reports of
    its own kind and of `evidence_kinds` show outcomes. With `has_alerts`, it has CAP alerts.
    Assessment: `worst_first` are the states of `status_field`, the one that leads first; a kind without them is led by its best report.
    `relief_states` are those that say that all is well, which takes two voices. A report overtakes another that is at least
    `interval_days` older. `state_horizon_days` shortens the horizon of some states. `subject_fields` are the fields that all reports on
    an indicator share, `filter_field` among them or not. Reports of a kind that `is_lasting` pass no horizon and never become stale.
    With `compares_days`, `disputes` looks at the days of reports, too. A kind that `reads_all` tells since when something is so, or
    keeps several reports of a source, of any age; one that `keeps_relief` also tells when relief came that is past its horizon.
    `report_fields` are fields of an assessed value that are about its reports themselves: a judgement, which is no report, leaves them
    unchanged.
    Situations: at most one kind has each `situation_group` other than `other`. `summary_fields` are the fields to show, none for all, and
    `situation_columns` the kind's columns in tables of situations, as (path, HXL hashtag, data type). `outdates` is the group whose
    figures are older than what the kind says happened later (`happened_on`). `place_reasons` are reasons for a level that are about the
    place, not about the indicator that they rest on. Exports: `hxl` maps fields to HXL 1.1 hashtags. Checks: `counts_stock` says that
    figures are how many there are, not how many came or left, so that those of two places can be compared; `part_of` maps subjects to
    others that include them, with the reason, marked with `gettext_noop`.
    Board: `plot` draws the kind over time, `code_labels` are the English labels of its codes, marked with `gettext_noop`; that of a
    reason for a level, as `risks` gives it, begins with `because_`, that of a field of its form with `field_`, a line of help for it with
    `help_`; `messages` are those of its own errors, what varies in them as `%(day)s`. `note_fields` are the fields of an item in a
    situation that the board shows as notes. Briefs show `brief_codes` and `brief_words` besides: fields of codes and of free text.
    """

    name: ClassVar[str]
    collection: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    example: ClassVar[Mapping[str, Any]]
    horizon_days: ClassVar[int]
    value_model: type[V]
    assessment_model: type[BaseModel]
    range_fields: ClassVar[frozenset[str]] = frozenset()
    filter_field: ClassVar[str]
    status_field: ClassVar[str | None] = None
    references: ClassVar[Mapping[str, str]] = {}
    has_outcome: ClassVar[bool] = False
    evidence_kinds: ClassVar[frozenset[str]] = frozenset()
    has_alerts: ClassVar[bool] = False
    situation_group: ClassVar[SituationGroup] = "other"
    summary_fields: ClassVar[tuple[str, ...]] = ()
    situation_columns: ClassVar[Sequence[tuple[str, str, Literal["text", "date", "integer", "boolean"]]]] = ()
    outdates: ClassVar[SituationGroup | None] = None
    place_reasons: ClassVar[frozenset[str]] = frozenset()
    note_fields: ClassVar[tuple[str, ...]] = ()
    brief_codes: ClassVar[tuple[str, ...]] = ()
    brief_words: ClassVar[tuple[str, ...]] = ()
    hxl: ClassVar[Mapping[str, str]] = {}
    counts_stock: ClassVar[bool] = False
    part_of: ClassVar[Mapping[tuple[str, str], str]] = {}
    plot: ClassVar[RangePlot | DatePlot | StatePlot | None] = None
    code_labels: ClassVar[Mapping[str, str]] = {}
    messages: ClassVar[tuple[str, ...]] = ()
    interval_days: ClassVar[int] = 0
    worst_first: ClassVar[tuple[str, ...]] = ()
    relief_states: ClassVar[frozenset[str]] = frozenset()
    state_horizon_days: ClassVar[Mapping[str, int]] = {}
    subject_fields: ClassVar[tuple[str, ...]] = ()
    is_lasting: ClassVar[bool] = False
    compares_days: ClassVar[bool] = False
    reads_all: ClassVar[bool] = False
    keeps_relief: ClassVar[bool] = False
    report_fields: ClassVar[frozenset[str]] = frozenset()

    def resolve(self, value: V, stated_on: date) -> V:
        """Resolve relative times against the day of the statement at the place; raise `field_error` for a date that cannot be."""
        return value

    def subject(self, value: V) -> str:
        """Return the subject of a report; kind, place and subject identify the indicator."""
        return str(getattr(value, self.filter_field))

    def facet(self, value: V) -> str:
        """Return the part of the subject that a report is about, as stored; empty for all of it."""
        return ""

    def facets(self, value: V) -> frozenset[str]:
        """Return the parts of the subject that a report is about; each is assessed on its own."""
        return ALL_FACETS

    def due_date(self, value: Mapping[str, Any]) -> date | None:
        """Return the first day on which a warning may come true, by its assessed value; None if nothing is due."""
        return date.fromisoformat(value["due"]) if self.has_outcome and value["due"] else None

    def is_imminent(self, value: Mapping[str, Any]) -> bool:
        """Tell whether an open warning says hours or days, by its assessed value."""
        return False

    def warning_day(self, value: Mapping[str, Any], stated: Iterable[tuple[V, date]]) -> date | None:
        """Return the day to list an assessed value by among warnings: the due date; if it is imminent without one, `undated_day`.

        `stated` are the warnings that are due, of which the newest that is imminent counts, and the days on which they were stated.
        """
        if (due := self.due_date(value)) is not None or not self.is_imminent(value):
            return due
        days = [day for each, day in stated if self.is_imminent({**each.model_dump(), "outcome": "pending"})]
        return undated_day(max(days, default=date.min))

    def due_day(self, value: V) -> date | None:
        """Return the first day on which a warning may come true, by its report: its earliest day, else its latest."""
        earliest, latest = self.forecast_range(value) or (None, None)
        return earliest or latest

    def forecast_range(self, value: V) -> tuple[date | None, date | None] | None:
        """Return the first and last day for which a report warns, None for an open end; None if it does not warn."""
        return None

    def occurred_on(self, value: V, stated_on: date) -> date | None:
        """Return the day on which what warnings name happened, by a report that says that it did; None for any other report."""
        return None

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return the kind's own fields in a situation, among them all that `due_date`, `risk` and `sort_key` read."""
        return {name: value[name] for name in self.summary_fields or value}

    def clauses(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return what a value says, as the parts of a sentence: that of a report or of an assessment."""
        return plot_clauses(value, self.plot)

    def details(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return what a brief says about a value besides its clauses."""
        codes = [code_clause(value[name], about=f"field_{name}", path=name) for name in self.brief_codes if value.get(name)]
        return [*codes, *(each for name in self.brief_words for each in words_clause(value, name))]

    def happened_on(self, value: Mapping[str, Any]) -> date | None:
        """Return the day by which what an assessed value says had happened, for a kind that `outdates` others; None for nothing."""
        return None

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Return the sort key of an item in a situation."""
        return self.due_date(summary) or date.max, str(summary[self.filter_field])

    def place_facts(self, values: Sequence[Mapping[str, Any]], at: datetime) -> dict[str, Any]:
        """Return what all assessed values of the kind in one place say together, for its situation; nothing by default."""
        return {}

    def situation_fields(self, items: Sequence[dict[str, Any]], unknown: Collection[str]) -> dict[str, Any]:
        """Return the fields of a situation that show the kind's items, unless its group is `other`.

        `unknown` are the subjects of which something was said, but nothing leads.
        """
        return {self.situation_group: items}

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return the risk of an assessed value at a time; by default `short` from MAX_SHORT_DAYS before the due date."""
        due = self.due_date(value)
        if due is None or (days := (due - at.date()).days) > MAX_SHORT_DAYS:
            return None
        return Risk("short", "past_due" if days < 0 else "due_soon")

    def risks(self, values: Sequence[Mapping[str, Any]], at: datetime) -> list[tuple[int, Risk]]:
        """Return the risks of all assessed values of the kind in one place, each with the position of its value."""
        return [(position, risk) for position, value in enumerate(values) if (risk := self.risk(value, at)) is not None]

    def alert(self, value: V, sent_on: date) -> Alert | None:
        """Return a report as an alert sent on a day (UTC); None if it calls for none."""
        return None

    def cancels_alerts(self, value: V) -> bool:
        """Tell whether a report that calls for no alert cancels those of the reports that it ends."""
        return False

    def default_label(self, value: V, source_type: str, usual: Label) -> Label:
        """Return the label of a report sent without one; reports of witnesses are at least `amber`."""
        return strictest(usual, Label.AMBER) if source_type == "witness" else usual

    def state(self, value: V) -> str | None:
        """Return the state that a report gives; None for a kind of figures."""
        return None if self.status_field is None else getattr(value, self.status_field)

    def severity(self, value: V) -> Severity:
        """Return the place of a value on the kind's scale from good to bad; two values that do not meet contradict each other."""
        state = self.state(value)
        if state is None or state not in self.worst_first:
            return ANY_SEVERITY
        place = (-float(self.worst_first.index(state)),)
        return place, place

    def disputes(self, one: StatedValue[V], other: StatedValue[V]) -> bool:
        """Tell whether two values contradict each other though neither is better, as two dates of one event do."""
        return False

    def confirms(self, one: StatedValue[V], other: StatedValue[V]) -> bool:
        """Tell whether of two values that do not contradict each other one says what the other says, not only what goes with it."""
        same = self.state(one.value) == self.state(other.value) or (self.warns(one.value) and self.warns(other.value))
        return same and bool(self.facets(one.value) & self.facets(other.value))

    def compare(self, one: StatedValue[V], other: StatedValue[V]) -> Contradiction | None:
        """Tell whether two values cannot both be true, and if so, whether the first says better or worse than the other."""
        (low, high), (other_low, other_high) = self.severity(one.value), self.severity(other.value)
        if high < other_low:
            return "better"
        if low > other_high:
            return "worse"
        return "neither" if self.disputes(one, other) else None

    def claims_relief(self, value: V) -> bool:
        """Tell whether a report says that all is well, whatever others say."""
        return self.state(value) in self.relief_states

    def is_about(self, value: V, subject: str) -> bool:
        """Tell whether a report may show the outcome of warnings of another kind, whose `filter_field` names a subject."""
        return True

    def is_announced(self, value: V) -> bool:
        """Tell whether a report only announces what may come."""
        return False

    def horizon_of(self, value: V, usual: timedelta) -> timedelta:
        """Return the horizon of a report; `usual` is the kind's, as configured."""
        days = self.state_horizon_days.get(self.state(value) or "")
        return usual if days is None else min(usual, timedelta(days=days))

    def never_passes(self, value: V) -> bool:
        """Tell whether a report passes no horizon, however old it is; a warning without an outcome passes none anyway."""
        return self.is_lasting

    def is_endless(self, value: V) -> bool:
        """Tell whether a report passes no horizon while it has no outcome."""
        return self.never_passes(value) or self.warns(value)

    def repeated_severity(self, value: V, severity: Severity) -> Severity:
        """Return the place of a value on the scale that tells whether a less direct report says worse: by default its `severity`."""
        return severity

    def leaves_standing(self, later: V, earlier: V) -> bool:
        """Tell whether a later report of a source adds to an earlier one instead of replacing it."""
        return False

    def may_overtake(self, later: V, earlier: V) -> bool:
        """Tell whether a later report that contradicts an earlier one can overtake it."""
        return True

    def warns(self, value: V) -> bool:
        """Tell whether a report is a warning."""
        return False

    def came_true(self, value: V) -> V:
        """Return the value of a warning that came true, as if it were reported, without dates."""
        return value

    @abstractmethod
    def combine(self, part: Part[V]) -> Combined:
        """Combine the reports of a subject with one part, which has a report that leads."""

    def combine_parts(self, parts: Mapping[str, Part[V]], preferred: StatedValue[V]) -> Combined:
        """Combine the parts of a subject, at least one of which has a report that leads; `preferred` leads the worst of them."""
        return self.combine(next(iter(parts.values())))

    def not_judged(self, value: Mapping[str, Any], judged: V) -> dict[str, Any] | None:
        """Return what an assessed value says of the parts of the subject that a judgement does not name; None for nothing."""
        return None

    def unknown(self, value: V) -> dict[str, Any]:
        """Return the assessed value where no report leads: null but for the fields that all reports on the subject share."""
        shared = {self.filter_field, *self.subject_fields}
        return {name: getattr(value, name) if name in shared else None for name in self.assessment_model.model_fields}
