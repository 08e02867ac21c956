"""Dates and times on the wire: a time is UTC in RFC 3339 with `Z`, a date stays a date."""

import re
from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

DATE_LENGTH = len("2016-07-28")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


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
    """Normalise a date, or a date-time with offset to UTC with `Z`; raise ValueError for anything else."""
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError("must be a date (2016-07-28) or an RFC 3339 date-time with offset (2016-07-28T09:30:00Z)")
    try:
        return date.fromisoformat(text).isoformat() if len(text) == DATE_LENGTH else rfc3339(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("must be a day, time and offset that exist") from None


def day_of(text: str) -> date:
    """Return the day of a date, or of a date-time as it is written."""
    return date.fromisoformat(text[:DATE_LENGTH])


def start_of(text: str) -> datetime:
    """Return the instant of a normalised text; of a date, its start in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if len(text) == DATE_LENGTH else datetime.fromisoformat(text)


def end_of(text: str) -> datetime:
    """Return the instant of a normalised text; of a date, its last microsecond in UTC."""
    return datetime.combine(date.fromisoformat(text), time.max, UTC) if len(text) == DATE_LENGTH else start_of(text)


_SCHEMA = {
    "type": "string",
    "anyOf": [{"format": "date"}, {"format": "date-time"}],
    "description": "A date, or an RFC 3339 date-time with offset.",
}
DateOrTime = Annotated[str, AfterValidator(normalise), WithJsonSchema(_SCHEMA)]
