"""Workbooks as they are written: full sheets, long texts, escapes and temporary files."""

import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from app.exchange.exports.columns import column
from app.exchange.exports.xlsx import MAX_CELL_CHARACTERS, OVERFLOW_MARKER, OVERFLOW_SHEET, XlsxRenderer
from app.exchange.imports.file_readers import read_tables
from app.http.content_negotiation import Format


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
