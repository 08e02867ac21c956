"""XLSX in constant memory: rows go to temporary files, and the workbook is put together at the end.

A sheet has a row of headers, a row of HXL hashtags, then one row a record. Dates are cells of dates; times that the service computed are
such cells in UTC, to the second. Texts are written as texts, so no program runs them as formulas; only one that looks like a text
escaped for CSV is escaped, because imports unescape the cells of workbooks that programs made of a CSV file. A sheet holds 1,048,576
rows (Excel's limit); further rows go to `NAME 2` and so on, each with the same two rows on top.
Control characters are written as `_x000D_` and so on (ISO/IEC 29500, ST_Xstring), which spreadsheet programs decode and
`openpyxl.utils.escape.unescape` decodes. A cell holds 32,767 characters: the cell of a longer text, or of one that this escape cannot
express, is `[long]`, and the text is on the sheet `long` with the columns sheet, row, header, part (rows and parts from 1) and text.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import xlsxwriter

from app.exchange.exports.columns import Column, Dtype
from app.exchange.exports.hxl_csv import escape_formula, unescape_formula
from app.exchange.exports.rendering import Renderer, RowGeometry

MAX_ROWS = 1_048_576
MAX_CELL_CHARACTERS = 32_767
OVERFLOW_SHEET = "long"
OVERFLOW_MARKER = "[long]"
# Two texts that look like escapes and overlap: the library escapes only the first, so the text is cut between them.
_OVERLAPPING_ESCAPES = re.compile("(?<=_x[0-9A-Fa-f]{4})(?=_x[0-9A-Fa-f]{4}_)")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Excel counts days from 1900 and takes that year for a leap year.
_FIRST_DAY = datetime(1900, 3, 1)  # noqa: DTZ001 - a cell has no time zone
_CHUNK_BYTES = 64 * 1024
# Constant, so that the same records give the same bytes.
_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)


class XlsxRenderer(Renderer):
    """Renders a workbook, whose bytes are all returned by `end`; `name` is that of its sheets, by default that of the collection."""

    def __init__(self, collection: str, columns: Sequence[Column], name: str | None = None, *, max_rows: int = MAX_ROWS) -> None:
        super().__init__(collection, columns)
        self._name = name or collection
        self._max_rows = max_rows
        self._folder = tempfile.TemporaryDirectory(prefix="lifeline-")
        self._file = tempfile.TemporaryFile(dir=self._folder.name)  # noqa: SIM115 - closed with the folder
        options = {"constant_memory": True, "tmpdir": self._folder.name, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(self._file, options)
        self._book.set_properties({"created": _CREATED})
        formats = {"date": "yyyy-mm-dd", "time": 'yyyy-mm-dd hh:mm:ss"Z"'}
        self._formats = {dtype: self._book.add_format({"num_format": shown}) for dtype, shown in formats.items()}
        self._sheet: Any = None
        self._sheet_count = 0
        self._row = 0
        self._overflow: Any = None
        self._overflow_row = 1

    def begin(self) -> bytes:
        """Open the first sheet."""
        self._open_sheet()
        return b""

    def page(self, documents: Sequence[str], _geometries: Sequence[RowGeometry], /) -> bytes:
        """Write one row for each record, on a new sheet if this one is full."""
        for record in self.parse(documents):
            if self._row == self._max_rows:
                self._open_sheet()
            self._write_row([column.cell(record) for column in self.columns], [column.dtype for column in self.columns])
        return b""

    def end(self) -> Iterator[bytes]:
        """Complete the workbook and yield its bytes."""
        self._book.close()
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk

    def close(self) -> None:
        """Remove the temporary files, which hold the written records."""
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()
        self._book.fileclosed = True
        self._file.close()
        self._folder.cleanup()

    def _open_sheet(self) -> None:
        self._sheet_count += 1
        self._sheet = self._book.add_worksheet(self._name if self._sheet_count == 1 else f"{self._name} {self._sheet_count}")
        self._row = 0
        for row in self.head():
            self._write_row(row)
        self._sheet.freeze_panes(self._row, 0)

    def _write_row(self, values: Sequence[Any], dtypes: Iterable[Dtype] = repeat("text")) -> None:
        for at, (value, dtype) in enumerate(zip(values, dtypes)):  # noqa: B905 - headers are texts without end
            if value is not None and dtype in self._formats and (moment := _moment(value, dtype)) is not None:
                self._sheet.write_datetime(self._row, at, moment, self._formats[dtype])
                continue
            if isinstance(value, str) and unescape_formula(value) != value:
                value = escape_formula(value)  # noqa: PLW2901 - see above
            overflows = isinstance(value, str) and (
                len(value) > MAX_CELL_CHARACTERS or value == OVERFLOW_MARKER or _OVERLAPPING_ESCAPES.search(value)
            )
            self._sheet.write(self._row, at, OVERFLOW_MARKER if overflows else value)
            if overflows:
                self._write_overflow(self.columns[at].header, value)
        self._row += 1

    def _write_overflow(self, header: str, text: str) -> None:
        if self._overflow is None:
            self._overflow = self._book.add_worksheet(OVERFLOW_SHEET)
            self._overflow.write_row(0, 0, ["sheet", "row", "header", "part", "text"])
        pieces = _OVERLAPPING_ESCAPES.split(text)
        parts = [each[start : start + MAX_CELL_CHARACTERS] for each in pieces for start in range(0, len(each), MAX_CELL_CHARACTERS)]
        for number, part in enumerate(parts, 1):
            self._overflow.write_row(self._overflow_row, 0, [self._sheet.name, self._row + 1, header, number, part])
            self._overflow_row += 1


def _moment(text: str, dtype: Dtype) -> datetime | None:
    """Return the date, or the time in UTC to the second, for a cell of dates; None where a text is the only exact form.

    That is a date-time of a report, because a program that saves the cell loses its time zone; and a day before those that Excel knows.
    """
    if dtype == "date" and not _DATE.fullmatch(text):
        return None
    moment = datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0)
    return moment if moment >= _FIRST_DAY else None
