"""Tests for the days of the time slider."""

from datetime import date

import pytest

from app.board.time_slider import TimeSlider, build_time_slider

TODAY = date(2016, 8, 10)


@pytest.mark.parametrize(
    ("first", "newest", "as_of", "start", "days"),
    [
        ("2016-07-25", "2016-08-01", None, date(2016, 7, 24), 18),
        ("2016-07-25", "2016-07-26", None, date(2016, 7, 24), 17),
        (None, None, None, TODAY, 1),
        ("2015-07-25", "2016-08-10", None, date(2016, 7, 23), 19),
        ("2015-07-25", "2016-08-10", "2015-09-01", date(2015, 7, 24), 365),
        ("2015-07-25", "2016-08-10", "1999-01-01", date(2015, 7, 24), 365),
        ("2016-08-12", "2016-08-12", None, TODAY, 1),
    ],
)
def test_slider_covers_the_statements_of_the_year_shown(
    first: str | None, newest: str | None, as_of: str | None, start: date, days: int
) -> None:
    assert build_time_slider(first, newest, as_of, TODAY) == TimeSlider(start, days)


def test_slider_has_a_step_a_day_and_a_last_step_for_now() -> None:
    slider = TimeSlider(date(2016, 7, 24), 18)
    assert [slider.as_of(step) for step in (0, 1, 17, 18, 99)] == ["2016-07-24", "2016-07-25", "2016-08-10", None, None]
    assert [slider.step(each) for each in ("2016-07-24", "2016-08-10T10:00:00Z", None, "2000-01-01", "2020-01-01")] == [0, 17, 18, 0, 17]
