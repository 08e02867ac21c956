"""Tables as read from files: cells, rows, headers and HXL hashtags."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

Cell = str | int | float | bool | datetime | None
# A tag and its attributes.
Hashtag = tuple[str, frozenset[str]]

# Stands for a formula whose result was never calculated and saved.
UNCALCULATED = "#UNCALCULATED!"
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})
# HXL 1.1: the row of hashtags is among the first 25 rows.
MAX_HEADER_ROWS = 25
# Columns up to the last that has a value.
MAX_COLUMNS = 2000
# Administrative levels by HXL tag; 0 is the country.
LEVELS_OF_TAGS = {"#country": 0, "#adm1": 1, "#adm2": 2, "#adm3": 3, "#adm4": 4, "#adm5": 5}
_HASHTAG = re.compile(r"#\s*[A-Za-z][A-Za-z0-9_]*(\s*\+\s*[A-Za-z][A-Za-z0-9_]*)*\s*")


class UnreadableFile(Exception):
    """The file cannot be read in its format; the message is for the person who made it, `pointer` the place in a JSON file."""

    pointer = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its number as in a spreadsheet, from 1."""

    number: int
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet, or a CSV file, which has no name."""

    name: str | None
    rows: Iterator[Row]


def cell_text(cell: Cell) -> str:
    """Return a cell as text: a date without time as its day, a whole number as its digits."""
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
    """Return why the cell has no value that can be read; None if it has."""
    if cell == UNCALCULATED:
        return "the cell holds a formula without its result: open the file in a spreadsheet program and save it"
    return f"the cell holds an error, {cell}: write the value" if isinstance(cell, str) and cell in _ERRORS else None


@dataclass(frozen=True, slots=True)
class DetectedHeader:
    """The headers and hashtags of the columns (None for a column without), and the rows of data below them that are not empty."""

    headers: Sequence[str]
    hashtags: Sequence[Hashtag | None]
    rows: Iterator[Row]


def detect_header(rows: Iterator[Row]) -> DetectedHeader:
    """Find the row with more hashtags than other texts and the headers above it; without one, the first filled row has the headers."""
    filled = (row for row in rows if any(each not in (None, "") for each in row.cells))
    above: list[Row] = []
    for row in filled:
        texts = [cell_text(each) for each in row.cells]
        hashtags = [parse_hashtag(each) for each in texts]
        if row.number <= MAX_HEADER_ROWS and sum(each is not None for each in hashtags) * 2 > sum(each != "" for each in texts):
            headers = [cell_text(each) for each in above[-1].cells] if above else []
            width = max(len(headers), len(hashtags))
            return DetectedHeader([*headers, *[""] * (width - len(headers))], [*hashtags, *[None] * (width - len(hashtags))], filled)
        above.append(row)
        if row.number >= MAX_HEADER_ROWS:
            break
    if not above:
        return DetectedHeader([], [], iter(()))
    headers = [cell_text(each) for each in above[0].cells]
    return DetectedHeader(headers, [None] * len(headers), chain(above[1:], filled))


def parse_hashtag(text: str) -> Hashtag | None:
    """Return a hashtag with its attributes in any order and spacing; None for a text that is not a hashtag."""
    if not _HASHTAG.fullmatch(text):
        return None
    tag, *attributes = (each.strip().lower() for each in text.split("+"))
    return tag.replace(" ", ""), frozenset(attributes)
