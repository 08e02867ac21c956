"""Tests for the base map."""

import pytest

from app.board.drawing.basemap import KILOMETRES_PER_DEGREE, country_outlines, viewport_around


def test_viewport_shows_the_countries_around_a_position() -> None:
    viewport = viewport_around([[37.19, 36.2]], 440, 340, min_degrees=5)
    assert viewport is not None
    assert viewport.project([37.19, 36.2]) == (220, 170)
    west, north = viewport.project([36.19, 36.2]), viewport.project([37.19, 37.2])
    # A degree of longitude is shorter than a degree of latitude, by the cosine of the latitude.
    assert (220 - west[0]) / (170 - north[1]) == pytest.approx(0.807, abs=0.01)
    shown = country_outlines(viewport)
    assert {"SY", "TR", "CY"} <= {each.code for each in shown}
    assert "FR" not in {each.code for each in shown}
    kilometres, pixels = viewport.scale_bar()
    assert pixels * KILOMETRES_PER_DEGREE / viewport.scale == pytest.approx(kilometres, abs=1)
    assert viewport_around([], 440, 340, min_degrees=5) is None


def test_outlines_of_the_whole_world_stay_small() -> None:
    viewport = viewport_around([[-120, -40], [170, 60]], 440, 340, min_degrees=5)
    assert viewport is not None
    shown = country_outlines(viewport)
    assert len(shown) > 100
    assert sum(len(each.path) for each in shown) < 100_000
