"""Files read row by row, in memory that does not grow with their length: CSV, XLSX, JSON and NDJSON.

A row has the number that a spreadsheet shows beside it, counted from 1; a JSON document has that of its line in NDJSON, and its
position in a list. What cannot be read at all is `Unreadable`, with words for whoever made the file.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import ijson
import openpyxl
import orjson
from openpyxl.utils.escape import unescape
from openpyxl.utils.exceptions import InvalidFileException

from app.exchange.hxl_csv import undone
from app.exchange.xlsx import ELSEWHERE, LONG
from app.formats import Format

Cell = str | int | float | bool | datetime | None

# A workbook is a ZIP file: one that unpacks to more than so many times its size, and to more than this, was made to fill memory.
MOST_RATIO = 200
MOST_BYTES = 4 * 1024 * 1024 * 1024
LONGEST_CELL = 16 * 1024 * 1024
_SAMPLE = 64 * 1024
FORMATS = {".csv": Format.CSV, ".xlsx": Format.XLSX, ".json": Format.JSON, ".geojson": Format.GEOJSON, ".ndjson": Format.NDJSON}
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})


class Unreadable(ValueError):
    """A file that cannot be read, or not as what it says it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; `sheet` is None in CSV."""

    number: int
    cells: Sequence[Cell]
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet, or a CSV file."""

    name: str | None
    rows: Iterator[Row]


def read_tables(file: IO[bytes], format_: Format) -> Iterator[Table]:
    """The tables of a CSV file or a workbook, one after the other."""
    file.seek(0)
    return _workbook(file) if format_ is Format.XLSX else iter([Table(None, _csv(file))])


def read_documents(file: IO[bytes], format_: Format) -> Iterator[tuple[int, Any]]:
    """The objects of NDJSON, of a JSON list, of the `items` of a list as served or of the `features` of GeoJSON, with their numbers."""
    file.seek(0)
    return _lines(file) if format_ is Format.NDJSON else _json(file)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, Unreadable(f"this line is not JSON: {error}")


def _json(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    start = file.read(_SAMPLE).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    file.seek(0)
    if start not in (b"[", b"{"):
        raise Unreadable("The file is not JSON: it has to begin with [ or {.")
    try:
        prefix = "item" if start == b"[" else next((f"{name}.item" for name in ("features", "items") if _has(file, name)), None)
        if prefix is None:
            raise Unreadable("The file has to be a list, or an object with a list of items or features.")
        file.seek(0)
        yield from enumerate(ijson.items(file, prefix, use_float=True), 1)
    except ijson.JSONError as error:
        raise Unreadable(f"The file is not JSON: {error}.") from None


def _has(file: IO[bytes], name: str) -> bool:
    file.seek(0)
    return any(prefix == name and event == "start_array" for prefix, event, _ in ijson.parse(file))


def _csv(file: IO[bytes]) -> Iterator[Row]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        sample = text.read(_SAMPLE)
        first = sample.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        text.seek(0)
        csv.field_size_limit(LONGEST_CELL)
        for number, cells in enumerate(csv.reader(text, delimiter=delimiter, strict=True), 1):
            yield Row(number, [undone(each) or None for each in cells])
    except UnicodeDecodeError:
        raise Unreadable("The file is not UTF-8. In a spreadsheet program, save it as 'CSV UTF-8'.") from None
    except csv.Error as error:
        raise Unreadable(f"The file is not CSV: {error}.") from None
    finally:
        text.detach()


def _workbook(file: IO[bytes]) -> Iterator[Table]:
    try:
        with zipfile.ZipFile(file) as packed:
            sizes = [(each.file_size, each.compress_size) for each in packed.infolist()]
        unpacked = sum(size for size, _ in sizes)
        if unpacked > MOST_BYTES or any(size > 1024 * 1024 and size > MOST_RATIO * max(small, 1) for size, small in sizes):
            raise Unreadable("The workbook unpacks to far more than its size.")
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, OSError, SyntaxError) as error:
        raise Unreadable(f"The file is not an XLSX workbook: {error}.") from None
    try:
        texts = _LongTexts(book[LONG].iter_rows(min_row=2, values_only=True) if LONG in book.sheetnames else ())
        for sheet in book.worksheets:
            if sheet.title != LONG:
                sheet.reset_dimensions()
                yield Table(sheet.title, _rows(sheet, texts))
    finally:
        book.close()


class _LongTexts:
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


def _rows(sheet: Any, texts: _LongTexts) -> Iterator[Row]:
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        yield Row(number, [_cell(each, sheet.title, number, texts) for each in cells], sheet.title)


def _cell(value: Any, sheet: str, row: int, texts: _LongTexts) -> Cell:
    if isinstance(value, str):
        if value == ELSEWHERE and (text := texts.take(sheet, row)) is not None:
            return text
        return unescape(value) or None
    return value if value is None or isinstance(value, bool | int | float | datetime) else str(value)


def text_of(cell: Cell) -> str:
    """A cell as text: of a date without a time its day, of a whole number its digits."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def is_error(cell: Cell) -> bool:
    """Whether a spreadsheet program could not compute the cell."""
    return isinstance(cell, str) and cell in _ERRORS


def cell_name(column: int, row: int) -> str:
    """What a spreadsheet calls a cell: `cell_name(0, 1)` is A1."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row}"


_TAG = re.compile(r"#\s*[A-Za-z][A-Za-z0-9_]*(\s*\+\s*[A-Za-z][A-Za-z0-9_]*)*\s*")


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the data: headers, and HXL hashtags as tag and set of attributes; None for a column without."""

    headers: Sequence[str]
    tags: Sequence[tuple[str, frozenset[str]] | None]
    rows: Iterator[Row]


# HXL 1.1: the row of hashtags is among the first 25.
_HIGHEST = 25


def read_heading(rows: Iterator[Row]) -> Heading:
    """Find the headers and, where there is one, the row of hashtags: the first row of which most cells are tags."""
    above: list[Row] = []
    for row in rows:
        above.append(row)
        texts = [text_of(each) for each in row.cells]
        filled = [each for each in texts if each]
        if filled and sum(bool(_TAG.fullmatch(each)) for each in filled) * 2 > len(filled):
            before = next((each for each in reversed(above[:-1]) if any(each.cells)), None)
            headers = [text_of(each) for each in before.cells] if before else []
            width = max(len(headers), len(texts))
            tags = [tag_of(each) for each in texts]
            return Heading([*headers, *[""] * (width - len(headers))], [*tags, *[None] * (width - len(tags))], rows)
        if len(above) == _HIGHEST:
            break
    at = next((at for at, each in enumerate(above) if any(each.cells)), None)
    if at is None:
        return Heading([], [], iter(()))
    headers = [text_of(each) for each in above[at].cells]
    return Heading(headers, [None] * len(headers), _together(above[at + 1 :], rows))


def _together(first: Sequence[Row], rest: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def tag_of(text: str) -> tuple[str, frozenset[str]] | None:
    """A hashtag and its attributes, in whatever order and spacing; None for what is none."""
    if not _TAG.fullmatch(text):
        return None
    tag, *attributes = (each.strip().lower() for each in text.split("+"))
    return tag.replace(" ", ""), frozenset(attributes)


def format_of(path: Path) -> Format:
    """The format of a file by its ending; Unreadable for another."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise Unreadable(f"The file has to end in one of {', '.join(FORMATS)}.") from None
