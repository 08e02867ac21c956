"""Rule 10 of the method: what outcomes end, and which warnings are due. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from app.assessment.statement import Statement
from app.assessment.terms import AssessedStatement
from app.domain.kinds.base import Kind


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the warnings stated before its evidence, visible from clearance `level` on."""

    global_seq: int
    level: int
    outcome: str
    evidence: Statement

    def is_after(self, warning: Statement) -> bool:
        """Tell whether a warning was stated before the evidence."""
        return warning.age_at(self.evidence) > timedelta(0)


def outcomes_in_force(outcomes: Iterable[Outcome], warnings: Sequence[Statement]) -> list[Outcome]:
    """Return the outcomes that count, in order of recording: of those on the same warnings the last recorded, unless `pending`."""
    last: dict[frozenset[UUID], Outcome] = {}
    for each in sorted(outcomes, key=lambda each: each.global_seq):
        ends = frozenset(warning.id for warning in warnings if each.is_after(warning))
        last.pop(ends, None)
        last[ends] = each
    return [each for each in last.values() if each.outcome != "pending"]


def warning_fields(kind: Kind[Any], standing: Sequence[AssessedStatement], in_force: Sequence[Outcome]) -> dict[str, Any]:
    """Rule 10: return the outcome of the warnings that stand, and the first day on which one without an outcome is due.

    Where no sound warning stands, any other is due. Whoever leads does not matter.
    """
    warnings = [each for each in standing if kind.warns(each.value)]
    open_ = [each for each in warnings if not each.ended]
    if open_:
        days = [day for each in [each for each in open_ if each.sound] or open_ if (day := kind.due_day(each.value)) is not None]
        due: date | None = min(days, default=None)
        return {"outcome": "pending", "due": due and due.isoformat()}
    if not warnings and not any(each.from_outcome for each in standing):
        return {"outcome": None, "due": None}
    return {"outcome": in_force[-1].outcome if in_force else None, "due": None}
