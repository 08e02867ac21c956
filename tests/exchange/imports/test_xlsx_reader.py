"""Workbooks: damaged ones, formulas and dates."""

import io
import os
import zipfile
from datetime import datetime
from pathlib import Path

import httpx
import openpyxl
import pytest
import xlsxwriter

from app.exchange.imports import xlsx_reader
from app.exchange.imports.file_readers import read_tables
from app.exchange.imports.tables import cell_text
from app.http.content_negotiation import Format
from tests.exchange.imports.files import CELLS, HEADERS, XLSX, send
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only
from tests.support.servers import invoke


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'<row r="2"', b'<row r="999999999999"', "more than 1,000 rows"),
        (b"<v>5</v>", b"<v>five</v>", "is damaged"),
        (b"</sheetData>", b"", "is damaged"),
        (b"</sheetData>", b"</sheetData>" + b" " * 10_000_000, "unpacks to far more than its size"),
    ],
)
def test_damaged_or_crafted_workbook_is_refused(
    sqlite_template: Path, tmp_path: Path, old: bytes, new: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx_reader, "MAX_ROWS", 1000)
    original = io.BytesIO()
    with xlsxwriter.Workbook(original) as book:
        book.add_worksheet().write_column(0, 0, ["people_high", 5])
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(original) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as altered:
        for name in archive.namelist():
            content = archive.read(name)
            altered.writestr(name, content.replace(old, new) if name.endswith("sheet1.xml") else content)
    refused = invoke("import", str(path), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.output


@sqlite_only
async def test_formula_without_saved_result_is_a_problem(client: httpx.AsyncClient, reference: Reference) -> None:
    """Libraries write formulas without results; read as empty cells, the row would state something else."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in ([*HEADERS, "people_low", "people_high"], [*CELLS, "=2*3", 9], [*CELLS, None, "#DIV/0!"], [*CELLS, None, 9]):
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    result = (await send(client, file.getvalue(), XLSX)).json()
    assert [(each["cell"], each["detail"].partition(":")[0]) for each in result["problems"]] == [
        ("F2", "the cell holds a formula without its result"),
        ("G3", "the cell holds an error, #DIV/0!"),
    ]
    assert result["created"] == 1


def test_date_cell_without_time_is_a_day() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd"}) as book:
        book.add_worksheet().write(0, 0, datetime(2010, 1, 1))  # noqa: DTZ001 - spreadsheets have no time zone
    tables = read_tables(file, Format.XLSX)
    (cell,) = next(next(tables).rows).cells
    assert isinstance(cell, datetime)
    assert cell_text(cell) == "2010-01-01"


def test_large_workbook_is_read() -> None:
    """Each part is larger than the directory of an archive may be."""
    rows = [[f"{number}", os.urandom(60).hex()] for number in range(12_000)]
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    assert file.tell() > 1024 * 1024 / 2
    tables = read_tables(file, Format.XLSX)
    assert [each.cells for each in next(tables).rows] == rows
