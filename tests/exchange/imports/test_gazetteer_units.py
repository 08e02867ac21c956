"""Gazetteers that contradict themselves or what is known, and those of HDX."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import orjson
import pytest

from tests.exchange.imports.files import write_csv
from tests.exchange.imports.test_gazetteer import units
from tests.support.factories import Reference, post, report
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.support.servers import invoke, query_rows
from tests.webhooks.conftest import until

Run = Callable[..., Any]
HEADER = ["ADM1_EN", "ADM1_PCODE", "ADM2_EN", "ADM2_PCODE"]

LISTED = ["Admin Level", "P-Code", "Name", "Parent P-Code"]


@pytest.fixture
def load(database_url: str, tmp_path: Path) -> Run:
    """Return a function that imports rows of a gazetteer."""

    def run(rows: Sequence[Sequence[Any]], *options: str) -> Any:
        return invoke("place", "import", str(write_csv(tmp_path / "units.csv", rows)), *options, database_url=database_url)

    return run


@sqlite_only
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [HEADER, ["North", "TL01", "Market", "TL0101"], ["South", "TL01", "", ""]],
            "A3 (name): pcode:TL01 is 'North' in row 2, and 'South'",
        ),
        (
            [HEADER, ["North", "TL01", "Market", "TL0101"], ["South", "TL02", "Market", "TL0101"]],
            "B3 (parent): pcode:TL0101 is in pcode:TL01",
        ),
        ([HEADER, ["North", "TL01", "Market", "TL0101"], ["Market", "TL0101", "", ""]], "B3 (codes): pcode:TL0101 is of level 2 in row 2"),
        ([HEADER, ["North", "TL01", "North", "TL01"]], "D2 (codes): pcode:TL01 is of level 1 in row 2"),
        ([HEADER[:2], ["North", "TL.01"], ["North", "TL-01"]], "B3 (codes): the place north-tl-01 exists, with another code"),
        (
            [HEADER, ["North", "TL01", "Market", "TL0101"], ["North", "tl01", "", ""]],
            "B3 (codes): pcode:tl01 is written pcode:TL01 in row 2",
        ),
        ([HEADER, ["North", "", "Market", "TL0101"]], "B2 (code): the code of level 1 is empty above TL0101"),
        ([HEADER, ["North", "TL01", "#N/A", "TL0101"]], "C2 (code): the cell holds an error, #N/A"),
        ([HEADER, ["North", "TL01", "Market", "#N/A"]], "D2 (code): the cell holds an error, #N/A"),
        (
            [["ISO3", *HEADER[:2]], ["TLS", "North", "TL01"], ["SYR", "North", "TL01"]],
            "A3 (country): pcode:TL01 is in the country TLS in row 2, and in SYR here",
        ),
        (
            [["ISO3", "ADM0_EN", "ADM0_PCODE"], ["SYR", "Testland", "TL"]],
            "A2 (code): the country SYR is not that of the code of level 0, TLS",
        ),
        ([["ISO3", *HEADER[:2]], ["", "North", "TL01"]], "A2 (code): the country is empty"),
        (
            [[*HEADER[:2], "ADM1_AR"], ["North", "TL01", "A"], ["North", "TL01", "B"]],
            "C3 (names.ar): pcode:TL01 is 'A' in row 2, and 'B' here",
        ),
        (
            [LISTED, ["2.0", "TL0101", "Market", "TL01"]],
            "D2 (parent): pcode:TL01 is neither in the file",
        ),
        (
            [LISTED, ["2", "TL01", "A", "TL02"], ["2", "TL02", "B", "TL01"]],
            "3 parent: pcode:TL02 is of level 2, and inside pcode:TL01 of level 2: correct the level or the parent",
        ),
        ([LISTED, ["x", "TL01", "A", "TL02"]], "A2 (code): a row has a code and a level of 0 to 5"),
        ([LISTED, ["", "TL01", "A", "TL02"]], "A2 (code): a row has a code and a level of 0 to 5"),
        ([LISTED, ["1.0", "", "A", "TL02"]], "B2 (code): a row has a code and a level of 0 to 5"),
    ],
)
def test_units_that_contradict_each_other_are_refused(load: Run, database_url: str, rows: list[list[str]], words: str) -> None:
    refused = load(rows, "--write", "--update", "--country", "TLS")
    assert refused.exit_code == 1
    assert words in refused.stdout
    assert query_rows(database_url, "SELECT count(*) FROM place") == [(0,)]


async def test_known_units_change_only_with_update(client: httpx.AsyncClient, reference: Reference, load: Run) -> None:
    """Also what documents show of the place, where it lies, and where the units inside it lie."""
    await reference.add("places", slug="other", name="Other", codes=[{"scheme": "pcode", "code": "TL02"}])
    await reference.add("places", slug="market", name="Market", parent="oldtown", codes=[{"scheme": "pcode", "code": "SY0201"}])
    recorded = await post(client, **report())
    rows = [["ADM0_EN", "ADM0_PCODE", *HEADER], ["Other", "TL02", "Ma\u0301rket place", "SY02", "Market", "SY0201"]]
    said = "pcode:SY02 is known as oldtown, which differs (name 'Old town' -> 'M\u00e1rket place'; parent -> other)"
    refused = await asyncio.to_thread(load, rows, "--write")
    assert (refused.exit_code, said in refused.stdout) == (1, True)
    would = await asyncio.to_thread(load, rows, "--update")
    change = "pcode:SY02 (oldtown): name 'Old town' -> 'M\u00e1rket place'; parent -> other"
    assert would.stdout.splitlines()[0] == f"{change} (would be changed)"
    assert "3 exist already; 1 of them would be changed. Nothing was written." in would.stdout
    assert (await client.get("/v1/places/oldtown")).json()["name"] == "Old town"
    assert f"{change} (changed)" in (await asyncio.to_thread(load, rows, "--update", "--write")).stdout
    place = (await client.get("/v1/places/pcode:SY02")).json()
    assert (place["slug"], place["name"], place["parent"]) == ("oldtown", "M\u00e1rket place", "other")

    async def is_renamed() -> bool:
        return bool((await client.get(recorded["links"]["indicator"])).json()["place"]["name"] == "M\u00e1rket place")

    # Documents follow a change of another process in steps.
    await until(is_renamed)
    for within in ("other", "oldtown", "country"):
        found = (await client.get("/v1/indicators", params={"place": within, "within": "true"})).json()["items"]
        assert len(found) == (within != "country")
    inside = (await client.get("/v1/places", params={"place": "other", "within": "true"})).json()["items"]
    assert {each["slug"] for each in inside} == {"other", "oldtown", "market"}
    assert "1 of them" not in (await asyncio.to_thread(load, rows, "--update", "--write")).stdout


@mostly_sqlite
async def test_place_that_lacks_a_code_of_the_file_gets_it(reference: Reference, database_url: str, load: Run) -> None:
    await reference.add("places", slug="syria", name="Syria", codes=[{"scheme": "iso3166-1", "code": "SYR"}])
    await reference.add("places", slug="hasakah", name="Hasakah", parent="syria", codes=[{"scheme": "pcode", "code": "SY08"}])
    rows = [["ADM0_EN", "ADM0_PCODE", "ADM1_EN", "ADM1_PCODE"], ["Syria", "SY", "Homs", "SY04"], ["Syria", "SY", "Hasakah", "SY08"]]
    # A unit that lies in its parent already does not move.
    assert "parent" not in (await asyncio.to_thread(load, rows, "--update")).stdout
    # The P-code of a country is its ISO 3166-1 code, so no second Syria is added without --country.
    assert "syria, which differs (new code pcode:SY)" in (await asyncio.to_thread(load, rows)).stdout
    assert "1 of level 1" in (await asyncio.to_thread(load, rows, "--update", "--write")).stdout
    found = await asyncio.to_thread(units, database_url)
    assert (found["SY"][0], found["SY04"][2:4]) == ("syria", ("SYR", "syria"))
    rows[1][2:] = ["Hama", "sy04"]
    assert "D2 (codes): homs-sy04 has this code in other letters: write SY04" in (await asyncio.to_thread(load, rows)).stdout


@mostly_sqlite
def test_unit_without_a_name_does_not_keep_out_the_others(load: Run, database_url: str) -> None:
    rows = [HEADER, ["North", "TL01", "Market", "TL0101"], ["North", "TL01", "", "TL0102"], ["", "TL02", "Port", "TL0201"]]
    done = load(rows, "--write")
    assert done.stdout.splitlines() == [
        "D3: pcode:TL0102 has no name, and was left out.",
        "B4: pcode:TL02 has no name, and was left out.",
        "D4: pcode:TL0201 is in pcode:TL02, which has no name, and was left out.",
        "3 rows: places added: 1 of level 1, 1 of level 2; 0 existed already; 3 left out.",
    ]
    assert set(units(database_url)) == {"TL01", "TL0101"}


SQUARES = [{"type": "Polygon", "coordinates": [[[west, 36], [west + 0.5, 36], [west + 0.5, 36.5], [west, 36]]]} for west in (37, 38)]


def geojson(path: Path, *geometries: dict[str, Any] | None) -> str:
    """Write one unit for each geometry, all with the same code."""
    properties = {"ADM1_EN": "North", "ADM1_PCODE": "TL01"}
    features = [{"type": "Feature", "properties": properties, "geometry": each} for each in geometries]
    path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


@sqlite_only
def test_unit_in_two_features_is_refused_unless_they_are_alike(database_url: str, tmp_path: Path) -> None:
    run = partial(invoke, "place", "import", database_url=database_url)
    refused = run(geojson(tmp_path / "parts.geojson", *SQUARES), "--write")
    assert "pcode:TL01 lies elsewhere in row 1: join its parts into one geometry" in refused.stdout
    assert "added: 1 of level 1" in run(geojson(tmp_path / "alike.geojson", None, SQUARES[0], SQUARES[0]), "--write").stdout
    assert query_rows(database_url, "SELECT geometry IS NULL FROM place") == [(False,)]


@mostly_sqlite
def test_where_a_known_place_lies_and_its_further_names_change_with_update(load: Run, database_url: str, tmp_path: Path) -> None:
    header = [*HEADER[:2], "ADM1_AR", "ADM1_ID", "center_lon", "center_lat", "validOn"]
    assert "added: 1" in load([HEADER[:2], ["North", "TL01"]], "--write").stdout
    row = ["North", "TL01", "\u0634\u0645\u0627\u0644", "N1", "37.25", "36.2", "2020-01-01"]
    words = "names.ar None -> '\u0634\u0645\u0627\u0644'; centroid None -> [37.25, 36.2]"
    refused = load([header, row], "--write")
    assert f"known as north-tl01, which differs ({words}): --update changes it" in refused.stdout
    assert "Ignored columns: ADM1_ID, validOn." in refused.stdout
    assert f"pcode:TL01 (north-tl01): {words} (changed)" in load([header, row], "--write", "--update").stdout
    assert "1 of them" not in load([header, row], "--write", "--update").stdout
    # Another language of the name keeps the one before.
    assert "changed" in load([header, row], "--write", "--update", "--language", "ar").stdout
    for geometry, word in zip(SQUARES, ("new", "other"), strict=True):
        path = geojson(tmp_path / "units.geojson", geometry)
        assert f"{word} geometry" in invoke("place", "import", path, "--update", "--write", database_url=database_url).stdout
        assert "1 of them" not in invoke("place", "import", path, "--update", "--write", database_url=database_url).stdout
    ((names, geometry, longitude),) = query_rows(database_url, "SELECT names, geometry, longitude FROM place")
    names, geometry = (each if isinstance(each, dict) else orjson.loads(each) for each in (names, geometry))
    assert (names, geometry, longitude) == ({"ar": row[2], "en": "North"}, SQUARES[1], 37.25)


@sqlite_only
def test_country_that_does_not_exist_or_differs_is_refused(load: Run, database_url: str) -> None:
    rows = [HEADER[:2], ["North", "TL01"]]
    assert "XXX is not a country of ISO 3166-1: use one that has places, none yet (--country)." in load(rows, "--country", "XXX").stderr
    assert "A2 (code): XYZ is not a country of ISO 3166-1" in load([["ISO3", *HEADER[:2]], ["XYZ", *rows[1]]]).stdout
    assert load(rows, "--country", "YEM", "--write").exit_code == 0
    assert "differs (country YEM -> SYR)" in load(rows, "--country", "SYR").stdout
    assert "1 of them changed" in load(rows, "--country", "SYR", "--write", "--update").stdout
    assert query_rows(database_url, "SELECT country FROM place") == [("SYR",)]


@sqlite_only
def test_unit_without_a_code_is_named(load: Run) -> None:
    """Also one of a row that ends after the name, and the last row must not."""
    rows = [HEADER, ["North", "TL01", "Market", ""], ["North", "TL01", "Port"], ["North", "TL01", "Hill", "TL0102"]]
    assert "D3 (code): the last row ends before this cell" in load(rows[:3]).stdout
    assert load(rows).stdout.splitlines() == [
        "1 row is shorter than the headers, the first is row 3: check that nothing is missing at its end.",
        "C2: Market has no code, and was left out.",
        "C3: Port has no code, and was left out.",
        "3 rows: places to add: 1 of level 1, 1 of level 2; 0 exist already; 2 left out. Nothing was written.",
    ]


@sqlite_only
def test_hdx_workbook_is_read_sheet_by_sheet(tmp_path: Path, database_url: str) -> None:
    """Lower levels come first, and have no names of upper ones; one sheet has lines, without codes."""
    book = openpyxl.Workbook()
    sheets = {
        "tls_admin2": [
            ["adm2_name", "adm2_pcode", "adm1_pcode", "adm0_pcode", "area", "lat", "lon"],
            ["Market", "TL0101", "TL01", "TL", 5, 8.1, 125],
        ],
        "tls_adminlines": [["type", "length"], ["border", 5]],
        "tls_admin0": [["adm0_name", "adm0_pcode"], ["Testland", "TL"]],
        "tls_admin1": [["adm1_name", "adm1_pcode", "adm0_pcode", "lat", "lon"], ["North", "TL01", "TL", 8.5, 125.5]],
    }
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    del book["Sheet"]
    book.save(tmp_path / "tls.xlsx")
    done = invoke("place", "import", str(tmp_path / "tls.xlsx"), "--country", "TLS", "--write", database_url=database_url)
    assert done.stdout.splitlines() == [
        "The sheet tls_adminlines has no column of codes and was not read.",
        "Ignored columns: area.",
        "3 rows: places added: 1 of level 0, 1 of level 1, 1 of level 2; 0 existed already.",
    ]
    assert units(database_url)["TL0101"] == ("market-tl0101", "Market", "TLS", "north-tl01", 3)
    assert query_rows(database_url, "SELECT latitude FROM place WHERE slug = 'north-tl01'") == [(8.5,)]


@sqlite_only
def test_global_list_of_pcodes_is_read(load: Run, database_url: str) -> None:
    rows = [
        ["Location", "Admin Level", "P-Code", "Name", "Parent P-Code", "Valid from date"],
        ["#country+code", "#geo+admin_level", "#adm+code", "#adm+name", "#adm+code+parent", "#date+start"],
        ["TLS", "2", "TL0101", "Atauro", "TL01", "2020-01-01"],
        ["TLS", "1", "TL01", "Dili", "TLS", "2020-01-01"],
    ]
    for _ in range(2):
        done = load(rows, "--write")
        assert done.exit_code == 0, done.output
    assert "3 existed already" in done.stdout
    assert units(database_url) == {
        "TL01": ("dili-tl01", "Dili", "TLS", "timor-leste-tls", 2),
        "TL0101": ("atauro-tl0101", "Atauro", "TLS", "dili-tl01", 3),
    }
    assert query_rows(database_url, "SELECT scheme, code FROM place_code WHERE scheme <> 'pcode'") == [("iso3", "TLS")]
