"""Gazetteers: units become nested places with their P-codes, once."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.exchange.imports.gazetteer import BATCH_SIZE, Gazetteer, unit_slug
from app.exchange.imports.gazetteer_plan import GazetteerResult
from app.http.content_negotiation import Format
from app.storage.database import Database
from tests.exchange.imports.files import write_csv
from tests.support.factories import Reference, report
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.support.locks import locked_ledger
from tests.support.servers import execute_sql, invoke, query_rows

NORTH, SOUTH = "\u0627\u0644\u0634\u0645\u0627\u0644", "\u0627\u0644\u062c\u0646\u0648\u0628"
OLD = [
    ["ADM0_EN", "ADM0_PCODE", "ADM1_EN", "ADM1_AR", "ADM1_PCODE", "ADM2_EN", "ADM2_PCODE", "center_lat", "center_lon"],
    ["Testland", "TL", "North", NORTH, "TL01", "\u015eehir", "TL0101", "36.2", "37.1"],
    ["Testland", "TL", "North", NORTH, "TL01", "Market", "TL0102", "36.3", "37.2"],
    ["Testland", "TL", "South", SOUTH, "TL02", "Harbour", "TL0201", "", ""],
]
NEW = [
    ["admin0Name_en", "admin0Pcode", "admin1Name_en", "admin1Name_ar", "admin1Pcode", "admin2Name_en", "admin2Pcode", "a", "b"],
    *OLD[1:],
]
TAGGED = [
    ["Country", "its code", "Province", "Arabic", "its code", "District", "its code", "a", "b"],
    ["#country+name", "#country+code", "#adm1+name", "", "#adm1+code+v_pcode", "#adm2+name", "#adm2+code+v_pcode", "", ""],
    *OLD[1:],
]
Run = Callable[..., Any]


@pytest.fixture
def run(database_url: str) -> Run:
    return lambda *arguments: invoke("place", "import", *arguments, database_url=database_url)


def write(path: Path, table: Sequence[Sequence[Any]]) -> str:
    return str(write_csv(path, table))


def units(url: str) -> dict[str, Any]:
    """Return slug, name, country, parent and depth of each place by its P-code."""
    query = (
        "SELECT c.code, p.slug, p.name, p.country, parent.slug, (SELECT count(*) FROM place_ancestor a WHERE a.place_id = p.id) "
        "FROM place p JOIN place_code c ON c.place_id = p.id LEFT JOIN place parent ON parent.id = p.parent_id WHERE c.scheme = 'pcode'"
    )
    return {row[0]: tuple(row[1:]) for row in query_rows(url, query)}


@pytest.mark.parametrize("table", [OLD, NEW, TAGGED], ids=["old", "new", "hxl"])
def test_units_become_nested_places(run: Run, tmp_path: Path, database_url: str, table: list[list[str]]) -> None:
    path = write(tmp_path / "units.csv", table)
    checked = run(path, "--country", "TLS")
    counts = "3 rows: places to add: 1 of level 0, 2 of level 1, 3 of level 2; 0 exist already. Nothing was written.\n"
    ignored = ["", "Ignored columns: a, b.\n", "Ignored columns: Arabic, a, b.\n"][[OLD, NEW, TAGGED].index(table)]
    assert checked.stdout == ignored + counts, checked.output
    assert query_rows(database_url, "SELECT count(*) FROM place") == [(0,)]
    assert run(path, "--country", "TLS", "--write").exit_code == 0
    assert units(database_url) == {
        "TL": ("testland-tl", "Testland", "TLS", None, 1),
        "TL01": ("north-tl01", "North", "TLS", "testland-tl", 2),
        "TL0101": ("sehir-tl0101", "\u015eehir", "TLS", "north-tl01", 3),
        "TL0102": ("market-tl0102", "Market", "TLS", "north-tl01", 3),
        "TL02": ("south-tl02", "South", "TLS", "testland-tl", 2),
        "TL0201": ("harbour-tl0201", "Harbour", "TLS", "south-tl02", 3),
    }
    assert run(path, "--write").stdout == f"{ignored}3 rows: places added: none; 6 existed already.\n"


@pytest.mark.parametrize(
    ("language", "headers", "name"),
    [
        ("ar", ["ADM1_EN", "ADM1_AR"], NORTH),
        ("", ["ADM1_AR", "ADM1_EN"], NORTH),
        ("", ["ADM1_NAME", "ADM1_AR"], "North"),
        ("", ["ADM1_REF", "ADM1_AR"], NORTH),
        # A column of numbers is none of names, though `id` is a language.
        ("", ["ADM1_ID", "ADM1_NAME"], NORTH),
        ("ar", ["#adm1+name+en", "#adm1+name+i_ar"], NORTH),
        # A language that is not there is refused.
        ("fr", ["ADM1_NAME", "ADM1_AR"], None),
        ("en", ["ADM1_REF", "ADM1_AR"], None),
        ("", ["ADM1_FR", "ADM1_AR"], None),
    ],
)
@sqlite_only
def test_language_selects_the_column_of_names(
    run: Run, tmp_path: Path, database_url: str, language: str, headers: list[str], name: str | None
) -> None:
    table = [[*headers, "ADM1_PCODE"], ["17" if headers[0] == "ADM1_ID" else "North", NORTH, "TL01"]]
    if headers[0].startswith("#"):
        table = [["Name", "Arabic", "ADM1_PCODE"], [*headers, "#adm1+code"], table[1]]
    done = run(write(tmp_path / "units.csv", table), "--write", *(["--language", language] if language else []))
    if name is None:
        assert done.exit_code == 1
        assert "The names of level 1 are in" in done.stderr
    else:
        assert units(database_url)["TL01"][:2] == (("tl01", NORTH) if name == NORTH else ("north-tl01", "North")), done.output


@mostly_sqlite
def test_unit_with_known_code_is_that_place(tmp_path: Path, seeded_database: str) -> None:
    # `oldtown` has pcode:SY02.
    table = [["ADM1_EN", "ADM1_PCODE", "ADM2_EN", "ADM2_PCODE"], ["Old town", "SY02", "Jebel Saman", "SY0200"]]
    done = invoke("place", "import", write(tmp_path / "units.csv", table), "--write", database_url=seeded_database)
    assert done.stdout == "1 rows: places added: 1 of level 2; 1 existed already.\n"
    assert units(seeded_database)["SY0200"] == ("jebel-saman-sy0200", "Jebel Saman", "SYR", "oldtown", 3)


@mostly_sqlite
def test_geojson_gives_the_lowest_unit_its_geometry(run: Run, tmp_path: Path, database_url: str) -> None:
    square = {"type": "Polygon", "coordinates": [[[37, 36], [37.5, 36], [37.5, 36.5], [37, 36]]]}
    properties = {"ADM1_EN": "North", "ADM1_PCODE": "TL01", "ADM2_EN": "Market", "ADM2_PCODE": "TL0102"}
    path = tmp_path / "units.geojson"
    feature = {"type": "Feature", "properties": properties, "geometry": square}
    path.write_text(json.dumps({"type": "FeatureCollection", "name": "adm2", "features": [feature]}), encoding="utf-8")
    assert "1 of level 1, 1 of level 2" in run(str(path), "--write").stdout
    assert query_rows(database_url, "SELECT slug, geometry IS NULL FROM place ORDER BY slug") == [
        ("market-tl0102", False),
        ("north-tl01", True),
    ]


@mostly_sqlite
def test_problem_in_one_row_keeps_all_units_out(run: Run, tmp_path: Path, database_url: str) -> None:
    table = [OLD[0], OLD[1], [*OLD[2][:7], "36,2", "37"], [""] * 4 + ["", "", "", "36", "37"], [*OLD[3], "beyond"]]
    refused = run(write(tmp_path / "units.csv", table), "--write")
    assert refused.exit_code == 1
    assert "H3 (centroid): must be a number with a decimal point: write 36.2" in refused.stdout
    assert "4 code: the row has no code" in refused.stdout
    assert "J5 (code): no header is above this cell" in refused.stdout
    assert query_rows(database_url, "SELECT count(*) FROM place") == [(0,)]
    assert "no column of codes in row 1 ('a')" in run(write(tmp_path / "other.csv", [["a"], ["b"]])).stderr
    twice = [["ADM1_PCODE", "adm1_pcode", "ADM1_EN"], ["TL01", "TL02", "North"]]
    assert "ADM1_PCODE (A) and adm1_pcode (B)" in run(write(tmp_path / "twice.csv", twice)).stderr


def many(path: Path, count: int) -> Path:
    """Write a gazetteer of units inside one."""
    rows = [["Testland", "TL", f"Place {number}", f"TL{number:04}"] for number in range(count)]
    return write_csv(path, [["ADM0_EN", "ADM0_PCODE", "ADM1_EN", "ADM1_PCODE"], *rows])


async def test_import_lets_others_write_between_its_batches(
    client: httpx.AsyncClient, reference: Reference, database: Database, database_url: str, tmp_path: Path
) -> None:
    with many(tmp_path / "units.csv", 4 * BATCH_SIZE).open("rb") as file:
        gazetteer, result = Gazetteer(file, Format.CSV, database), GazetteerResult()
        async with locked_ledger(database_url):
            assert (await gazetteer.check()).created == 4 * BATCH_SIZE + 1
        writing = asyncio.create_task(gazetteer.write(result))
        added_before: list[int] = []
        while not writing.done():
            answer = await client.post("/v1/reports", json=report(value={"people": len(added_before)}))
            assert answer.status_code == 201
            added_before.append(result.created)
        await writing
    assert len(set(added_before)) > 2, "no report was recorded between two batches"
    assert (result.written, result.created, result.problem_count) == (True, 4 * BATCH_SIZE + 1, 0)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_interrupted_import_tells_how_far_it_came_and_continues(run: Run, tmp_path: Path, database_url: str) -> None:
    path = str(many(tmp_path / "units.csv", 2 * BATCH_SIZE))
    execute_sql(
        database_url,
        f"CREATE TRIGGER stop BEFORE INSERT ON place WHEN NEW.slug = 'place-{BATCH_SIZE}-tl{BATCH_SIZE:04}' "
        "BEGIN SELECT RAISE(ABORT, 'stopped'); END",
    )
    stopped = run(path, "--write")
    assert stopped.exit_code == 1
    assert stopped.stderr.splitlines() == [
        "The database cannot be used: stopped.",
        f"Interrupted after {BATCH_SIZE} places were added: import the file again to add the others.",
    ]
    execute_sql(database_url, "DROP TRIGGER stop")
    assert (
        run(path, "--write").stdout == f"{2 * BATCH_SIZE} rows: places added: {BATCH_SIZE + 1} of level 1; {BATCH_SIZE} existed already.\n"
    )
    assert query_rows(database_url, "SELECT count(*) FROM place") == [(2 * BATCH_SIZE + 1,)]


def test_unit_slug_has_ascii_letters_and_the_code() -> None:
    assert unit_slug("\u062d\u0644\u0628", "SY02") == "sy02"
    assert unit_slug("Jebel Saman (rural)", "SY0200") == "jebel-saman-rural-sy0200"
    assert len(unit_slug("x" * 200, "SY020000")) <= 64
