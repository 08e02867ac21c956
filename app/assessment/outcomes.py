"""Rule 10 of the method: what outcomes end, and which warnings are due. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from app.assessment.statement import Statement
from app.assessment.terms import AssessedStatement
from app.domain.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of the warnings stated before its evidence, visible from clearance `level` on.

    `recorded_at` is when it was first recorded, by whichever service: services that exchange their ledgers agree on the last.
    """

    recorded_at: datetime
    level: int
    outcome: str
    evidence: Statement

    @property
    def order(self) -> tuple[datetime, int, str]:
        """The sort key by when it was recorded."""
        return self.recorded_at, self.evidence.id.int, self.outcome

    def counts_for(self, level: int) -> bool:
        """Tell whether a clearance sees it and its evidence, which is not retracted."""
        return max(self.level, self.evidence.level) <= level and not self.evidence.is_retracted_for(level)

    def is_after(self, warning: Statement) -> bool:
        """Tell whether a warning was stated before the evidence."""
        return warning.age_at(self.evidence) > timedelta(0)


def outcome_of(warning: Statement, outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the outcome of a warning: the last recorded of those after it; None if that is `pending`, or without any."""
    last = max((each for each in outcomes if each.is_after(warning)), key=lambda each: each.order, default=None)
    return None if last is None or last.outcome == "pending" else last


def came_true(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes `materialised` that no later recorded one revises, with evidence of the same time or later."""
    return [
        each
        for each in outcomes
        if each.outcome == "materialised"
        and not any(other.order > each.order and each.evidence.age_at(other.evidence) >= timedelta(0) for other in outcomes)
    ]


def outcomes_in_force(outcomes: Sequence[Outcome], warnings: Iterable[Statement]) -> list[Outcome]:
    """Return the outcomes of some warnings and those that came true, in order of recording."""
    found = [*came_true(outcomes), *(each for warning in warnings if (each := outcome_of(warning, outcomes)) is not None)]
    return [each for _, each in sorted({each.order: each for each in found}.items())]


def due_warnings(kind: Kind[Any], standing: Sequence[AssessedStatement]) -> list[AssessedStatement]:
    """Rule 10: return the warnings that are due: the sound ones that stand without an outcome, any other where none is sound."""
    open_ = [each for each in standing if kind.warns(each.value) and not each.ended]
    return [each for each in open_ if each.sound] or open_


def warning_fields(kind: Kind[Any], standing: Sequence[AssessedStatement], outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Rule 10: return the outcome of the warnings that stand, and the first day on which one without an outcome is due.

    Which report leads does not matter.
    """
    if open_ := due_warnings(kind, standing):
        days = [day for each in open_ if (day := kind.due_day(each.value)) is not None]
        due: date | None = min(days, default=None)
        return {"outcome": "pending", "due": due and due.isoformat()}
    past = [each for each in standing if each.ended or each.from_outcome]
    in_force = outcomes_in_force(outcomes, [each.statement for each in past if each.ended]) if past else []
    return {"outcome": in_force[-1].outcome if in_force else None, "due": None}
