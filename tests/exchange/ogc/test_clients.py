"""GIS programs read a real server: owslib, and GDAL, QGIS and ArcGIS where they are installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from owslib.ogcapi.features import Features
from shapely.geometry import shape

from tests.support.factories import report
from tests.support.processes import Server

HERE = Path(__file__).parent
# Debian's Python, for which Debian builds QGIS.
PYTHON = "/usr/bin/python3"
CAMPS = 12


@pytest.fixture(scope="module")
def server(demo: Server) -> Server:
    """Return a server with the demo data, and with people on areas."""
    headers = {"Authorization": f"Bearer {demo.key}"}
    with httpx.Client(base_url=demo.url, headers=headers, timeout=30) as client:
        for number in range(CAMPS):
            west = 36 + number / 10
            ring = [[west, 35], [west + 0.05, 35], [west + 0.05, 35.05], [west, 35]]
            # Polygons and multipolygons by turns: one collection has one type all the same.
            geometry = {"type": "MultiPolygon", "coordinates": [[ring]]} if number % 2 else {"type": "Polygon", "coordinates": [ring]}
            camp = {"slug": f"camp-{number}", "name": f"Camp {number}", "geometry": geometry}
            assert client.post("/v1/places", json=camp).status_code == 201
        reports = [report(place=f"camp-{number}", source="un-ocha", sensitivity="clear", provenance={}) for number in range(CAMPS)]
        assert client.post("/v1/reports", json=reports).status_code == 207
    return demo


def matched(server: Server) -> dict[str, int]:
    """Return the number of features of each collection."""
    listed = httpx.get(f"{server.url}/ogc/collections").json()["collections"]
    pages = {each["id"]: httpx.get(f"{server.url}/ogc/collections/{each['id']}/items?limit=1").json() for each in listed}
    return {name: page["numberMatched"] for name, page in pages.items()}


def test_owslib_reads_collections_and_features(server: Server) -> None:
    client = Features(f"{server.url}/ogc")
    assert {link["rel"] for link in client.links} >= {"self", "service-desc", "conformance", "data"}
    assert any(each.endswith("ogcapi-features-1/1.0/conf/core") for each in client.conformance()["conformsTo"])
    located = [
        "places_point",
        "places_polygon",
        "routes_line",
        "trapped_population_point",
        "trapped_population_polygon",
        "supply_runout_point",
        "route_closure_line",
        "aid_delivery_point",
        "population_movement_point",
        "service_status_point",
    ]
    assert client.feature_collections() == located
    for each in (client.api(), httpx.get(f"{server.url}/ogc/api").json()):
        OpenAPIV30SpecValidator(each).validate()
        assert each["servers"] == [{"url": server.url}]
        assert each["components"]["parameters"]["limit"]["schema"]["maximum"] == 1000
    places = client.collection("places_point")
    assert (places["itemType"], places["extent"]["spatial"]["bbox"]) == ("feature", [[36.95, 35.0, 38.5, 36.2]])
    found = client.collection_items("places_point", limit=3, bbox=[36.0, 35.0, 39.0, 37.0])
    assert (found["numberReturned"], found["numberMatched"]) == (3, 5)
    following = next(link["href"] for link in found["links"] if link["rel"] == "next")
    more = httpx.get(following).json()
    assert {each["id"] for each in found["features"]}.isdisjoint(each["id"] for each in more["features"])
    assert more["numberMatched"] == 5
    one = client.collection_item("places_point", found["features"][0]["id"])
    assert one["properties"] == found["features"][0]["properties"]
    october = client.collection_items("trapped_population_point", datetime_="2016-10-01T00:00:00Z/..")
    assert [each["properties"]["subject"] for each in october["features"]] == ["besieged"]
    assert client.collection_items("places_point", bbox=[0, 0, 1, 1])["features"] == []
    assert shape(client.collection_items("routes_line")["features"][0]["geometry"]).is_valid


def test_gdal_writes_every_collection_to_geopackage_and_shapefile(server: Server, tmp_path: Path) -> None:
    if shutil.which("ogr2ogr") is None:
        pytest.skip("ogr2ogr is missing: install GDAL (Debian: gdal-bin) to read /ogc with it")
    for driver, target in (("GPKG", tmp_path / "all.gpkg"), ("ESRI Shapefile", tmp_path / "shapes")):
        # Pages of five, so that each of the larger collections needs several.
        command = ["ogr2ogr", "-f", driver, str(target), f"OAPIF:{server.url}/ogc", "-oo", "PAGE_SIZE=5"]
        subprocess.run(command, check=True, capture_output=True, timeout=100)
        text = subprocess.run(["ogrinfo", "-so", "-al", target], check=True, capture_output=True, text=True, timeout=100).stdout
        counts = [int(line.partition(": ")[2]) for line in text.splitlines() if line.startswith("Feature Count: ")]
        names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("Layer name: ")]
        assert dict(zip(names, counts, strict=True)) == matched(server)


def test_qgis_draws_every_collection(server: Server) -> None:
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode:
        pytest.skip("QGIS is missing: install it (Debian: python3-qgis) to draw /ogc with it")
    command = [PYTHON, HERE / "qgis_reads.py", f"{server.url}/ogc"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    drawn = json.loads(ran.stdout.splitlines()[-1])
    assert {name: each["features"] for name, each in drawn.items()} == matched(server)
    assert all(each["pixels"] > 20 for name, each in drawn.items()), drawn


def test_arcgis_gets_every_feature_and_column(server: Server) -> None:
    folder = os.environ.get("TEST_NODE_MODULES", "")
    if not (Path(folder) / "@arcgis" / "core").is_dir():
        pytest.skip("ArcGIS is missing: npm install @arcgis/core, and set TEST_NODE_MODULES to its node_modules, to read /ogc with it")
    command = ["node", HERE / "arcgis_reads.mjs", folder, f"{server.url}/ogc"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    read = json.loads(ran.stdout.splitlines()[-1])
    assert {name: each["features"] for name, each in read.items()} == matched(server)
    assert not any(each["missing"] for each in read.values()), read
    assert {each["largest"] for each in read.values()} == {1000}
