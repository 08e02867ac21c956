"""Declarations of how a kind is shown: risks, alerts, plots, labels. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal


@dataclass(frozen=True, slots=True)
class Alert:
    """A statement as a CAP 1.2 alert; without severity, because no report states one.

    `onset` and `last_day` are the first and the last day that it warns of.
    """

    event: str
    categories: tuple[str, ...]
    response: str
    urgency: str
    onset: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class Risk:
    """A risk for people: `held`, if they cannot leave, or `short`, if a supply or service is or will soon be missing.

    `people` are those held, 0 if not known. `figure` is the field of the value that it rests on, if another report than the preferred
    may say it.
    """

    state: Literal["held", "short"]
    reason: str
    people: int = 0
    figure: str = ""


@dataclass(frozen=True, slots=True)
class RangePlot:
    """Fields of a number's range. The board draws a band over time, and reads the fields of reports and assessments alike.

    `until` is the field of the day up to which is counted.
    """

    low: str
    best: str
    high: str
    qualifier: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class DatePlot:
    """Fields of a forecast date. The board draws a band of dates over time, and states in rows where no report gives a date.

    `states` is in order from top to bottom. `imminence` is the field that says how soon where no date is given, `quote` the one with
    the source's own words.
    """

    earliest: str
    latest: str
    state: str
    states: tuple[str, ...]
    imminence: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class StatePlot:
    """The field of a state. The board draws states over time in rows, in the order of `states` from top to bottom.

    `parts` maps parts of the subject to fields with their own state. `qualifier` is a field that is shown unless it has its default.
    `missing` is the code to show when no state is known. `tones` are states of routes whose colours the states have, by state.
    `counts` are fields that say how many of how many are in the state, `days` those of the first and last day of it.
    """

    state: str
    states: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)
    qualifier: str = ""
    missing: str = "unknown"
    tones: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, str] | None = None
    days: tuple[str, str] | None = None


def gettext_noop(message: str) -> str:
    """Return the message unchanged; the call marks it for the board's translation catalogues."""
    return message
