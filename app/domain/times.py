"""Times on the wire: UTC, RFC 3339 with `Z`; a date stays a date."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

DATE_LENGTH = len("2016-07-28")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)


def utc_now() -> datetime:
    """This machine's clock, in UTC."""
    return datetime.now(UTC)


def end_of_today() -> datetime:
    """The time of readings that look at the clock: the end of today in UTC, so that all answers of one day are alike."""
    return datetime.combine(utc_now().date(), time.max, UTC)


def rfc3339(moment: datetime) -> str:
    """A UTC instant as RFC 3339 with `Z`, with microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def normalise(text: str) -> str:
    """A date as it is, a date-time with offset as UTC with `Z`; ValueError for anything else, a time without offset included."""
    if not _DATE.fullmatch(text) and not _DATE_TIME.fullmatch(text):
        raise ValueError("must be a date (2016-07-28) or an RFC 3339 date-time with offset (2016-07-28T09:30:00Z)")
    try:
        return date.fromisoformat(text).isoformat() if len(text) == DATE_LENGTH else rfc3339(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("names a day, a time or an offset that does not exist") from None


def start_of(text: str) -> datetime:
    """The instant of a normal text; a date is its first moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if len(text) == DATE_LENGTH else datetime.fromisoformat(text)


def end_of(text: str) -> datetime:
    """The last instant that a normal text covers; a date is its last microsecond in UTC."""
    if len(text) > DATE_LENGTH:
        return start_of(text)
    return datetime.combine(date.fromisoformat(text), time.max, UTC)


def days(count: int) -> timedelta:
    """A span of whole days."""
    return timedelta(days=count)


def _json_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "anyOf": [{"format": "date"}, {"format": "date-time"}], **more})


DateOrTime = Annotated[str, AfterValidator(normalise), _json_schema(description="A date, or an RFC 3339 date-time with offset.")]
