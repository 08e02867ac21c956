"""Convert the fields of a form to the JSON of a request, and a record to the fields of a form."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.board.desk.fields import NONE_OF_THESE, FormField
from app.board.desk.lookup import Names, split_list
from app.domain.kinds.showing import gettext_noop
from app.domain.times import DATE_LENGTH, normalise, utc_now
from app.domain.words.mentions import number
from app.domain.words.typed import read_time
from app.http.localization import Localization

# Days of what has been said or seen already.
PAST_DAYS = ("stated_at", "provenance.published_at", "observed_from", "observed_to")
# The fields of a form by name; a field may be there several times.
Form = Mapping[str, list[str]]
ONE_DAY = gettext_noop("Write one day: a date such as 2016-07-28 or 7 July 2016, or a weekday.")
PAST_DAY = gettext_noop("Write a day that is past: a date such as 2016-07-28 or 7 July 2016, a weekday, yesterday or today.")
UNCLEAR_DAY = gettext_noop("Write a date such as 2016-07-28 or 7 July 2016, a weekday, or early, mid or late and a month.")
UNCLEAR_TIME = gettext_noop("Write when: in 10 days, in two to three weeks, mid-August, by 15 August, a date, or hours, days or weeks.")
UNCLEAR_NUMBER = gettext_noop("Write one number, such as 250,000.")
UNCLEAR_PAIRS = gettext_noop("Write one on each line, as name: value.")
UNCLEAR_POSITION = gettext_noop("Write longitude and latitude in degrees, such as 37.16, 36.2.")
MISSING = gettext_noop("This is needed.")
UNKNOWN_RECORD = gettext_noop("There is no record with this name: choose one of those offered, or add it.")
SEVERAL_RECORDS = gettext_noop("Several records have this name. Choose one.")
NOBODY_OR_OTHERS = gettext_noop("Tick either this or others, not both.")
WRITE_WHY = gettext_noop("Write why.")
INCOMPLETE_OUTCOME = gettext_noop("Choose the outcome and the statement that shows it, and write why.")


@dataclass(slots=True)
class Filled:
    """The body that a form makes, and what is wrong with it, by the name of the field; `choices` are records that a name may mean."""

    body: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    choices: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def read_form(fields: Sequence[FormField], form: Form, names: Names, locale: Localization) -> Filled:
    """Return the body that a form makes. Days count from the day of the statement, that day from the publication, or from today."""
    filled = Filled()
    anchor = utc_now().date()
    in_time = sorted(fields, key=lambda each: (each.name != "provenance.published_at", each.name != "stated_at"))
    for each in in_time:
        texts = [text.strip() for text in form.get(each.name, []) if text.strip()]
        if not texts:
            if each.required:
                filled.errors[each.name] = locale.gettext(MISSING)
            continue
        try:
            value = _value(each, texts, anchor, names, locale, filled)
        except ValueError as error:
            filled.errors[each.name] = locale.gettext(str(error))
            continue
        for name, part in value.items():
            _put(filled.body, name, part)
        if each.name in ("provenance.published_at", "stated_at"):
            anchor = date.fromisoformat(value[each.name][:DATE_LENGTH])
    return filled


def _value(each: FormField, texts: list[str], anchor: date, names: Names, locale: Localization, filled: Filled) -> dict[str, Any]:
    text = texts[0]
    if each.type == "reference":
        slugs = []
        for name in split_list(texts) if each.many else [text]:
            found = names.find(each.collection, name)
            if len(found) != 1:
                filled.choices[each.name] = [
                    (slug, names.label(each.collection, slug)) for slug in found or names.near(each.collection, name)
                ]
                raise ValueError(SEVERAL_RECORDS if found else UNKNOWN_RECORD)
            slugs += found
        return {each.name: slugs if each.many else slugs[0]}
    if each.type == "codes":
        if NONE_OF_THESE in texts and len(texts) > 1:
            raise ValueError(NOBODY_OR_OTHERS)
        return {each.name: [code for code in texts if code != NONE_OF_THESE]}
    if each.type == "choice":
        is_flag = text in ("true", "false")
        return {each.name: text == "true" if is_flag else int(text) if each.member == "credibility" else text}
    if each.type == "number":
        if (whole := number(locale.ungrouped(locale.to_english(text)).lower())) is None:
            raise ValueError(UNCLEAR_NUMBER)
        return {each.name: whole}
    if each.type == "days":
        return _days(each, locale.to_english(text), text, anchor)
    if each.type == "day":
        return {each.name: _day(locale.to_english(text), anchor, may_come=each.name not in PAST_DAYS)}
    return {each.name: _structured(each.member, text)}


def _structured(member: str, text: str) -> Any:
    """Return the value of a field that is no plain text."""
    if member == "centroid":
        parts = re.split(r"[,;\s]+", text.strip("[]() "))
        try:
            longitude, latitude = map(float, parts)
        except ValueError:
            raise ValueError(UNCLEAR_POSITION) from None
        return [longitude, latitude]
    if member in ("names", "codes"):
        pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
        # A second name in a language would replace the first.
        is_repeated = member == "names" and len({name.strip() for name, _, _ in pairs}) < len(pairs)
        if is_repeated or not all(colon and value.strip() for _, colon, value in pairs):
            raise ValueError(UNCLEAR_PAIRS)
        named = [(name.strip(), value.strip()) for name, _, value in pairs]
        return dict(named) if member == "names" else [{"scheme": scheme, "code": code} for scheme, code in named]
    return text


def _day(text: str, anchor: date, *, may_come: bool) -> str:
    with suppress(ValueError):
        return normalise(text)
    read = read_time(text, anchor, future=False) or (read_time(text, anchor, future=True) if may_come else None)
    if read is None or "first" not in read or read["first"] != read["last"] or read["first"] is None:
        raise ValueError(ONE_DAY if may_come else PAST_DAY)
    return str(read["first"].isoformat())


def _days(each: FormField, text: str, typed: str, anchor: date) -> dict[str, Any]:
    """Return the members that words about days mean: days, a number of days from the statement, or how soon."""
    prefix, of = each.name.removesuffix(each.member), each.members
    if "one" in of and re.fullmatch(r"\d{4}(-\d\d)?", text):
        return {f"{prefix}{of['one']}": text}
    ahead = "days_min" in of
    # Days that the source's own words do not give have these words in brackets behind them.
    bracketed = re.fullmatch(r"([^()]*)\((.+)\)", typed) if "words" in of else None
    if bracketed:
        inner = bracketed[1].strip()
        said = _days(each, inner, inner, anchor) if inner else {}
        return said | {f"{prefix}{of['words']}": bracketed[2].strip()}
    if (read := read_time(text, anchor, future=ahead)) is None:
        read = read_time(text, anchor, future=not ahead)
        # "Friday", said on a Friday, may be that day or a week later.
        read = None if ahead and read is not None and read.get("last") == anchor else read
    if read is None:
        raise ValueError(UNCLEAR_TIME if ahead else UNCLEAR_DAY)
    first, last = read.pop("first", None), read.pop("last", None)
    if first == last and "one" not in of and re.match("(?:from|since) ", text, re.IGNORECASE):
        last = None
    if first is not None and first == last and "one" in of:
        return {f"{prefix}{of['one']}": first.isoformat()}
    roles = {"first": first and first.isoformat(), "last": last and last.isoformat(), "imminence": read.get("imminence")}
    roles |= {"days_min": read.get("in_days_min"), "days_max": read.get("in_days_max")}
    roles["words"] = None if re.search(r"\d{4}-\d\d-\d\d", text) else typed
    said = {role: value for role, value in roles.items() if value is not None and (role in of or role != "words")}
    if not said.keys() <= of.keys() or not said.keys() - {"words"}:
        raise ValueError(UNCLEAR_TIME if ahead else UNCLEAR_DAY)
    return {f"{prefix}{of[role]}": value for role, value in said.items()}


def _put(body: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        body = body.setdefault(part, {})
    body[last] = value


def form_of(fields: Iterable[FormField], record: Mapping[str, Any], names: Names, locale: Localization) -> dict[str, list[str]]:
    """Return what a form says that would make a record."""
    form: dict[str, list[str]] = {}
    for each in fields:
        if each.type == "days":
            form[each.name] = [_days_text(each, record, locale)]
            continue
        value = _at(record, each.name)
        if each.type == "reference" and value:
            form[each.name] = [", ".join(names.label(each.collection, slug) for slug in ([value] if isinstance(value, str) else value))]
        elif each.type == "codes":
            form[each.name] = [NONE_OF_THESE] if value == [] else list(value or [])
        elif isinstance(value, bool):
            form[each.name] = ["true" if value else "false"]
        elif each.member == "centroid" and value:
            form[each.name] = [f"{value[0]}, {value[1]}"]
        elif each.member == "codes":
            form[each.name] = ["\n".join(f"{code['scheme']}: {code['code']}" for code in value or [])]
        elif each.member == "names":
            form[each.name] = ["\n".join(f"{language}: {name}" for language, name in (value or {}).items())]
        elif value is not None and not isinstance(value, (dict, list)):
            form[each.name] = [str(value)]
    return form


def _days_text(each: FormField, record: Mapping[str, Any], locale: Localization) -> str:
    """Return the words of the source if they give the days of a record, else its days, with the words in brackets."""
    prefix, stated = each.name.removesuffix(each.member), str(record.get("stated_at") or "")[:DATE_LENGTH]
    of = {role: f"{prefix}{member}" for role, member in each.members.items()}
    said = {role: value for role, name in of.items() if (value := _at(record, name)) is not None}
    words = str(said.pop("words", ""))
    if words and stated:
        with suppress(ValueError):
            read = _days(each, locale.to_english(words), words, date.fromisoformat(stated))
            counts = {"days_min", "days_max"} & said.keys()
            # A record has the days that a number of days gives as well.
            meant = {of[role]: value for role, value in said.items() if not counts or role not in ("first", "last")}
            if read == meant | {of["words"]: words}:
                return words
    one, first, last, soon = (said.get(role) for role in ("one", "first", "last", "imminence"))
    if one or (first and first == last):
        text = str(one or first)
    elif first and last:
        text = f"{first} to {last}"
    elif first or last:
        text = f"after {first}" if first else f"by {last}"
    else:
        text = _count_text(said.get("days_min"), said.get("days_max")) or str(soon or "")
    return f"{text} ({words})".strip() if words else text


def _count_text(low: int | None, high: int | None) -> str:
    if low is None:
        return "" if high is None else f"within {high} days"
    return f"in at least {low} days" if high is None else f"in {low} days" if low == high else f"in {low} to {high} days"


def _at(record: Any, name: str) -> Any:
    for part in name.split("."):
        record = record.get(part) if isinstance(record, Mapping) else None
    return record
