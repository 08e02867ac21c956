"""Declarations of how a kind is shown: risks, alerts, plots, labels. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal


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
    may say it. `since` is the day since which it has been so, where the value tells.
    """

    state: Literal["held", "short"]
    reason: str
    people: int = 0
    figure: str = ""
    since: str = ""


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
    the source's own words, `condition` the one that says on what condition.
    """

    earliest: str
    latest: str
    state: str
    states: tuple[str, ...]
    imminence: str = ""
    quote: str = ""
    condition: str = ""


@dataclass(frozen=True, slots=True)
class StatePlot:
    """The field of a state. The board draws states over time in rows, in the order of `states` from top to bottom.

    `parts` maps parts of the subject to fields with their own state, `part` is the field of a report that names its part.
    `qualifier` is a field that is shown unless it has its default.
    `missing` is the code to show when no state is known. `tones` are states of routes whose colours the states have, by state.
    `counts` are fields that say how many of how many are in the state, `days` those of the first and last day of it.
    """

    state: str
    states: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    qualifier: str = ""
    missing: str = "unknown"
    tones: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[str, str] | None = None
    days: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence about a value: a message marked with `gettext_noop`, and the values of its names.

    `figures` are paths in the value, as `basis` of an assessment knows them, with the number or day (ISO 8601) there. `codes` are codes of
    the kind, several as a list, `words` free text. `about` is the code of what the clause is about, if it is a part of the subject.
    `path` is the field that a clause without figures rests on, if another report than the preferred may say it.
    """

    message: str
    figures: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    codes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    about: str = ""
    path: str = ""
    words: Mapping[str, str] = field(default_factory=dict)


def gettext_noop(message: str) -> str:
    """Return the message unchanged; the call marks it for the translation catalogues."""
    return message


QUALIFIED = {
    "about": gettext_noop("about %(number)s"),
    "nearly": gettext_noop("nearly %(number)s"),
    "up_to": gettext_noop("up to %(number)s"),
    "more_than": gettext_noop("more than %(number)s"),
    "at_least": gettext_noop("at least %(number)s"),
}


def code_clause(code: str, **more: Any) -> Clause:
    """Return a clause that is the label of a code."""
    return Clause("%(code)s", codes={"code": (code,)}, **more)


def words_clause(value: Mapping[str, Any], name: str) -> list[Clause]:
    """Return a field of free text in quotation marks after its label; nothing where it is not said."""
    return [Clause("%(said)s", about=f"field_{name}", path=name, words={"said": value[name]})] if value.get(name) else []


def plot_clauses(value: Mapping[str, Any], plot: RangePlot | DatePlot | StatePlot | None) -> list[Clause]:
    """Return what a value says by the fields that a plot names, of a report or an assessment."""
    if isinstance(plot, RangePlot):
        until = {"day": (plot.until, value.get(plot.until))}
        return [*_range_clauses(value, plot), *([Clause(gettext_noop("counted until %(day)s"), until)] if value.get(plot.until) else [])]
    if isinstance(plot, DatePlot):
        return [*([code_clause(value[plot.state])] if value.get(plot.state) else []), *date_clauses(value, plot.earliest, plot.latest)]
    if isinstance(plot, StatePlot):
        states = {part: value.get(name) for part, name in plot.parts.items() if value.get(name)}
        if len(set(states.values())) > 1:
            return [code_clause(str(state), about=part) for part, state in states.items()]
        some, known = plot.counts or ("", "")
        counts = [] if value.get(some) is None else [Clause("%(number)s", {"number": (some, value[some])})]
        if counts and value.get(known) is not None:
            figures = {"number": (some, value[some]), "all": (known, value[known])}
            counts = [Clause(gettext_noop("%(number)s of %(all)s"), figures)]
        days = date_clauses(value, *plot.days) if plot.days else []
        return [code_clause(str(value.get(plot.state) or plot.missing)), *counts, *days]
    return []


def _range_clauses(value: Mapping[str, Any], plot: RangePlot) -> list[Clause]:
    low, best, high, qualifier = (value.get(name) for name in (plot.low, plot.best, plot.high, plot.qualifier))
    if low is not None and high is not None and low != high:
        found = [Clause(gettext_noop("claims between %(low)s and %(high)s"), {"low": (plot.low, low), "high": (plot.high, high)})]
        preferred = {"figure": (plot.best, best)}
        return [*found, Clause(gettext_noop("preferred figure: %(figure)s"), preferred)] if best is not None else found
    known = [(path, each) for path, each in ((plot.best, best), (plot.high, high), (plot.low, low)) if each is not None]
    if not known:
        return []
    if best is None and qualifier not in QUALIFIED:
        qualifier = "at_least" if high is None else "up_to" if low is None else None
    found = [Clause(QUALIFIED.get(qualifier or "", "%(number)s"), {"number": known[0]})]
    for end, figure, usual in ((plot.low, low, "at_least"), (plot.high, high, "up_to")):
        # The figure lies in a range that is open at the other end.
        if best is not None and figure not in (None, best):
            found.append(Clause(QUALIFIED[usual], {"number": (end, figure)}))
    return found


# Between two days, on one, from one on, by one.
_DATES = (
    gettext_noop("between %(first)s and %(last)s"),
    gettext_noop("on %(day)s"),
    gettext_noop("on %(day)s or later"),
    gettext_noop("by %(day)s"),
)


def date_clauses(value: Mapping[str, Any], earliest: str, latest: str, messages: tuple[str, str, str, str] = _DATES) -> list[Clause]:
    """Return the first and last day of a value, by the names of their fields; nothing without a day."""
    first, last = value.get(earliest), value.get(latest)
    if first and last and first != last:
        return [Clause(messages[0], {"first": (earliest, first), "last": (latest, last)})]
    if first:
        return [Clause(messages[1 if last else 2], {"day": (earliest, first)})]
    return [Clause(messages[3], {"day": (latest, last)})] if last else []
