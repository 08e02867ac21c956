"""Reports on one part of a subject, and the value that they give together. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar

from app.domain.kinds.values import Agreement, V


@dataclass(frozen=True, slots=True, eq=False)
class StatedValue(Generic[V]):
    """The value of a report, and the day that it speaks of."""

    value: V
    day: date = date.min


@dataclass(frozen=True, slots=True)
class Part(Generic[V]):
    """One part of a subject: the reports that give its value, best first, the one that leads, and their agreement.

    Without a leading report, `standing` is empty; without any report, `agreement` is None, too. `first` is the oldest report on it that
    is as sound as these, `began` the first of those that have said the state that leads ever since, and `earlier` what their sources said
    before, as sound as these, newest first. `before` is the part when relief led last that has passed its horizon, of a kind that
    `keeps_relief`.
    """

    standing: Sequence[StatedValue[V]] = ()
    preferred: StatedValue[V] | None = None
    agreement: Agreement | None = None
    first: StatedValue[V] | None = None
    began: StatedValue[V] | None = None
    earlier: Sequence[StatedValue[V]] = ()
    before: "Part[V] | None" = None

    def in_order(self) -> list[StatedValue[V]]:
        """Return the report that leads, then the others."""
        return [*([self.preferred] if self.preferred else []), *(each for each in self.standing if each is not self.preferred)]


@dataclass(frozen=True, slots=True)
class Combined:
    """The assessed value, the report that each of its figures and dates comes from, and the highest figure divided by the lowest."""

    value: dict[str, Any]
    basis: Mapping[str, StatedValue[Any]] = field(default_factory=dict)
    spread: float | None = None


T = TypeVar("T", int, float, date)


def basis_of(reports: Sequence[StatedValue[V]], figures: Mapping[str, tuple[Any, Callable[[V], Any]]]) -> dict[str, StatedValue[V]]:
    """Return the first report that says each figure, read from its value; a figure that is None comes from none."""
    return {
        name: said
        for name, (figure, read) in figures.items()
        if figure is not None and (said := next((each for each in reports if read(each.value) == figure), None)) is not None
    }


def disjoint(one: tuple[T | None, T | None], other: tuple[T | None, T | None]) -> bool:
    """Tell whether two closed ranges have no value in common; None is an open end."""
    low = max((end for end in (one[0], other[0]) if end is not None), default=None)
    high = min((end for end in (one[1], other[1]) if end is not None), default=None)
    return low is not None and high is not None and low > high


def common_range(ranges: Sequence[tuple[T | None, T | None]]) -> tuple[T | None, T | None]:
    """Return what closed ranges have in common, else the first; None is an open end."""
    low = max((each[0] for each in ranges if each[0] is not None), default=None)
    high = min((each[1] for each in ranges if each[1] is not None), default=None)
    return ranges[0] if low is not None and high is not None and low > high else (low, high)


def claimed_range(ranges: Sequence[tuple[T | None, T | None]], *, has_figure: bool) -> tuple[T | None, T | None]:
    """Rule 8: return the lowest low and the highest high, of which an end that any range leaves open is None.

    Where that would say nothing, because both ends are open and the report that leads, the first, `has_figure` not, its own low
    or high stays.
    """
    lows, highs = zip(*ranges, strict=True)
    found = None if None in lows else min(lows), None if None in highs else max(highs)
    if has_figure or found != (None, None):
        return found
    low, high = ranges[0]
    return low, high if low is None else None


def envelope(ranges: Iterable[tuple[T | None, T | None]]) -> tuple[T | None, T | None]:
    """Return the range from the lowest low to the highest high; an end is None if all ranges leave it open.

    A range that is open at one end is still included with its other end.
    """
    pairs = list(ranges)
    ends = [end for pair in pairs for end in pair if end is not None]
    return (
        min(ends) if any(low is not None for low, _ in pairs) else None,
        max(ends) if any(high is not None for _, high in pairs) else None,
    )
