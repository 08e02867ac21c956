"""Dates and times on the wire: a time is UTC in RFC 3339 with `Z`, a date stays a date."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, WithJsonSchema
from typing_extensions import TypeAliasType

DATE_LENGTH = len("2016-07-28")
# The earliest day that a report may name.
MIN_DAY = date(1900, 1, 1)
# The time zone in which a day begins first: UTC+14.
_FIRST_TO_BEGIN = timedelta(hours=14)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# A day in another form may have a time behind it.
_DAY = re.compile(r"(\d{1,4})[./\s-](\d{1,2})[./\s-](\d{1,4})(?:\s+(?:[01]?\d|2[0-3]):[0-5]\d(?::\d\d)?)?", re.ASCII)
_NAMED_DAY = re.compile(r"(?:(\d{1,2})[\s.-]+)?([A-Za-z]{3,9})[\s.,-]+(?:(\d{1,2})[\s.,-]+)?(\d{4})", re.ASCII)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)
_LOCAL_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ]((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?)", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def end_of_today() -> datetime:
    """Return the end of today in UTC, the current time of assessments, so that responses do not change within a day."""
    return datetime.combine(utc_now().date(), time.max, UTC)


def rfc3339(instant: datetime) -> str:
    """Format an instant as RFC 3339 in UTC with `Z`; without microseconds if they are 0."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def normalise(text: str) -> str:
    """Normalise a date, or a date-time with offset to UTC with `Z` and at most microseconds; raise ValueError for anything else."""
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError(f"must be a date (2016-07-28) or an RFC 3339 date-time with offset (2016-07-28T09:30:00Z){what_to_write(text)}")
    try:
        return date.fromisoformat(text).isoformat() if len(text) == DATE_LENGTH else rfc3339(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("must be a day, time and offset that exist") from None


def what_to_write(text: str) -> str:
    """Return what to write in place of a date in another form, after a colon; empty for a text that is no date."""
    if match := _LOCAL_TIME.fullmatch(text):
        day, time_ = match.groups()
        return f": write {day}T{time_}Z if that is UTC, else {day}T{time_} with the offset of the place, such as +03:00, or {day} alone"
    named = _NAMED_DAY.fullmatch(text)
    if named and bool(named[1]) != bool(named[3]) and (month := named[2][:3].lower()) in _MONTHS:
        text = f"{named[4]}-{_MONTHS.index(month) + 1}-{named[1] or named[3]}"
    if (match := _DAY.fullmatch(text) or _DIGITS.fullmatch(text)) is None:
        return ""
    first, second, third = (int(each) for each in match.groups())
    orders = [(first, second, third)] if len(match[1]) == 4 else [(third, second, first), (third, first, second)]
    meant = [str(date(*order)) for order in dict.fromkeys(orders) if order[0] >= 1000 and _exists(*order)]
    return (f": write {' or '.join(meant)}" + (", whichever is meant" if meant[1:] else "")) if meant else ""


def _exists(year: int, month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def day_of(text: str) -> date:
    """Return the day of a date, or of a date-time as it is written."""
    return date.fromisoformat(text[:DATE_LENGTH])


def day_at(text: str, timezone: str) -> date:
    """Return the day of a normalised text in an IANA time zone; a date is the same day everywhere."""
    return date.fromisoformat(text) if len(text) == DATE_LENGTH else start_of(text).astimezone(ZoneInfo(timezone)).date()


def is_after(text: str, other: str, timezone: str) -> bool:
    """Tell whether a normalised text is later than another: by the day in a time zone if one of them has only a date."""
    if DATE_LENGTH in (len(text), len(other)):
        return day_at(text, timezone) > day_at(other, timezone)
    return start_of(text) > start_of(other)


def time_error(text: str, skew_seconds: int) -> str | None:
    """Return why a report cannot name this time: it is before MIN_DAY or in the future; None if it can.

    A date is in the future if it has begun nowhere on earth.
    """
    if day_of(text) < MIN_DAY:
        return f"must be {MIN_DAY} or later, such as 2016-07-28"
    now = utc_now() + timedelta(seconds=skew_seconds)
    is_future = day_of(text) > (now + _FIRST_TO_BEGIN).date() if len(text) == DATE_LENGTH else start_of(text) > now
    return (
        "must not be in the future: a day that has begun somewhere on earth, or an earlier one, such as 2016-07-28" if is_future else None
    )


def start_of(text: str) -> datetime:
    """Return the instant of a normalised text; of a date, its start in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if len(text) == DATE_LENGTH else datetime.fromisoformat(text)


def end_of(text: str) -> datetime:
    """Return the instant of a normalised text; of a date, its last microsecond in UTC."""
    return datetime.combine(date.fromisoformat(text), time.max, UTC) if len(text) == DATE_LENGTH else start_of(text)


# A plain string, because clients generated from a union of two formats read every time as a date.
_SCHEMA = {"type": "string", "description": "A date, or an RFC 3339 date-time with offset.", "examples": ["2016-07-28"]}
DateOrTime = TypeAliasType("DateOrTime", Annotated[str, AfterValidator(normalise), WithJsonSchema(_SCHEMA)])
# In responses: a date-time in UTC with `Z`.
Timestamp = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


def _as_written(text: str) -> str:
    normalise(text)
    return text


# Keeps the day on which it was where it was written.
DateOrTimeAsWritten = TypeAliasType("DateOrTimeAsWritten", Annotated[str, AfterValidator(_as_written), WithJsonSchema(_SCHEMA)])
