"""Reads XLSX workbooks sheet by sheet and row by row, with the saved results of their formulas."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import groupby
from typing import IO, Any

import openpyxl
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException

from app.exchange.exports.xlsx import MAX_ROWS, OVERFLOW_MARKER, OVERFLOW_SHEET
from app.exchange.imports.tables import UNCALCULATED, Cell, Row, Table, UnreadableFile

# A workbook is a ZIP archive: one that exceeds either of these was made to exhaust memory.
MAX_COMPRESSION_RATIO = 200
MAX_UNPACKED_BYTES = 4 * 1024 * 1024 * 1024
# The ratio of a part that unpacks to less is not limited: it can do no harm.
_HARMLESS_BYTES = 1024 * 1024
CHUNK_BYTES = 64 * 1024
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
# Errors of zipfile and openpyxl for a damaged or crafted workbook.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError),
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, TypeError, ValueError),
)


def read_workbook(file: IO[bytes]) -> Iterator[Table]:
    """Yield the sheets of a workbook; UnreadableFile if it is damaged or a ZIP bomb."""
    with ExitStack() as opened:
        try:
            with zipfile.ZipFile(file) as archive:
                sizes = [(each.file_size, each.compress_size) for each in archive.infolist()]
                if sum(size for size, _ in sizes) > MAX_UNPACKED_BYTES or any(
                    size > _HARMLESS_BYTES and size > MAX_COMPRESSION_RATIO * max(packed, 1) for size, packed in sizes
                ):
                    raise UnreadableFile("The workbook unpacks to far more than its size.")
                has_formulas = _has_formulas(archive)
            book = opened.enter_context(closing(openpyxl.load_workbook(file, read_only=True, data_only=True)))
            formulas = opened.enter_context(closing(openpyxl.load_workbook(file, read_only=True))) if has_formulas else None
        except _DAMAGED as error:
            raise UnreadableFile(f"The file is not an XLSX workbook: {error}.") from None
        overflow = _OverflowTexts(book[OVERFLOW_SHEET].iter_rows(min_row=2, values_only=True) if OVERFLOW_SHEET in book.sheetnames else ())
        for sheet in book.worksheets:
            if sheet.title != OVERFLOW_SHEET:
                yield Table(sheet.title, _read_rows(sheet, None if formulas is None else formulas[sheet.title], overflow))


def _has_formulas(archive: zipfile.ZipFile) -> bool:
    """Return whether a sheet has a formula; only then the workbook is read a second time, for formulas without a result."""
    for name in archive.namelist():
        if name.startswith("xl/worksheets/"):
            with archive.open(name) as sheet:
                before = b""
                while chunk := sheet.read(CHUNK_BYTES):
                    if _FORMULA.search(before + chunk):
                        return True
                    before = chunk[-16:]
    return False


class _OverflowTexts:
    """Texts that are too long for a cell, in the order of their cells."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._cells = groupby(rows, key=lambda each: each[:3])
        self._next = next(self._cells, None)

    def pop(self, sheet: str, row: int) -> str | None:
        """Return the text of the next such cell of a row; None if it has no further one."""
        if self._next is None or self._next[0][:2] != (sheet, row):
            return None
        text = "".join(unescape(part[4] or "") for part in self._next[1])
        self._next = next(self._cells, None)
        return text


def _read_rows(sheet: Any, formulas: Any, overflow: _OverflowTexts) -> Iterator[Row]:
    try:
        for number, values in enumerate(_values(sheet, formulas), 1):
            if number > MAX_ROWS:
                raise UnreadableFile(f"The sheet {sheet.title} has more than {MAX_ROWS} rows.")
            yield Row(number, [_to_cell(each, sheet.title, number, overflow) for each in values])
    except _DAMAGED as error:
        raise UnreadableFile(f"The sheet {sheet.title} is damaged: {error}.") from None


def _values(sheet: Any, formulas: Any) -> Iterator[Sequence[Any]]:
    """Yield rows of saved results. `formulas` is the same sheet with its formulas; None if the workbook has none."""
    sheet.reset_dimensions()
    if formulas is None:
        yield from sheet.iter_rows(values_only=True)
        return
    formulas.reset_dimensions()
    for cells, contents in zip(sheet.iter_rows(), formulas.iter_rows(values_only=True), strict=True):
        yield [
            # The result of a formula may be an empty text (type `str`); otherwise an empty result was never calculated.
            UNCALCULATED if each.value is None and content is not None and each.data_type != "str" else each.value
            for each, content in zip(cells, contents, strict=True)
        ]


def _to_cell(value: Any, sheet: str, row: int, overflow: _OverflowTexts) -> Cell:
    if isinstance(value, str):
        if value == OVERFLOW_MARKER and (text := overflow.pop(sheet, row)) is not None:
            return text
        return unescape(value) or None
    return value if value is None or isinstance(value, bool | int | float | datetime) else str(value)
