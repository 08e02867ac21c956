"""Imports gazetteers: tables of administrative units as in the Common Operational Datasets (COD-AB), as CSV, XLSX or GeoJSON.

A row is a unit of the lowest level, with the codes and names of the units that contain it: `ADM0_PCODE`, `ADM1_EN`, `ADM1_PCODE`, ...;
`admin1Name_en`, `admin1Pcode`; `adm1_name`, `adm1_pcode`; or HXL hashtags (`#adm1+name`, `#adm1+code`). Each unit becomes a place with
its P-code and the slug `name-code`, inside the unit above. A unit whose code exists is that place.
"""

import asyncio
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Any

from pydantic import Field, ValidationError

from app.access.principal import Principal
from app.domain.tlp import MAX_LEVEL
from app.exchange.imports.file_readers import TABULAR, read_batches, read_documents, read_tables
from app.exchange.imports.results import FileResult, Progress, RowProblemOut, row_problem
from app.exchange.imports.tables import LEVELS_OF_TAGS, Cell, DetectedHeader, UnreadableFile, cell_error, cell_text, detect_header
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem, field_problems
from app.reference.queries import UNKNOWN_PLACE, find_places
from app.reference.schemas import PlaceIn
from app.reference.service import add_places
from app.storage.database import Database

BATCH_SIZE = 250
SCHEME = "pcode"
MAX_SLUG_CHARACTERS = 64
_CODE = re.compile(r"adm(?:in)?_?([0-5])_?(?:p_?code|code)")
_NAME = re.compile(r"adm(?:in)?_?([0-5])(?:_?name)?(?:_([a-z]{2}))?")
_LONGITUDES = ("center_lon", "centre_lon", "longitude", "lon")
_LATITUDES = ("center_lat", "centre_lat", "latitude", "lat")


@dataclass(slots=True)
class UnitColumns:
    """The columns of codes and names by level (0 for the country), of the country code, and of longitude and latitude."""

    codes: dict[int, int] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    iso3: int | None = None
    centroid: tuple[int, int] | None = None


class GazetteerResult(FileResult):
    """The result for a gazetteer: places `added` by level."""

    added: Counter[int] = Field(default_factory=Counter)


def find_unit_columns(header: DetectedHeader, language: str) -> UnitColumns:
    """Find the columns of a table, with names in the language if they are in several; UnreadableFile without a column of codes."""
    found = UnitColumns()
    ranks: dict[int, int] = {}
    names = [_normalise(each) for each in header.headers]
    for index, (name, hashtag) in enumerate(zip(names, header.hashtags, strict=True)):
        tag, attributes = hashtag or ("", frozenset())
        level = LEVELS_OF_TAGS.get(tag)
        if name in ("iso3", "iso_3", "country_iso3") or (tag == "#country" and "v_iso3" in attributes):
            found.iso3 = index
        elif level is not None and "code" in attributes:
            found.codes.setdefault(level, index)
        elif level is not None and "name" in attributes:
            found.names.setdefault(level, index)
        elif code := _CODE.fullmatch(name):
            found.codes.setdefault(int(code[1]), index)
        elif match := _NAME.fullmatch(name):
            level = int(match[1])
            rank = 2 if match[2] == language else 1 if match[2] is None else 0
            if rank > ranks.get(level, -1):
                ranks[level] = rank
                found.names[level] = index
    if not found.codes:
        raise UnreadableFile("The file has no column of codes: name one such as ADM1_PCODE, admin1Pcode or #adm1+code.")
    longitude, latitude = (next((names.index(each) for each in group if each in names), None) for group in (_LONGITUDES, _LATITUDES))
    found.centroid = (longitude, latitude) if longitude is not None and latitude is not None else None
    return found


def _normalise(text: str, separator: str = "_") -> str:
    return re.sub(r"[^a-z0-9]+", separator, text.lower()).strip(separator)


@dataclass(frozen=True, slots=True)
class _UnitRow:
    number: int
    cells: Sequence[Cell]
    columns: UnitColumns
    sheet: str | None = None
    geometry: dict[str, Any] | None = None

    def text(self, index: int | None) -> str:
        """Return the text of a column; empty if the row has none, or an error."""
        cell = self.cells[index] if index is not None and index < len(self.cells) else None
        return "" if cell_error(cell) else cell_text(cell)

    def body(self, level: int, code: str, parent: str | None, country: str | None) -> dict[str, Any]:
        """Return the unit of a level as a place."""
        name = self.text(self.columns.names.get(level))
        country = self.text(self.columns.iso3) or country or None
        codes = [{"scheme": SCHEME, "code": code}]
        if level == 0 and country:
            codes.append({"scheme": "iso3", "code": country})
        return {"slug": unit_slug(name, code), "name": name, "parent": parent, "country": country, "codes": codes}

    def location(self) -> dict[str, Any]:
        """Return the geometry or the centroid of the lowest unit, as far as the row has them."""
        if self.geometry or self.columns.centroid is None:
            return {"geometry": self.geometry}
        try:
            return {"centroid": [float(self.text(index)) for index in self.columns.centroid]}
        except ValueError:
            return {}

    def locate(self, level: int, problem: FieldProblem) -> RowProblemOut:
        """Return a problem of a place with its row and cell."""
        name = problem.pointer.split("/")[1]
        columns = {"name": self.columns.names.get(level), "codes": self.columns.codes.get(level), "country": self.columns.iso3}
        return row_problem(self.number, name, problem.detail, columns.get(name), self.sheet)


@dataclass(frozen=True)
class Gazetteer:
    """Imports a gazetteer. `country` (ISO 3166-1 alpha-3) is that of rows without one, `timezone` that of all units."""

    file: IO[bytes]
    format_: Format
    database: Database
    country: str | None = None
    language: str = "en"
    timezone: str | None = None
    on_progress: Progress = lambda _: None
    organisation: str = "import"

    async def check(self) -> GazetteerResult:
        """Return what would be added, and every problem, without the lock of the writer."""
        result = GazetteerResult()
        added: set[str] = set()
        # Closed before the file is, also after an error.
        with closing(self._read_units(result)) as units:
            async for batch in read_batches(units, BATCH_SIZE, self.on_progress):
                async with self.database.read_latest() as connection:
                    names = {name for _, _, place in batch for name in (*_own_names(place), place.parent) if name is not None}
                    known = added | (await find_places(connection, names)).keys()
                for row, level, place in batch:
                    own = _own_names(place)
                    outcome: bool | FieldProblem = own.isdisjoint(known)
                    if place.slug not in known and place.parent is not None and place.parent not in known:
                        outcome = FieldProblem(pointer="/parent", detail=UNKNOWN_PLACE)
                    if outcome is True:
                        known |= own
                        added |= own
                    _count(result, row, level, outcome)
        return result

    async def write(self, result: GazetteerResult) -> None:
        """Add every new unit to the database, and count it in the result.

        Each batch is a transaction of its own, so that others write in between. Written again, units that exist are not added.
        """
        author = Principal(MAX_LEVEL, organisation=self.organisation)
        with closing(self._read_units(result)) as units:
            async for batch in read_batches(units, BATCH_SIZE, self.on_progress):
                began = time.monotonic()
                async with self.database.write() as session:
                    outcomes = await add_places(session, author, [(place, None) for _, _, place in batch])
                for (row, level, _), outcome in zip(batch, outcomes, strict=True):
                    _count(result, row, level, outcome)
                # As long as others have waited: SQLite keeps no queue, so the next batch would take the lock before them.
                await asyncio.sleep(time.monotonic() - began)
        result.written = True

    def _read_units(self, result: GazetteerResult) -> Generator[tuple[_UnitRow, int, PlaceIn], None, None]:
        """Yield each unit once, with its row and level."""
        seen: set[str] = set()
        for row in self._read_rows():
            result.rows += 1
            codes = {level: code for level, index in sorted(row.columns.codes.items()) if (code := row.text(index))}
            if not codes:
                result.reject([row_problem(row.number, "code", "the row has no code", sheet=row.sheet)])
            parent: str | None = None
            for level, code in codes.items():
                if code not in seen:
                    seen.add(code)
                    body = (
                        row.body(level, code, parent, self.country)
                        | {"timezone": self.timezone}
                        | (row.location() if level == max(codes) else {})
                    )
                    try:
                        yield row, level, PlaceIn.model_validate(body)
                    except ValidationError as error:
                        result.reject(row.locate(level, each) for each in field_problems(error))
                parent = f"{SCHEME}:{code}"

    def _read_rows(self) -> Iterator[_UnitRow]:
        if self.format_ in TABULAR:
            for table in read_tables(self.file, self.format_):
                header = detect_header(table.rows)
                if any(header.headers):
                    columns = find_unit_columns(header, self.language)
                    yield from (_UnitRow(row.number, row.cells, columns, table.name) for row in header.rows)
            return
        for number, feature in read_documents(self.file, self.format_):
            if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
                raise UnreadableFile(f"Feature {number} has no properties: the file has to be a GeoJSON FeatureCollection of units.")
            properties = feature["properties"]
            header = DetectedHeader(list(properties), [None] * len(properties), iter(()))
            columns = find_unit_columns(header, self.language)
            yield _UnitRow(number, list(properties.values()), columns, geometry=feature.get("geometry"))


def _own_names(place: PlaceIn) -> set[str]:
    return {place.slug, *(f"{each.scheme}:{each.code}" for each in place.codes)}


def _count(result: GazetteerResult, row: _UnitRow, level: int, outcome: bool | FieldProblem) -> None:
    if outcome is True:
        result.created += 1
        result.added[level] += 1
    elif outcome is False or outcome.pointer == "/codes":
        result.existing += 1
    else:
        result.reject([row.locate(level, outcome)])


def unit_slug(name: str, code: str) -> str:
    """Return the slug of a unit: its name in ASCII letters, shortened as necessary, and its code, which makes the slug unique."""
    end = _normalise(code, "-")
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    start = _normalise(ascii_name, "-")[: MAX_SLUG_CHARACTERS - 1 - len(end)].strip("-")
    return f"{start}-{end}" if start else end
