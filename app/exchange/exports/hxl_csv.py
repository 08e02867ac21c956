"""CSV with HXL hashtags: UTF-8, comma, CRLF (RFC 4180); a row of headers, a row of hashtags (HXL 1.1), then one row a record.

Spreadsheet programs run a cell as a formula if it begins with `= + - @`, a tab or a line break (OWASP, CSV Injection). So a text that
begins with one of these or with an apostrophe gets an apostrophe in front; to read it back, remove one apostrophe. Numbers are
written unchanged, negative ones too.
"""

import csv
import io
from collections.abc import Iterable, Sequence

from app.exchange.exports.columns import Scalar
from app.exchange.exports.rendering import Renderer, RowGeometry

APOSTROPHE = "'"
# The last four are full-width forms, which some spreadsheet programs run too.
FORMULA_PREFIXES = (APOSTROPHE, "=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def escape_formula(text: str) -> str:
    """Return the text so that no spreadsheet program runs it as a formula."""
    return APOSTROPHE + text if text.startswith(FORMULA_PREFIXES) else text


def unescape_formula(cell: str) -> str:
    """Return the text that `escape_formula` received; an apostrophe before a letter is part of the text."""
    return cell[1:] if cell.startswith(APOSTROPHE) and cell[1:].startswith(FORMULA_PREFIXES) else cell


def format_cell(value: Scalar) -> str:
    """Return a cell as CSV text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape_formula(value) if isinstance(value, str) else str(value)


def encode_rows(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows of cells as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


class CsvRenderer(Renderer):
    """Renders CSV with HXL hashtags."""

    def begin(self) -> bytes:
        """Return the rows of headers and hashtags."""
        return encode_rows(self.head())

    def page(self, documents: Sequence[str], _geometries: Sequence[RowGeometry], /) -> bytes:
        """Return one row for each record."""
        return encode_rows([format_cell(each.cell(record)) for each in self.columns] for record in self.parse(documents))
