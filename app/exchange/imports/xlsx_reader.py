"""Reads XLSX workbooks row by row, with the saved results of their formulas.

Elements are found by their local names, which are the same in the transitional and the strict form of Office Open XML (ISO/IEC 29500).
"""

import posixpath
import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element, iterparse

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils.cell import column_index_from_string, range_boundaries
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel
from openpyxl.utils.escape import unescape

from app.exchange.imports.sheets import CURRENCY_SIGNS, MIN_SHOWN_POINTS, MergedCells, RawRow, RawSheet, as_shown, with_offset
from app.exchange.imports.tables import MAX_COLUMNS, NOT_AS_SHOWN, STRUCK, UNCALCULATED, Cell, UnreadableFile
from app.exchange.imports.workbook_archive import CHUNK_BYTES, TOO_MANY, WorkbookArchive

# Shared strings are kept in memory.
MAX_STRINGS_BYTES = 32 * 1024 * 1024
MAX_SHEETS = 250
# As many as Excel has columns.
MAX_CELLS_PER_ROW = 16_384
# The width of a column that shows something.
MIN_SHOWN_CHARACTERS = 0.5
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3}[0-9]{1,7}:[A-Z]{1,3}[0-9]{1,7})"')
_LETTERS = re.compile("[A-Z]{1,3}")
_LITERALS = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
# Parts of a format that show something beside the number, or in place of it: texts, currencies, percent, thousands left out, powers of
# ten, dashes between digits; `_`, `*` only fill, and `[$-409]` is a language.
_BESIDE = re.compile(
    r'"[^"]*[\w<>~\u2248\u00b1%\u2030][^"]*"|\\[\w<>~\u2248\u00b1%\u2030]|%|[0#?],+(?![0#?,])|[0#?.][Ee][+-]|[0#?]["\\]*[-/]["\\]*[0#?]|\A;*\Z'
    rf"|\[\$|[{re.escape(CURRENCY_SIGNS)}]"
)
_FILLED = re.compile(r"\[(?!\$[^\]-])[^\]]*\]|[_*].")


class XlsxWorkbook:
    """The parts of a workbook that have the values of cells."""

    def __init__(self, archive: WorkbookArchive) -> None:
        self._archive = archive
        main = next(path for type_, path in self._related("").values() if type_ == "officeDocument")
        related = self._related(main)
        parts = dict(related.values())
        book = archive.xml(main)
        properties = book.find("{*}workbookPr")
        is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._epoch = CALENDAR_MAC_1904 if is_1904 else CALENDAR_WINDOWS_1900
        calculation = book.find("{*}calcPr")
        # Written by a library, which saves 0 as the result of each formula, for the program that opens the file to calculate.
        self._is_uncalculated = calculation is not None and calculation.get("fullCalcOnLoad") in ("1", "true")
        self._strings = list(self._read_strings(parts["sharedStrings"])) if "sharedStrings" in parts else []
        self._dates, self._numbers, self._struck = self._read_styles(parts["styles"]) if "styles" in parts else ({}, {}, set())
        self._sheets: list[tuple[str, bool, str]] = []
        for sheet in book.iterfind("{*}sheets/{*}sheet"):
            type_, path = related[next(value for name, value in sheet.items() if name.endswith("}id"))]
            # Others are charts.
            if type_ == "worksheet":
                self._sheets.append((sheet.get("name", ""), sheet.get("state", "visible") != "visible", path))
        if len(self._sheets) > MAX_SHEETS:
            raise UnreadableFile(TOO_MANY)
        if any(len(set(each)) < len(self._sheets) for each in list(zip(*self._sheets, strict=True))[::2]):
            raise UnreadableFile("Sheets of the workbook share their cells, or their name.")

    def sheets(self) -> Iterator[RawSheet]:
        """Yield the sheets in their order."""
        for name, hidden, path in self._sheets:
            hidden_columns = set[int]()
            yield RawSheet(name, hidden, self._rows(path, hidden_columns), hidden_columns)

    def _related(self, part: str) -> dict[str, tuple[str, str]]:
        """Return the parts that a part refers to by identifier: the last step of the type, and the path."""
        folder, name = posixpath.split(part)
        found = {}
        for each in self._archive.xml(posixpath.join(folder, "_rels", f"{name}.rels")):
            path = posixpath.normpath(posixpath.join("/", folder, each.get("Target", ""))).lstrip("/")
            found[each.get("Id", "")] = (each.get("Type", "").rpartition("/")[2], path)
        return found

    def _read_strings(self, part: str) -> Iterator[str]:
        if self._archive.getinfo(part).file_size > MAX_STRINGS_BYTES:
            raise UnreadableFile("The texts of the workbook take more than 32 MiB: save it as CSV.")
        with self._archive.open(part) as content:
            for _, node in iterparse(content):  # noqa: S314 - see WorkbookArchive
                if node.tag.endswith("}si"):
                    yield _text(node)
                    node.clear()

    def _read_styles(self, part: str) -> tuple[dict[str, str], dict[str, str], set[str]]:
        """Return styles of cells by index: the units of dates, as in `ymdh`, the formats of numbers, and those with a line through."""
        styles = self._archive.xml(part)
        formats = {str(number): code for number, code in BUILTIN_FORMATS.items()}
        formats |= {each.get("numFmtId", ""): each.get("formatCode", "") for each in styles.iterfind("{*}numFmts/{*}numFmt")}
        cells = list(styles.iterfind("{*}cellXfs/{*}xf"))
        codes = {str(index): formats.get(each.get("numFmtId", ""), "") for index, each in enumerate(cells)}
        dates = {index: _LITERALS.sub("", code.lower()) for index, code in codes.items() if is_date_format(code)}
        struck = {str(index) for index, font in enumerate(styles.iterfind("{*}fonts/{*}font")) if _is_struck(font)}
        struck_cells = {str(index) for index, each in enumerate(cells) if each.get("fontId") in struck}
        return dates, {index: _FILLED.sub("", code) for index, code in codes.items() if code and index not in dates}, struck_cells

    def _rows(self, part: str, hidden_columns: set[int]) -> Iterator[RawRow]:
        spans, merged = self._merged_ranges(part), MergedCells(self._archive.max_nodes)
        with self._archive.open(part) as content:
            last = 0
            for _, node in iterparse(content):  # noqa: S314 - see WorkbookArchive
                if node.tag.endswith("}row"):
                    number = int(node.get("r") or last + 1)
                    if number <= last:
                        raise ValueError(f"row {number} comes after row {last}")
                    last = number
                    values = self._read_row(node)
                    while spans and spans[-1][0] <= number:
                        first_row, column, last_column, last_row = spans.pop()
                        merged.begin(column, last_column, last_row, values.get(column) if first_row == number else None)
                    # A row without values of its own has none.
                    if values:
                        merged.fill(number, values)
                        yield RawRow(number, _is_hidden(node, "ht", MIN_SHOWN_POINTS), values)
                    node.clear()
                elif node.tag.endswith("}col") and _is_hidden(node, "width", MIN_SHOWN_CHARACTERS):
                    hidden_columns.update(range(int(node.get("min", 1)) - 1, min(int(node.get("max", 1)), MAX_COLUMNS)))
                elif node.tag.endswith("}sheetData"):
                    return

    def _merged_ranges(self, part: str) -> list[tuple[int, int, int, int]]:
        """Return the merged cells, which come after the rows: first row, column, last column and last row, the last ones first."""
        spans, before = [], b""
        with self._archive.open(part) as content:
            while chunk := content.read(CHUNK_BYTES):
                text = before + chunk
                end = 0
                for match in _MERGED.finditer(text):
                    column, first_row, last_column, last_row = range_boundaries(match[1].decode())
                    spans.append((first_row, column, last_column, last_row))
                    end = match.end()
                before = text[max(end, len(text) - 200) :]
        return sorted(spans, reverse=True)

    def _read_row(self, row: Element) -> dict[int, Cell]:
        if len(row) > MAX_CELLS_PER_ROW:
            raise UnreadableFile(f"A row has more than {MAX_CELLS_PER_ROW} cells.")
        values: dict[int, Cell] = {}
        column = 0
        for cell in row:
            reference = _LETTERS.match(cell.get("r", ""))
            column = column_index_from_string(reference[0]) if reference else column + 1
            if (value := self._value(cell)) not in (None, ""):
                values[column] = STRUCK if cell.get("s") in self._struck else value
        return values

    def _value(self, cell: Element) -> Cell:
        parts: dict[str, Element] = {each.tag.rpartition("}")[2]: each for each in cell}
        type_, text = cell.get("t", "n"), parts["v"].text if "v" in parts else None
        if type_ == "inlineStr" and "is" in parts:
            return _unescape(_text(parts["is"]))
        if "f" in parts and text == "0" and self._is_uncalculated:
            return UNCALCULATED
        # The result of a formula may be an empty text (type `str`); otherwise an empty result was never calculated.
        if not text:
            return UNCALCULATED if "f" in parts and type_ != "str" else None
        match type_:
            case "s":
                return _unescape(self._strings[int(text)])
            case "b":
                return text == "1"
            case "d":
                return with_offset(datetime.fromisoformat(text))
            case "n":
                number = float(text) if "." in text or "E" in text or "e" in text else int(text)
                style = cell.get("s", "")
                return _date(number, self._dates[style], self._epoch) if style in self._dates else _number(number, self._numbers.get(style))
        return _unescape(text)


def _unescape(text: str) -> str:
    """Return a text without its escapes (`_x000D_`), of which two may be the halves of a character."""
    return str(unescape(text)).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def _is_hidden(node: Element, size: str, least: float) -> bool:
    return node.get("hidden") in ("1", "true") or float(node.get(size, least)) < least


def _date(number: float, shown: str, epoch: datetime) -> Cell:
    """Return the date of a number, by the units that its cell shows."""
    try:
        value = from_excel(number, epoch)
    except (OverflowError, ValueError):
        return "#VALUE!"
    if not isinstance(value, datetime):
        return str(value)
    return as_shown(value, year="y" in shown, month="m" in shown, day="d" in shown)


def _number(number: float, shown: str | None) -> Cell:
    """Return a number as its cell shows it, with the zeros of a code such as 007; NOT_AS_SHOWN beside a text or without its thousands."""
    if shown is None:
        return number
    if re.fullmatch("0{2,15}", shown) and isinstance(number, int) and number >= 0:
        return str(number).zfill(len(shown))
    return NOT_AS_SHOWN if _BESIDE.search(shown) else number


def _is_struck(font: Element | None) -> bool:
    strike = None if font is None else font.find("{*}strike")
    return strike is not None and strike.get("val", "1") not in ("0", "false")


def _text(string: Element) -> str:
    """Return the text of a string, which may consist of runs; without its phonetic guide. STRUCK if a part of it is struck out."""
    if any(map(_is_struck, string.iterfind("{*}r/{*}rPr"))):
        return STRUCK
    if len(string) == 1 and string[0].tag.endswith("}t"):
        return string[0].text or ""
    return "".join(each.text or "" for each in (*string.iterfind("{*}t"), *string.iterfind("{*}r/{*}t")))
