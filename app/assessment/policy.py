"""Policies under which a reader has reports assessed again. Pure."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from app.assessment.statement import Statement
from app.assessment.terms import grade_rank, is_party
from app.reference.records import SourceRecord


@dataclass(frozen=True, slots=True)
class Policy:
    """Which reports count: none of a party to the conflict, none of a worse grade, none of a source or with it as origin."""

    no_parties: bool = False
    min_reliability: str | None = None
    without: UUID | None = None
    without_slug: str | None = None

    def excludes(self, statement: Statement, origin: SourceRecord) -> Literal["policy"] | None:
        """Return the reason for which the policy leaves a report out, or None."""
        if self.no_parties and is_party(statement, origin):
            return "policy"
        if self.min_reliability is not None and grade_rank(statement.source.reliability) > grade_rank(self.min_reliability):
            return "policy"
        return "policy" if self.without is not None and self.without in (statement.source.id, origin.id) else None

    def as_document(self) -> dict[str, Any] | None:
        """Return the policy as documents show it; None if every report counts."""
        if self == NO_POLICY:
            return None
        return {
            "basis": "no_parties" if self.no_parties else None,
            "min_reliability": self.min_reliability,
            "without": self.without_slug,
        }


NO_POLICY = Policy()
