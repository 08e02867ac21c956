"""Reads workbooks, XLSX and OpenDocument, sheet by sheet and row by row."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import IO, Any

from app.exchange.exports.hxl_csv import unescape_formula
from app.exchange.exports.xlsx import MAX_ROWS, OVERFLOW_MARKER, OVERFLOW_SHEET
from app.exchange.imports.ods_reader import CONTENT, OdsWorkbook
from app.exchange.imports.sheets import RawSheet
from app.exchange.imports.tables import MAX_COLUMNS, Cell, Row, Table, UnreadableFile
from app.exchange.imports.workbook_archive import DAMAGED, WorkbookArchive
from app.exchange.imports.xlsx_reader import XlsxWorkbook


def read_workbook(file: IO[bytes]) -> Iterator[Table]:
    """Yield the sheets of a workbook; UnreadableFile if it is damaged, or if reading it would cost far more than its size."""
    try:
        archive = WorkbookArchive(file)
        book = OdsWorkbook(archive) if CONTENT in archive.namelist() else XlsxWorkbook(archive)
    except DAMAGED as error:
        raise UnreadableFile(f"The file is not a workbook (XLSX or OpenDocument): {str(error) or type(error).__name__}.") from None
    with closing(archive):
        overflow = _OverflowTexts(
            tuple(map(row.values.get, range(1, 6)))
            for sheet in book.sheets()
            if sheet.name == OVERFLOW_SHEET
            for row in sheet.rows
            if row.number > 1
        )
        try:
            for sheet in book.sheets():
                if sheet.name != OVERFLOW_SHEET:
                    rows = _read_rows(sheet, archive.max_nodes, overflow)
                    yield Table(sheet.name, rows, sheet.hidden, sheet.hidden_columns)
        except DAMAGED as error:
            raise UnreadableFile(f"The workbook is damaged: {error}.") from None


class _OverflowTexts:
    """Texts that are too long for a cell, in the order of their cells; looked for once a cell has one."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._cells = groupby(rows, key=lambda each: each[:3])
        self._next: tuple[Any, Any] | None = None
        self._begun = False

    def pop(self, sheet: str, row: int) -> str | None:
        """Return the text of the next such cell of a row; None if it has no further one."""
        if not self._begun:
            self._begun, self._next = True, next(self._cells, None)
        if self._next is None or tuple(self._next[0][:2]) != (sheet, row):
            return None
        text = "".join(part[4] or "" for part in self._next[1])
        self._next = next(self._cells, None)
        return text


def _read_rows(sheet: RawSheet, max_cells: int, overflow: _OverflowTexts) -> Iterator[Row]:
    cells = 0
    try:
        for number, hidden, values in sheet.rows:
            width = max(values)
            cells += width
            if number > MAX_ROWS or width > MAX_COLUMNS or cells > max_cells:
                limits = f"more than {MAX_ROWS:,} rows or {MAX_COLUMNS:,} columns, or nearly all of its cells are empty"
                raise UnreadableFile(f"The sheet {sheet.name} has {limits}.")
            yield Row(number, [_to_cell(values.get(column), sheet.name, number, overflow) for column in range(1, width + 1)], hidden)
    except DAMAGED as error:
        raise UnreadableFile(f"The sheet {sheet.name} is damaged: {error}.") from None


def _to_cell(value: Cell, sheet: str, row: int, overflow: _OverflowTexts) -> Cell:
    if value == OVERFLOW_MARKER and (text := overflow.pop(sheet, row)) is not None:
        value = text
    # A program that opens CSV and saves a workbook keeps the apostrophe before formulas.
    return unescape_formula(value) if isinstance(value, str) else value
