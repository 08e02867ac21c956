"""A moment in both times: what was being said by then, and what this service had recorded by then."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TimePoint:
    """Statements made up to `as_of`, changes up to the number `upto`; None for no such bound."""

    as_of: datetime | None = None
    through_global_seq: int | None = None


LATEST = TimePoint()
