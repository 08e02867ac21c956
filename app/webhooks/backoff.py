"""Exponential backoff with full jitter, within a fixed window after the first attempt."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from app.settings import Settings

BACKOFF_FACTOR = 4
MAX_DELAY = timedelta(hours=6)
MAX_RETRY_AFTER = timedelta(hours=24)


def max_delay(attempts: int, base_seconds: float) -> timedelta:
    """Return the longest delay after this many attempts: base, 4 times base, 16 times, ..., at most MAX_DELAY."""
    return timedelta(seconds=min(MAX_DELAY.total_seconds(), base_seconds * BACKOFF_FACTOR ** min(attempts - 1, 20)))


def next_attempt(
    attempts: int, now: datetime, first: datetime, settings: Settings, retry_after: timedelta | None = None
) -> datetime | None:
    """Return the time of the next attempt after this many failed ones, the first at `first`; None if that was the last.

    The last attempt is at the end of the window, so a receiver that recovers within the window gets everything.
    """
    end = first + timedelta(seconds=settings.webhook_retry_window_seconds)
    if now >= end:
        return None
    delay = max_delay(attempts, settings.webhook_retry_base_seconds) * random.random()  # noqa: S311 - spreads load, hides nothing
    if retry_after is not None:
        delay = max(delay, min(retry_after, MAX_RETRY_AFTER))
    return min(now + delay, end)


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Parse a Retry-After header, which holds seconds or an HTTP date; None if it is missing or malformed."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), MAX_RETRY_AFTER)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(timedelta(), (at if at.tzinfo else at.replace(tzinfo=UTC)) - now)
