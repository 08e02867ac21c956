"""XLSX workbooks in constant memory: rows go to temporary files as they come, and the workbook is put together at the end.

A row of headers, a row of HXL hashtags, then one row a record; texts are written as texts, so that none is run as a formula.
A sheet holds 1,048,576 rows (Excel's limit); what is more goes on in `NAME 2` and so on, each with the same two rows above. Control
characters stand as `_x000D_` and so on, OOXML's own escape (ISO/IEC 29500, ST_Xstring), which spreadsheets undo by themselves and
`openpyxl.utils.escape.unescape` for who reads the file by a library. A cell holds 32,767 characters: a longer text, and the rare one that
the escape does not hold, stands in parts on the sheet `long`, whose rows are sheet, row (counted from 1), header, part (from 1), text,
and the cell itself says `[long]`.
"""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import xlsxwriter

from app.exchange.exports.columns import Column, cells
from app.exchange.exports.rendering import RowGeometry
from app.exchange.exports.tables import flatten

MAX_ROWS = 1_048_576
MAX_CELL_CHARACTERS = 32_767
OVERFLOW_SHEET = "long"
OVERFLOW_MARKER = "[long]"
# Where one text that looks like an escape ends another: what is written escapes the first alone, so the two are kept apart.
_OVERLAP = re.compile("(?<=_x[0-9A-Fa-f]{4})(?=_x[0-9A-Fa-f]{4}_)")
_PIECE = 64 * 1024
# The same records give the same bytes.
_CREATED = datetime(2000, 1, 1, tzinfo=UTC).replace(tzinfo=None)


class WorkbookWriter:
    """A workbook that is written row by row."""

    def __init__(self, *, most_rows: int = MAX_ROWS) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lifeline-")
        self._file = tempfile.TemporaryFile(dir=self._folder.name)  # noqa: SIM115 - closed with the folder
        options = {"constant_memory": True, "tmpdir": self._folder.name, "strings_to_formulas": False, "strings_to_urls": False}
        self._book = xlsxwriter.Workbook(self._file, options)
        self._book.set_properties({"created": _CREATED})
        self._most_rows = most_rows
        self._next: dict[str, int] = {}
        self._sheets: dict[str, Any] = {}
        self._numbers: dict[str, int] = {}

    def open(self, name: str, columns: Sequence[Column]) -> None:
        """Make a sheet with its two rows above the records; `name` stands for it and for what it goes on in."""
        self._numbers[name] = self._numbers.get(name, 0) + 1
        number = self._numbers[name]
        title = name if number == 1 else f"{name} {number}"
        self._sheets[name] = self._book.add_worksheet(title)
        self._next[name] = 0
        self._write(name, [each.header for each in columns], columns)
        self._write(name, [each.tag for each in columns], columns)
        self._sheets[name].freeze_panes(2, 0)

    def add(self, name: str, columns: Sequence[Column], record: Mapping[str, Any]) -> None:
        """Write one record to an open sheet."""
        if self._next[name] == self._most_rows:
            self.open(name, columns)
        self._write(name, cells(columns, record), columns)

    def _write(self, name: str, values: Sequence[Any], columns: Sequence[Column]) -> None:
        sheet, row = self._sheets[name], self._next[name]
        for at, value in enumerate(values):
            if value is None or value == "":
                continue
            if isinstance(value, bool):
                sheet.write_boolean(row, at, value)
            elif isinstance(value, int | float):
                sheet.write_number(row, at, value)
            elif len(value) > MAX_CELL_CHARACTERS or value == OVERFLOW_MARKER or _OVERLAP.search(value):
                sheet.write_string(row, at, OVERFLOW_MARKER)
                self._write_long(sheet.name, row, columns[at].header, value)
            else:
                sheet.write_string(row, at, value)
        self._next[name] = row + 1

    def _write_long(self, sheet: str, row: int, header: str, text: str) -> None:
        if OVERFLOW_SHEET not in self._sheets:
            self._sheets[OVERFLOW_SHEET] = self._book.add_worksheet(OVERFLOW_SHEET)
            self._sheets[OVERFLOW_SHEET].write_row(0, 0, ["sheet", "row", "header", "part", "text"])
            self._next[OVERFLOW_SHEET] = 1
        cut = _OVERLAP.split(text)
        parts = [each[start : start + MAX_CELL_CHARACTERS] for each in cut for start in range(0, len(each), MAX_CELL_CHARACTERS)]
        for part, piece in enumerate(parts, 1):
            at = self._next[OVERFLOW_SHEET]
            self._sheets[OVERFLOW_SHEET].write_row(at, 0, [sheet, row + 1, header, part])
            self._sheets[OVERFLOW_SHEET].write_string(at, 4, piece)
            self._next[OVERFLOW_SHEET] = at + 1

    def finish(self) -> Iterator[bytes]:
        """Put the workbook together and read it out in pieces."""
        self._book.close()
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Remove its temporary files, which hold what was written."""
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()
        self._book.fileclosed = True
        self._file.close()
        self._folder.cleanup()


class XlsxRenderer:
    """Records as one sheet, page by page; the bytes all come at the end."""

    def __init__(self, rows: str, columns: Sequence[Column]) -> None:
        self._rows = rows
        self._columns = columns
        self._workbook = WorkbookWriter()

    def begin(self) -> bytes:
        """Nothing goes out yet."""
        self._workbook.open(self._rows, self._columns)
        return b""

    def page(self, documents: Sequence[str], _located: Sequence[RowGeometry]) -> bytes:
        """Write some records; nothing goes out yet."""
        for each in documents:
            self._workbook.add(self._rows, self._columns, flatten(self._rows, orjson.loads(each)))
        return b""

    def end(self) -> Iterable[bytes]:
        """The whole workbook."""
        return self._workbook.finish()

    def close(self) -> None:
        """Remove the temporary files."""
        self._workbook.close()
