"""Tables of statements taken in: each fault at its cell, all or nothing or the good rows, and nothing twice."""

import asyncio
import csv
import io
import json
import random
import resource
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
import xlsxwriter

from app.access.principal import Scope
from app.exchange.imports import xlsx_reader
from app.exchange.imports.cells import cell_text
from app.exchange.imports.file_readers import read_tables
from app.exchange.imports.statements import ImportResult, StatementImport
from app.http.content_negotiation import Format
from app.settings import Settings
from tests.exchange.readers import readings_of
from tests.support.factories import Reference, report
from tests.support.fixtures import FULL, MakeClient, sqlite_only
from tests.support.processes import environment
from tests.support.servers import execute_sql_async, invoke, query_rows

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FAULTS = 137


def day(day_: date) -> datetime:
    """A day as spreadsheets have it: at midnight, in no time zone."""
    return datetime.combine(day_, time.min)


HEADERS = ["Place", "Source", "Kind", "Stated at", "Concept", "People low", "People high", "Supply", "In days min", "Credibility", "Remark"]
PLACE, SOURCE, KIND, STATED, CONCEPT, LOW, HIGH, SUPPLY, DAYS, CREDIBILITY, REMARK = range(len(HEADERS))
# What is put into which column, and a word of what has to be said of it.
PLANTED: list[tuple[int, Any, str]] = [
    (PLACE, "Old twon", "the nearest: oldtown (Old town)"),
    (PLACE, "SY02", "pcode:SY02"),
    (PLACE, "pcode:SY99", "there is no place"),
    (SOURCE, "agancy", "the nearest: agency"),
    (KIND, "besieged_people", "unknown kind"),
    (STATED, "31.07.2016", "must be a date"),
    (STATED, day(date(2099, 1, 1)), "future"),
    (LOW, "250,000", "whole number in digits alone"),
    (LOW, 10_000_000, "people_low <= people <= people_high"),
    (HIGH, -1, "greater than or equal to 0"),
    (CONCEPT, "surrounded", "'trapped'"),
    (CREDIBILITY, 9, "less than or equal to 6"),
]


def table(count: int) -> tuple[list[list[Any]], dict[str, str]]:
    """Rows of statements, and the cells of the 137 faults planted among them, each with what has to be said of it."""
    made = []
    for at in range(count):
        stated = day(date(2010, 1, 1) + timedelta(days=at % 2000))
        place = ("Old town", "oldtown", "pcode:SY02")[at % 3]
        row: list[Any] = [place, "agency", "trapped_population", stated, "trapped", 1000 + at, 500_000 + at, None, None, 2, "=1+1"]
        if at % 4 == 3:
            row = [place, "Monitor", "supply_runout", stated.date().isoformat(), None, None, None, "food", at // 2000, 3, None]
        made.append(row)
    chosen = random.Random(7).sample([at for at in range(count) if at % 4 != 3], FAULTS)
    expected = {}
    for number, at in enumerate(chosen):
        column, cell, words = PLANTED[number % len(PLANTED)]
        made[at][column] = cell
        expected[f"{chr(ord('A') + column)}{at + 2}"] = words
    return made, expected


async def test_a_key_that_is_revoked_while_its_file_is_looked_at_writes_nothing(
    make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = await make_client(Scope.REPORT, organisation="leaving")
    look = StatementImport.dry_run

    async def look_and_revoke(self: StatementImport) -> ImportResult:
        found = await look(self)
        await execute_sql_async(settings.database_url, "UPDATE api_key SET revoked_at = CURRENT_TIMESTAMP WHERE organisation = 'leaving'")
        return found

    monkeypatch.setattr(StatementImport, "dry_run", look_and_revoke)
    answer = await reporter.post("/v1/imports?dry_run=false", json=[report(sensitivity="clear")])
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:lifeline:problem:key")
    assert (await anonymous.get("/v1/reports")).json()["items"] == []


def write_xlsx(path: Path, made: Sequence[Sequence[Any]]) -> Path:
    with xlsxwriter.Workbook(path, {"constant_memory": True, "default_date_format": "yyyy-mm-dd", "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet("Statements")
        for number, row in enumerate([HEADERS, *made]):
            for at, cell in enumerate(row):
                if cell is not None:
                    sheet.write(number, at, cell)
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], int]:
    """A workbook of 600 rows with 137 faults of twelve kinds; of 20,000 with LIFELINE_TEST_FULL."""
    count = 20_000 if FULL else 600
    made, expected = table(count)
    return write_xlsx(tmp_path_factory.mktemp("planted") / "statements.xlsx", made), expected, count


async def send(client: httpx.AsyncClient, content: bytes, media_type: str, **query: Any) -> httpx.Response:
    return await client.post("/v1/imports", params=query, content=content, headers={"Content-Type": media_type})


async def test_each_fault_is_named_at_its_cell_and_the_good_rows_come_in_once(
    client: httpx.AsyncClient, reference: Reference, database_url: str, planted: tuple[Path, dict[str, str], int]
) -> None:
    path, expected, count = planted
    content = path.read_bytes()
    looked = (await send(client, content, XLSX)).json()
    found = {each["cell"]: each["detail"] for each in looked["problems"]}
    assert set(found) == set(expected)
    for cell, words in expected.items():
        assert words in found[cell], (cell, found[cell])
    assert {each["sheet"] for each in looked["problems"]} == {"Statements"}
    counted = {name: looked[name] for name in ("written", "rows", "created", "existing", "refused", "problem_count", "unread_columns")}
    good = count - FAULTS
    assert counted == {
        "written": False,
        "rows": count,
        "created": good,
        "existing": 0,
        "refused": FAULTS,
        "problem_count": FAULTS,
        "unread_columns": ["Remark"],
    }
    assert looked["shown"][0]["value"] == {"concept": "trapped", "people_low": 1000, "people_high": 500_000}

    refused = await send(client, content, XLSX, dry_run="false")
    assert refused.status_code == 422
    assert {each["pointer"] for each in refused.json()["errors"]} == {f"Statements!{cell}" for cell in expected}
    assert await readings_of(database_url) == []

    done = (await send(client, content, XLSX, dry_run="false", only_good="true")).json()
    assert (done["written"], done["created"], done["existing"], done["refused"]) == (True, good, 0, FAULTS)
    again = (await send(client, content, XLSX, dry_run="false", only_good="true")).json()
    assert (again["created"], again["existing"]) == (0, good)
    assert (await client.get("/v1/ledger/head")).json()["seq"] == good


@pytest.mark.skipif(not FULL, reason="takes a minute: set LIFELINE_TEST_FULL")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, sqlite_template_with_reference: Path) -> None:
    most = []
    for count in (4_000, 20_000):
        path = write_xlsx(tmp_path / f"{count}.xlsx", table(count)[0])
        command = [sys.executable, "-m", "app.cli", "import", str(path), "--only-good"]
        code = f"import resource, subprocess; subprocess.run({command!r}); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        url = f"sqlite:///{sqlite_template_with_reference}"
        done = subprocess.run([sys.executable, "-c", code], env=environment(database_url=url), capture_output=True, text=True, check=True)
        most.append(int(done.stdout.splitlines()[-1]))
    print("most memory, KiB:", most, resource.getpagesize())  # noqa: T201
    assert most[1] < most[0] + 30 * 1024


def write_csv(path: Path, made: Sequence[Sequence[Any]], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(made)
    return path


Run = Callable[..., Any]


@pytest.fixture
def run(seeded_database: str) -> Run:
    """Runs `lifeline` on a database with reference data."""
    return lambda *arguments: invoke(*arguments, database_url=seeded_database)


def test_hashtags_say_what_columns_hold(run: Run, tmp_path: Path, seeded_database: str) -> None:
    made = [
        ["Situation report", "", "", "", "", "", ""],
        ["Where", "Who", "What", "When", "Counted", "From", "To"],
        [
            "#adm1 +code +v_pcode",
            "#meta+source+code",
            "#indicator+type",
            "#date+reported",
            "#indicator+definition",
            "#affected+min+trapped",
            "#affected+max+trapped",
        ],
        ["SY02", "agency", "trapped_population", "2016-07-25", "trapped", "250000", "275000"],
    ]
    path = write_csv(tmp_path / "hxl.csv", made, ";")
    looked = run("import", str(path))
    assert looked.exit_code == 0, looked.output
    assert "1 rows: 1 would be recorded" in looked.stdout
    assert query_rows(seeded_database, "SELECT count(*) FROM report") == [(0,)]
    assert "1 rows: 1 recorded, 0 recorded already, 0 rejected." in run("import", str(path), "--write").stdout
    ((value,),) = query_rows(seeded_database, "SELECT value FROM report")
    stated = json.loads(value) if isinstance(value, str) else value
    assert (stated["people_low"], stated["people_high"]) == (250000, 275000)


def test_options_fill_what_rows_do_not_say_and_days_count_from_the_statement(run: Run, tmp_path: Path, seeded_database: str) -> None:
    path = write_csv(
        tmp_path / "days.csv", [["supply", "in_days_min", "in_days_max", "relative_text"], ["food", 14, 21, "two to three weeks"]]
    )
    defaults = ("--kind", "supply_runout", "--place", "Old town", "--source", "envoy", "--stated-at", "2016-07-28")
    assert run("import", str(path), "--write", *defaults, "--org", "desk").exit_code == 0
    ((value, by),) = query_rows(seeded_database, "SELECT value, recorded_by FROM report")
    stated = json.loads(value) if isinstance(value, str) else value
    assert (stated["runs_out_earliest"], stated["runs_out_latest"], by) == ("2016-08-11", "2016-08-18", "desk")


def test_all_or_nothing_and_the_lines_printed(run: Run, tmp_path: Path, seeded_database: str) -> None:
    headers = ["kind", "place", "source", "stated_at", "route", "status"]
    good = ["route_closure", "oldtown", "agency", "2016-07-28", "north-road", "closed"]
    path = write_csv(tmp_path / "routes.csv", [headers, good, [*good[:4], "nroth-road", "closed"], [*good[:5], ""]])
    refused = run("import", str(path), "--write")
    assert refused.exit_code == 1
    assert "E3 (route): there is no route 'nroth-road'; the nearest: north-road (north-road)" in refused.stdout
    assert "F4 (status): this field is required" in refused.stdout
    assert "Nothing was written: add --write, and --only-good to record the valid rows." in refused.stdout
    assert query_rows(seeded_database, "SELECT count(*) FROM report") == [(0,)]
    assert "3 rows: 1 recorded, 0 recorded already, 2 rejected." in run("import", str(path), "--write", "--only-good").stdout


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"colour,size\r\nred,1\r\n", "No column is known"),
        ("a.csv", "place,quote\r\noldtown,caf\u00e9\r\n".encode("cp1252"), "UTF-8"),
        ("a.csv", b'place,quote\r\noldtown,"never closed', "not CSV"),
        ("a.xlsx", b"no workbook", "not an XLSX workbook"),
        ("a.json", b"no json", "not JSON"),
        ("a.json", b'[{"kind": ', "cannot be read as JSON: parse error: premature EOF."),
        ("a.json", b'{"items": [{"people_high": 123456789012345678901}]}', "integer overflow"),
        # Kept by the path of each level, these would fill gigabytes.
        ("a.json", b"[" * 100_000, "more than 64 deep"),
        ("a.json", b'{"items": [' + b'{"a":' * 100_000, "more than 64 deep"),
        ("a.pdf", b"%PDF", "has to end in"),
    ],
)
def test_what_cannot_be_read_says_so(sqlite_template: Path, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    refused = invoke("import", str(path), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'<row r="2"', b'<row r="999999999999"', "more than 1000 rows"),
        (b"<v>5</v>", b"<v>five</v>", "is damaged"),
        (b"</sheetData>", b"", "is damaged"),
    ],
)
def test_a_workbook_that_is_damaged_or_made_to_do_harm(
    sqlite_template: Path, tmp_path: Path, old: bytes, new: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_reader, "MAX_ROWS", 1000)
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        book.add_worksheet().write_column(0, 0, ["people_high", 5])
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(made) as whole, zipfile.ZipFile(path, "w") as altered:
        for name in whole.namelist():
            altered.writestr(name, whole.read(name).replace(old, new) if name.endswith("sheet1.xml") else whole.read(name))
    refused = invoke("import", str(path), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.output


ROW = ["trapped_population", "oldtown", "agency", "2016-07-28", "trapped"]
NAMES = ["kind", "place", "source", "stated_at", "concept"]


@sqlite_only
@pytest.mark.parametrize(
    ("delimiter", "encoding", "before"),
    [(",", "utf-16", ""), (";", "utf-8", "sep=;\r\n"), ("\t", "utf-8-sig", ""), (";", "utf-8", "")],
)
async def test_a_csv_is_read_as_spreadsheet_programs_write_it(
    client: httpx.AsyncClient, reference: Reference, delimiter: str, encoding: str, before: str
) -> None:
    lines = [delimiter.join([*NAMES, "people_high", "quote"]), delimiter.join([*ROW, "7", '"à côté, de; ça"'])]
    told = (await send(client, (before + "\r\n".join(lines) + "\r\n").encode(encoding), "text/csv")).json()
    assert told["problems"] == []
    assert told["shown"][0]["provenance"]["quote"] == "à côté, de; ça"


@sqlite_only
async def test_a_byte_order_mark_before_json_is_passed_over(client: httpx.AsyncClient, reference: Reference) -> None:
    one = json.dumps(report()).encode()
    for content, media_type in ((b"[" + one + b"]", "application/json"), (one + b"\r\n", "application/x-ndjson")):
        told = (await send(client, b"\xef\xbb\xbf" + content, media_type)).json()
        assert (told["created"], told["problems"]) == (1, [])


@sqlite_only
async def test_a_formula_that_was_never_computed_is_no_empty_cell(client: httpx.AsyncClient, reference: Reference) -> None:
    """Libraries write formulas without their results: taken for empty, the row would say something else than it does."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in ([*NAMES, "people_low", "people_high"], [*ROW, "=2*3", 9], [*ROW, None, "#DIV/0!"], [*ROW, None, 9]):
        sheet.append(row)
    made = io.BytesIO()
    book.save(made)
    told = (await send(client, made.getvalue(), XLSX)).json()
    assert [(each["cell"], each["detail"].partition(":")[0]) for each in told["problems"]] == [
        ("F2", "the cell holds a formula without its result"),
        ("G3", "the cell holds an error, #DIV/0!"),
    ]
    assert told["created"] == 1


@sqlite_only
async def test_every_fault_of_a_row_is_named_at_once(client: httpx.AsyncClient, reference: Reference) -> None:
    wrong = ["trapped_population", "Old twon", "agancy", "28/07/2016", "trapped", "1" * 5000, "9"]
    content = "\r\n".join([",".join([*NAMES, "people_high", "credibility"]), ",".join(wrong)]).encode()
    told = (await send(client, content, "text/csv")).json()
    assert {each["cell"] for each in told["problems"]} == {"B2", "C2", "D2", "F2", "G2"}
    assert (told["refused"], told["problem_count"]) == (1, 5)


async def test_a_table_is_no_full_export_for_its_name_alone(client: httpx.AsyncClient, reference: Reference) -> None:
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as book:
        sheet = book.add_worksheet("export")
        sheet.write_row(0, 0, ["record", *NAMES, "people_high"])
        sheet.write_row(1, 0, ["17", *ROW, 5])
    told = (await send(client, made.getvalue(), XLSX)).json()
    assert (told["holds"], told["created"], told["unread_columns"]) == ("statements", 1, ["record"])


async def test_lists_as_served_are_taken_in_again(
    client: httpx.AsyncClient, filled: dict[str, Any], new_database: Callable[[], str], tmp_path: Path
) -> None:
    # In another Lifeline that has the same places; here they are all recorded already.
    for format_, media_type in (("csv", "text/csv"), ("xlsx", XLSX), ("ndjson", "application/x-ndjson"), ("json", "application/json")):
        content = (await client.get("/v1/reports", params={"format": format_, "limit": 1000})).content
        looked = (await send(client, content, media_type)).json()
        assert looked["created"] == 0, (format_, looked)
        # The corrected and the withdrawn are not to come back as if they stood.
        assert (looked["existing"], looked["refused"]) == (8, 2), (format_, looked["problems"])
        assert {each["detail"].split(":")[0] for each in looked["problems"]} == {"is not standing where it comes from"}


async def test_who_may_send_what(make_client: Any, client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    body = json.dumps([report(stated_at="2016-07-01")]).encode()
    reporter = await make_client(Scope.REPORT)
    curator = await make_client(Scope.CURATE)
    assert (await send(curator, body, "application/json")).status_code == 403
    assert (await send(reporter, body, "application/json", dry_run="false")).json()["created"] == 1
    export = b'{"record":"export","version":1,"clearance":"red","seq":0,"hash":"' + b"0" * 64 + b'"}\n'
    assert (await send(reporter, export, "application/x-ndjson")).status_code == 403
    taken = (await send(client, export, "application/x-ndjson", dry_run="false")).json()
    assert (taken["holds"], taken["rows"], taken["created"]) == ("export", 1, 0)
    assert (await send(client, body, "text/plain")).status_code == 415
    assert (await send(client, b"a,b\r\n1,2\r\n", "text/csv")).status_code == 422


@sqlite_only
async def test_a_file_over_the_limit_and_a_key_that_came_before(app: Any, client: httpx.AsyncClient, reference: Reference) -> None:
    body = json.dumps([report(stated_at="2016-07-01")]).encode()
    headers = {"Content-Type": "application/json", "Idempotency-Key": "one"}
    first = await client.post("/v1/imports?dry_run=false", content=body, headers=headers)
    second = await client.post("/v1/imports?dry_run=false", content=body, headers=headers)
    assert (first.json()["created"], second.json()["created"], second.headers["Idempotency-Replayed"]) == (1, 1, "true")
    other = await client.post("/v1/imports?dry_run=false", content=body + b" ", headers=headers)
    assert other.status_code == 422
    app.state.settings = app.state.settings.model_copy(update={"max_import_bytes": 10})
    assert (await send(client, body, "application/json")).status_code == 413
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert (await client.post("/v1/imports", content=b"", headers=packed)).status_code == 415


@sqlite_only
async def test_a_file_of_which_nothing_more_comes(app: Any, client: httpx.AsyncClient) -> None:
    app.state.settings = app.state.settings.model_copy(update={"body_timeout_seconds": 0.05})

    async def stuck() -> AsyncIterator[bytes]:
        yield b"place,"
        await asyncio.sleep(60)

    answer = await client.post("/v1/imports", content=stuck(), headers={"Content-Type": "text/csv"})
    assert (answer.status_code, answer.json()["detail"]) == (408, "The file did not arrive in time.")


def test_dates_without_time_of_a_workbook_are_days(planted: tuple[Path, dict[str, str], int]) -> None:
    with planted[0].open("rb") as file:
        tables = read_tables(file, Format.XLSX)
        sheet = next(tables)
        next(sheet.rows)
        stated = next(sheet.rows).cells[STATED]
    assert isinstance(stated, datetime)
    assert cell_text(stated) == "2010-01-01"
