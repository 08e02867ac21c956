"""The view of a request: what it may see of the ledger, and as of when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from app.domain.time_point import LATEST, TimePoint
from app.domain.times import end_of_today


@dataclass(frozen=True)
class View:
    """A clearance, a time point, and the horizon of each kind."""

    level: int
    time_point: TimePoint = LATEST
    # Not compared, because a mapping is not hashable: queries are cached by view. The horizons of one process never differ.
    horizons: Mapping[str, timedelta] = field(default_factory=dict, compare=False)

    @cached_property
    def at(self) -> datetime:
        """The time that days left and staleness are counted from: `as_of`, without one the end of today."""
        return self.time_point.as_of or end_of_today()
