"""Reads CSV, XLSX, JSON and NDJSON files row by row, in memory that does not grow with their length."""

import asyncio
import codecs
import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import ijson
import orjson

from app.exchange.exports.hxl_csv import unescape_formula
from app.exchange.imports.results import Progress
from app.exchange.imports.tables import Row, Table, UnreadableFile
from app.http.content_negotiation import Format

T = TypeVar("T")

MAX_CELL_CHARACTERS = 16 * 1024 * 1024
# Nested lists and objects in JSON: far more than any geometry needs.
MAX_JSON_DEPTH = 64
TABULAR = frozenset({Format.CSV, Format.XLSX})
FORMATS = {".csv": Format.CSV, ".xlsx": Format.XLSX, ".json": Format.JSON, ".geojson": Format.GEOJSON, ".ndjson": Format.NDJSON}
_SAMPLE_BYTES = 64 * 1024
# The first line that Excel writes and does not show.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n")


def format_of_path(path: Path) -> Format:
    """Return the format of a file by its suffix; UnreadableFile for an unknown one."""
    if (format_ := FORMATS.get(path.suffix.lower())) is None:
        raise UnreadableFile(f"The format of {path.name} is unknown: the name has to end in one of {', '.join(FORMATS)}.")
    return format_


async def read_batches(rows: Iterator[T], size: int, on_progress: Progress) -> AsyncIterator[list[T]]:
    """Yield rows in batches, each read in a thread because reading blocks."""
    while batch := await asyncio.to_thread(lambda: list(islice(rows, size))):
        yield batch
        on_progress(len(batch))


def read_tables(file: IO[bytes], format_: Format) -> Iterator[Table]:
    """Return the tables of a CSV file or a workbook."""
    file.seek(0)
    if format_ is not Format.XLSX:
        return iter([Table(None, _read_csv(file))])
    # openpyxl imports NumPy, which would slow down every start; here the first read of a workbook imports it.
    from app.exchange.imports.xlsx_reader import read_workbook  # noqa: PLC0415 - see above

    return read_workbook(file)


def read_documents(file: IO[bytes], format_: Format) -> Iterator[tuple[int, Any]]:
    """Return the numbered documents of NDJSON (UnreadableFile for an invalid line), a list, its served `items` or GeoJSON `features`."""
    file.seek(0)
    return _read_ndjson(file) if format_ is Format.NDJSON else _read_json(file)


def _read_ndjson(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    _skip_byte_order_mark(file)
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, UnreadableFile(f"this line is not JSON: {error}")


def _read_json(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    start = _skip_byte_order_mark(file)
    if file.read(_SAMPLE_BYTES).lstrip(b" \t\r\n")[:1] not in (b"[", b"{"):
        raise UnreadableFile("The file is not JSON in UTF-8: it has to begin with [ or {.")
    try:
        file.seek(start)
        path = _path_of_documents(file)
        file.seek(start)
        yield from enumerate(ijson.items(file, path, use_float=True), 1)
    except ijson.JSONError as error:
        # The message has the place in further lines, and some backends of ijson give it as bytes.
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise UnreadableFile(f"The file cannot be read as JSON: {message.partition(chr(10))[0].strip()}.") from None


def _skip_byte_order_mark(file: IO[bytes]) -> int:
    """Skip a byte order mark, which JSON must not have but Windows writes, and return the position."""
    file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
    return file.tell()


def _path_of_documents(file: IO[bytes]) -> str:
    """Return the ijson path of the documents, and limit the depth first, because ijson keeps the path of each level in memory."""
    depth, key = 0, ""
    # The keys of lists in the object of the file; None if the file is itself a list.
    lists: set[str | None] = set()
    for event, value in ijson.basic_parse(file, use_float=True):
        if event == "map_key" and depth == 1:
            key = value
        elif event == "start_array" and depth < 2:
            lists.add(key if depth else None)
        depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
        if depth > MAX_JSON_DEPTH:
            raise UnreadableFile(f"The file nests lists or objects more than {MAX_JSON_DEPTH} deep.")
    if None in lists:
        return "item"
    name = next((each for each in ("features", "items") if each in lists), None)
    if name is None:
        raise UnreadableFile("The file has to be a list, or an object with a list of items or features.")
    return f"{name}.item"


def _read_csv(file: IO[bytes]) -> Iterator[Row]:
    # The encoding is not guessed: UTF-8, or UTF-16 by its byte order mark.
    is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-16" if is_utf16 else "utf-8-sig", newline="")
    try:
        sample = text.read(_SAMPLE_BYTES)
        separator = _SEPARATOR_LINE.match(sample)
        delimiter = separator[1] if separator else max(",;\t", key=sample.partition("\n")[0].count)
        text.seek(0)
        if separator:
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
