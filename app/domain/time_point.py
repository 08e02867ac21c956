"""Points in the two times of the ledger: when reports were stated, and when they were recorded."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TimePoint:
    """Reports stated by `as_of` and ledger entries up to `through_global_seq`; None is no limit."""

    as_of: datetime | None = None
    through_global_seq: int | None = None


LATEST = TimePoint()
