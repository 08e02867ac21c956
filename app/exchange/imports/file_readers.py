"""Reads CSV, workbooks, JSON and NDJSON files row by row, in memory that does not grow with their length."""

import asyncio
import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, Any, TypeVar

import ijson
import orjson

from app.exchange.exports.hxl_csv import unescape_formula
from app.exchange.imports.results import Progress
from app.exchange.imports.tables import MAX_COLUMNS, MAX_HEADER_ROWS, Row, Table, UnreadableFile
from app.http.content_negotiation import Format
from app.http.problems import pointer
from app.http.request_body import DUPLICATE_MESSAGE, RepeatingObject, find_duplicate, path_to_repeated

T = TypeVar("T")

# Reports have texts of 2,000 characters at most, other columns of our own exports longer ones.
MAX_CELL_CHARACTERS = 256 * 1024
MAX_RECORD_CHARACTERS = 4 * 1024 * 1024
# Twice the size of a request body, for a place with its geometry.
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024
# Lists, objects and values in a document.
MAX_DOCUMENT_NODES = 1_000_000
# Names in the object around the documents.
MAX_TOP_NAMES = 1000
# Nested lists and objects in JSON: far more than any geometry needs.
MAX_JSON_DEPTH = 64
TABULAR = frozenset({Format.CSV, Format.XLSX})
# The reader of workbooks tells OpenDocument and XLSX apart.
FORMATS = {
    ".csv": Format.CSV,
    ".xlsx": Format.XLSX,
    ".xlsm": Format.XLSX,
    ".ods": Format.XLSX,
    ".json": Format.JSON,
    ".geojson": Format.GEOJSON,
    ".ndjson": Format.NDJSON,
}
_SAMPLE_BYTES = 64 * 1024
# An escape of a whole character, of half of one, or of anything else.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)", re.DOTALL)
_PAIR_BYTES = 12
# The first line that Excel writes and does not show.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n")
# The parts that a comma leaves of a number with thousands separators.
_HEAD, _GROUP = re.compile(r"\d{1,3}"), re.compile(r"\d{3}")


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
    from app.exchange.imports.workbooks import read_workbook  # noqa: PLC0415 - see above

    return read_workbook(file)


def read_documents(file: IO[bytes], format_: Format) -> Iterator[tuple[int, Any]]:
    """Return the numbered documents of NDJSON (UnreadableFile for an invalid line), a list, its served `items` or GeoJSON `features`."""
    file.seek(0)
    return _read_ndjson(file) if format_ is Format.NDJSON else _read_json(file)


def _read_ndjson(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    _skip_byte_order_mark(file)
    for number, line in enumerate(iter(lambda: file.readline(MAX_DOCUMENT_BYTES + 1), b""), 1):
        if len(line) > MAX_DOCUMENT_BYTES or line.count(b",") + line.count(b"[") + line.count(b"{") > MAX_DOCUMENT_NODES:
            raise UnreadableFile(f"Line {number} is too large: each report is a line of at most {MAX_DOCUMENT_BYTES} bytes.")
        if line.strip():
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                document = UnreadableFile(f"this line is not JSON: {error}")
            else:
                if (path := find_duplicate(line)) is not None:
                    document = _duplicate(path)
            yield number, document


def _read_json(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    start = _skip_byte_order_mark(file)
    if file.read(_SAMPLE_BYTES).lstrip(b" \t\r\n")[:1] not in (b"[", b"{"):
        raise UnreadableFile("The file is not JSON in UTF-8: it has to begin with [ or {.")
    try:
        file.seek(start)
        _limit_strings(file)
        file.seek(start)
        _refuse_lone_surrogates(file)
        file.seek(start)
        path = _path_of_documents(file)
        file.seek(start)
        for number, document in enumerate(ijson.items(file, path, use_float=True, map_type=RepeatingObject), 1):
            if (repeated := path_to_repeated(document)) is not None:
                raise _duplicate((*path.split(".")[:-1], number - 1, *repeated))
            yield number, document
    except ijson.JSONError as error:
        # The message has the place in further lines, and some backends of ijson give it as bytes.
        message = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise UnreadableFile(f"The file cannot be read as JSON: {message.partition(chr(10))[0].strip()}.") from None


def _skip_byte_order_mark(file: IO[bytes]) -> int:
    """Skip a byte order mark, which JSON must not have but Windows writes, and return the position."""
    file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
    return file.tell()


def _limit_strings(file: IO[bytes]) -> None:
    """Limit the length of strings, which ijson keeps in memory; a string of more than two chunks has one without a quotation mark."""
    is_inside, before = False, b""
    while chunk := file.read(MAX_CELL_CHARACTERS):
        # A backslash at the end belongs to the next chunk.
        plain = (before + chunk).replace(b"\\\\", b"").replace(b'\\"', b"")
        before = plain[-1:] if plain.endswith(b"\\") else b""
        quotes = plain.count(b'"')
        if is_inside and not quotes and len(chunk) == MAX_CELL_CHARACTERS:
            raise UnreadableFile(f"The file has a text of more than {MAX_CELL_CHARACTERS} characters.")
        is_inside ^= quotes % 2 == 1


def _refuse_lone_surrogates(file: IO[bytes]) -> None:
    """Refuse an escape of half a character, which ijson reads as a question mark or not at all."""
    rest, is_last = b"", False
    while not is_last:
        chunk = file.read(_SAMPLE_BYTES)
        text, end, is_last = rest + chunk, 0, len(chunk) < _SAMPLE_BYTES
        for found in _ESCAPE.finditer(text):
            if found.start() > len(text) - _PAIR_BYTES and not is_last:
                # The next chunk may have the rest of it.
                end = found.start()
                break
            if found["lone"]:
                raise UnreadableFile(f"The file has the escape \\{found['lone'].decode(errors='replace')}, which is half a character.")
            end = found.end()
        rest = text[end:][-_PAIR_BYTES:]


def _duplicate(path: Sequence[str | int]) -> UnreadableFile:
    error = UnreadableFile(DUPLICATE_MESSAGE)
    error.pointer = pointer(path)
    return error


def _path_of_documents(file: IO[bytes]) -> str:
    """Return the ijson path of the documents, and limit depth and size first, because ijson keeps paths and documents in memory."""
    depth, key, nodes, top_names = 0, "", 0, set[str]()
    # The keys of lists in the object of the file; None if the file is itself a list.
    lists: set[str | None] = set()
    for event, value in ijson.basic_parse(file, use_float=True):
        if event == "map_key" and depth == 1:
            if value in top_names:
                raise _duplicate([value])
            key = value
            top_names.add(key)
        elif event == "start_array" and depth < 2 and (not depth or key in ("features", "items")):
            lists.add(key if depth else None)
        depth += (event in ("start_map", "start_array")) - (event in ("end_map", "end_array"))
        nodes = nodes + 1 if depth > 2 else 0
        if nodes > MAX_DOCUMENT_NODES or len(top_names) > MAX_TOP_NAMES:
            raise UnreadableFile(f"A report has more than {MAX_DOCUMENT_NODES} values, or the object around them {MAX_TOP_NAMES} names.")
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
    # A record may have several lines.
    record, characters = list[str](), 0

    def lines() -> Iterator[str]:
        nonlocal characters
        while line := text.readline(MAX_RECORD_CHARACTERS + 1):
            record.append(line)
            characters += len(line)
            if characters > MAX_RECORD_CHARACTERS:
                raise UnreadableFile(f"A row has more than {MAX_RECORD_CHARACTERS} characters: is a quotation mark missing?")
            yield line

    try:
        sample = text.read(_SAMPLE_BYTES)
        separator = _SEPARATOR_LINE.match(sample)
        if "\0" in sample:
            raise UnreadableFile("The file is not text in UTF-8. In a spreadsheet program, save it as 'CSV UTF-8'.")
        delimiter = separator[1] if separator else _delimiter(sample)
        text.seek(0)
        if separator:
            text.readline()
        csv.field_size_limit(MAX_CELL_CHARACTERS)
        for number, cells in enumerate(csv.reader(lines(), delimiter=delimiter, strict=True), 1):
            width, torn = len(cells), _torn(cells, "".join(record)) if delimiter == "," else ()
            record.clear()
            characters = 0
            # Spreadsheet programs write separators after the last value, too.
            while cells and not cells[-1]:
                cells.pop()
            if len(cells) > MAX_COLUMNS:
                raise UnreadableFile(f"Row {number} has more than {MAX_COLUMNS} columns.")
            yield Row(number, [unescape_formula(each) or None for each in cells], width=width, torn=torn)
    except UnicodeDecodeError:
        raise UnreadableFile("The file is not UTF-8. In a spreadsheet program, save it as 'CSV UTF-8'.") from None
    except csv.Error as error:
        raise UnreadableFile(f"The file is not CSV: {error}.") from None
    finally:
        # A file that is closed before its rows are read cannot be detached.
        with suppress(ValueError):
            text.detach()


def _delimiter(sample: str) -> str:
    """Return the separator that the most lines have equally often, outside of quotation marks: a title above the table has its own."""
    lines = re.sub(r'"[^"]*"', "", sample).splitlines()[:MAX_HEADER_ROWS]

    def lines_alike(separator: str) -> tuple[int, int]:
        counts = Counter(count for line in lines if (count := line.count(separator)))
        return max(((alike, count) for count, alike in counts.items()), default=(0, 0))

    return max(",;\t|", key=lines_alike)


def _torn(cells: Sequence[str], record: str) -> Sequence[int]:
    """Return the positions of cells that with the next one may have been one number, `250,000`; in quotation marks they were not."""
    pairs = enumerate(pairwise(cells))
    return [at for at, (head, group) in pairs if _GROUP.fullmatch(group) and _HEAD.fullmatch(head) and f"{head},{group}" in record]
