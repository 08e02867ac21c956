"""Columns of somebody's spreadsheet matched to the fields of a report, by HXL hashtag or by header; never by guess.

A header matches by the field's path (`value.people_low`) or its last part (`people_low`), whatever its case, spaces and hyphens.
A place is told by `place` (a slug, `scheme:code` or an exact name), by a column of codes that names its scheme
(`#adm2+code+v_pcode`, or a header such as `adm2_pcode`), or by its exact name (`#loc+name`, `#adm2+name`); the deepest code that is
given counts before any name. Columns that match nothing are not read, and told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.exchange.exports.columns import Column
from app.exchange.exports.tables import REPORTS, STATEMENT
from app.exchange.imports.file_readers import Cell, cell_error, cell_text
from app.exchange.imports.header_detection import DetectedHeader, parse_hashtag
from app.http.problems import FieldProblem

# What the service adds: in a table that it made, these are not sent back.
_ADDED = frozenset({"id", "recorded_at", "recorded_by", "seq", "indicator", "supersedes"})
_STATUS = "status"
_PCODE = re.compile(r"(?:adm(?:in)?_?(\d)_?)?p_?code")
_COUNTRY = 0
_DEEPEST = 9
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_YES_NO = {"true": True, "yes": True, "false": False, "no": False}

FIELDS: dict[str, Column] = {each.header: each for each in STATEMENT if each.header not in _ADDED}


def _plain(header: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "_", header.strip().lower()).strip("_")


def _short_names() -> dict[str, str]:
    shorts: dict[str, str] = {}
    for header, each in FIELDS.items():
        shorts.setdefault(str(each.path[-1]), header)
    return shorts


_SHORT = _short_names()
_TAGS = {tag: each.header for each in reversed(REPORTS) if each.tag and (tag := parse_hashtag(each.tag))}


@dataclass(frozen=True, slots=True)
class PlaceColumn:
    """A column that tells the place: by codes of a scheme, or by name; `depth` 0 is the country, 9 a place outside the units."""

    at: int
    depth: int
    scheme: str | None = None


@dataclass(slots=True)
class ColumnMapping:
    """Which column holds which field, by position; `status` is that of a report of another Lifeline."""

    fields: dict[int, Column] = field(default_factory=dict)
    places: list[PlaceColumn] = field(default_factory=list)
    status: int | None = None
    unread: list[str] = field(default_factory=list)
    headers: Sequence[str] = ()

    def column_of(self, pointer: str) -> int | None:
        """The position of the column that a pointer into the report leads to; None where there is none."""
        steps = tuple(pointer.split("/")[1:])
        if steps == (_STATUS,):
            return self.status
        if steps[:1] == ("place",) and self.places and "place" not in [each.header for each in self.fields.values()]:
            return self.places[0].at
        for at, each in self.fields.items():
            if steps[: len(each.path)] == each.path:
                return at
        return None


def map_columns(heading: DetectedHeader) -> ColumnMapping:
    """Match the columns of a table. The first column that matches a field has it; further ones are not read."""
    found = ColumnMapping(headers=heading.headers)
    given = {_plain(each) for each in heading.headers}
    taken: set[str] = set()
    for at, header in enumerate(heading.headers):
        tag = heading.tags[at]
        name = _TAGS.get(tag) if tag else None
        if name is None:
            name = _by_header(_plain(header), given)
        if name == _STATUS:
            found.status = at
        elif name in _ADDED:
            continue
        elif name is not None and name not in taken:
            taken.add(name)
            found.fields[at] = FIELDS[name]
        elif (place := _place_column(at, tag, _plain(header))) is not None:
            found.places.append(place)
        elif header or tag:
            found.unread.append(header or f"column {at + 1}")
    # Codes before names, and of each the deepest first.
    found.places.sort(key=lambda each: (each.scheme is None, -each.depth))
    return found


def _by_header(name: str, given: set[str]) -> str | None:
    if name in FIELDS or name in _ADDED:
        return name
    if name == _STATUS and "value.status" in given:
        return _STATUS
    return _SHORT.get(name)


def _place_column(at: int, tag: tuple[str, frozenset[str]] | None, header: str) -> PlaceColumn | None:
    if tag is not None:
        name, attributes = tag
        unit = re.fullmatch(r"#adm([1-5])", name)
        depth = int(unit[1]) if unit else {"#country": _COUNTRY, "#loc": _DEEPEST}.get(name)
        if depth is None:
            return None
        if "code" in attributes:
            scheme = next((each.removeprefix("v_") for each in sorted(attributes) if each.startswith("v_")), None)
            return None if scheme is None else PlaceColumn(at, depth, scheme)
        return PlaceColumn(at, depth) if "name" in attributes and depth else None
    if code := _PCODE.fullmatch(header):
        return PlaceColumn(at, int(code[1]) if code[1] else _DEEPEST, "pcode")
    return PlaceColumn(at, _DEEPEST) if header in ("place_name", "place.name") else None


@dataclass(slots=True)
class ParsedRow:
    """A row as the report that it tells, and what cannot be read in it. `place_at` is the column that the place comes from."""

    body: dict[str, Any]
    problems: list[FieldProblem]
    place_column: int | None = None
    superseded: bool = False


def parse_row(found: ColumnMapping, cells: Sequence[Cell], defaults: dict[str, str]) -> ParsedRow:
    """Read a row. `defaults` fill the fields `kind`, `place`, `source`, `stated_at` and `sensitivity` where the row has none."""
    told = ParsedRow({}, [])
    for at, column in found.fields.items():
        cell = cells[at] if at < len(cells) else None
        if cell is None or cell == "":
            continue
        pointer = "".join(f"/{step}" for step in column.path)
        if (error := cell_error(cell)) is not None:
            told.problems.append(FieldProblem(pointer=pointer, detail=error))
            continue
        try:
            _put(told.body, column.path, _value(column, cell))
        except ValueError as error:
            told.problems.append(FieldProblem(pointer=pointer, detail=str(error)))
        if column.path == ("place",):
            told.place_column = at
    if "place" not in told.body:
        for place in found.places:
            text = cell_text(cells[place.at]) if place.at < len(cells) else ""
            if text:
                told.body["place"] = text if place.scheme is None else f"{place.scheme}:{text}"
                told.place_column = place.at
                break
    if found.status is not None and found.status < len(cells):
        told.superseded = cell_text(cells[found.status]) not in ("", "standing")
    for name, text in defaults.items():
        told.body.setdefault(name, text)
    told.body.setdefault("value", {})
    return told


def _put(body: dict[str, Any], path: Sequence[str | int], value: Any) -> None:
    for step in path[:-1]:
        body = body.setdefault(str(step), {})
    body[str(path[-1])] = value


def _value(column: Column, cell: Cell) -> Any:
    text = cell_text(cell)
    match column.dtype:
        case "integer":
            if isinstance(cell, bool) or not _WHOLE.fullmatch(text):
                raise ValueError("must be a whole number in digits alone, such as 250000")
            return int(text)
        case "number":
            try:
                return float(text)
            except ValueError:
                raise ValueError("must be a number, such as 36.2") from None
        case "boolean":
            if text.lower() not in _YES_NO:
                raise ValueError("must be true or false, yes or no")
            return _YES_NO[text.lower()]
        case "words":
            return [each for each in re.split(r"[\s,;]+", text) if each]
        case "json":
            return column.read(text)
        case _:
            # What stands between quotation marks is kept to the last space.
            return cell if isinstance(cell, str) and column.header == "provenance.quote" else text
