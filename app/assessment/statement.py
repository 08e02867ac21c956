"""A report as the assessment reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

from typing_extensions import TypeAliasType

from app.domain.kinds.values import Value
from app.reference.records import SourceNames, SourceRecord

# Most direct first.
Directness = TypeAliasType("Directness", Literal["direct", "quoted", "paraphrased"])


@dataclass(frozen=True, slots=True)
class Statement:
    """One report, with its source as graded at the time point of the assessment.

    `observed_to` is the end of the observation; a date means its end in UTC. `day` is the day of `time` where the place is, None for the
    day in UTC, and `date_only` says that `time` comes from a date. `relays` is the report that this one repeats, `origin` the source that
    the speaker relies on, with `party_to_conflict` as for `source`.
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
    observed_to: datetime | None = None
    day: date | None = None
    date_only: bool = False
    directness: Directness = "direct"
    relays: UUID | None = None
    origin: SourceRecord | None = None
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
        return (
            self.source.names.protected
            or any(each.protected for each in self.via)
            or (self.origin is not None and self.origin.names.protected)
        )

    def is_retracted_for(self, level: int) -> bool:
        """Tell whether it is retracted for a clearance."""
        return self.retracted_from_level is not None and self.retracted_from_level <= level

    def is_superseded_for(self, level: int) -> bool:
        """Tell whether a correction supersedes it for a clearance."""
        return self.superseded_from_level is not None and self.superseded_from_level <= level

    @property
    def time(self) -> datetime:
        """The time that the report speaks of: the end of its observation, else when it was stated."""
        return self.observed_to or self.stated_at

    @property
    def local_day(self) -> date:
        """The day of `time`."""
        return self.day or self.time.astimezone(UTC).date()

    def age_at(self, other: "Statement") -> timedelta:
        """Return by how much this report is older than another: in whole days if one of them has only a date."""
        if self.date_only or other.date_only:
            return other.local_day - self.local_day
        return other.time - self.time
