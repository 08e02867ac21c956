"""CSV with HXL hashtags: UTF-8, comma, CRLF (RFC 4180), a row of headers, a row of hashtags (HXL 1.1), then one row a record.

Spreadsheets run cells as formulas that begin with one of `= + - @`, a tab or a line break (OWASP, CSV Injection). A text that
begins with one of these, or with an apostrophe, gets an apostrophe in front. To read it back take one apostrophe away wherever
a cell begins with one; nothing else is altered. Numbers are written as they are, negative ones too.
"""

import csv
import io
from collections.abc import Iterable, Sequence

import orjson

from app.exchange.exports.columns import Column, Scalar, cells
from app.exchange.exports.rendering import RowGeometry
from app.exchange.exports.tables import flatten

APOSTROPHE = "'"
# The last four are the full-width forms, which some spreadsheets take alike.
FORMULA_PREFIXES = (APOSTROPHE, "=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def escape_formula(text: str) -> str:
    """The text as no spreadsheet takes it for a formula."""
    return APOSTROPHE + text if text.startswith(FORMULA_PREFIXES) else text


def unescape_formula(cell: str) -> str:
    """The text that `defused` was given. A cell of another hand that begins with an apostrophe and a letter stays as it is."""
    return cell[1:] if cell.startswith(APOSTROPHE) and cell[1:].startswith(FORMULA_PREFIXES) else cell


def format_cell(value: Scalar) -> str:
    """A cell as CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape_formula(value) if isinstance(value, str) else str(value)


class CsvRenderer:
    """Records as CSV, page by page."""

    def __init__(self, rows: str, columns: Sequence[Column]) -> None:
        self._rows = rows
        self._columns = columns

    def begin(self) -> bytes:
        """The two rows above the records."""
        return encode_rows([[each.header for each in self._columns], [each.tag for each in self._columns]])

    def page(self, documents: Sequence[str], _located: Sequence[RowGeometry]) -> bytes:
        """Some records, given as JSON."""
        records = (flatten(self._rows, orjson.loads(each)) for each in documents)
        return encode_rows([format_cell(value) for value in cells(self._columns, record)] for record in records)

    def end(self) -> Iterable[bytes]:
        """What comes after the last record: nothing."""
        return ()

    def close(self) -> None:
        """It holds nothing."""


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Rows of cells as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
