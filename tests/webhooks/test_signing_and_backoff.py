"""Pure parts: the signature, the schedule, Retry-After."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook as Signer

from app.webhooks.backoff import ceiling, next_attempt, parse_retry_after

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
DAYS = timedelta(days=3)


def test_vector_of_standard_webhooks() -> None:
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), '{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_waits_grow_fourfold_up_to_six_hours() -> None:
    waits = [ceiling(attempts, 5).total_seconds() for attempts in range(1, 9)]
    assert waits == [5, 20, 80, 320, 1280, 5120, 20480, 21600]
    assert ceiling(10_000, 3600) == timedelta(hours=6)


def test_retries_spread_over_three_days_and_the_last_comes_at_their_end() -> None:
    for _ in range(50):
        now, attempts, times = NOW, 1, [NOW]
        while (following := next_attempt(attempts, now, NOW, base_seconds=5, window_seconds=DAYS.total_seconds())) is not None:
            assert now <= following <= now + ceiling(attempts, 5)
            now, attempts = following, attempts + 1
            times.append(now)
        assert times[-1] == NOW + DAYS
        assert 15 < len(times) < 60


def test_jitter_is_full() -> None:
    waits = [
        next_attempt(4, NOW, NOW, base_seconds=5, window_seconds=DAYS.total_seconds()) or NOW  # up to 320 s
        for _ in range(500)
    ]
    assert min(waits) < NOW + timedelta(seconds=40)
    assert max(waits) > NOW + timedelta(seconds=280)


@pytest.mark.parametrize(("asked", "least"), [(60, 60), (10**7, 24 * 3600), (0, 0)])
def test_retry_after_is_kept_to_within_bounds(asked: int, least: int) -> None:
    following = next_attempt(
        1, NOW, NOW, base_seconds=5, window_seconds=DAYS.total_seconds(), retry_after=parse_retry_after(str(asked), NOW)
    )
    assert following is not None
    assert NOW + timedelta(seconds=least) <= following <= NOW + timedelta(seconds=max(least, 5))


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
def test_retry_after(value: str | None, seconds: int | None) -> None:
    assert parse_retry_after(value, NOW) == (None if seconds is None else timedelta(seconds=seconds))
