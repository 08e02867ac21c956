"""Dates and times on the wire."""

import pytest

from app.domain.times import normalise


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("2016-07-28", "2016-07-28"),
        ("2016-07-28T09:30:00.1234567Z", "2016-07-28T09:30:00.123456Z"),
        ("2016-07-28T09:30:00.999999999Z", "2016-07-28T09:30:00.999999Z"),
        ("2016-07-28T12:30:00.000000001+03:00", "2016-07-28T09:30:00Z"),
        ("2016-07-28t09:30:00.5z", "2016-07-28T09:30:00.500000Z"),
    ],
)
def test_normalise_keeps_times_to_the_microsecond(sent: str, normal: str) -> None:
    assert normalise(sent) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "sent", ["2016-07-28T09:30:00.Z", "2016-07-28T09:30:00,5Z", "2016-07-28T09:30:00", "2016-07-28T25:00:00Z", "2016-W30"]
)
def test_normalise_rejects_what_is_no_time(sent: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        normalise(sent)
