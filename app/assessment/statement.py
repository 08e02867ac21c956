"""A report as the reading sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.kinds.base import Value
from app.reference.records import SourceNames, SourceRecord


@dataclass(frozen=True, slots=True)
class Statement:
    """One report with its source as graded at the time of reading.

    `level` is the label in force, 0 to 4; `superseded_level` and `retracted_level` are the lowest clearances that see it
    so ended, None for none.
    """

    number: int
    id: UUID
    source: SourceRecord
    value: Value
    stated_at: datetime
    recorded_at: datetime
    credibility: int
    method: str
    via: Sequence[SourceNames]
    url: str | None
    title: str | None
    quote: str | None
    language: str | None
    licence: str | None
    level: int
    superseded_level: int | None
    retracted_level: int | None

    @property
    def protected(self) -> bool:
        """Whether any source that it names shows under an alias below the clearance."""
        return self.source.names.protected or any(each.protected for each in self.via)
