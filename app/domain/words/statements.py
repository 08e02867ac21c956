"""Find the statement of each kind in the template of a sentence from which the speaker was cut."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from app.domain.words import grammar
from app.domain.words.mentions import SHORTEST_MONTH, Template, days, last_day
from app.domain.words.names import Mention

Span = tuple[int, int]
# A value, the spans of its fields, and the span of the statement, which is that of the other fields.
Statement = tuple[dict[str, Any], dict[str, Span], Span]

# Figures from here on may be of people; smaller ones count houses, trucks and days, too.
MIN_OTHER_FIGURE = 100
OVER = "it speaks of a time that is over"
UNKNOWN_DAY = "the text does not say on which day this was stated, from which the time counts"


@dataclass(frozen=True, slots=True)
class Speaker:
    """The source of the statements of a sentence, and their day; `is_named`: the text names it, otherwise it is the publisher.

    `day_known`: the text says on which day; `is_past`: it reports past words, as in "said that people were trapped". `other_days`: it may
    have been published on these, by another time zone.
    """

    source: str
    day: date
    source_span: Span
    day_span: Span
    day_known: bool = True
    is_past: bool = False
    is_named: bool = False
    other_days: tuple[date, ...] = ()

    def days(self, value: dict[str, str] | None, *, future: bool) -> tuple[date, date] | None:
        """Return the first and last day that words mean, counted from the day; None if that is not certain."""
        (meant, *others) = {days(value, each, future=future) for each in (self.day, *self.other_days)}
        return None if others else meant


class NotClear(Exception):
    """The sentence cannot be read for certain; the message says why."""


def figures(template: Template, speaker: Speaker, text: str) -> Iterator[Statement]:  # noqa: ARG001 - the kinds are read alike
    """Find how many people are in a place."""
    template.cut(grammar.BESIDE_FIGURE)
    template.cut(grammar.FILLER)
    words = template.words
    match = next((found for pattern in grammar.FIGURES if (found := pattern.search(words)) is not None), None)
    rest = words if match is None else f"{words[: match.start()]} {words[match.end() :]}"
    if template.having("V"):
        raise NotClear("the number is not exact enough")
    if any(each.value is None for each in template.having("N")):
        raise NotClear("the number may be read in two ways")
    _check(rest, grammar.DOUBTS | grammar.FIGURE_DOUBTS | grammar.MODAL_DOUBTS)
    if match is None:
        raise NotClear("it is not said plainly how many people are there: enter it by hand")
    (figure,) = template.of(match, "N")
    others = [each for each in template.having("N") if each is not figure]
    if any(each.value[1] >= MIN_OTHER_FIGURE for each in others):
        raise NotClear("the sentence has more than one figure")
    if any(letter in rest for letter in "PSRD"):
        raise NotClear("the sentence names a place, a source, a route or a day beside the figure, and not plainly why")
    if match.groupdict().get("past") and not speaker.is_past:
        raise NotClear(OVER)
    concept = next(name for name in grammar.CONCEPTS if match.groupdict().get(name))
    low, high, *qualifiers = figure.value
    if low != high and qualifiers not in ([], ["about"]):
        raise NotClear("a range with a limit may be read in two ways")
    # "Fewer than 275,000" is a high end, and no figure.
    is_below = "below" in qualifiers
    value: dict[str, Any] = {"people_low": low, "people_high": high} if low != high else {"people_high" if is_below else "people": high}
    if qualifiers:
        value["qualifier"] = "up_to" if is_below else qualifiers[0]
    spans = dict.fromkeys(value, (figure.start, figure.end))
    yield {"concept": concept} | value, {"concept": template.span(match, concept)} | spans, template.span(match)


def supplies(template: Template, speaker: Speaker, text: str) -> Iterator[Statement]:
    """Find which supplies last how long, are low, ran out or came."""
    template.cut(grammar.FILLER)
    conditions = [span for pattern in grammar.CONDITIONS for span in template.cut(pattern, "if")]
    words = template.words
    found = ((state, pattern.search(words)) for state, pattern in grammar.SUPPLY_STATES)
    state, match = next(((state, match) for state, match in found if match is not None), ("", None))
    if state != "will_run_out":
        _check(words, grammar.DOUBTS)
    if match is None:
        raise NotClear("it is not said plainly which supply lasts how long: enter it by hand")
    if match.groupdict().get("past") and not speaker.is_past:
        raise NotClear(OVER)
    value: dict[str, Any] = {} if state == "will_run_out" else {"state": state}
    spans: dict[str, Span] = {}
    if state == "will_run_out":
        (when,) = template.of(match, "when")
        by = match.groupdict().get("by") if when.type == "D" else None
        value = _runs_out(when, by, speaker)
        spans = dict.fromkeys([*value, "relative_text"], (template.span(match, "by")[0] if by else when.start, when.end))
    elif state == "low":
        spans = {"state": template.span(match, "low"), "relative_text": template.span(match, "low")}
    if conditions:
        if state != "will_run_out" or len(conditions) > 1:
            raise NotClear("it may be so, or will be")
        spans["conditional_on"] = conditions[0]
    value |= {name: text[slice(*spans[name])] for name in ("relative_text", "conditional_on") if name in spans}
    for supply in template.of(match, "U"):
        (name,) = supply.value
        if name == "part":
            raise NotClear("it names a part of a supply, such as bread: enter it by hand")
        yield {"supply": name} | value, {"supply": (supply.start, supply.end)} | spans, template.span(match)


def _runs_out(when: Mention, by: str | None, speaker: Speaker) -> dict[str, Any]:
    if when.value is None:
        raise NotClear("the day or the duration is not certain")
    if not speaker.day_known and (when.type == "T" or when.value.keys() & {"weekday", "near"}):
        raise NotClear(UNKNOWN_DAY)
    if when.type == "T":
        return dict(when.value)
    meant = speaker.days(when.value, future=True)
    # "Until September" may be until its first day or its last.
    latest = meant and last_day(by or "", *meant)
    if meant is None or latest is None or latest < speaker.day or (by == "until" and (meant[1] - meant[0]).days >= SHORTEST_MONTH - 1):
        raise NotClear("the day is not certain")
    earliest = {} if by in ("by", "before") else {"runs_out_earliest": max(meant[0], speaker.day).isoformat()}
    return earliest | {"runs_out_latest": latest.isoformat()}


def routes(template: Template, speaker: Speaker, text: str) -> Iterator[Statement]:  # noqa: ARG001 - the kinds are read alike
    """Find whether a route is open."""
    template.cut(grammar.FILLER)
    template.cut(grammar.TO_PLACE)
    last_route = template.cut(grammar.LAST_ROUTE)
    words = template.words
    match = next((found for pattern in grammar.ROUTE_STATES if (found := pattern.search(words)) is not None), None)
    groups = {} if match is None else match.groupdict()
    if not groups.get("announced"):
        _check(words, grammar.DOUBTS | grammar.MODAL_DOUBTS)
    if match is None or len(grammar.STATE_WORDS.findall(words)) > 1 + bool(groups.get("passable")):
        raise NotClear("it is not said plainly which route is open or closed: enter it by hand")
    (route,) = template.of(match, "R")
    if len(route.value) != 1:
        raise NotClear("the name may mean another route")
    state = next(name for name in ("closed", "open", "restricted", "announced") if groups.get(name))
    (slug,) = route.value
    value: dict[str, Any] = {"route": slug, "status": "open" if state == "announced" else state}
    spans = {"route": (route.start, route.end), "status": template.span(match, state)}
    if state == "announced":
        if not speaker.is_named:
            raise NotClear("it is not said who announces it")
        value["assertion"] = state
    if groups.get("passable"):
        value["passable_by"], spans["passable_by"] = ["humanitarian"], template.span(match, "passable")
    if groups.get("when"):
        (when,) = template.of(match, "when")
        since = _since(when, speaker)
        value |= since
        spans |= dict.fromkeys(since, (when.start, when.end))
    elif groups.get("event") and not speaker.is_past:
        raise NotClear(OVER)
    if last_route:
        if state != "closed":
            raise NotClear("it is not said plainly whether another way is left: enter it by hand")
        value["last_route"], spans["last_route"] = True, last_route[0]
    yield value, spans, template.span(match)


def _since(when: Mention, speaker: Speaker) -> dict[str, str]:
    meant = speaker.days(when.value, future=False)
    if meant is None or ("weekday" in when.value and meant[0] == speaker.day):
        raise NotClear("the day since when is not certain")
    if not speaker.day_known and when.value.keys() & {"weekday", "last_weekday", "near"}:
        raise NotClear(UNKNOWN_DAY)
    first, last = (each.isoformat() for each in meant)
    if first == last:
        return {"since": first}
    if "part" not in when.value:
        return {"since": first[:7]}
    return {"since_earliest": first, "since_latest": min(last, speaker.day.isoformat())}


def _check(words: str, doubts: "Mapping[str, re.Pattern[str]]") -> None:
    for reason, doubt in doubts.items():
        if doubt.search(words) is not None:
            raise NotClear(reason)


READ: Mapping[str, Callable[[Template, Speaker, str], Iterator[Statement]]] = {
    "trapped_population": figures,
    "supply_runout": supplies,
    "route_closure": routes,
}
