"""Tables as read from files: cells, rows, headers and HXL hashtags."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain, pairwise

from app.domain.visible_text import AROUND, CELL_ERROR

Cell = str | int | float | bool | datetime | None
# A tag and its attributes.
Hashtag = tuple[str, frozenset[str]]

# Stands for a formula whose result was never calculated and saved.
UNCALCULATED = "#UNCALCULATED!"
# The value of the second and further columns of merged cells.
MERGED = "#MERGED!"
# A number or date that its cell shows as something else, and one that is struck out.
NOT_AS_SHOWN, STRUCK = "#SHOWN!", "#STRUCK!"
# HXL 1.1: the row of hashtags is among the first 25 rows.
MAX_HEADER_ROWS = 25
# Columns up to the last that has a value.
MAX_COLUMNS = 2000
# Administrative levels by HXL tag; 0 is the country.
LEVELS_OF_TAGS = {"#country": 0, "#adm1": 1, "#adm2": 2, "#adm3": 3, "#adm4": 4, "#adm5": 5}
# A cell of a row of hashtags, valid or not, in contrast to errors such as #N/A.
_TAG_LIKE = re.compile(r"#\s*\w+(?![\w/!?])")
_HASHTAG = re.compile(r"#\s*[A-Za-z][A-Za-z0-9_]*(\s*\+\s*[A-Za-z][A-Za-z0-9_]*)*\s*")


class UnreadableFile(Exception):
    """The file cannot be read in its format; the message is for the person who made it, `pointer` the place in a JSON file."""

    pointer = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row with its number as in a spreadsheet, from 1.

    Of CSV, `width` counts the cells, empty ones at the end included, and `torn` has the positions of digits that a comma may have torn.
    `is_cut` tells that it ends in the middle, with the file.
    """

    number: int
    cells: Sequence[Cell]
    hidden: bool = False
    width: int = 0
    torn: Sequence[int] = ()
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet, or a CSV file, which has no name."""

    name: str | None
    rows: Iterator[Row]
    hidden: bool = False
    # Positions of hidden columns, known once the first row is read.
    hidden_columns: AbstractSet[int] = frozenset()


def choose_tables(tables: Iterable[Table], sheet: str | None, note: Callable[[str], None]) -> Iterator[Table]:
    """Yield the tables that are shown, or only the sheet of a name; `note` receives which ones are not read."""
    names, hidden = [], 0
    for table in tables:
        names.append(table.name)
        hidden += table.hidden
        if table.name == sheet if sheet is not None else not table.hidden:
            yield table
        elif sheet is None:
            note(f"The sheet {table.name} is hidden and was not read: name it (--sheet {table.name!r}) to read it.")
    if sheet is None and hidden == len(names):
        raise UnreadableFile(f"All sheets of the workbook are hidden: name one to read it ({', '.join(each for each in names if each)}).")
    if sheet is not None and sheet not in names:
        found = f"the sheets are {', '.join(each for each in names if each)}" if any(names) else "a CSV file has no sheets"
        raise UnreadableFile(f"There is no sheet {sheet!r}: {found}.")


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
    return str(cell).strip(AROUND)


def cell_error(cell: Cell) -> str | None:
    """Return why the cell has no value that can be read; None if it has."""
    if cell == MERGED:
        return "the cell is merged with the one on its left: unmerge them, and write a value in each"
    if cell == UNCALCULATED:
        return "the cell holds a formula without its result: open the file in a spreadsheet program and save it"
    if cell == NOT_AS_SHOWN:
        return (
            "the cell shows something else than it holds (a percentage, thousands, a unit, money, or a date without its year): "
            "write the whole number, or the date as year-month-day"
        )
    if cell == STRUCK:
        return "the cell is struck out: remove the row, or the line through it"
    return f"the cell holds an error, {cell}: write the value" if isinstance(cell, str) and CELL_ERROR.fullmatch(cell.strip()) else None


@dataclass(frozen=True, slots=True)
class DetectedHeader:
    """The headers and hashtags of the columns (None for a column without), the number of their row, and the filled rows below them.

    `above` is the number of filled rows above the headers, such as titles; `width` that of the cells of CSV, 0 for other files.
    """

    headers: Sequence[str]
    hashtags: Sequence[Hashtag | None]
    number: int
    rows: Iterator[Row]
    above: int = 0
    width: int = 0

    def describe(self, table: str | None) -> str:
        """Return the row that was taken for the headers, in words."""
        texts = ", ".join(repr(each) for each in self.headers[:5] if each)
        return f"row {self.number}{f' of the sheet {table}' if table else ''} ({texts})"

    def cell_beyond(self, row: Row) -> int | None:
        """Return the position of the first cell with no header above it, such as what follows a comma in a number; None for none.

        It is filled, or makes a row of CSV longer than that of the headers. Columns before the first header are those of row numbers.
        """
        named = [bool(header or hashtag) for header, hashtag in zip(self.headers, self.hashtags, strict=True)]
        after = range(named.index(True), len(row.cells)) if any(named) else ()
        longer = self.width if 0 < self.width < row.width else None
        return next((each for each in after if (each >= len(named) or not named[each]) and cell_text(row.cells[each])), longer)

    def shown_rows(self, note: Callable[[str], None], table: Table) -> Iterator[Row]:
        """Yield the rows that are shown; `note` receives how many are hidden, or stand above the headers, and hidden columns."""
        count, first = 0, 0
        where = f"{table.name}: " if table.name else ""
        if hidden := [text for at, text in enumerate(self.headers) if text and at in table.hidden_columns]:
            note(f"{where}hidden columns were read ({', '.join(hidden)}): show them to check them, or remove them.")
        if self.above:
            note(f"{where}the headers are in row {self.number}; what stands above them was not read.")
        short, first_short, before = 0, 0, self.width
        for row, following in pairwise(chain(self.rows, (None,))):
            assert row is not None
            if not row.hidden:
                # Excel writes rows in blocks of 16, those of a block as long as its longest one.
                is_cut = following is None and row.width < min(before, len(self.headers)) and row.number % 16 != 1
                if 0 < row.width < len(self.headers) and not is_cut:
                    short, first_short = short + 1, first_short or row.number
                yield replace(row, is_cut=True) if is_cut else row
            else:
                count, first = count + 1, first or row.number
            before = row.width
        if short:
            rows = f"{short} rows are" if short > 1 else "1 row is"
            note(f"{where}{rows} shorter than the headers, the first is row {first_short}: check that nothing is missing at its end.")
        if count:
            rows = f"{count} rows are hidden or filtered out and were" if count > 1 else "1 row is hidden or filtered out and was"
            note(f"{where}{rows} not read, the first is row {first}: show them to read them.")


CUT = "the last row ends before this cell, as a file does that arrived in part: send the whole file, or write its empty cells (,,)"

BEYOND_HEADER = (
    "no header is above this cell, so the columns may have shifted: write numbers without commas (250000), "
    "put texts with commas in quotation marks, or give the column a header"
)

TORN = "a comma may have torn a number apart: write it without commas ({number}), or put each of the two cells in quotation marks"


def detect_header(rows: Iterator[Row], is_known: Callable[[str], bool]) -> DetectedHeader:
    """Find the headers: the row above the HXL hashtags, otherwise the row with the most known headers, at least two, or the first row."""
    filled = (row for row in rows if any(_header_text(each) for each in row.cells))
    above: list[Row] = []
    for row in filled:
        hashtags = _hashtags_in(row) if row.number <= MAX_HEADER_ROWS else None
        if hashtags is not None:
            headers = [_header_text(each) for each in above[-1].cells] if above else []
            width = max(len(headers), len(hashtags))
            padded = [*hashtags, *[None] * (width - len(hashtags))]
            headers += [""] * (width - len(headers))
            if not above:
                headers = ["" if tag else text for text, tag in zip(map(_header_text, row.cells), hashtags, strict=True)]
            cells = max(row.width, *(each.width for each in above[-1:]), 0)
            return DetectedHeader(headers, padded, (above or [row])[-1].number, filled, max(len(above) - 1, 0), cells)
        above.append(row)
        if row.number >= MAX_HEADER_ROWS:
            break
    if not above:
        return DetectedHeader([], [], 1, iter(()))
    # A title is one cell; where no row has two known headers, the first row of several cells is that of the headers.
    counts = [sum(is_known(_header_text(each)) for each in row.cells) for row in above]
    several = [sum(_header_text(each) != "" for each in row.cells) > 1 for row in above]
    best = counts.index(max(counts)) if max(counts) > 1 else several.index(True) if True in several else 0
    headers = [_header_text(each) for each in above[best].cells]
    hashtags = [parse_hashtag(each) for each in headers]
    return DetectedHeader(headers, hashtags, above[best].number, chain(above[best + 1 :], filled), best, above[best].width)


def _header_text(cell: Cell) -> str:
    return "" if cell == MERGED else cell_text(cell)


def _hashtags_in(row: Row) -> list[Hashtag | None] | None:
    """Return the hashtags of a row that consists of them mostly; UnreadableFile if most of them are invalid."""
    texts = [_header_text(each) for each in row.cells]
    tags = [each for each in texts if _TAG_LIKE.match(each)]
    if len(tags) * 2 <= sum(each != "" for each in texts):
        return None
    hashtags = [parse_hashtag(each) for each in texts]
    invalid = [each for each in tags if parse_hashtag(each) is None]
    if len(invalid) * 2 > len(tags):
        example = "such as #adm1+code or #date+reported"
        raise UnreadableFile(f"Row {row.number} has hashtags that are not of HXL, {', '.join(invalid[:5])}: write words and +, {example}.")
    return hashtags


def parse_hashtag(text: str) -> Hashtag | None:
    """Return a hashtag with its attributes in any order and spacing; None for a text that is not a hashtag."""
    if not _HASHTAG.fullmatch(text):
        return None
    tag, *attributes = (each.strip().lower() for each in text.split("+"))
    return tag.replace(" ", ""), frozenset(attributes)
