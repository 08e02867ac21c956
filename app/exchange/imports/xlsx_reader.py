"""Workbooks (XLSX) read sheet by sheet and row by row, with the results of their formulas."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO, Any

import openpyxl
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException

from app.exchange.exports.xlsx import MAX_ROWS, OVERFLOW_MARKER, OVERFLOW_SHEET
from app.exchange.imports.file_readers import UNCALCULATED, Cell, Row, Table, UnreadableFile

# A workbook is a ZIP file: one that unpacks to more than so many times its size, and to more than this, was made to fill memory.
MAX_COMPRESSION_RATIO = 200
MAX_UNPACKED_BYTES = 4 * 1024 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
# What the reader of workbooks raises for one that is damaged or was made to be.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError),
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError),
)


def read_workbook(file: IO[bytes]) -> Iterator[Table]:
    """The sheets of a workbook, one after the other; Unreadable for what is none, is damaged, or was made to do harm."""
    try:
        with zipfile.ZipFile(file) as packed:
            sizes = [(each.file_size, each.compress_size) for each in packed.infolist()]
            unpacked = sum(size for size, _ in sizes)
            if unpacked > MAX_UNPACKED_BYTES or any(
                size > 1024 * 1024 and size > MAX_COMPRESSION_RATIO * max(small, 1) for size, small in sizes
            ):
                raise UnreadableFile("The workbook unpacks to far more than its size.")
            with_formulas = _has_formulas(packed)
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        formulas = openpyxl.load_workbook(file, read_only=True) if with_formulas else None
    except UnreadableFile:
        raise
    except _BROKEN as error:
        raise UnreadableFile(f"The file is not an XLSX workbook: {error}.") from None
    try:
        texts = _OverflowTexts(book[OVERFLOW_SHEET].iter_rows(min_row=2, values_only=True) if OVERFLOW_SHEET in book.sheetnames else ())
        for sheet in book.worksheets:
            if sheet.title != OVERFLOW_SHEET:
                yield Table(sheet.title, _rows(sheet, None if formulas is None else formulas[sheet.title], texts))
    finally:
        for each in (book, formulas):
            if each is not None:
                each.close()


def _has_formulas(packed: zipfile.ZipFile) -> bool:
    """Whether a sheet has a formula: without one there is no need to look whether its result was saved."""
    for name in packed.namelist():
        if name.startswith("xl/worksheets/"):
            with packed.open(name) as sheet:
                before = b""
                while piece := sheet.read(CHUNK_BYTES):
                    if _FORMULA.search(before + piece):
                        return True
                    before = piece[-16:]
    return False


class _OverflowTexts:
    """Texts that no cell holds, in the order in which their cells come."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = iter(rows)
        self._next = next(self._rows, None)

    def take(self, sheet: str, row: int) -> str | None:
        """The text of the next cell of a row that stands elsewhere; None where there is none."""
        if self._next is None or self._next[:2] != (sheet, row):
            return None
        header, parts = self._next[2], []
        while self._next is not None and self._next[:3] == (sheet, row, header):
            # A long text of another cell of the same row begins with part 1 again.
            parts.append(unescape(self._next[4] or ""))
            self._next = next(self._rows, None)
        return "".join(parts)


def _rows(sheet: Any, formulas: Any, texts: _OverflowTexts) -> Iterator[Row]:
    try:
        for number, cells in enumerate(_values(sheet, formulas), 1):
            if number > MAX_ROWS:
                raise UnreadableFile(f"The sheet {sheet.title} has more than {MAX_ROWS} rows.")
            yield Row(number, [_cell(each, sheet.title, number, texts) for each in cells], sheet.title)
    except UnreadableFile:
        raise
    except _BROKEN as error:
        raise UnreadableFile(f"The sheet {sheet.title} is damaged: {error}.") from None


def _values(sheet: Any, formulas: Any) -> Iterator[Sequence[Any]]:
    """Rows of results. `formulas` is the sheet read for its formulas, None where the workbook has none."""
    sheet.reset_dimensions()
    if formulas is None:
        yield from sheet.iter_rows(values_only=True)
        return
    formulas.reset_dimensions()
    for cells, written in zip(sheet.iter_rows(), formulas.iter_rows(values_only=True), strict=True):
        yield [
            # A formula whose result is an empty text has that; one that no spreadsheet program ever computed has nothing.
            UNCALCULATED if each.value is None and formula is not None and each.data_type != "str" else each.value
            for each, formula in zip(cells, written, strict=True)
        ]


def _cell(value: Any, sheet: str, row: int, texts: _OverflowTexts) -> Cell:
    if isinstance(value, str):
        if value == OVERFLOW_MARKER and (text := texts.take(sheet, row)) is not None:
            return text
        return unescape(value) or None
    return value if value is None or isinstance(value, bool | int | float | datetime) else str(value)
