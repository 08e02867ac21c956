"""Ledger entries of another Lifeline, validated in full, because anyone can write any entry into a file."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from app.domain.times import DateOrTime, start_of, utc_now
from app.domain.tlp import Label
from app.http.problems import FieldProblem, field_problems, pointer
from app.http.request_body import NUL_MESSAGE, find_nul
from app.ledger.models import JUDGEMENT_TYPES, REFERENCE_TYPES
from app.reference.schemas import Grade
from app.reports.labels import REASON_WITHHELD
from app.reports.schemas import Reason, WarningOutcome

# How far the clock of another Lifeline may be ahead: the last of two changes counts, so one from the far future would count for ever.
MAX_AHEAD = timedelta(days=1)
AHEAD = "must not be more than a day from now: the clock of the Lifeline that recorded it first is ahead"
# The fields that each known type requires; a dot leads to a nested field.
_REQUIRED: dict[str, tuple[str, ...]] = {
    "report": ("report", "indicator", "recorded_at"),
    "correction": ("report", "indicator", "recorded_at"),
    "retraction": ("report_id",),
    "reinstatement": ("report_id", "recorded_at"),
    "outcome": ("indicator", "report_id", "detail.outcome", "reason", "recorded_at"),
    "grade": ("source", "detail.reliability", "reason", "recorded_at"),
    "label": ("report_id", "recorded_at"),
    "tombstone": ("report_id", "recorded_at"),
    "judgement": ("detail.judgement.kind", "detail.judgement.place", "recorded_at"),
    "judgement_retraction": ("detail.judgement", "reason", "recorded_at"),
    **dict.fromkeys(REFERENCE_TYPES, ("detail.record", "recorded_at")),
    "withheld": (),
    # Confirmed where it was made, by keys of that service.
    "proposal": (),
}
KNOWN_TYPES = frozenset(_REQUIRED)
# Entries of these types without a report are about a report that is withheld.
_ABOUT_REPORT = frozenset({"retraction", "reinstatement", "outcome", "label", "tombstone"})


class _Report(BaseModel):
    """The fields of a report that are read here; the other ones are validated when it is recorded."""

    model_config = ConfigDict(extra="allow")

    id: UUID
    kind: str
    sensitivity: Label
    # Not part of the statement.
    recorded_at: Any = None
    recorded_by: Any = None
    drafted_by: str | None = None


class _Judgement(BaseModel):
    """The fields of a judgement that are read here; the other ones are validated when it is recorded."""

    model_config = ConfigDict(extra="allow")

    id: UUID
    kind: str | None = None
    place: str | None = None
    reports: list[UUID] = []


class _Detail(BaseModel):
    judgement: _Judgement | None = None
    corrects: UUID | None = None
    supersedes: UUID | None = None
    sensitivity: Label | None = None
    outcome: WarningOutcome | None = None
    reliability: Grade | None = None
    # A label, or a grade.
    before: str | None = None
    first_recorded_at: DateOrTime | None = None
    effective_from: DateOrTime | None = None
    record: dict[str, Any] | None = None


class _Document(BaseModel):
    id: UUID
    kind: str
    place: str = Field(validation_alias=AliasPath("place", "slug"))
    subject: str


class Entry(BaseModel):
    """A ledger entry as `/v1/changes` serves it and as a full export has it."""

    type: str
    report_id: UUID | None = None
    indicator: UUID | None = None
    source: str | None = None
    report: _Report | None = None
    reason: Reason = REASON_WITHHELD
    detail: _Detail = _Detail()
    recorded_at: DateOrTime | None = None
    recorded_by: str
    documents: list[_Document] = []

    @property
    def is_withheld(self) -> bool:
        """Return whether everything about its report or judgement is withheld."""
        if self.type in JUDGEMENT_TYPES:
            return self.detail.judgement is None
        return self.type in ("withheld", "proposal") or (self.type in _ABOUT_REPORT and self.report_id is None)

    @property
    def statement(self) -> dict[str, Any]:
        """Return the report as it would be sent: without nulls and without the fields that the service adds."""
        assert self.report is not None
        return _without_nulls({"kind": self.report.kind, "sensitivity": self.report.sensitivity.value, **(self.report.model_extra or {})})

    @property
    def relays(self) -> UUID | None:
        """Return the identifier of the report that its report repeats; None for none, or for no identifier, which is refused later."""
        provenance = (self.report.model_extra or {}).get("provenance") if self.report else None
        relays = provenance.get("relays") if isinstance(provenance, dict) else None
        try:
            return UUID(relays) if isinstance(relays, str) else None
        except ValueError:
            return None

    @property
    def first_recorded_at(self) -> datetime:
        """Return when the first Lifeline recorded the entry."""
        time = self.detail.first_recorded_at or self.recorded_at
        assert time is not None
        return start_of(time)

    @property
    def effective_from(self) -> datetime:
        """Return from when a grade is in force at the first Lifeline."""
        return start_of(self.detail.effective_from) if self.detail.effective_from else self.first_recorded_at


def _without_nulls(node: dict[str, Any]) -> dict[str, Any]:
    return {name: _without_nulls(value) if isinstance(value, dict) else value for name, value in node.items() if value is not None}


def parse_entry(given: Mapping[str, Any]) -> Entry | list[FieldProblem]:
    """Return an entry with all that its type requires, or what is wrong; an unknown type requires nothing."""
    try:
        entry = Entry.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        return field_problems(error)
    if (path := find_nul(dict(given))) is not None:
        return [FieldProblem(pointer=pointer(path), detail=NUL_MESSAGE)]
    if entry.recorded_at is not None and entry.first_recorded_at > utc_now() + MAX_AHEAD:
        return [FieldProblem(pointer="/detail/first_recorded_at" if entry.detail.first_recorded_at else "/recorded_at", detail=AHEAD)]
    required = () if entry.is_withheld else _REQUIRED.get(entry.type, ())
    if entry.type == "label" and not entry.is_withheld and given.get("detail"):
        required += ("detail.sensitivity",)
    missing = [name for name in required if name.split(".")[0] not in entry.model_fields_set or attrgetter(name)(entry) is None]
    return [FieldProblem(pointer=pointer(name.split(".")), detail="this field is required") for name in missing] or entry
