"""Reads XLSX workbooks sheet by sheet and row by row, with the saved results of their formulas.

A workbook is a ZIP archive, which can unpack to a thousand times its size. Its parts are unpacked and counted before one is parsed.
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import groupby
from typing import IO, Any, cast
from xml.etree.ElementTree import Element, SubElement, iterparse

from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException
from openpyxl.worksheet._reader import DATA_TAG, FORMULA_TAG, INLINE_STRING, ROW_TAG, VALUE_TAG, WorkSheetParser
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from app.exchange.exports.xlsx import MAX_ROWS, OVERFLOW_MARKER, OVERFLOW_SHEET
from app.exchange.imports.tables import MAX_COLUMNS, UNCALCULATED, Cell, Row, Table, UnreadableFile

# Parsing costs some microseconds for each element, and less for each attribute. Tables, even of equal rows, have at most 2.3 elements and
# attributes, and 15 bytes of XML, for each byte of the file.
MIN_NODES, MAX_NODES_PER_BYTE = 100_000, 3
MIN_UNPACKED_BYTES, MAX_UNPACKED_PER_BYTE = 4 * 1024 * 1024, 40
# Shared strings are kept in memory.
MAX_STRINGS_BYTES = 32 * 1024 * 1024
# Parts other than sheets and strings, such as styles, are parsed as a whole, which costs twenty times as much.
MAX_DOCUMENT_NODES, MAX_DOCUMENT_BYTES = 150_000, 8 * 1024 * 1024
MAX_DIRECTORY_BYTES = 512 * 1024
MAX_SHEETS = 250
# As many as Excel has columns.
MAX_CELLS_PER_ROW = 16_384
CHUNK_BYTES, PARSED_CHUNK_BYTES = 64 * 1024, 1024 * 1024
_ENCODING = re.compile(rb"<\?xml[^>]*encoding\s*=\s*[\"'](?!(?i:utf-8)[\"'])|\xff\xfe|\xfe\xff|.?\0", re.DOTALL)
_STRING, _TEXT, _RUN = (f"{{{SHEET_MAIN_NS}}}{name}" for name in ("si", "t", "r"))
_TOO_MUCH = "The workbook unpacks to far more than its size: save it again with the cells of the table alone, or as CSV."
_TOO_MANY = "The workbook has too many styles, names, sheets or other parts: copy the table into a new workbook, or save it as CSV."
# Errors of zipfile and openpyxl for a damaged or crafted workbook.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, InvalidFileException, SyntaxError),
    *(AttributeError, EOFError, LookupError, NotImplementedError, OSError, RecursionError, RuntimeError, TypeError, ValueError),
)


class _Archive(zipfile.ZipFile):
    """The parts of a workbook, of which only as many and such as cost little to parse can be read."""

    def __init__(self, file: IO[bytes]) -> None:
        # zipfile keeps an object for each entry of the directory.
        if (end := zipfile._EndRecData(file)) is not None and end[zipfile._ECD_SIZE] > MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
            raise UnreadableFile(_TOO_MANY)
        super().__init__(file)
        size = file.seek(0, 2)
        if sum(each.file_size for each in self.infolist()) > MIN_UNPACKED_BYTES + MAX_UNPACKED_PER_BYTE * size:
            raise UnreadableFile(_TOO_MUCH)
        self.max_nodes = MIN_NODES + MAX_NODES_PER_BYTE * size
        self._document_nodes = nodes = 0
        for part in self.infolist():
            with super().open(part) as content:
                before = b""
                while chunk := content.read(CHUNK_BYTES):
                    nodes += _nodes(chunk)
                    if nodes > self.max_nodes:
                        raise UnreadableFile(_TOO_MUCH)
                    if b"<!DOCTYPE" in before + chunk:
                        raise UnreadableFile("The workbook has a document type, as no spreadsheet program writes it.")
                    before = chunk[-16:]

    def open(self, name: Any, *options: Any, **more: Any) -> IO[bytes]:
        """Open a part; UnreadableFile for an encoding in which its elements were not counted."""
        content = cast(zipfile.ZipExtFile, super().open(name, *options, **more))
        if _ENCODING.match(content.peek(CHUNK_BYTES)):
            raise UnreadableFile("The workbook is not encoded in UTF-8, as spreadsheet programs write it.")
        read = content.read
        # A parser starts an unfinished tag again with each chunk that it is fed: few large ones keep that from growing with the square.
        content.read = lambda size=-1: read(max(size, PARSED_CHUNK_BYTES) if size >= 0 else size)  # type: ignore
        return cast(IO[bytes], content)

    def read(self, name: Any, pwd: bytes | None = None) -> bytes:
        """Return a part that is parsed as a whole."""
        if self.getinfo(name).file_size > MAX_DOCUMENT_BYTES:
            raise UnreadableFile(_TOO_MANY)
        content = super().read(name, pwd)
        self._document_nodes += _nodes(content)
        if self._document_nodes > MAX_DOCUMENT_NODES:
            raise UnreadableFile(_TOO_MANY)
        return content


def _nodes(xml: bytes) -> int:
    """Return the number of attributes, and twice that of elements."""
    return 2 * (xml.count(b"<") - xml.count(b"</")) + xml.count(b"=")


class _Workbook(ExcelReader):  # type: ignore[misc]
    """The parts of a workbook that have the values of cells; openpyxl would also read charts, pictures, properties and names."""

    def __init__(self, archive: _Archive) -> None:
        self.archive = archive
        self.valid_files = archive.namelist()
        self.read_only, self.keep_vba, self.data_only, self.keep_links = True, False, True, False
        self.shared_strings: list[str] = []
        self.read_manifest()
        self._read_strings()
        self.read_workbook()
        if len(self.parser.sheets) > MAX_SHEETS:
            raise UnreadableFile(_TOO_MANY)
        apply_stylesheet(archive, self.wb)
        self.read_worksheets()
        self.sheets = {each.title: each for each in self.wb.worksheets}
        if len({each._worksheet_path for each in self.sheets.values()}) < len(self.parser.sheets):
            raise UnreadableFile("Sheets of the workbook share their cells, or their name.")

    def read_chartsheet(self, sheet: Any, rel: Any) -> None:
        """Leave out a sheet that is a chart."""

    def _read_strings(self) -> None:
        part = self.package.find(SHARED_STRINGS)
        if part is None:
            return
        name = part.PartName[1:]
        if self.archive.getinfo(name).file_size > MAX_STRINGS_BYTES:
            raise UnreadableFile("The texts of the workbook take more than 32 MiB: save it as CSV.")
        with self.archive.open(name) as content:
            for _, node in iterparse(content):  # noqa: S314 - see above
                if node.tag == _STRING:
                    self.shared_strings.append(_text(node))
                    node.clear()

    def rows(self, name: str) -> Iterator[tuple[int, dict[int, Any]]]:
        """Yield the rows of a sheet that are not left out: the number of each, and its values by column, from 1."""
        book = self.wb
        with self.archive.open(self.sheets[name]._worksheet_path) as content:
            parser = WorkSheetParser(content, self.shared_strings, True, book.epoch, book._date_formats, book._timedelta_formats)
            last = 0
            for _, node in iterparse(content):  # noqa: S314 - see above
                if node.tag == ROW_TAG:
                    number, values = self._read_row(node, parser)
                    if values and number > last:
                        yield number, values
                    last = max(last, number)
                    node.clear()
                    parser.row_dimensions.clear()
                elif node.tag == DATA_TAG:
                    # Later elements, such as merged cells and conditional formats, have no values.
                    return

    def _read_row(self, row: Element, parser: WorkSheetParser) -> tuple[int, dict[int, Any]]:
        if len(row) > MAX_CELLS_PER_ROW:
            raise UnreadableFile(f"A row has more than {MAX_CELLS_PER_ROW} cells.")
        for cell in row:
            if cell.get("t") == "inlineStr" and (text := cell.find(INLINE_STRING)) is not None:
                cell.set("t", "str")
                SubElement(cell, VALUE_TAG).text = _text(text)
        number, cells = parser.parse_row(row)
        for cell, parsed in zip(row, cells, strict=True):
            # The result of a formula may be an empty text (type `str`); otherwise an empty result was never calculated.
            if parsed["value"] is None and parsed["data_type"] != "str" and cell.find(FORMULA_TAG) is not None:
                parsed["value"] = UNCALCULATED
        return number, {each["column"]: each["value"] for each in cells if each["value"] is not None}


def _text(string: Element) -> str:
    """Return the text of a string, which may consist of runs; without its phonetic guide."""
    if len(string) == 1 and string[0].tag == _TEXT:
        return string[0].text or ""
    return "".join(each.text or "" for each in (*string.iterfind(_TEXT), *string.iterfind(f"{_RUN}/{_TEXT}")))


def read_workbook(file: IO[bytes]) -> Iterator[Table]:
    """Yield the sheets of a workbook; UnreadableFile if it is damaged, or if reading it would cost far more than its size."""
    try:
        archive = _Archive(file)
        book = _Workbook(archive)
    except _DAMAGED as error:
        raise UnreadableFile(f"The file is not an XLSX workbook: {error}.") from None
    with closing(archive):
        overflow_rows = book.rows(OVERFLOW_SHEET) if OVERFLOW_SHEET in book.sheets else iter(())
        overflow = _OverflowTexts(tuple(map(cells.get, range(1, 6))) for number, cells in overflow_rows if number > 1)
        for name in book.sheets:
            if name != OVERFLOW_SHEET:
                yield Table(name, _read_rows(book, name, overflow))


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


def _read_rows(book: _Workbook, sheet: str, overflow: _OverflowTexts) -> Iterator[Row]:
    cells = 0
    try:
        for number, values in book.rows(sheet):
            width = max(values, default=0)
            cells += width
            if number > MAX_ROWS or width > MAX_COLUMNS or cells > book.archive.max_nodes:
                limits = f"more than {MAX_ROWS:,} rows or {MAX_COLUMNS:,} columns, or nearly all of its cells are empty"
                raise UnreadableFile(f"The sheet {sheet} has {limits}.")
            yield Row(number, [_to_cell(values.get(column), sheet, number, overflow) for column in range(1, width + 1)])
    except _DAMAGED as error:
        raise UnreadableFile(f"The sheet {sheet} is damaged: {error}.") from None


def _to_cell(value: Any, sheet: str, row: int, overflow: _OverflowTexts) -> Cell:
    if isinstance(value, str):
        if value == OVERFLOW_MARKER and (text := overflow.pop(sheet, row)) is not None:
            return text
        return unescape(value) or None
    return value if value is None or isinstance(value, bool | int | float | datetime) else str(value)
