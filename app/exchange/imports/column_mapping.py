"""Maps the columns of a table to the fields of a report, by HXL hashtag or by header; nothing is guessed.

A header matches the path of a field (`value.people_low`) or the last part of it (`people_low`), in any case and with spaces or hyphens.
The place is named by `place` (a slug, `scheme:code` or an exact name), by a column of codes with their scheme (`#adm2+code+v_pcode`,
or a header such as `adm2_pcode`), or by an exact name (`#loc+name`, `#adm2+name`). Codes come before names, and lower units before
those that contain them. Other columns are not read, and the result names them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.exchange.exports.columns import EMPTY_LIST, Column
from app.exchange.exports.tables import REPORTS, STATEMENT
from app.exchange.imports.results import RowProblemOut, row_problem
from app.exchange.imports.tables import LEVELS_OF_TAGS, Cell, DetectedHeader, Hashtag, Row, cell_error, cell_text, parse_hashtag
from app.http.problems import FieldProblem, pointer

# Columns of an exported list that a report does not have when it is sent.
_ADDED = frozenset({"id", "recorded_at", "recorded_by", "drafted_by", "seq", "indicator", "supersedes"})
_STATUS = "status"
_PCODE = re.compile(r"(?:adm(?:in)?_?(\d)_?)?p_?code")
# Deeper than every administrative level.
_SITE_DEPTH = 9
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}
NOT_STANDING = FieldProblem(
    pointer="/status", detail="is not standing where it comes from: import a full export, which carries corrections and retractions"
)

FIELDS: dict[str, Column] = {each.header: each for each in STATEMENT if each.header not in _ADDED}
# Fields by the last part of their path: where several share it, the first.
_SHORT_NAMES = {str(each.path[-1]): header for header, each in reversed(FIELDS.items())}
_HASHTAGS = {hashtag: each.header for each in reversed(REPORTS) if each.tag and (hashtag := parse_hashtag(each.tag))}


@dataclass(frozen=True, slots=True)
class PlaceColumn:
    """A column that names the place, by codes of a scheme or by name; `depth` is the administrative level, 0 for the country."""

    index: int
    depth: int
    scheme: str | None = None


@dataclass(slots=True)
class ColumnMapping:
    """The columns of a table by index: those of fields, those that name the place, and that of the `status` of an exported report."""

    headers: Sequence[str]
    fields: dict[int, Column] = field(default_factory=dict)
    places: list[PlaceColumn] = field(default_factory=list)
    status: int | None = None
    unread: list[str] = field(default_factory=list)

    def column_of(self, field_pointer: str) -> int | None:
        """Return the column that has the field of a JSON Pointer; None if the table has none."""
        path = tuple(field_pointer.split("/")[1:])
        if path == (_STATUS,):
            return self.status
        if path[:1] == ("place",) and self.places and "place" not in [each.header for each in self.fields.values()]:
            return self.places[0].index
        return next((index for index, each in self.fields.items() if path[: len(each.path)] == each.path), None)


def map_columns(header: DetectedHeader) -> ColumnMapping:
    """Map the columns of a table; of several columns for one field the first is read."""
    mapping = ColumnMapping(header.headers)
    names = [_normalise(each) for each in header.headers]
    for index, (name, hashtag) in enumerate(zip(names, header.hashtags, strict=True)):
        field_name = (_HASHTAGS.get(hashtag) if hashtag else None) or _field_of_header(name, names)
        if field_name == _STATUS:
            mapping.status = index
        elif field_name in _ADDED:
            continue
        elif field_name is not None and FIELDS[field_name] not in mapping.fields.values():
            mapping.fields[index] = FIELDS[field_name]
        elif (place := _place_column(index, hashtag, name)) is not None:
            mapping.places.append(place)
        elif header.headers[index] or hashtag:
            mapping.unread.append(header.headers[index] or f"column {index + 1}")
    mapping.places.sort(key=lambda each: (each.scheme is None, -each.depth))
    return mapping


def _normalise(header: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", header.strip().lower()).strip("_")


def _field_of_header(name: str, names: Sequence[str]) -> str | None:
    if name in FIELDS or name in _ADDED:
        return name
    # In an exported list `status` is that of the report; a route's is `value.status`.
    if name == _STATUS and "value.status" in names:
        return _STATUS
    return _SHORT_NAMES.get(name)


def _place_column(index: int, hashtag: Hashtag | None, name: str) -> PlaceColumn | None:
    if hashtag is not None:
        tag, attributes = hashtag
        depth = _SITE_DEPTH if tag == "#loc" else LEVELS_OF_TAGS.get(tag)
        if depth is None:
            return None
        if "code" in attributes:
            scheme = next((each.removeprefix("v_") for each in sorted(attributes) if each.startswith("v_")), None)
            return None if scheme is None else PlaceColumn(index, depth, scheme)
        return PlaceColumn(index, depth) if "name" in attributes and depth else None
    if pcode := _PCODE.fullmatch(name):
        return PlaceColumn(index, int(pcode[1]) if pcode[1] else _SITE_DEPTH, "pcode")
    return PlaceColumn(index, _SITE_DEPTH) if name in ("place_name", "place.name") else None


@dataclass(slots=True)
class ParsedRow:
    """A row as JSON, what cannot be read in it, and where its fields are; `mapping` is None for a JSON document."""

    number: int
    body: dict[str, Any]
    problems: list[FieldProblem] = field(default_factory=list)
    sheet: str | None = None
    mapping: ColumnMapping | None = None
    place_column: int | None = None

    def locate(self, problem: FieldProblem) -> RowProblemOut:
        """Return a problem of the row with its column and cell."""
        if self.mapping is None:
            return row_problem(self.number, problem.pointer, problem.detail)
        index = self.mapping.column_of(problem.pointer)
        if problem.pointer == "/place" and self.place_column is not None:
            index = self.place_column
        name = (self.mapping.headers[index] if index is not None else "") or problem.pointer.strip("/").replace("/", ".")
        return row_problem(self.number, name, problem.detail, index, self.sheet)


def parse_row(mapping: ColumnMapping, row: Row, sheet: str | None, defaults: Mapping[str, str]) -> ParsedRow:
    """Read a row; `defaults` fill fields of the report that the row leaves out."""
    parsed = ParsedRow(row.number, {}, [], sheet, mapping)
    cells = dict(enumerate(row.cells))
    for index, column in mapping.fields.items():
        cell = cells.get(index)
        if cell is None or cell == "":
            continue
        try:
            if (error := cell_error(cell)) is not None:
                raise ValueError(error)
            _put(parsed.body, column.path, _value(column, cell))
        except ValueError as problem:
            parsed.problems.append(FieldProblem(pointer=pointer(column.path), detail=str(problem)))
        if column.path == ("place",):
            parsed.place_column = index
    if "place" not in parsed.body:
        place = next((each for each in mapping.places if cell_text(cells.get(each.index))), None)
        if place is not None:
            text = cell_text(cells[place.index])
            parsed.body["place"] = text if place.scheme is None else f"{place.scheme}:{text}"
            parsed.place_column = place.index
    if mapping.status is not None and cell_text(cells.get(mapping.status)) not in ("", "standing"):
        parsed.problems.append(NOT_STANDING)
    parsed.body = {"value": {}, **defaults, **parsed.body}
    return parsed


def _put(body: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    for step in path[:-1]:
        body = body.setdefault(str(step), {})
    body[str(path[-1])] = value


def _value(column: Column, cell: Cell) -> Any:
    text = cell_text(cell)
    match column.dtype:
        case "integer":
            if isinstance(cell, bool) or not _INTEGER.fullmatch(text):
                raise ValueError("must be a whole number in digits alone, such as 250000")
            return int(text)
        case "number":
            try:
                return float(text)
            except ValueError:
                raise ValueError("must be a number, such as 36.2") from None
        case "boolean":
            if text.lower() not in _BOOLEANS:
                raise ValueError("must be true or false, yes or no")
            return _BOOLEANS[text.lower()]
        case "words" | "optional_words" if text == EMPTY_LIST:
            return []
        case "words" | "optional_words":
            return [each for each in re.split(r"[\s,;]+", text) if each]
        case "json":
            return json.loads(text) if text else None
        case _:
            # A quote is kept exactly, with leading and trailing spaces.
            return cell if isinstance(cell, str) and column.header == "provenance.quote" else text
