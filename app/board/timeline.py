"""The days that the time slider runs over. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta

MOST_STEPS = 365
DAYS_AFTER = 14


@dataclass(frozen=True, slots=True)
class Timeline:
    """Days from `start` on, one a step; the step after the last day is now."""

    start: date
    days: int

    @property
    def last_step(self) -> int:
        """The step that is now."""
        return self.days

    def as_of(self, step: int) -> str | None:
        """The day of a step; None for now."""
        return None if step >= self.days else (self.start + timedelta(days=max(step, 0))).isoformat()

    def step(self, as_of: str | None) -> int:
        """The step nearest to a time."""
        if as_of is None:
            return self.days
        return min(max((date.fromisoformat(as_of[:10]) - self.start).days, 0), self.days - 1)


def timeline(first: str | None, newest: str | None, today: date) -> Timeline:
    """The slider's days: from the day before the first statement to two weeks after the newest, but not past today, at most a year."""
    last_said = date.fromisoformat(newest[:10]) if newest else today
    end = min(last_said + timedelta(days=DAYS_AFTER), today)
    start = date.fromisoformat(first[:10]) - timedelta(days=1) if first else end
    start = max(min(start, end), end - timedelta(days=MOST_STEPS - 1))
    return Timeline(start, (end - start).days + 1)
