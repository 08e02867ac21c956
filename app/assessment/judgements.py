"""Judgements: an analyst's own conclusion on an indicator, shown beside its assessment, which it never moves. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypeAliasType

from app.assessment.statement import Statement
from app.domain.kinds.base import Kind
from app.domain.kinds.combining import Part, StatedValue
from app.domain.kinds.values import Value
from app.domain.times import day_of, end_of, rfc3339
from app.domain.tlp import LABELS

# Intelligence Community Directive 203 (2015).
Likelihood = TypeAliasType(
    "Likelihood",
    Literal["almost_no_chance", "very_unlikely", "unlikely", "roughly_even", "likely", "very_likely", "almost_certain"],
)
Confidence = TypeAliasType("Confidence", Literal["low", "moderate", "high"])
# The confidence that lets a level of urgency rest on a judgement.
RELIED_ON = frozenset({"moderate", "high"})
# Analysts do not believe a conclusion that they call improbable, so that no level rests on it.
IMPROBABLE = frozenset({"almost_no_chance", "very_unlikely", "unlikely"})
# The fields of a judgement that are served as they were recorded, in order.
STATED_FIELDS = ("value", "likelihood", "confidence", "reasons", "reports", "alternatives", "valid_until")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement on an indicator, as recorded.

    `recorded_at` is when it was first recorded, by whichever service, and `day` that day at the place. `level` is that of its label, and
    `shown_from` the lowest clearance that sees it and every report that it relies on. `corrects` is the judgement that it corrects for a
    `reason`, and `retraction` the reason and time of its withdrawal. `unsupported_from` is the lowest clearance for
    which all reports that it relies on were withdrawn or corrected.
    """

    id: UUID
    indicator: UUID
    recorded_at: datetime
    recorded_by: str
    day: date
    level: int
    shown_from: int
    value: Value
    stated: Mapping[str, Any]
    corrects: str | None = None
    reason: str | None = None
    retraction: Mapping[str, str] | None = None
    unsupported_from: int | None = None

    def is_unsupported_for(self, level: int) -> bool:
        """Tell whether all reports that it relies on were withdrawn or corrected for a clearance."""
        return self.unsupported_from is not None and self.unsupported_from <= level

    @property
    def order(self) -> tuple[datetime, int]:
        """The sort key by when it was first recorded."""
        return self.recorded_at, self.id.int

    def document(self) -> dict[str, Any]:
        """Return what it says as documents show it."""
        return {
            "id": str(self.id),
            **{name: self.stated[name] for name in STATED_FIELDS},
            "sensitivity": LABELS[self.shown_from].value,
            "recorded_at": rfc3339(self.recorded_at),
            "recorded_by": self.recorded_by,
            "links": {"self": f"/v1/judgements/{self.id}"},
        }


def latest_judgement(judgements: Iterable[Judgement], level: int) -> Judgement | None:
    """Return the latest judgement on an indicator that a clearance knows of, which supersedes those before it."""
    return max((each for each in judgements if each.level <= level), key=lambda each: each.order, default=None)


def standing_judgement(judgements: Iterable[Judgement], level: int) -> Judgement | None:
    """Return the judgement that stands for a clearance: the latest, unless it is retracted or relies on a report that was hidden since."""
    last = latest_judgement(judgements, level)
    return None if last is None or last.retraction is not None or last.shown_from > level else last


def is_contradicted(kind: Kind[Any], judgement: Judgement, later: Iterable[Statement]) -> bool:
    """Tell whether a judgement has lapsed: one of the sound reports that were stated after it was recorded contradicts it."""
    judged, facets = StatedValue(judgement.value, judgement.day), kind.facets(judgement.value)
    return any(
        facets & kind.facets(each.value) and kind.compare(judged, StatedValue(each.value, each.local_day)) is not None for each in later
    )


def judged_since(judgements: Sequence[Judgement]) -> datetime | None:
    """Return when the first of the judgements that stand for any clearance was recorded: later reports may contradict it."""
    standing = (standing_judgement(judgements, level) for level in range(len(LABELS)))
    return min((each.recorded_at for each in standing if each is not None), default=None)


def relied_on(kind: Kind[Any], document: Mapping[str, Any], at: datetime) -> Mapping[str, Any] | None:
    """Return the judgement in the document of an indicator that its risk at a time is computed from; None for its assessment."""
    judgement: Mapping[str, Any] | None = document["judgement"]
    if judgement is None or judgement["lapsed"] or judgement["confidence"] not in RELIED_ON or judgement["likelihood"] in IMPROBABLE:
        return None
    if kind.is_announced(kind.value_model.model_validate(judgement["value"])):
        return None
    # By days, because so are levels: without `as_of` they are those of the end of today.
    return judgement if judgement["valid_until"] is None or end_of(judgement["valid_until"]).date() >= at.date() else None


def judged_value(kind: Kind[Any], judgement: Mapping[str, Any], assessed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the assessed value that a judgement alone would give if a report had said it on the day on which it was recorded.

    What the assessed value says of its reports themselves, as `report_fields` do, stays.
    """
    said = kind.value_model.model_validate(judgement["value"])
    stated = StatedValue(said, day_of(judgement["recorded_at"]))
    found = kind.combine_parts({name: Part([stated], stated, "single") for name in sorted(kind.facets(said))}, stated).value
    found |= {name: assessed[name] for name in kind.report_fields if assessed[name] is not None}
    if not kind.has_outcome:
        return found
    due = kind.due_day(said) if kind.warns(said) else None
    return found | {"outcome": "pending" if kind.warns(said) else None, "due": due and due.isoformat()}
