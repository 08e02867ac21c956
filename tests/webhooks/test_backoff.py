"""Retry delays and Retry-After."""

from datetime import UTC, datetime, timedelta

import pytest

from app.settings import Settings
from app.webhooks.backoff import max_delay, next_attempt, parse_retry_after

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
WINDOW = timedelta(days=3)
SETTINGS = Settings(webhook_retry_base_seconds=5, webhook_retry_window_seconds=WINDOW.total_seconds())


def test_max_delay_grows_fourfold_up_to_six_hours() -> None:
    delays = [max_delay(attempts, 5).total_seconds() for attempts in range(1, 9)]
    assert delays == [5, 20, 80, 320, 1280, 5120, 20480, 21600]
    assert max_delay(10_000, 3600) == timedelta(hours=6)


def test_next_attempt_is_last_at_the_end_of_the_window() -> None:
    for _ in range(50):
        now, attempts, times = NOW, 1, [NOW]
        while (following := next_attempt(attempts, now, NOW, SETTINGS)) is not None:
            assert now <= following <= now + max_delay(attempts, 5)
            now, attempts = following, attempts + 1
            times.append(now)
        assert times[-1] == NOW + WINDOW
        assert 15 < len(times) < 60


def test_next_attempt_has_full_jitter() -> None:
    delays = [next_attempt(4, NOW, NOW, SETTINGS) or NOW for _ in range(500)]  # up to 320 s
    assert min(delays) < NOW + timedelta(seconds=40)
    assert max(delays) > NOW + timedelta(seconds=280)


@pytest.mark.parametrize(("asked", "minimum"), [(60, 60), (10**7, 24 * 3600), (0, 0)])
def test_next_attempt_is_not_before_retry_after_of_at_most_a_day(asked: int, minimum: int) -> None:
    following = next_attempt(1, NOW, NOW, SETTINGS, parse_retry_after(str(asked), NOW))
    assert following is not None
    assert NOW + timedelta(seconds=minimum) <= following <= NOW + timedelta(seconds=max(minimum, 5))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        ("9" * 100, 24 * 3600),
        ("Tue, 24 Nov 2026 09:02:00 GMT", 120),
        ("Tue, 24 Nov 2020 09:02:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Tue, 24 Nov 2026 09:02:99999999999999999999 GMT", None),
        ("Tue, 24 Nov 2026 09:02:00 +99999999999999", None),
    ],
)
def test_parse_retry_after_reads_seconds_and_dates(value: str | None, seconds: int | None) -> None:
    assert parse_retry_after(value, NOW) == (None if seconds is None else timedelta(seconds=seconds))
