"""When to try again: exponential backoff with full jitter, until a fixed time after the first attempt."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

GROWTH = 4
LONGEST_WAIT = timedelta(hours=6)
# How long a receiver may hold us off by Retry-After.
LONGEST_RETRY_AFTER = timedelta(hours=24)


def ceiling(attempts: int, base_seconds: float) -> timedelta:
    """The longest wait after so many attempts: base, 4 times base, 16 times, ..., 6 hours at most."""
    return timedelta(seconds=min(LONGEST_WAIT.total_seconds(), base_seconds * GROWTH ** min(attempts - 1, 20)))


def next_attempt(
    attempts: int,
    now: datetime,
    first: datetime,
    *,
    base_seconds: float,
    window_seconds: float,
    retry_after: timedelta | None = None,
) -> datetime | None:
    """When to try again after so many failed attempts, the first of them at `first`; None when that was the last.

    The wait is anything from nothing to the ceiling, each as likely as another, but not less than `retry_after`. The last attempt
    comes when the window ends, so that a receiver that is back before then gets everything.
    """
    end = first + timedelta(seconds=window_seconds)
    if now >= end:
        return None
    wait = ceiling(attempts, base_seconds) * random.random()  # noqa: S311 - spreads load, hides nothing
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return min(now + wait, end)


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait that a Retry-After header asks for, in seconds or as an HTTP date; None when it asks for nothing."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:9])), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(timedelta(), (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now)
