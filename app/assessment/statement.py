"""A report as the assessment reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.kinds.base import Value
from app.reference.records import SourceNames, SourceRecord


@dataclass(frozen=True, slots=True)
class Statement:
    """One report, with its source as graded at the time point of the assessment.

    `level` is that of its label, 0 to 4. `superseded_from_level` and `retracted_from_level` are the lowest clearances for which it
    is superseded or retracted; None for none.
    """

    global_seq: int
    id: UUID
    source: SourceRecord
    value: Value
    stated_at: datetime
    recorded_at: datetime
    credibility: int
    method: str
    level: int = 0
    superseded_from_level: int | None = None
    retracted_from_level: int | None = None
    via: Sequence[SourceNames] = ()
    url: str | None = None
    title: str | None = None
    quote: str | None = None
    language: str | None = None
    licence: str | None = None

    @property
    def protected(self) -> bool:
        """Tell whether it names a source that has an alias."""
        return self.source.names.protected or any(each.protected for each in self.via)
