"""Files read row by row, in memory that does not grow with their length: CSV, JSON, NDJSON, and XLSX by `workbooks_in`.

A row has the number that a spreadsheet shows beside it, counted from 1; a JSON document has that of its line in NDJSON, and its
position in a list. What cannot be read at all is `Unreadable`, with words for whoever made the file.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import ijson
import orjson

from app.exchange.exports.hxl_csv import unescape_formula
from app.http.content_negotiation import Format

Cell = str | int | float | bool | datetime | None

MAX_CELL_CHARACTERS = 16 * 1024 * 1024
# How deep lists and objects of JSON may stand in one another: far more than any geometry needs.
MAX_JSON_DEPTH = 64
_SAMPLE = 64 * 1024
FORMATS = {".csv": Format.CSV, ".xlsx": Format.XLSX, ".json": Format.JSON, ".geojson": Format.GEOJSON, ".ndjson": Format.NDJSON}
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})
# Stands in a cell whose formula was written by a program that does not compute.
UNCALCULATED = "#UNCOMPUTED!"
_SEPARATOR = re.compile(r"sep=([,;\t|])\r?\n")


class UnreadableFile(ValueError):
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
    _after_mark(file)
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, UnreadableFile(f"this line is not JSON: {error}")


def _json(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    after_mark = _after_mark(file)
    start = file.read(_SAMPLE).lstrip(b" \t\r\n")[:1]
    if start not in (b"[", b"{"):
        raise UnreadableFile("The file is not JSON in UTF-8: it has to begin with [ or {.")
    try:
        file.seek(after_mark)
        prefix = _prefix(file)
        file.seek(after_mark)
        yield from enumerate(ijson.items(file, prefix, use_float=True), 1)
    except ijson.JSONError as error:
        # Its further lines draw where that is. Some of its words come as bytes.
        words = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise UnreadableFile(f"The file cannot be read as JSON: {words.partition(chr(10))[0].strip()}.") from None


def _after_mark(file: IO[bytes]) -> int:
    """Go past a byte order mark, which JSON should not have and which Windows puts there; answers the position."""
    file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
    return file.tell()


def _prefix(file: IO[bytes]) -> str:
    """Where the documents are, as ijson writes it. It keeps the whole path of each nested level, so how deep they go is counted first."""
    depth = 0
    key, lists = "", set()
    for event, value in ijson.basic_parse(file, use_float=True):
        if event in ("start_map", "start_array"):
            if depth == 1 and event == "start_array":
                lists.add(key)
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise UnreadableFile(f"The file has lists or objects inside one another more than {MAX_JSON_DEPTH} deep.")
        elif event in ("end_map", "end_array"):
            depth -= 1
            if depth == 0:
                is_list = event == "end_array"
        elif event == "map_key" and depth == 1:
            key = value
    if is_list:
        return "item"
    name = next((each for each in ("features", "items") if each in lists), None)
    if name is None:
        raise UnreadableFile("The file has to be a list, or an object with a list of items or features.")
    return f"{name}.item"


def _csv(file: IO[bytes]) -> Iterator[Row]:
    # Only a byte order mark tells of another encoding than UTF-8; none is guessed.
    wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig", newline="")
    try:
        sample = text.read(_SAMPLE)
        said = _SEPARATOR.match(sample)
        first = sample.partition("\n")[0]
        delimiter = said[1] if said else max(",;\t", key=first.count)
        text.seek(0)
        if said:
            # Excel's own line, which it does not show.
            text.readline()
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        for number, cells in enumerate(csv.reader(text, delimiter=delimiter, strict=True), 1):
            yield Row(number, [unescape_formula(each) or None for each in cells])
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not UTF-8. In a spreadsheet program, save it as 'CSV UTF-8'.") from None
    except csv.Error as error:
        raise UnreadableFile(f"The file is not CSV: {error}.") from None
    finally:
        text.detach()


def _workbook(file: IO[bytes]) -> Iterator[Table]:
    # Imported by whoever reads the first sheet, in a thread of his own.
    from app.exchange.imports.xlsx_reader import read_workbook  # noqa: PLC0415 - its library brings NumPy, which every start would wait for

    yield from read_workbook(file)


def cell_text(cell: Cell) -> str:
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


def cell_error(cell: Cell) -> str | None:
    """What a spreadsheet program could not compute in the cell, or did not; None for what can be read."""
    if cell == UNCALCULATED:
        return "the cell holds a formula without its result: open the file in a spreadsheet program and save it"
    return f"the cell holds an error, {cell}" if isinstance(cell, str) and cell in _ERRORS else None


def cell_reference(column: int, row: int) -> str:
    """What a spreadsheet calls a cell: `cell_name(0, 1)` is A1."""
    letters = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row}"


def format_of_path(path: Path) -> Format:
    """The format of a file by its ending; Unreadable for another."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UnreadableFile(f"The file has to end in one of {', '.join(FORMATS)}.") from None
