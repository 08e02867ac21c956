"""Tests for maps: spokes for rounded routes, and names that cover nothing."""

from typing import Any

from app.board.cards import Card, CardItem
from app.board.drawing.maps import SPOKE_PIXELS, overview_map, place_map


def card(slug: str, name: str, *routes: str) -> Card:
    items = [CardItem(each, "closed", f"i-{each}", slug=each, state="closed") for each in routes]
    return Card(slug, name, "critical", {}, [], [], True, [], [], items, [])


def route(*line: list[float], redacted: bool = True) -> dict[str, Any]:
    return {"geometry": {"type": "LineString", "coordinates": list(line)}, "redacted": ["geometry"] if redacted else []}


def test_place_map_draws_rounded_routes_as_spokes_by_bearing() -> None:
    place = {"centroid": [37.19, 36.2]}
    routes = {
        "north": route([37.2, 36.2], [37.1, 36.3]),
        "south": route([37.1, 36.1], [37.2, 36.2]),
        "here": route([37.2, 36.2], [37.2, 36.2]),
    }
    drawn = place_map(card("aleppo", "Aleppo", *routes), place, routes)
    assert drawn is not None
    (x, y), ends = drawn.markers[0].at, {each.item.slug: each.icon for each in drawn.lines}
    assert ends["north"] is not None
    assert ends["south"] is not None
    assert (ends["north"][0] < x, ends["north"][1] < y, ends["south"][0] < x, ends["south"][1] > y) == (True, True, True, True)
    assert all(each.path.count("L") == 1 for each in drawn.lines)
    assert (drawn.rounded, drawn.unplaced) == (True, ["here"])
    assert abs(((ends["north"][0] - x) ** 2 + (ends["north"][1] - y) ** 2) ** 0.5 - SPOKE_PIXELS[1]) < 0.5


def test_place_map_keeps_routes_of_one_bearing_apart_and_exact_ones_as_lines() -> None:
    routes = {"one": route([38.0, 36.0]), "other": route([38.0, 36.0])}
    drawn = place_map(card("aleppo", "Aleppo", *routes), {"centroid": [37.0, 36.0]}, routes)
    assert drawn is not None
    assert len({each.icon for each in drawn.lines}) == 2
    exact = {"m5": route([37.0, 36.0], [37.05, 36.02], [37.1, 36.1], redacted=False)}
    drawn = place_map(card("aleppo", "Aleppo", "m5"), {"centroid": [37.0, 36.0]}, exact)
    assert drawn is not None
    assert (drawn.lines[0].path.count("L"), drawn.rounded) == (2, False)


def test_names_cover_no_marker_and_no_other_name() -> None:
    near = {f"p{at}": {"centroid": [37.0 + at % 4 * 0.12, 36.0 + at // 4 * 0.12]} for at in range(12)}
    drawn = overview_map([card(slug, "A long name of a place") for slug in near], near, {})
    assert drawn is not None
    shown = [each for each in drawn.markers if each.labelled]
    assert 0 < len(shown) < 12
    for each in shown:
        width = 8 * len(each.card.name)
        left, right = (each.at[0] - 12 - width, each.at[0] - 12) if each.anchor == "end" else (each.at[0] + 12, each.at[0] + 12 + width)
        assert 0 <= left <= right <= drawn.viewport.width
        for other in drawn.markers:
            assert not (left < other.at[0] + 8 and other.at[0] - 8 < right and abs(other.at[1] - each.at[1]) < 16), (each.at, other.at)
    assert drawn.covers(shown[0].at)
