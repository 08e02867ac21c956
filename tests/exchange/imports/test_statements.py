"""Imports of statements: each problem at its cell, all rows or none or the valid ones, and each statement once."""

import json
import random
import resource
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import xlsxwriter

from app.access.principal import Scope
from tests.exchange.imports.conftest import Run
from tests.exchange.imports.files import CELLS, CSV, HEADERS, NDJSON, XLSX, csv_bytes, send, write_csv
from tests.exchange.stored_state import stored_assessments
from tests.support.factories import SEEDED, Reference
from tests.support.fixtures import FULL, MakeClient, mostly_sqlite, sqlite_only
from tests.support.processes import environment
from tests.support.servers import query_rows

PROBLEMS = 137
COLUMNS = ["Place", "Source", "Kind", "Stated at", "Concept", "People low", "People high", "Supply", "In days min", "Credibility", "Remark"]
PLACE, SOURCE, KIND, STATED, CONCEPT, LOW, HIGH, SUPPLY, DAYS, CREDIBILITY, REMARK = range(len(COLUMNS))


def midnight(day: date) -> datetime:
    """Return a day as a spreadsheet has it: at midnight, without a time zone."""
    return datetime.combine(day, time.min)


# Invalid cells by column, and a part of the message that each must get.
INVALID_CELLS: list[tuple[int, Any, str]] = [
    (PLACE, "Old twon", "the nearest: oldtown (Old town)"),
    (PLACE, "SY02", "pcode:SY02"),
    (PLACE, "pcode:SY99", "there is no place"),
    (SOURCE, "agancy", "the nearest: agency"),
    (KIND, "besieged_people", "use trapped_population"),
    (STATED, "31.07.2016", "must be a date"),
    (STATED, midnight(date(2099, 1, 1)), "future"),
    (LOW, "250,000", "whole number in digits alone"),
    (LOW, 10_000_000, "must not exceed people_high"),
    (HIGH, -1, "must be 0 or more"),
    (CONCEPT, "surrounded", "use trapped"),
    (CREDIBILITY, 9, "must be 6 or less"),
]


def statements(count: int) -> tuple[list[list[Any]], dict[str, str]]:
    """Return rows of statements, and the invalid cells among them with a part of their messages."""
    rows = []
    for at in range(count):
        stated = midnight(date(2010, 1, 1) + timedelta(days=at % 2000))
        place = ("Old town", "oldtown", "pcode:SY02")[at % 3]
        row: list[Any] = [place, "agency", "trapped_population", stated, "trapped", 1000 + at, 500_000 + at, None, None, 2, "=1+1"]
        if at % 4 == 3:
            row = [place, "Monitor", "supply_runout", stated.date().isoformat(), None, None, None, "food", at // 2000, 3, None]
        rows.append(row)
    chosen = random.Random(7).sample([at for at in range(count) if at % 4 != 3], PROBLEMS)
    expected = {}
    for number, at in enumerate(chosen):
        column, cell, message = INVALID_CELLS[number % len(INVALID_CELLS)]
        rows[at][column] = cell
        expected[f"{chr(ord('A') + column)}{at + 2}"] = message
    return rows, expected


def write_xlsx(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    with xlsxwriter.Workbook(path, {"constant_memory": True, "default_date_format": "yyyy-mm-dd", "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("Statements")
        for number, row in enumerate([COLUMNS, *rows]):
            for at, cell in enumerate(row):
                if cell is not None:
                    sheet.write(number, at, cell)
    return path


@mostly_sqlite
async def test_import_names_each_problem_and_records_valid_rows_once(
    client: httpx.AsyncClient, reference: Reference, database_url: str, tmp_path: Path
) -> None:
    count = 20_000 if FULL else 600
    valid = count - PROBLEMS
    rows, expected = statements(count)
    content = write_xlsx(tmp_path / "statements.xlsx", rows).read_bytes()
    checked = (await send(client, content, XLSX)).json()
    found = {each["cell"]: each["detail"] for each in checked["problems"]}
    assert set(found) == set(expected)
    for cell, message in expected.items():
        assert message in found[cell], (cell, found[cell])
    assert {each["sheet"] for each in checked["problems"]} == {"Statements"}
    counts = {name: checked[name] for name in ("written", "rows", "created", "existing", "refused", "problem_count", "unread_columns")}
    assert counts == {
        "written": False,
        "rows": count,
        "created": valid,
        "existing": 0,
        "refused": PROBLEMS,
        "problem_count": PROBLEMS,
        "unread_columns": ["Remark"],
    }
    assert checked["shown"][0]["value"] == {"concept": "trapped", "people_low": 1000, "people_high": 500_000}

    refused = await send(client, content, XLSX, dry_run="false")
    assert refused.status_code == 422
    assert {each["pointer"] for each in refused.json()["errors"]} == {f"Statements!{cell}" for cell in expected}
    assert await stored_assessments(database_url) == []

    written = (await send(client, content, XLSX, dry_run="false", only_good="true")).json()
    assert (written["written"], written["created"], written["existing"], written["refused"]) == (True, valid, 0, PROBLEMS)
    again = (await send(client, content, XLSX, dry_run="false", only_good="true")).json()
    assert (again["created"], again["existing"]) == (0, valid)
    assert (await client.get("/v1/ledger/head")).json()["seq"] == SEEDED + valid


@pytest.mark.skipif(not FULL, reason="takes a minute: set TEST_FULL")
def test_import_memory_does_not_grow_with_the_rows(tmp_path: Path, sqlite_template_with_reference: Path) -> None:
    peaks = []
    for count in (4_000, 20_000):
        path = write_xlsx(tmp_path / f"{count}.xlsx", statements(count)[0])
        command = [sys.executable, "-m", "app.cli", "import", str(path), "--only-good"]
        code = f"import resource, subprocess; subprocess.run({command!r}); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        url = f"sqlite:///{sqlite_template_with_reference}"
        done = subprocess.run([sys.executable, "-c", code], env=environment(database_url=url), capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.splitlines()[-1]))
    print("peak memory, KiB:", peaks, resource.getpagesize())  # noqa: T201
    assert peaks[1] < peaks[0] + 30 * 1024


@mostly_sqlite
def test_options_fill_fields_that_rows_leave_out(run: Run, tmp_path: Path, seeded_database: str) -> None:
    """Days of a forecast are counted from the time of the statement."""
    rows = [["supply", "in_days_min", "in_days_max", "relative_text"], ["food", 14, 21, "two to three weeks"]]
    path = write_csv(tmp_path / "days.csv", rows)
    options = ("--kind", "supply_runout", "--place", "Old town", "--source", "envoy", "--stated-at", "2016-07-28", "--org", "desk")
    assert run("import", str(path), "--write", *options).exit_code == 0
    ((value, recorded_by),) = query_rows(seeded_database, "SELECT value, recorded_by FROM report")
    stated = json.loads(value) if isinstance(value, str) else value
    assert (stated["runs_out_earliest"], stated["runs_out_latest"], recorded_by) == ("2016-08-11", "2016-08-18", "desk")


def test_import_command_writes_nothing_if_a_row_has_a_problem(run: Run, tmp_path: Path, seeded_database: str) -> None:
    headers = ["kind", "place", "source", "stated_at", "route", "status"]
    valid = ["route_closure", "oldtown", "agency", "2016-07-28", "north-road", "closed"]
    path = write_csv(tmp_path / "routes.csv", [headers, valid, [*valid[:4], "nroth-road", "closed"], [*valid[:5], ""]])
    refused = run("import", str(path), "--write")
    assert refused.exit_code == 1
    assert "E3 (route): there is no route 'nroth-road'; the nearest: north-road (north-road)" in refused.stdout
    assert "F4 (status): this field is required" in refused.stdout
    assert "Nothing was written: correct the rejected rows, or add --only-good to record the others." in refused.stdout
    checked = run("import", str(path)).stdout
    assert "Nothing was written: add --write, and --only-good to record the valid rows." in checked
    # The table shows what would be written, and no rejected row.
    assert checked.count("route_closure") == 1
    assert query_rows(seeded_database, "SELECT count(*) FROM report") == [(0,)]
    assert "3 rows: 1 recorded, 0 recorded already, 2 rejected." in run("import", str(path), "--write", "--only-good").stdout


@sqlite_only
async def test_import_names_every_problem_of_a_row_at_once(client: httpx.AsyncClient, reference: Reference) -> None:
    invalid = ["trapped_population", "Old twon", "agancy", "28/07/2016", "trapped", "1" * 5000, "9"]
    result = (await send(client, csv_bytes([*HEADERS, "people_high", "credibility"], invalid), CSV)).json()
    assert {each["cell"] for each in result["problems"]} == {"B2", "C2", "D2", "F2", "G2"}
    assert (result["refused"], result["problem_count"]) == (1, 5)
    late = csv_bytes([*HEADERS, "people", "observed_to"], [*CELLS, "100", "2016-07-29"])
    (problem,) = (await send(client, late, CSV)).json()["problems"]
    assert (problem["cell"], "must not be after stated_at, 2016-07-28" in problem["detail"]) == ("G2", True)


@mostly_sqlite
async def test_row_for_source_of_another_organisation_is_a_problem(
    make_client: MakeClient, client: httpx.AsyncClient, reference: Reference
) -> None:
    await reference.add("sources", slug="theirs", name="Theirs", type="ngo", reliability="C", organisation="them")
    reporter = await make_client(Scope.REPORT, organisation="us")
    content = csv_bytes([*HEADERS, "people_high"], [*CELLS, "5"], [*CELLS[:2], "theirs", *CELLS[3:], "5"])
    checked = (await send(reporter, content, CSV)).json()
    written = (await send(reporter, content, CSV, dry_run="false", only_good="true")).json()
    for result in (checked, written):
        assert (result["created"], result["existing"], result["refused"]) == (1, 0, 1)
        assert [(each["cell"], "another organisation" in each["detail"]) for each in result["problems"]] == [("C3", True)]
    assert (await send(reporter, content, CSV, dry_run="false")).status_code == 422


@mostly_sqlite
async def test_exported_lists_are_recognised_as_recorded(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for format_, media_type in (("csv", CSV), ("xlsx", XLSX), ("ndjson", NDJSON), ("json", "application/json")):
        content = (await client.get("/v1/reports", params={"format": format_, "limit": 1000})).content
        checked = (await send(client, content, media_type)).json()
        assert checked["created"] == 0, (format_, checked)
        # A superseded or retracted report must not return as a standing one.
        assert (checked["existing"], checked["refused"]) == (8, 2), (format_, checked["problems"])
        assert {each["detail"].split(":")[0] for each in checked["problems"]} == {"is not standing where it comes from"}
