"""GeoJSON: geometries as a clearance may see them, valid for shapely."""

from typing import Any

import httpx
import shapely
from shapely.geometry import shape

from app.domain.tlp import Label
from tests.support.fixtures import MakeClient, sqlite_only


async def features_of(client: httpx.AsyncClient, name: str) -> list[Any]:
    return list((await client.get(f"/v1/{name}.geojson")).json()["features"])


@sqlite_only
async def test_features_have_the_geometry_that_the_clearance_may_see(
    client: httpx.AsyncClient, make_client: MakeClient, filled: dict[str, Any]
) -> None:
    """Indicators have that of their place or route; routes are rounded below `amber`, which `redacted` says."""
    green, amber = await make_client(clearance=Label.GREEN), await make_client(clearance=Label.AMBER)
    for reader, exact in ((green, False), (amber, True)):
        for name in ("route-closures", "routes", "reports"):
            features = await features_of(reader, name)
            lines = [each for each in features if each["geometry"] and each["geometry"]["type"] == "LineString"]
            assert lines, name
            for each in lines:
                line = shape(each["geometry"])
                assert (line.coords[0] == (37.0812, 36.2634)) is exact
                assert each["properties"]["redacted"] == ([] if exact else ["geometry"])
    features = {(each["properties"]["kind"], each["properties"]["place.slug"]): each for each in await features_of(green, "indicators")}
    area = shape(features["supply_runout", "pocket"]["geometry"])
    assert area.is_valid
    assert area.contains(shapely.Point(37.19, 36.2))
    assert shape(features["trapped_population", "oldtown"]["geometry"]) == shapely.Point(37.19, 36.2)
    assert features["trapped_population", "nowhere"]["geometry"] is None
    document = (await client.get("/v1/places.geojson")).json()
    assert document["type"] == "FeatureCollection"
    assert document["revision"] > 0
    assert all(each["properties"].keys() >= {"slug", "name"} and "geometry" not in each["properties"] for each in document["features"])
