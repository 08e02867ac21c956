"""Tests for the base map."""

from itertools import pairwise

import pytest

from app.board.drawing.basemap import KILOMETRES_PER_DEGREE, Viewport, country_outlines, viewport_around


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


@pytest.mark.parametrize(("longitude", "latitude"), [(-100.0, 65.0), (-175.0, 62.0), (178.0, -17.0), (20.0, 65.0)])
def test_outline_across_the_antimeridian_is_no_band(longitude: float, latitude: float) -> None:
    """Russia and Fiji have rings on both sides of it."""
    for scale in (3.0, 20.0):
        viewport = Viewport(longitude, latitude, scale, 440, 340)
        for outline in country_outlines(viewport):
            for ring in outline.path.split("Z"):
                points = [tuple(map(float, each.split())) for each in ring.removeprefix("M").split("L") if each]
                spans = [abs(one[0] - other[0]) for one, other in pairwise(points) if -4 < one[1] < 344]
                # No edge within the map spans it from side to side.
                assert max(spans, default=0) < 400, (outline.name, scale)


def test_viewport_beyond_the_antimeridian_shows_both_sides() -> None:
    names = {each.name for each in country_outlines(Viewport(-172.0, 65.0, 20.0, 440, 340))}
    assert {"Russia", "United States of America"} <= names
