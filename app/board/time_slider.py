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

    def as_of(self, step: int) -> str | None:
        """The day of a step; None for now."""
        return None if step >= self.days else (self.start + timedelta(days=max(step, 0))).isoformat()

    def step(self, as_of: str | None) -> int:
        """The step nearest to a time."""
        if as_of is None:
            return self.days
        return min(max((date.fromisoformat(as_of[:10]) - self.start).days, 0), self.days - 1)


def timeline(first: str | None, newest: str | None, as_of: str | None, today: date) -> Timeline:
    """The slider's days: from the day before the first statement to two weeks after the newest, but not past today.

    What is longer than a year is cut into years, counted from the start, of which the slider has the one that `as_of` is in; so it
    stands still while it is moved.
    """
    end = min(date.fromisoformat(newest[:10]) + timedelta(days=DAYS_AFTER), today) if newest else today
    start = min(date.fromisoformat(first[:10]) - timedelta(days=1), end) if first else end
    at = min(max(date.fromisoformat(as_of[:10]), start), end) if as_of else end
    start += timedelta(days=(at - start).days // MOST_STEPS * MOST_STEPS)
    return Timeline(start, min((end - start).days + 1, MOST_STEPS))
