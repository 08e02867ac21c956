"""Cells, rows and tables as read from files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

Cell = str | int | float | bool | datetime | None

# Stands for a formula whose result was never calculated and saved.
UNCALCULATED = "#UNCALCULATED!"
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})


class UnreadableFile(Exception):
    """The file cannot be read in its format; the message is for the person who made it."""


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
