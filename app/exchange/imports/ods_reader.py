"""Reads OpenDocument spreadsheets (ODF 1.3) row by row, with the saved results of their formulas."""

import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element, iterparse

from app.exchange.imports.sheets import MIN_SHOWN_POINTS, MergedCells, RawRow, RawSheet, as_shown, shows_day, shows_number
from app.exchange.imports.tables import MAX_COLUMNS, NOT_AS_SHOWN, STRUCK, UNCALCULATED, Cell
from app.exchange.imports.workbook_archive import WorkbookArchive

CONTENT, _COMMON_STYLES = "content.xml", "styles.xml"
MAX_SPACES = 100
_NAMESPACE = "{{urn:oasis:names:tc:opendocument:xmlns:{}:1.0}}"
_OFFICE, _STYLE, _TABLE, _TEXT, _UNITS = (_NAMESPACE.format(each) for each in ("office", "style", "table", "text", "datastyle"))
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_ROW = f"{_TABLE}table-row"
_REPEATED = f"{_TABLE}number-columns-repeated"
_STYLES = (f"{_STYLE}style", *(f"{_UNITS}{each}-style" for each in ("date", "number", "percentage")))
_STRUCK = f"{_STYLE}text-line-through-style"
_LENGTH = re.compile(r"([0-9.]+)(cm|mm|in|pt|pc|px)", re.ASCII)
_POINTS = {"cm": 28.35, "mm": 2.835, "in": 72, "pt": 1, "pc": 12, "px": 0.75}
_BREAKS = {f"{_TEXT}tab": "\t", f"{_TEXT}line-break": "\n"}


class OdsWorkbook:
    """The content of a spreadsheet."""

    def __init__(self, archive: WorkbookArchive) -> None:
        self._archive = archive
        archive.getinfo(CONTENT)

    def sheets(self) -> Iterator[RawSheet]:
        """Yield the sheets in their order."""
        hidden_styles, styles = set(), _Styles()
        # LibreOffice keeps the formats of numbers and dates of other programs there.
        if _COMMON_STYLES in self._archive.namelist():
            for style in self._archive.xml(_COMMON_STYLES).iterfind(f"{_OFFICE}styles/*"):
                # Styles of drawings may have the names of styles of cells.
                if style.tag in _STYLES and style.get(f"{_STYLE}family") != "graphic":
                    styles.add(style)
        with self._archive.open(CONTENT) as content:
            events = iter(iterparse(content, ("start", "end")))  # noqa: S314 - see WorkbookArchive
            for event, node in events:
                if event == "end" and node.tag in _STYLES:
                    styles.add(node)
                    if any(each.get(f"{_TABLE}display") == "false" for each in node):
                        hidden_styles.add(node.get(f"{_STYLE}name"))
                elif event == "start" and node.tag == f"{_TABLE}table":
                    hidden_columns = set[int]()
                    rows = _rows(events, node, MergedCells(self._archive.max_nodes), styles, hidden_columns)
                    is_hidden = node.get(f"{_TABLE}style-name") in hidden_styles
                    yield RawSheet(node.get(f"{_TABLE}name", ""), is_hidden, rows, hidden_columns)
                elif event == "end" and node.tag == _ROW:
                    # Of a sheet that is not read.
                    node.clear()


class _Styles:
    """The styles of cells, by name: the units that dates show, and what shows another text than a number, or a line through it."""

    def __init__(self) -> None:
        self._units: dict[str | None, set[str]] = {}
        self._styles: dict[str | None, str | None] = {}
        self._parents: dict[str | None, str | None] = {}
        self._beside, self._struck = set[str | None](), set[str | None]()
        # Of rows and columns too small to be seen.
        self.unseen = set[str | None]()

    def add(self, style: Element) -> None:
        """Note a style of cells, or one of dates, which styles of cells name."""
        name = style.get(f"{_STYLE}name")
        if style.tag == f"{_STYLE}style":
            self._parents[name] = style.get(f"{_STYLE}parent-style-name")
            self._styles[name] = style.get(f"{_STYLE}data-style-name")
            if any(_is_tiny(each.get(f"{_STYLE}{length}")) for each in style for length in ("row-height", "column-width")):
                self.unseen.add(name)
            if any(each.get(_STRUCK, "none") != "none" for each in style):
                self._struck.add(name)
        elif style.tag == f"{_UNITS}date-style":
            self._units[name] = {each.tag.rpartition("}")[2] for each in style}
        elif not any(each.tag == f"{_UNITS}number" for each in style) or any(
            each.get(f"{_UNITS}display-factor") or re.search(r"[\w<>~%]", each.text or "") for each in style
        ):
            self._beside.add(name)

    def as_shown(self, value: Cell, style: str | None) -> Cell:
        """Return a value as its cell shows it."""
        if style in self._struck and value not in (None, ""):
            return STRUCK
        return NOT_AS_SHOWN if isinstance(value, float) and self._format(style) in self._beside else value

    def date(self, date: str, shown: str, style: str | None) -> Cell:
        """Return the date of a cell as precisely as its style shows it."""
        day, units = datetime.fromisoformat(date), self._units.get(self._format(style), {"year", "month", "day"})
        if shown and {"year", "month", "day"} <= units and not shows_day(shown, day):
            return NOT_AS_SHOWN
        return as_shown(day, **{each: each in units for each in ("year", "month", "day")})

    def _format(self, style: str | None) -> str | None:
        """Return the format of numbers or dates of a style of cells, which may be that of its parent."""
        seen = set[str | None]()
        while style is not None and self._styles.get(style) is None and style not in seen:
            seen.add(style)
            style = self._parents.get(style)
        return self._styles.get(style)


def _is_tiny(length: str | None) -> bool:
    match = _LENGTH.fullmatch(length or "")
    return match is not None and float(match[1]) * _POINTS[match[2]] < MIN_SHOWN_POINTS


def _rows(
    events: Iterator[tuple[str, Element]], table: Element, merged: MergedCells, styles: _Styles, hidden_columns: set[int]
) -> Iterator[RawRow]:
    number = 0
    # Of the columns, by position from 1.
    defaults: dict[int, str | None] = {}
    for event, node in events:
        if event == "start":
            continue
        if node is table:
            return
        if node.tag == f"{_TABLE}table-column":
            columns = range(len(defaults) + 1, min(len(defaults) + int(node.get(_REPEATED, 1)), MAX_COLUMNS) + 1)
            defaults |= dict.fromkeys(columns, node.get(f"{_TABLE}default-cell-style-name"))
            if _is_hidden(node, styles):
                hidden_columns.update(each - 1 for each in columns)
        if node.tag != _ROW:
            continue
        first = number + 1
        number += int(node.get(f"{_TABLE}number-rows-repeated", 1))
        values = _read_row(node, first, merged, styles, defaults)
        for each in range(first, number + 1) if values else ():
            filled = dict(values)
            merged.fill(each, filled)
            yield RawRow(each, _is_hidden(node, styles), filled)
        node.clear()
        table.clear()


def _is_hidden(node: Element, styles: _Styles) -> bool:
    return node.get(f"{_TABLE}visibility", "visible") != "visible" or node.get(f"{_TABLE}style-name") in styles.unseen


def _read_row(row: Element, number: int, merged: MergedCells, styles: _Styles, defaults: dict[int, str | None]) -> dict[int, Cell]:
    values: dict[int, Cell] = {}
    column = 0
    for cell in row:
        if cell.tag not in _CELLS:
            continue
        first = column + 1
        column += int(cell.get(_REPEATED, 1))
        style = cell.get(f"{_TABLE}style-name", row.get(f"{_TABLE}default-cell-style-name", defaults.get(first)))
        # Another cell covers it.
        value = styles.as_shown(_value(cell, styles, style), style) if cell.tag == _CELLS[0] else None
        if value in (None, ""):
            continue
        # A row of more columns is refused.
        values |= dict.fromkeys(range(first, min(column, MAX_COLUMNS + 1) + 1), value)
        rows, columns = (int(cell.get(f"{_TABLE}number-{each}-spanned", 1)) for each in ("rows", "columns"))
        if rows > 1 or columns > 1:
            merged.begin(first, first + columns - 1, number + rows - 1, value)
    return values


def _value(cell: Element, styles: _Styles, style: str | None) -> Cell:
    type_ = cell.get(f"{_OFFICE}value-type")
    # Comments are elsewhere in the cell.
    text = "\n".join(_text(each) for each in cell if each.tag == f"{_TEXT}p")
    match type_:
        case "percentage" | "currency":
            return NOT_AS_SHOWN
        case "float":
            number = float(cell.get(f"{_OFFICE}value", ""))
            # LibreOffice saves the booleans of other programs as formulas.
            if cell.get(f"{_TABLE}formula") in ("of:=TRUE()", "of:=FALSE()"):
                return number != 0
            if text and not shows_number(text, number):
                return NOT_AS_SHOWN
            # A code such as 007.
            return text if re.fullmatch("0[0-9]+", text) else number
        case "boolean":
            return cell.get(f"{_OFFICE}boolean-value") == "true"
        case "date":
            return styles.date(cell.get(f"{_OFFICE}date-value", ""), text, style)
    if not text and type_ is None and cell.get(f"{_TABLE}formula"):
        return UNCALCULATED
    value = cell.get(f"{_OFFICE}string-value") or text
    return NOT_AS_SHOWN if text and value.split() != text.split() else value


def _text(node: Element) -> str:
    if node.tag == f"{_TEXT}s":
        count = int(node.get(f"{_TEXT}c", 1))
        if count > MAX_SPACES:
            raise ValueError(f"a text has more than {MAX_SPACES} spaces in a row")
        text = " " * count
    else:
        text = _BREAKS.get(node.tag, "") + (node.text or "") + "".join(_text(each) + (each.tail or "") for each in node)
    return text
