"""The records that a client reads, and the error of a failed request."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A record as served; fields that this version does not know are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class PlaceName(Record):
    """A place as an indicator names it; each code has a `scheme` and a `code`."""

    slug: str
    name: str
    country: str | None = None
    codes: list[dict[str, str]] = []


class Place(PlaceName):
    """A place; `centroid` is [longitude, latitude] in degrees, `geometry` is GeoJSON, `parent` is a slug, `timezone` an IANA name."""

    id: str
    parent: str | None = None
    timezone: str = "UTC"
    centroid: list[float] | None = None
    geometry: dict[str, Any] | None = None


class Source(Record):
    """A source of statements; `reliability` is its current grade, A to F."""

    id: str
    slug: str
    name: str
    type: str
    reliability: str
    party_to_conflict: bool


class Route(Record):
    """A route into or out of a place; `geometry` is GeoJSON."""

    id: str
    slug: str
    name: str
    mode: str
    geometry: dict[str, Any] | None = None


class Assessment(Record):
    """How a value was assessed: numbers of reports, their sources and origins, and the report that gives each figure and date.

    `policy` is what the reader asked for; `deciding` are the reports that it depends on, of a single indicator only.
    """

    method: str
    reports: int
    sources: int
    origins: int
    preferred: str | None
    basis: dict[str, str]
    spread: float | None = None
    policy: dict[str, Any] | None = None
    newest_at: str | None = None
    newest_sound_at: str | None = None
    deciding: list[str] = []


class Judgement(Record):
    """An analyst's own conclusion, in the fields of the kind's value; `status` and `indicator` are None inside an indicator."""

    id: str
    value: dict[str, Any]
    likelihood: str
    confidence: str
    reasons: str
    reports: list[str] = []
    alternatives: str | None = None
    valid_until: str | None = None
    sensitivity: str
    recorded_at: str
    recorded_by: str
    lapsed: bool
    partial: bool = False
    unsupported: bool = False
    status: str | None = None
    indicator: str | None = None


class Indicator(Record):
    """The assessment of all statements on one subject at one place; the kind defines the fields of `value`.

    `agreement` is `claimed` where no report leads: the fields of `value`, `stated_at` and `provenance` are then null.
    """

    id: str
    kind: str
    subject: str
    place: PlaceName
    value: dict[str, Any] | None
    agreement: str | None
    stated_at: str | None
    stale_after: str | None = None
    revision: int
    assessment: Assessment
    provenance: dict[str, Any] | None = None
    judgement: Judgement | None = None


class Reason(Record):
    """A reason for a level of urgency, with the time of the report that the indicator rests on."""

    reason: str
    indicator: str
    since: str
    judged: bool


class Check(Record):
    """A flag on figures that are not plausible together; `reports` say them, `detail` is in words, None in lists."""

    check: str
    indicators: list[str]
    reports: list[str]
    detail: str | None


class Situation(Record):
    """The indicators of one place together, with its level of urgency; None if nothing leads, the last known one if it is dormant."""

    place: PlaceName
    as_of: str
    level: str | None
    because: list[Reason]
    silent_days: int | None
    dormant: bool
    children_level: str | None = None
    set_aside: list[Reason] = []
    facts: dict[str, dict[str, Any]] = {}
    checks: list[Check] = []


class DigestItem(Record):
    """A change of one indicator, with the value before and after it, and in words."""

    change: str
    indicator: str
    reports: list[str]
    judgement: str | None = None
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    text: str


class Digest(Record):
    """The changes in a place; `revision` is the `since` of the next digest."""

    place: PlaceName
    since: str
    as_of: str
    revision: int
    cut: bool = False
    items: list[DigestItem]


class Brief(Record):
    """A text about a place, in which each figure has the number of its source."""

    text: str


class Report(Record):
    """A stored statement."""

    id: str
    seq: int | None
    kind: str
    place: str
    source: str
    stated_at: str
    value: dict[str, Any]
    provenance: dict[str, Any]
    sensitivity: str
    indicator: str
    recorded_at: str
    recorded_by: str
    drafted_by: str | None = None
    status: str
    supersedes: str | None = None


class Draft(Record):
    """A proposed report; `report` has the form in which reports are sent, `status` is `proposed`, `confirmed` or `rejected`."""

    id: str
    status: str
    report: dict[str, Any]
    drafted_by: str
    created_at: str
    expires_at: str
    decided_by: str | None = None
    reason: str | None = None


class Change(Record):
    """A ledger entry, with the current state of each indicator that it changed."""

    seq: int
    type: str
    salt: str | None = None
    actor: str | None = None
    report_id: str | None = None
    indicator: str | None = None
    source: str | None = None
    report: dict[str, Any] | None = None
    reason: str | None = None
    detail: dict[str, Any] | None = None
    recorded_at: str
    recorded_by: str
    documents: list[Indicator] = []


class ReportResult(Record):
    """The result of one report of a list: `status` is 201 (recorded), 200 (recorded before) or 422 (rejected, see `problem`)."""

    status: int
    id: str | None = None
    problem: dict[str, Any] | None = None


class ReportResults(Record):
    """The results of a list of reports, in the order sent."""

    items: list[ReportResult]


R = TypeVar("R", bound=Record)


class Page(Record, Generic[R]):
    """A page of records; `next` is the cursor of the next page, None on the last page of a list, never None among changes."""

    items: list[R]
    next: str | None
    revision: int


class FieldError(Record):
    """An error in one field of a request; `pointer` is the JSON Pointer of the field."""

    pointer: str
    detail: str


class LifelineError(Exception):
    """An error response (RFC 9457): `status`, `title`, `detail`, and for 422 one FieldError a field in `errors`."""

    def __init__(self, status: int, title: str, detail: str | None, errors: Sequence[FieldError] = ()) -> None:
        super().__init__("; ".join([f"{status} {detail or title}", *(f"{each.pointer}: {each.detail}" for each in errors)]))
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = list(errors)
