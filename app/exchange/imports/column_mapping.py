"""Maps the columns of a table to the fields of a report, by HXL hashtag or by header; nothing is guessed.

A header matches the path of a field (`value.people_low`) or the last part of it (`people_low`), in any case and with spaces or hyphens.
The place is named by `place` (a slug, `scheme:code` or an exact name), by a column of codes (`#adm2+code+v_pcode`, or P-codes as in
`#adm2+code` and `adm2_pcode`), or by an exact name (`#loc+name`, `#adm2+name`). Codes come before names, and lower units before those
that contain them; they must not contradict each other. Two columns for one field, and headers that are near one of a field, are refused.
Other columns are not read, and the result names them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from xlsxwriter.utility import xl_col_to_name

from app.domain.kinds import KINDS
from app.exchange.exports.columns import Column
from app.exchange.exports.tables import REPORTS, STATEMENT
from app.exchange.imports.cell_values import TIMES, parse_cell, stated_defaults
from app.exchange.imports.results import RowProblemOut, row_problem
from app.exchange.imports.tables import (
    BEYOND_HEADER,
    CUT,
    LEVELS_OF_TAGS,
    TORN,
    Cell,
    DetectedHeader,
    Hashtag,
    Row,
    UnreadableFile,
    cell_error,
    cell_text,
    parse_hashtag,
)
from app.http.problems import MIN_LONG_NAME, FieldProblem, near_name, pointer

# Columns of an exported list that a report does not have when it is sent.
_ADDED = frozenset({"id", "recorded_at", "recorded_by", "drafted_by", "seq", "indicator", "supersedes"})
_STATUS = "status"
_PCODE = re.compile(r"(?:adm(?:in)?_?(\d)_?)?p_?code")
# Deeper than every administrative level.
_SITE_DEPTH = 9
_ISO3 = re.compile("[A-Z]{3}")
NOT_STANDING = FieldProblem(
    pointer="/status", detail="is not standing where it comes from: import a full export, which carries corrections and retractions"
)

FIELDS: dict[str, Column] = {each.header: each for each in STATEMENT if each.header not in _ADDED}
# Fields by the last part of their path: where several share it, the first.
_SHORT_NAMES = {str(each.path[-1]): header for header, each in reversed(FIELDS.items())} | {"tlp": "sensitivity"}
_KNOWN_HEADERS = [*FIELDS, *_SHORT_NAMES, "place_name", "pcode", *(f"adm{level}_pcode" for level in range(6))]
# Words of headers of labels, which must not be missed.
_LABEL_WORDS = frozenset({"classification", "confidentiality", "marking", "sensitivity", "tlp"})
# Kinds that share a field may each have a hashtag of their own for it.
_TAGS = [
    (tag, f"value.{name}")
    for kind in reversed(list(KINDS.values()))
    for name, tag in kind.hxl.items()
    if name in kind.value_model.model_fields
]
_TAGS += [(each.tag, each.header) for each in reversed(REPORTS) if each.tag]
_HASHTAGS = {hashtag: header for tag, header in _TAGS if (hashtag := parse_hashtag(tag))}


@dataclass(frozen=True, slots=True)
class PlaceColumn:
    """A column that names the place, by codes of a scheme or by name; `depth` is the administrative level, 0 for the country."""

    index: int
    depth: int
    scheme: str | None = None


@dataclass(slots=True)
class ColumnMapping:
    """The columns of a table by index: those of fields, those that name the place, and that of the `status` of an exported report.

    `is_export` tells whether it has columns that only an exported list has.
    """

    header: DetectedHeader
    fields: dict[int, Column] = field(default_factory=dict)
    places: list[PlaceColumn] = field(default_factory=list)
    status: int | None = None
    is_export: bool = False
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
    """Map the columns of a table; UnreadableFile for two columns of one field."""
    mapping, misspelled = ColumnMapping(header), list[str]()
    names = [_normalise(each) for each in header.headers]
    found: dict[Any, str] = {}
    for index, (name, hashtag) in enumerate(zip(names, header.hashtags, strict=True)):
        column = f"{header.headers[index] or 'without a header'} ({xl_col_to_name(index)})"
        field_name, place = _field_of(name, hashtag, names), _place_column(index, hashtag, name)
        if field_name in _ADDED:
            mapping.is_export = True
            continue
        if field_name is None and place is None:
            if header.headers[index] or hashtag:
                mapping.unread.append(header.headers[index] or f"column {index + 1}")
            if near := _near_header(name, hashtag):
                misspelled.append(f"{column} is near {near}")
            continue
        # Names may be there in several languages.
        meaning = field_name or (place.depth, place.scheme, *([] if place.scheme else hashtag or [name])) if place else field_name
        if meaning in found:
            raise UnreadableFile(f"Two columns are for the same field, {found[meaning]} and {column}: rename or remove one of them.")
        found[meaning] = column
        if field_name == _STATUS:
            mapping.status = index
        elif field_name is not None:
            mapping.fields[index] = FIELDS[field_name]
        elif place is not None:
            mapping.places.append(place)
    if mapping.fields and misspelled:
        raise UnreadableFile(
            f"Columns that match no field look like one: {'; '.join(misspelled)}. Correct the header, or remove the column."
        )
    mapping.places.sort(key=lambda each: (each.scheme is None, -each.depth))
    return mapping


def _near_header(name: str, hashtag: Hashtag | None) -> str | None:
    """Return the header or hashtag of a field that another one may have been meant for."""
    if hashtag is not None:
        tags = ["+".join([tag, *sorted(words)]) for tag, words in _HASHTAGS if len(words) == len(hashtag[1])]
        return near_name("+".join([hashtag[0], *sorted(hashtag[1])]), tags, 1)
    words = name.split("_")
    return "sensitivity" if _LABEL_WORDS.intersection(words) else near_name(name, _KNOWN_HEADERS, 1 if len(name) < MIN_LONG_NAME else 2)


def is_known_header(text: str) -> bool:
    """Tell whether a header names a field or a place."""
    name, hashtag = _normalise(text), parse_hashtag(text)
    if hashtag is not None:
        return _field_of(name, hashtag, [name]) is not None or _place_column(0, hashtag, name) is not None
    return _field_of_header(name, [name]) is not None or _place_column(0, None, name) is not None


def _normalise(header: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", header.strip().lower()).strip("_")


def _field_of(name: str, hashtag: Hashtag | None, names: Sequence[str]) -> str | None:
    """Return the field of a column: by the whole path in its header, otherwise by its hashtag, otherwise by a short header."""
    by_hashtag = _HASHTAGS.get(hashtag) if hashtag else None
    return name if name in FIELDS and "." in name else by_hashtag or _field_of_header(name, names)


def _field_of_header(name: str, names: Sequence[str]) -> str | None:
    if name in FIELDS or name in _ADDED:
        return name
    # In an exported list `status` is that of the report; a route's is `value.status`.
    if name == _STATUS and "value.status" in names:
        return _STATUS
    return _SHORT_NAMES.get(name)


def _place_column(index: int, hashtag: Hashtag | None, name: str) -> PlaceColumn | None:
    tag, attributes = hashtag or ("", frozenset())
    depth = _SITE_DEPTH if tag == "#loc" else LEVELS_OF_TAGS.get(tag)
    if depth is not None and "code" in attributes:
        scheme = next((each.removeprefix("v_") for each in sorted(attributes) if each.startswith("v_")), None)
        if scheme or tag != "#loc":
            return PlaceColumn(index, depth, scheme or "pcode")
    if depth and "name" in attributes:
        return PlaceColumn(index, depth)
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
    beyond: int | None = None
    # The texts of other columns of places, by index, and whether the text is a code that has to be known beside a named place.
    other_places: dict[int, tuple[str, bool]] = field(default_factory=dict)
    local_times: list[Column] = field(default_factory=list)

    def resolve_local_times(self, timezone: str) -> list[FieldProblem]:
        """Give the times of cells, which have no offset, that of the place; return those that the place's clocks do not show once."""
        problems = []
        for column in self.local_times:
            node = self.body if len(column.path) == 1 else self.body[str(column.path[0])]
            name = str(column.path[-1])
            local = datetime.fromisoformat(node[name]).replace(tzinfo=ZoneInfo(timezone))
            node[name] = local.isoformat()
            if local.utcoffset() != local.replace(fold=1).utcoffset():
                detail = f"the clocks of {timezone} change at this time: write it as text with its offset, such as {local.isoformat()}"
                problems.append(FieldProblem(pointer=pointer(column.path), detail=detail))
        return problems

    def locate(self, problem: FieldProblem) -> RowProblemOut:
        """Return a problem of the row with its column and cell."""
        if self.mapping is None:
            return row_problem(self.number, problem.pointer, problem.detail)
        index = self.mapping.column_of(problem.pointer) if problem.pointer else self.beyond
        if problem.pointer == "/place" and self.place_column is not None:
            index = self.place_column
        headers = self.mapping.header.headers
        name = (headers[index] if index is not None and index < len(headers) else "") or problem.pointer.strip("/").replace("/", ".")
        return row_problem(self.number, name, problem.detail, index, self.sheet)


def parse_row(mapping: ColumnMapping, row: Row, sheet: str | None, defaults: Mapping[str, str]) -> ParsedRow:
    """Read a row; `defaults` fill fields of the report that have no column, never a cell that is empty."""
    parsed = ParsedRow(row.number, {}, [], sheet, mapping)
    cells, beyond = dict(enumerate(row.cells)), mapping.header.cell_beyond(row)
    # Exports write no commas into numbers, but free texts of digits alone beside them.
    torn = next((at for at in row.torn if not mapping.is_export and _may_be_torn(mapping, row, at)), None)
    if beyond is not None or torn is not None or row.is_cut:
        parsed.beyond = next((at for at in (beyond, torn) if at is not None), row.width)
        number = "" if torn is None else f"{cells[torn]}{cells[torn + 1]}"
        detail = BEYOND_HEADER if beyond is not None else CUT if torn is None else TORN.format(number=number)
        parsed.problems.append(FieldProblem(pointer="", detail=detail))
        return parsed
    for index, column in mapping.fields.items():
        cell = cells.get(index)
        if not cell_text(cell):
            continue
        try:
            if (error := cell_error(cell)) is not None:
                raise ValueError(error)
            _put(parsed.body, column.path, parse_cell(column, cell))
            if column.header in TIMES and isinstance(cell, datetime) and "T" in cell_text(cell):
                parsed.local_times.append(column)
        except ValueError as problem:
            parsed.problems.append(FieldProblem(pointer=pointer(column.path), detail=str(problem)))
        if column.path == ("place",):
            parsed.place_column = index
    _read_places(parsed, mapping, cells)
    if mapping.status is not None and cell_text(cells.get(mapping.status)) not in ("", "standing"):
        parsed.problems.append(NOT_STANDING)
    missing = {name: value for name, value in defaults.items() if mapping.column_of(f"/{name}") is None}
    parsed.body = {"value": {}, **missing, **parsed.body}
    empty = {each.header for index, each in mapping.fields.items() if not cell_text(cells.get(index))}
    needed = {name for name in defaults if name not in parsed.body} | (empty & stated_defaults(str(parsed.body.get("kind"))))
    for path in sorted(pointer(name.split(".")) for name in needed):
        if all(each.pointer != path for each in parsed.problems):
            name = path.rpartition("/")[2].replace("_", " ")
            detail = f"the cell is empty: write the {name}, or remove the column to use the default"
            parsed.problems.append(FieldProblem(pointer=path, detail=detail))
    return parsed


def _read_places(parsed: ParsedRow, mapping: ColumnMapping, cells: Mapping[int, Cell]) -> None:
    """Read the place of a row unless it is named already, and the other names of it."""
    named = "place" in parsed.body
    for place in mapping.places:
        if not (text := cell_text(cells.get(place.index))):
            continue
        scheme = "iso3" if place.depth == 0 and place.scheme == "pcode" and _ISO3.fullmatch(text) else place.scheme
        text = text if scheme is None else f"{scheme}:{text}"
        if "place" in parsed.body:
            parsed.other_places[place.index] = (text, named and place.scheme is not None and place.depth > 0)
            continue
        parsed.body["place"], parsed.place_column = text, place.index
        if (error := cell_error(cells[place.index])) is not None:
            parsed.problems.append(FieldProblem(pointer="/place", detail=error))


def _may_be_torn(mapping: ColumnMapping, row: Row, at: int) -> bool:
    """Tell whether digits in two cells can only be, or can as well be, one number that a comma has torn apart.

    The second is no number by its column, or both count persons and end the row, which then has a cell too few.
    """
    first, second = mapping.fields.get(at), mapping.fields.get(at + 1)
    if first is None or first.dtype != "integer" or (second is not None and second.dtype not in ("integer", "text")):
        return False
    if second is None or second.dtype == "text":
        return True
    return row.width == at + 2 and all(each.tag.startswith("#affected") for each in (first, second))


def _put(body: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    for step in path[:-1]:
        body = body.setdefault(str(step), {})
    body[str(path[-1])] = value
