"""Days and durations as people type them into a form."""

import re
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from app.domain.words.mentions import IMMINENCE, MENTION, MONTHS, WEEKDAYS, days, duration, last_day, mention_of

_PROPER = {each[:length].lower(): each for each in (*MONTHS, *WEEKDAYS) for length in (3, len(each))}
_PROPER |= {"sept": "September", "tues": "Tuesday", "thur": "Thursday", "thurs": "Thursday"}
# Without a number before it, "mar" is Tuesday in French and Spanish.
_WRITTEN = re.compile(rf"\b(?P<name>(?!mar\b)(?:{'|'.join(_PROPER)})|(?<=[0-9][ -])mar)\b\.?", re.IGNORECASE)
# 28-November-2016, 28th of November
_JOINED = re.compile(r"(?<=[0-9])-(?=[A-Z][a-z])|(?<=[a-z])-(?=[0-9]{4}$)|(?:(?<=[0-9])|(?<=st|nd|rd|th)) of (?=[A-Z][a-z])")
# 28.11.2026, and 28/11/2026 where the month cannot come first.
_NUMBERS = re.compile(r"(?P<day>[0-9]{1,2})(?P<sign>[./])(?P<month>[0-9]{1,2})(?P=sign)(?P<year>[0-9]{4})")
_TYPED = re.compile(r"(?:(?P<open>by|before|until|after|from|since|within)|in|on|for) ", re.IGNORECASE)
# 1-3 August, and two weeks to three weeks
_DAY_DASH = re.compile(r"(?<![0-9.-])([0-9]{1,2}) ?[-\u2013] ?(?=[0-9]{1,2}\b(?![.-]))")
_AND_DAY = re.compile(r"\band(?=[0-9])")
_END_OF = re.compile(r"\b(?:the )?(beginning|start|end) of (?=[A-Z])", re.IGNORECASE)
_WITH_WEEKDAY = re.compile(rf"({'|'.join(WEEKDAYS)}),? (?=.*[0-9])")
# "About two days ago" is not one day.
_AGO = re.compile(r"(?!about|around|roughly|approximately|nearly|almost|some)(?:ago (.+)|(.+) ago)")
_UNIT_TWICE = re.compile(r" (hour|day|week|month)s?( to | or | ?[-\u2013] ?)(?=\S+ \1)")


def read_time(text: str, anchor: date, *, future: bool) -> dict[str, Any] | None:
    """Return the times that typed words mean, counted from a day; None if that is not certain.

    They are `first` and `last` day, either None for an open end, or the fields that `duration` returns. In the future, durations are read.
    """
    text = _WRITTEN.sub(lambda match: _PROPER[match["name"].lower()], " ".join(text.split()))
    text = _JOINED.sub(" ", _END_OF.sub(lambda match: "late " if match[1].lower() == "end" else "early ", text))
    text = _UNIT_TWICE.sub(r"\2", _DAY_DASH.sub(r"\1 to ", _AND_DAY.sub("and ", text)))
    ends = re.split(r" (?:to|until|and|-|\u2013) ", re.sub("^(?:from|between) ", "", text, flags=re.IGNORECASE))
    if len(ends) == 2 and re.fullmatch("[0-9]{1,2}(?:st|nd|rd|th)?", ends[0]):
        # The month, and the year, stand with the last day alone.
        ends[0] += ends[1].lstrip("0123456789")
    elif len(ends) == 2 and re.fullmatch("[0-9]{1,2}", ends[1]) and ends[0][-1:].isdigit():
        ends[1] = ends[0].rstrip("0123456789") + ends[1]
    if len(ends) == 2 and (pair := [_days_of(each, anchor, future=future) for each in ends]) and all(pair):
        (first, _), (_, last) = (each or (anchor, anchor) for each in pair)
        return {"first": first, "last": last} if first <= last else None
    opening = _TYPED.match(text)
    bare = text[opening.end() :] if opening else text
    if (meant := _days_of(bare, anchor, future=future)) is not None:
        side = (opening["open"] or "").lower() if opening else ""
        if side in ("by", "before") or (side in ("until", "within") and future):
            end = last_day(side, *meant)
            return {"first": None, "last": end} if end is not None and (end >= anchor or not future) else None
        if side == "after":
            return {"first": meant[1], "last": None}
        # Of what will be, a month that has begun has only its days to come.
        return {"first": max(meant[0], anchor) if future and meant[1] >= anchor else meant[0], "last": meant[1]}
    if future:
        if bare.lower() in IMMINENCE:
            return {"imminence": bare.lower()}
        # "Before ten days" may be ten days ago.
        for each in (text, bare) if not opening or opening["open"] in (None, "after", "within") else ():
            match = MENTION.fullmatch(each)
            if match is not None and match["T"]:
                return duration(each.lower())
    return None


def _days_of(text: str, anchor: date, *, future: bool) -> tuple[date, date] | None:
    near = ("today", "tomorrow") if future else ("today", "yesterday")
    if text.lower() in near:
        return (day := anchor + timedelta(days=near.index(text.lower()) * (1 if future else -1))), day
    with suppress(ValueError):
        return (day := date.fromisoformat(text)), day
    if named := _WITH_WEEKDAY.match(text):
        day_of_name = _days_of(text[named.end() :], anchor, future=future)
        return day_of_name if day_of_name and {f"{each:%A}" for each in day_of_name} == {named[1]} else None
    if not future and (ago := _AGO.fullmatch(text)) and (match := MENTION.fullmatch(ago[1] or ago[2])) and match["T"]:
        count = duration(match[0].lower()) or {}
        exact = "in_days_min" in count and count.get("in_days_max") == count["in_days_min"]
        return ((day := anchor - timedelta(days=count["in_days_min"])), day) if exact else None
    numbers = _NUMBERS.fullmatch(text)
    if numbers and (numbers["sign"] == "." or int(numbers["day"]) > 12):
        with suppress(ValueError):
            return (day := date(int(numbers["year"]), int(numbers["month"]), int(numbers["day"]))), day
    match = MENTION.fullmatch(text)
    return days(mention_of(match).value, anchor, future=future) if match is not None and match["D"] else None
