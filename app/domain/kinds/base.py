"""What a kind of report is: the shape of its value, what it is about, and how its statements are read together.

A kind is one pure file. It is added by writing that file and naming it in `app.domain.kinds`.
"""

import calendar
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError

from app.domain.tlp import Label, strictest

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _only_iso_day(value: object) -> object:
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError("must be a date such as 2016-07-28")


Day = Annotated[date, BeforeValidator(_only_iso_day)]
People = Annotated[StrictInt, Field(ge=0, le=10_000_000_000)]
Days = Annotated[StrictInt, Field(ge=0, le=3650)]
Words = Annotated[str, Field(min_length=1, max_length=500)]

Outcome = Literal["pending", "materialised", "averted", "overtaken", "unknown"]
SituationGroup = Literal["trapped", "supplies", "routes", "other"]
# A warning counts as `short` from this many days before its due date on.
MAX_SHORT_DAYS = 7


def field_error(field: str, detail: str) -> PydanticCustomError:
    """The error for a rule between fields, laid at the door of one of them."""
    return PydanticCustomError("value_error", "{detail}", {"detail": detail, "field": field})


class Value(BaseModel):
    """What one report of a kind states. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


V = TypeVar("V", bound=Value)

ALL_FACETS: frozenset[str] = frozenset({""})


@dataclass(frozen=True, slots=True)
class StatedValue(Generic[V]):
    """One standing statement: its value, and the facets of the subject for which it is its source's latest word."""

    value: V
    facets: frozenset[str] = ALL_FACETS


@dataclass(frozen=True, slots=True)
class Combined:
    """What the standing statements say together: the value as served, and which of them (by position) is preferred."""

    value: dict[str, Any]
    preferred: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What a statement says in the words of CAP 1.2: event, categories, response type, urgency, and from which day on it holds.

    CAP's severity is not among them: no statement gives one, and none is made up.
    """

    event: str
    categories: tuple[str, ...]
    response: str
    urgency: str
    onset: date | None = None


@dataclass(frozen=True, slots=True)
class Risk:
    """What an assessment means for people: `held`, they cannot leave (`people` of them, 0 for not known), or `short` of something."""

    state: Literal["held", "short"]
    reason: str
    people: int = 0


@dataclass(frozen=True, slots=True)
class RangePlot:
    """Fields of a number's range. The board draws a band over time, and reads the fields of reports and assessments alike."""

    low: str
    best: str
    high: str
    qualifier: str = ""


@dataclass(frozen=True, slots=True)
class DatePlot:
    """Fields of a forecast date. The board draws a band of dates over time, and states in rows where no report gives a date.

    `states` is in order from top to bottom. `quote` is the field with the source's own words.
    """

    earliest: str
    latest: str
    state: str
    states: tuple[str, ...]
    quote: str = ""


@dataclass(frozen=True, slots=True)
class StatePlot:
    """The field of a state. The board draws states over time in rows, in the order of `states` from top to bottom.

    `parts` maps parts of the subject to fields with their own state. `qualifier` is a field that is shown unless it has its default.
    `missing` is the code to show when no state is known.
    """

    state: str
    states: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = ""
    missing: str = "unknown"


def gettext_noop(message: str) -> str:
    """Return the message unchanged; the call marks it for the board's translation catalogues."""
    return message


class Kind(ABC, Generic[V]):
    """One kind of indicator.

    `filter_field` is the field of the value that lists are filtered by, `state` the field behind the filter `status`;
    both are promoted to indexed columns. `references` says which fields of the value hold slugs, and of what. `range_fields`
    are the fields of the reading that make its range. A kind that warns has outcomes: its reading has a field `outcome`.
    Exports have a column for each field of the value and of the reading; `hxl` gives their HXL 1.1 hashtags. A kind with
    `has_alerts` says by `alert` how its statements read as alerts. `plot` says how the board draws the kind over time, and
    `code_labels` gives the board's English labels of the kind's codes and of its name, marked with `gettext_noop`.
    """

    name: ClassVar[str]
    collection: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    horizon_days: ClassVar[int]
    filter_field: ClassVar[str]
    status_field: ClassVar[str | None] = None
    references: ClassVar[Mapping[str, str]] = {}
    range_fields: ClassVar[frozenset[str]] = frozenset()
    has_outcome: ClassVar[bool] = False
    has_alerts: ClassVar[bool] = False
    hxl: ClassVar[Mapping[str, str]] = {}
    situation_group: ClassVar[SituationGroup] = "other"
    situation_columns: ClassVar[Sequence[tuple[str, str, Literal["text", "integer", "boolean"]]]] = ()
    risk_needs_all: ClassVar[bool] = False
    plot: ClassVar[RangePlot | DatePlot | StatePlot | None] = None
    code_labels: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[Mapping[str, Any]]
    value_model: type[V]
    assessment_model: type[BaseModel]

    def resolve(self, value: V, stated_on: date) -> V:
        """The value with relative times resolved against the day (UTC) on which it was stated."""
        return value

    def subject(self, value: V) -> str:
        """What the statement is about; (kind, place, subject) is the indicator."""
        return str(getattr(value, self.filter_field))

    def facet(self, value: V) -> str:
        """Which part of the subject the statement speaks of, as stored; empty for all of it."""
        return ""

    def facets(self, value: V) -> frozenset[str]:
        """The parts of the subject, each of which is read on its own."""
        return ALL_FACETS

    def due_date(self, reading: Mapping[str, Any]) -> date | None:
        """The first day on which what is warned of may come, of a reading; None where nothing is due."""
        return None

    def forecast_range(self, value: V) -> tuple[date | None, date | None] | None:
        """The days on which a statement says that something will come, if it warns; an end that is None is open."""
        return None

    def occurred_on(self, value: V) -> date | None:
        """The day on which what was warned of came, of a statement that says so; None where it names none."""
        return None

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return the kind's own fields of its item in a situation at a time; `due_date` and `risk` read these fields, too."""
        return dict(value)

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Return the sort key of an item in a situation."""
        return self.due_date(summary) or date.max, str(summary[self.filter_field])

    def situation_fields(self, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the fields of a situation that show the kind's items, for a kind whose group is not `other`."""
        return {self.situation_group: items}

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return the risk at a time; by default `short` from MAX_SHORT_DAYS before the due date on."""
        due = self.due_date(value)
        if due is None or (days := (due - at.date()).days) > MAX_SHORT_DAYS:
            return None
        return Risk("short", "past_due" if days < 0 else "due_soon")

    def alert(self, value: V, sent_on: date) -> Alert | None:
        """The statement as an alert that is sent on a day (UTC); None where it calls for none."""
        return None

    def default_label(self, value: V, source_type: str, usual: Label) -> Label:
        """The label of a statement sent without one: statements of witnesses are amber (contract, Sensitivity)."""
        return strictest(usual, Label.AMBER) if source_type == "witness" else usual

    @abstractmethod
    def contradicts(self, one: StatedValue[V], other: StatedValue[V]) -> bool:
        """Whether the two cannot both be true."""

    @abstractmethod
    def combine(self, standing: Sequence[StatedValue[V]]) -> Combined:
        """Read the standing statements, best grade first and at least one, into one value."""


T = TypeVar("T", int, date)


def disjoint(one: tuple[T | None, T | None], other: tuple[T | None, T | None]) -> bool:
    """Whether two closed ranges do not meet; an end that is None is open."""
    low = max((end for end in (one[0], other[0]) if end is not None), default=None)
    high = min((end for end in (one[1], other[1]) if end is not None), default=None)
    return low is not None and high is not None and low > high


def envelope(ranges: Iterable[tuple[T | None, T | None]]) -> tuple[T | None, T | None]:
    """From the lowest low to the highest high; an end that nobody gave is None.

    A range that is open at one end still has its other end within: no figure stated lies outside.
    """
    pairs = list(ranges)
    ends = [end for pair in pairs for end in pair if end is not None]
    return (
        min(ends) if any(low is not None for low, _ in pairs) else None,
        max(ends) if any(high is not None for _, high in pairs) else None,
    )


def partial_date(text: str) -> tuple[date, date]:
    """First and last day of an ISO 8601 date of full or reduced precision: `2016-07-07`, `2016-07`, `2016`.

    Raises ValueError for anything else.
    """
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text, re.ASCII):
        raise ValueError("must be a date such as 2016-07-07, 2016-07 or 2016")
    year, *rest = (int(part) for part in text.split("-"))
    if len(rest) == 2:
        day = date(year, *rest)
        return day, day
    first, last = (rest[0], rest[0]) if rest else (1, 12)
    return date(year, first, 1), date(year, last, calendar.monthrange(year, last)[1])
