"""Numbers, durations and days in a sentence, and the template of a sentence in which a letter stands for each of them."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from math import prod
from typing import Any

from text_to_num import text2num

from app.domain.words.grammar import compiled
from app.domain.words.names import Mention

_FRACTIONS = {"half a million": 500_000, "a quarter of a million": 250_000, "quarter of a million": 250_000} | dict.fromkeys(
    ("one and a half million", "a million and a half"), 1_500_000
)
_MULTIPLIERS = {"hundred": 100, "k": 10**3, "thousand": 10**3, "m": 10**6, "million": 10**6, "bn": 10**9, "billion": 10**9}
_UNIT = re.compile(r"(?:\b|(?<=[0-9]))(?:hundred|thousand|million|billion|k|m|bn)\b")
_ENDS_IN_UNITS = re.compile(rf"(?:(?!{_UNIT.pattern}).)+(?:[ -]?{_UNIT.pattern})+")
_QUALIFIERS = ("about", "nearly", "more_than", "at_least", "up_to", "below", "exact")
_AFTER = {"more": "at_least", "so": "about", "fewer": "up_to", "less": "up_to"}
# Soonest first.
IMMINENCE = ("hours", "days", "weeks", "months")
_DAYS = {"day": 1, "week": 7, "fortnight": 14}
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
(MENTION,), (_DURATION,), (_IF_NOT,) = (compiled("mentions", name) for name in ("any", "duration", "if_not"))
# Letters of a template in place of other ones.
_PLAIN = {"\u2019": "'", "\u2018": "'", "\u201c": "", "\u201d": "", '"': "", "\u2013": "-", "\u2014": "-"}
# How far from the day of the statement a day without a year may lie.
MAX_DAYS_AGO, MAX_DAYS_AHEAD = 300, 183
MAX_DIGITS = 10
SHORTEST_MONTH = 28


class Template:
    """A sentence in lower case, in which a capital letter stands for each mention; its parts lead back to mentions and words."""

    def __init__(self, text: str, start: int, end: int, names: Iterable[Mention]) -> None:
        self.mentions = {each.start: each for each in names}
        taken = list(self.mentions.values())
        for match in MENTION.finditer(text, start, end):
            if all(match.start() >= each.end or match.end() <= each.start for each in taken):
                self.mentions[match.start()] = mention_of(match)
        self._letters: list[tuple[str, int, int]] = []
        at = start
        while at < end:
            mention = self.mentions.get(at)
            lower = _PLAIN.get(text[at], text[at].lower())
            letter = mention.type if mention else " " if lower.isspace() else lower[:1]
            to = mention.end if mention else at + 1
            if letter and not (letter == " " and self._letters and self._letters[-1][0] == " "):
                self._letters.append((letter, at, to))
            at = to

    @property
    def words(self) -> str:
        """The template."""
        return "".join(each[0] for each in self._letters)

    def copy(self) -> "Template":
        """Return a template from which other parts may be cut."""
        made = object.__new__(Template)
        made.mentions, made._letters = self.mentions, self._letters[:]
        return made

    def cut(self, pattern: "re.Pattern[str]", group: str | int = 0) -> list[tuple[int, int]]:
        """Remove what a pattern matches, and return where a group of it was in the text."""
        matches = list(pattern.finditer(self.words))
        spans = [self.span(match, group) for match in matches]
        for match in reversed(matches):
            del self._letters[slice(*match.span())]
        return spans

    def span(self, match: "re.Match[str]", group: str | int = 0) -> tuple[int, int]:
        """Return the span in the text of a group of a match in the template."""
        start, end = match.span(group)
        return self._letters[start][1], self._letters[end - 1][2]

    def of(self, match: "re.Match[str]", group: str) -> list[Mention]:
        """Return the mentions in a group of a match in the template."""
        return [self.mentions[start] for _, start, _ in self._letters[slice(*match.span(group))] if start in self.mentions]

    def having(self, types: str) -> list[Mention]:
        """Return the mentions of some types that were not cut."""
        return [self.mentions[start] for letter, start, _ in self._letters if letter in types and start in self.mentions]


def mention_of(match: "re.Match[str]") -> Mention:
    type_ = next(each for each in ("vague_day", "D", "T", "V", "N") if match[each] is not None)
    value: Any = None
    if type_ == "N":
        ends = _numbers(match["number"])
        qualifiers = [name for name in _QUALIFIERS if match[name]] + ([_AFTER[match["after"].split()[-1]]] if match["after"] else [])
        value = (*ends, *qualifiers) if ends is not None and len(qualifiers) <= 1 else None
    elif type_ == "T":
        value = duration(match[0].lower())
    elif type_ == "D":
        value = {name: each for name, each in match.groupdict().items() if each and name not in ("D", "N", "number", "after")}
    return Mention("D" if type_ == "vague_day" else type_, *match.span(), value)


def _numbers(text: str) -> tuple[int, int] | None:
    """Return the two ends of a range, equal for a single number; None for what may be read in two ways (300.000; 250-275,000)."""
    text = text.lower()
    between = "between " if text.startswith("between ") else ""
    if not between and (single := number(text)) is not None:
        return single, single
    separators = re.finditer(r" and " if between else r" ?[-\u2013\u2014] ?| to | or ", text)
    splits = [(text[len(between) : each.start()], text[each.end() :]) for each in separators]
    pairs = [(low, high, words) for words in splits if (low := number(words[0])) is not None and (high := number(words[1])) is not None]
    if len(pairs) != 1:
        return None
    low, high, words = pairs[0]
    if low < 1000 <= high or (low < 100 <= high and "hundred" in words[1]):
        low = _in_unit(low, high, *words)
    return (low, high) if low is not None and low < high else None


def _in_unit(low: int, high: int, low_words: str, high_words: str) -> int | None:
    """Return the low end of a range in the unit that its high end may share with it: "two to three hundred thousand"."""
    own, units = ([_MULTIPLIERS[each] for each in _UNIT.findall(words)] for words in (low_words, high_words))
    shared = [each for each in units if each not in own]
    if not shared:
        # "250-275,000" may be 250,000.
        return None if not units and high % 1000 == 0 and low < high // 1000 else low
    fitting = sorted(low * factor for at in range(len(shared)) if low * (factor := prod(shared[at:])) < high)
    if not fitting and low * min(shared) >= high:
        return low if max(shared) <= 1000 else None
    # "Two to three hundred and fifty" may be 2 or 200.
    is_plain = _ENDS_IN_UNITS.fullmatch(high_words) or (
        len(fitting) == 1 and shared == sorted(shared) and _UNIT.search(high_words.rsplit(maxsplit=1)[-1])
    )
    return fitting[-1] if fitting and is_plain else None


def number(text: str) -> int | None:
    """Return a number as English writes it, in lower case; None for one that may be read in two ways."""
    if text in _FRACTIONS:
        return _FRACTIONS[text]
    match = re.fullmatch(r"([0-9][0-9., \u00a0\u2009\u202f]*?)(?:[ -]?(k|m|bn|million|thousand|billion))?", text)
    if match is None:
        try:
            return int(text2num(re.sub(r"^an? ", "one ", text).replace("-", " "), "en"))
        except ValueError:
            return None
    digits, multiplier = match[1], _MULTIPLIERS.get(match[2] or "", 1)
    if multiplier > 1 and re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,2}", digits):
        whole, _, part = digits.partition(".")
        return int(whole) * multiplier + int(part.ljust(2, "0")) * multiplier // 100
    grouped = re.fullmatch(r"[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:[ \u00a0\u2009\u202f][0-9]{3})+", digits)
    plain = re.sub(r"[^0-9]", "", digits)
    return int(plain) * multiplier if grouped and len(plain) <= MAX_DIGITS else None


def duration(words: str) -> dict[str, Any] | None:
    """Return the fields of a supply that runs out after a duration; None for one that is no certain number of days."""
    if (pair := _IF_NOT.fullmatch(words)) is not None:
        soonest_first = all(each in IMMINENCE for each in pair.groups()) and IMMINENCE.index(pair[1]) < IMMINENCE.index(pair[2])
        return {"imminence": pair[1]} if soonest_first else None
    match = _DURATION.fullmatch(words)
    assert match is not None
    is_plural = match["unit"].endswith("s")
    if match["few"] or (not match["amount"] and is_plural and (match["within"] or match["coming"])):
        return {"imminence": match["unit"]} if match["unit"] in IMMINENCE else None
    is_one = match["amount"] in ("a", "an") or (not match["amount"] and (match["next"] or (match["within"] and not is_plural)))
    ends = (1, 1) if is_one else _numbers(match["amount"] or "")
    unit = match["unit"].rstrip("s")
    if ends is None or unit not in ("hour", *_DAYS):
        return None
    if unit == "hour" and ends[1] < 24:
        return {"imminence": "hours"}
    hours = [each * 24 * _DAYS[unit] if unit in _DAYS else each for each in ends]
    if not hours[0] or any(each % 24 for each in hours):
        return None
    low, high = (each // 24 for each in hours)
    found = {} if match["at_most"] or match["within"] else {"in_days_min": low}
    return found if match["at_least"] else found | {"in_days_max": high}


def days(value: dict[str, str] | None, anchor: date, *, future: bool) -> tuple[date, date] | None:
    """Return the first and last day that words mean, not after `anchor`, or in the future not before it; None if that is not certain."""
    try:
        if value is None:
            return None
        if "weekday" in value:
            ago = (anchor.weekday() - WEEKDAYS.index(value["weekday"])) % 7
            day = anchor + timedelta(days=7 - ago if future else -ago)
            return None if future and ago == 0 else (day, day)
        if "last_weekday" in value:
            # Said after that weekday, some mean this week's and some the week's before.
            ahead = WEEKDAYS.index(value["last_weekday"].split()[1]) - anchor.weekday()
            return None if future or ahead <= 0 else ((day := anchor + timedelta(days=ahead - 7)), day)
        if "iso" in value or "near" in value:
            day = date.fromisoformat(value["iso"]) if "iso" in value else anchor - timedelta(days=value["near"].lower() == "yesterday")
            return (day, day) if (day >= anchor if future else day <= anchor) else None
        return _month_days(value, anchor, future=future)
    except ValueError:
        return None


def _month_days(value: dict[str, str], anchor: date, *, future: bool) -> tuple[date, date] | None:
    month = MONTHS.index(value.get("month") or value["month_first"]) + 1
    year, number_ = value.get("year") or value.get("year_last"), value.get("day") or value.get("day_last")
    for each in [int(year[-4:])] if year else [anchor.year, anchor.year + (1 if future else -1)]:
        first, last = date(each, month, 1), date(each + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        if number_:
            first = last = first.replace(day=int(number_))
        elif "part" in value:
            from_, to = {"e": (1, 10), "l": (21, last.day)}.get(value["part"][0].lower(), (11, 20))
            first, last = first.replace(day=from_), first.replace(day=to)
        if last >= anchor if future else first <= anchor:
            near = (first - anchor).days <= MAX_DAYS_AHEAD if future else (anchor - first).days <= MAX_DAYS_AGO
            return (first, last) if (near or year) and not (number_ and "part" in value) else None
    return None


def last_day(side: str, first: date, last: date) -> date | None:
    """Return the last day that is "by" or "before" some days; None if that is not certain ("before mid-August")."""
    if side != "before":
        return last
    return first - timedelta(days=1) if first == last or (last - first).days >= SHORTEST_MONTH - 1 else None
