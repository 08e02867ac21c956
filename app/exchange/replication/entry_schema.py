"""What an entry of another's ledger is made of, checked before anything of it is looked at: whoever sends a file can write any."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.domain.times import DateOrTime, start_of
from app.domain.tlp import Label
from app.http.problems import FieldProblem, field_problems, pointer
from app.http.request_body import NUL_MESSAGE, find_nul
from app.ledger.models import FIRST_RECORDED_AT
from app.reference.schemas import Grade
from app.reports.schemas import OutcomeName, Reason

# What the service adds to a statement; the rest of it is as it was sent.
_ADDED = frozenset({"id", "recorded_at", "recorded_by"})
# What each type cannot be applied without; a dot leads to a field within.
_NEEDED: dict[str, tuple[str, ...]] = {
    "report": ("report", "indicator", "recorded_at"),
    "correction": ("report", "indicator", "recorded_at"),
    "retraction": ("report_id",),
    "outcome": ("indicator", "report_id", "detail.outcome", "reason", "recorded_at"),
    "grade": ("source", "detail.reliability", "reason", "recorded_at"),
    "label": ("report_id", "recorded_at"),
    "tombstone": ("report_id", "recorded_at"),
}
# Of these nothing is told any more where the report is not named.
ABOUT_REPORT = frozenset({"retraction", "outcome", "label", "tombstone"})


class _Report(BaseModel):
    id: UUID
    kind: str
    sensitivity: Label


class _Detail(BaseModel):
    supersedes: UUID | None = None
    sensitivity: Label | None = None
    outcome: OutcomeName | None = None
    reliability: Grade | None = None
    first_recorded_at: DateOrTime | None = None


class _Place(BaseModel):
    slug: str


class _Document(BaseModel):
    id: UUID
    kind: str
    place: _Place
    subject: str


class _Entry(BaseModel):
    type: str
    report_id: UUID | None = None
    indicator: UUID | None = None
    source: str | None = None
    report: _Report | None = None
    reason: Reason | None = None
    detail: _Detail | None = None
    recorded_at: DateOrTime | None = None
    recorded_by: str
    documents: list[_Document] = []


_FIELDS = dict.fromkeys(_Entry.model_fields) | {"documents": []}


def complete_entry(given: Mapping[str, Any]) -> dict[str, Any]:
    """The entry with every field that is looked at, null where it has none."""
    return _FIELDS | dict(given)


def entry_errors(entry: Mapping[str, Any]) -> list[FieldProblem]:
    """What keeps an entry from being looked at; nothing where all that is needed of its type is there. An unknown type needs nothing."""
    try:
        _Entry.model_validate(entry)
    except ValidationError as error:
        return field_problems(error)
    if (path := find_nul(dict(entry))) is not None:
        return [FieldProblem(pointer=pointer(path), detail=NUL_MESSAGE)]
    if entry["type"] in ABOUT_REPORT and entry.get("report_id") is None:
        return []
    needed = _NEEDED.get(entry["type"], ())
    if entry["type"] == "label" and entry.get("detail"):
        needed += ("detail.sensitivity",)
    return [
        FieldProblem(pointer=pointer(name.split(".")), detail="this field is required") for name in needed if _within(entry, name) is None
    ]


def _within(entry: Mapping[str, Any], name: str) -> Any:
    found: Any = entry
    for step in name.split("."):
        found = None if found is None else found.get(step)
    return found


def author_of(entry: Mapping[str, Any]) -> str:
    """The organisation that an entry was recorded by."""
    organisation: str = entry["recorded_by"]
    return organisation


def statement_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The statement of an entry as it would be sent: without what a service adds, and without what is null."""
    return _given({name: value for name, value in entry["report"].items() if name not in _ADDED})


def _given(node: dict[str, Any]) -> dict[str, Any]:
    return {name: _given(value) if isinstance(value, dict) else value for name, value in node.items() if value is not None}


def first_recorded(entry: Mapping[str, Any]) -> datetime:
    """When an entry was first recorded, wherever that was."""
    return start_of((entry["detail"] or {}).get(FIRST_RECORDED_AT) or entry["recorded_at"])
