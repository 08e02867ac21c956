"""The sheets of a workbook as its reader finds them, and the cells that are merged in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from app.exchange.imports.tables import MAX_COLUMNS, MERGED, Cell


class RawRow(NamedTuple):
    """A row of a sheet that has values: by column, from 1."""

    number: int
    hidden: bool
    values: dict[int, Cell]


@dataclass(frozen=True, slots=True)
class RawSheet:
    """A sheet, with its rows in order; they are read before the next sheet."""

    name: str
    hidden: bool
    rows: Iterator[RawRow]


class MergedCells:
    """Cells that are merged: the value holds for all rows, in the first of their columns; the other columns are MERGED."""

    def __init__(self) -> None:
        self._spans: dict[int, tuple[Cell, int]] = {}

    def begin(self, column: int, last_column: int, last_row: int, value: Cell) -> None:
        """Begin merged cells in a row, with the value of the first one."""
        if value is not None:
            # A row of more columns is refused.
            for each in range(column, min(last_column, MAX_COLUMNS + 1) + 1):
                self._spans[each] = (value if each == column else MERGED, last_row)

    def fill(self, number: int, values: dict[int, Cell]) -> None:
        """Fill in what merged cells hold for a row."""
        for column, (value, last_row) in list(self._spans.items()):
            if last_row < number:
                del self._spans[column]
            else:
                values[column] = value
