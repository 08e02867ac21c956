"""The sheets of a workbook as its reader finds them, and the cells that are merged in them."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import NamedTuple

from app.exchange.imports.tables import MAX_COLUMNS, MERGED, NOT_AS_SHOWN, Cell, UnreadableFile
from app.exchange.imports.workbook_archive import TOO_MUCH

# A lower row, or a narrower column, shows nothing that can be read.
MIN_SHOWN_POINTS = 3
MAX_NUMBER_CHARACTERS = 60
CURRENCY_SIGNS = "".join(each for each in map(chr, range(0x10000)) if unicodedata.category(each) == "Sc")
_SEPARATED = re.compile(r"(-?)([0-9]+(?:[.,][0-9]+)*)", re.ASCII)


class RawRow(NamedTuple):
    """A row of a sheet that has values: by column, from 1."""

    number: int
    hidden: bool
    values: dict[int, Cell]


@dataclass(frozen=True, slots=True)
class RawSheet:
    """A sheet, with its rows in order; they are read before the next sheet, and with the first one the positions of hidden columns."""

    name: str
    hidden: bool
    rows: Iterator[RawRow]
    hidden_columns: set[int] = field(default_factory=set)


class MergedCells:
    """Cells that are merged: the value holds for all rows, in the first of their columns; the other columns are MERGED."""

    def __init__(self, max_columns: int) -> None:
        self._spans: dict[int, tuple[Cell, int]] = {}
        self._columns_left = max_columns

    def begin(self, column: int, last_column: int, last_row: int, value: Cell) -> None:
        """Begin merged cells in a row, with the value of the first one; UnreadableFile if far too many columns are merged."""
        if value is not None:
            # A row of more columns is refused.
            columns = range(column, min(last_column, MAX_COLUMNS + 1) + 1)
            self._columns_left -= len(columns)
            if self._columns_left < 0:
                raise UnreadableFile(TOO_MUCH)
            for each in columns:
                self._spans[each] = (value if each == column else MERGED, last_row)

    def fill(self, number: int, values: dict[int, Cell]) -> None:
        """Fill in what merged cells hold for a row."""
        for column, (value, last_row) in list(self._spans.items()):
            if last_row < number:
                del self._spans[column]
            else:
                values[column] = value


def as_shown(value: datetime, *, year: bool, month: bool, day: bool) -> Cell:
    """Return a date as precisely as its cell shows it: a month without a day is no day, and the year may be that of the typing."""
    if not year or (day and not month):
        return NOT_AS_SHOWN
    return with_offset(value) if day else value.strftime("%Y-%m" if month else "%Y")


def with_offset(value: datetime) -> Cell:
    """Return a time with an offset as text, which keeps it; at midnight, as programs write days, and without an offset the value."""
    return value.replace(tzinfo=None) if value.tzinfo is None or value.time() == time.min else value.isoformat()


def shows_number(text: str, number: float) -> bool:
    """Return whether a text shows a number: alone, with the separators of any country, perhaps with fewer decimals."""
    spaces = ("Cc", "Cf", "Zs")
    plain = "".join(
        str(unicodedata.digit(each, each)) for each in text if unicodedata.category(each) not in spaces and each not in "'\u2019\u066c"
    )
    match = _SEPARATED.fullmatch(plain.replace("\u066b", ".").replace("\u2212", "-"))
    if not match or len(text) > MAX_NUMBER_CHARACTERS or bool(match[1]) != (number < 0):
        return False
    groups = re.split("[.,]", match[2])
    # Three digits at the end are thousands, or decimals.
    decimals = {0 if len(groups) == 1 or len(groups[-1]) == 3 else len(groups[-1]), len(groups[-1]) if len(groups) > 1 else 0}
    return any(abs(int("".join(groups)) / 10**each - abs(number)) <= 0.501 / 10**each for each in decimals)


def shows_day(text: str, day: datetime) -> bool:
    """Return whether a text shows a day with its year: three numbers, or two and the name of a month."""
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    for either in ((day.year, day.year % 100), (day.day,)):
        found = next((each for each in either if each in numbers), None)
        if found is None:
            return False
        numbers.remove(found)
    return day.month in numbers or any(map(str.isalpha, text))
