"""Workbooks as they are written: full sheets, long texts, escapes and temporary files."""

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest

from app.exchange.exports.columns import column
from app.exchange.exports.xlsx import MAX_CELL_CHARACTERS, OVERFLOW_MARKER, OVERFLOW_SHEET, XlsxRenderer
from app.exchange.imports.file_readers import read_tables
from app.http.content_negotiation import Format
from tests.support.factories import post, report
from tests.support.fixtures import mostly_sqlite


def render(renderer: XlsxRenderer, *records: dict[str, Any]) -> io.BytesIO:
    """Return the workbook of some records."""
    renderer.begin()
    for each in records:
        renderer.page([json.dumps(each)], [])
    file = io.BytesIO(b"".join(renderer.end()))
    renderer.close()
    return file


def test_xlsx_continues_a_full_sheet_and_splits_long_texts() -> None:
    columns = [column("a", "#meta"), column("b.c", "#x", "integer")]
    long = "=é" * MAX_CELL_CHARACTERS
    records = [{"a": long if number == 3 else f"={number}", "b": {"c": number}} for number in range(5)]
    book = openpyxl.load_workbook(render(XlsxRenderer("rows", columns, max_rows=4), *records))
    assert book.sheetnames == ["rows", "rows 2", "long", "rows 3"]
    assert list(book["rows"].values) == [("a", "b.c"), ("#meta", "#x"), ("=0", 0), ("=1", 1)]
    assert book["rows"]["A3"].data_type == "s"
    assert list(book["rows 2"].values)[3] == (OVERFLOW_MARKER, 3)
    _, *parts = book[OVERFLOW_SHEET].values
    assert [part[:4] for part in parts] == [("rows 2", 4, "a", 1), ("rows 2", 4, "a", 2)]
    assert "".join(part[4] for part in parts) == long


@pytest.mark.parametrize("text", ["_x005F_x000D_", "_x0041_x0042_x0043_", "_x005F__x005F_", "[long]", "\ufffe\uffff\x01", "x_x000D_"])
def test_xlsx_text_like_an_escape_is_read_back_unchanged(text: str) -> None:
    long = "=" * (MAX_CELL_CHARACTERS + 1)
    file = render(XlsxRenderer("rows", [column("a"), column("b")]), {"a": text, "b": long})
    tables = read_tables(file, Format.XLSX)
    *_, row = next(tables).rows
    assert row.cells == [text, long]


@pytest.mark.parametrize("finished", [False, True])
def test_xlsx_close_removes_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    """The temporary files hold what was exported."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    renderer = XlsxRenderer("rows", [column("a")])
    renderer.begin()
    renderer.page(['{"a": "secret"}'], [])
    assert list(tmp_path.iterdir())
    if finished:
        assert b"".join(renderer.end())
    renderer.close()
    assert not list(tmp_path.iterdir())


@mostly_sqlite
async def test_xlsx_dates_are_dates_and_are_imported_again(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    await post(client, **report("route_closure", {"since": "2016-07-07"}, stated_at="2016-07-20"))
    answer = await client.get("/v1/reports.xlsx?status=standing")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).worksheets[0]
    headers, _, *rows = sheet.iter_rows()
    at = {cell.value: number for number, cell in enumerate(headers)}
    by_id = {row[at["id"]].value: row for row in rows}
    food, opened = by_id[filled["food"]["id"]], by_id[filled["open"]["id"]]
    assert (str(food[at["stated_at"]].value), food[at["stated_at"]].number_format) == ("2016-07-28 00:00:00", "yyyy-mm-dd")
    assert str(food[at["value.runs_out_earliest"]].value) == "2016-08-11 00:00:00"
    # A month without a day is text.
    since = [row[at["value.since"]] for row in rows]
    assert {(str(each.value), each.is_date) for each in since if each.value} >= {("2016-07-07 00:00:00", True), ("2016-07", False)}
    # A time of a report keeps its time zone, as text; one of the service is a cell of dates in UTC.
    assert [str(opened[at[each]].value) for each in ("observed_from", "observed_to")] == ["2016-07-01 00:00:00", "2016-07-02T03:04:05Z"]
    recorded = datetime.fromisoformat(filled["food"]["recorded_at"]).replace(microsecond=0, tzinfo=None)
    assert food[at["recorded_at"]].value == recorded
    assert all(row[at["stated_at"]].is_date for row in rows)
    again = (await client.post("/v1/imports", content=answer.content, headers={"Content-Type": answer.headers["content-type"]})).json()
    assert (again["existing"], again["created"], again["problem_count"]) == (len(rows), 0, 0), again


@mostly_sqlite
async def test_xlsx_of_places_has_dates_of_validity(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/places", json={"slug": "pocket", "name": "Pocket", "valid_to": "2016-12-22"})).status_code == 201
    sheet = openpyxl.load_workbook(io.BytesIO((await client.get("/v1/places.xlsx")).content)).worksheets[0]
    headers, _, place = sheet.iter_rows()
    cell = next(cell for header, cell in zip(headers, place, strict=True) if header.value == "valid_to")
    assert (str(cell.value), cell.number_format) == ("2016-12-22 00:00:00", "yyyy-mm-dd")


def test_xlsx_day_that_excel_does_not_know_stays_text() -> None:
    columns = [column("day", dtype="date"), column("time", dtype="time")]
    book = openpyxl.load_workbook(render(XlsxRenderer("rows", columns), {"day": "1850-01-01", "time": "2016-07-28T09:30:15.999999Z"}))
    assert [str(each.value) for each in book["rows"][2]] == ["1850-01-01", "2016-07-28 09:30:15"]
