"""Days of the time slider. Pure."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from annotated_types import Interval

from app.domain.times import day_of

MAX_STEPS = 365
DAYS_AFTER_NEWEST = 14


@dataclass(frozen=True, slots=True)
class TimeSlider:
    """Steps of a slider: one a day from `start`, and a last one for now."""

    start: Annotated[date, Interval(ge=date(1900, 1, 1), le=date(2200, 1, 1))] = date(1900, 1, 1)
    days: Annotated[int, Interval(ge=0, le=MAX_STEPS)] = 0

    def as_of(self, step: int) -> str | None:
        """Return the day of a step; None for now."""
        return None if step >= self.days else (self.start + timedelta(days=max(step, 0))).isoformat()

    def step(self, as_of: str | None) -> int:
        """Return the step nearest to a time."""
        if as_of is None:
            return self.days
        return min(max((day_of(as_of) - self.start).days, 0), self.days - 1)


def build_time_slider(first: str | None, newest: str | None, as_of: str | None, today: date) -> TimeSlider:
    """Return a slider from the day before the first statement to two weeks after the newest, but not past today."""
    end = min(day_of(newest) + timedelta(days=DAYS_AFTER_NEWEST), today) if newest else today
    start = min(day_of(first) - timedelta(days=1), end) if first else end
    at = min(max(day_of(as_of), start), end) if as_of else end
    # More than a year is cut into years from the start, so that the ends stay while a reader moves the slider.
    start += timedelta(days=(at - start).days // MAX_STEPS * MAX_STEPS)
    return TimeSlider(start, min((end - start).days + 1, MAX_STEPS))
