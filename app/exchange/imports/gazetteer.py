"""Gazetteers: tables of administrative units as the Common Operational Datasets (COD-AB) have them, CSV, XLSX or GeoJSON.

A row is one unit of the lowest level with the codes and names of all that contain it: `ADM0_PCODE`, `ADM1_EN`, `ADM1_PCODE`, ...;
`admin1Name_en`, `admin1Pcode`; `adm1_name`, `adm1_pcode`; or HXL hashtags (`#adm1+name`, `#adm1+code`). Each unit becomes a place with
its P-code, inside the unit above, known as `name-code`. A unit whose code is here already is that place.
"""

import asyncio
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.exchange.imports.cells import Cell, UnreadableFile, cell_error, cell_reference, cell_text
from app.exchange.imports.file_readers import read_documents, read_tables
from app.exchange.imports.header_detection import DetectedHeader, detect_header
from app.exchange.imports.statements import MAX_PROBLEMS, Progress, RowProblem
from app.http.content_negotiation import Format
from app.http.problems import FieldProblem, field_problems
from app.reference.schemas import PlaceIn
from app.reference.service import add_places
from app.storage.database import Database

BATCH_SIZE = 1000
LEVELS = range(6)
SCHEME = "pcode"
_CODE = re.compile(r"adm(?:in)?_?(\d)_?(?:p_?code|code)")
_NAME = re.compile(r"adm(?:in)?_?(\d)(?:_?name)?(?:_([a-z]{2}))?")
_CENTRE = {"longitude": ("center_lon", "centre_lon", "longitude", "lon"), "latitude": ("center_lat", "centre_lat", "latitude", "lat")}


@dataclass(slots=True)
class UnitColumns:
    """Which column holds what: codes and names by level, 0 for the country; names in the language preferred, where there are several."""

    codes: dict[int, int] = field(default_factory=dict)
    names: dict[int, int] = field(default_factory=dict)
    iso3: int | None = None
    centre: tuple[int, int] | None = None


@dataclass(slots=True)
class GazetteerResult:
    """What became of a gazetteer: places added by level, those here already, rows that are wrong."""

    written: bool = False
    rows: int = 0
    added: Counter[int] = field(default_factory=Counter)
    existing: int = 0
    problem_count: int = 0
    problems: list[RowProblem] = field(default_factory=list)


def find_unit_columns(heading: DetectedHeader, language: str) -> UnitColumns:
    """Match the columns of a table; Unreadable where none holds a code."""
    found = UnitColumns()
    preference: dict[int, int] = {}
    plain = [re.sub(r"[^a-z0-9]+", "_", each.strip().lower()).strip("_") for each in heading.headers]
    for at, header in enumerate(plain):
        tag, attributes = heading.tags[at] or ("", frozenset())
        unit = re.fullmatch(r"#adm([1-5])|#country", tag)
        level = int(unit[1] or 0) if unit else None
        if header in ("iso3", "iso_3", "country_iso3") or (tag == "#country" and "v_iso3" in attributes):
            found.iso3 = at
        elif level is not None and "code" in attributes:
            found.codes.setdefault(level, at)
        elif level is not None and "name" in attributes:
            found.names.setdefault(level, at)
        elif code := _CODE.fullmatch(header):
            found.codes.setdefault(int(code[1]), at)
        elif name := _NAME.fullmatch(header):
            rank = 2 if name[2] == language else 1 if name[2] is None else 0
            if rank > preference.get(int(name[1]), -1):
                preference[int(name[1])] = rank
                found.names[int(name[1])] = at
    if not found.codes:
        raise UnreadableFile("The file has no column of codes, such as ADM1_PCODE, admin1Pcode or #adm1+code.")
    centre = [next((plain.index(name) for name in names if name in plain), None) for names in _CENTRE.values()]
    found.centre = (centre[0], centre[1]) if centre[0] is not None and centre[1] is not None else None
    return found


class Gazetteer:
    """A gazetteer in a file. `country` (ISO 3166-1 alpha-3) is that of units whose rows do not say."""

    def __init__(
        self,
        file: IO[bytes],
        format_: Format,
        database: Database,
        *,
        country: str | None = None,
        language: str = "en",
        progress: Progress = lambda _: None,
    ) -> None:
        self._file = file
        self._format = format_
        self._database = database
        self._country = country
        self._language = language
        self._progress = progress
        self._seen: set[str] = set()

    async def load(self, *, write: bool) -> GazetteerResult:
        """Add every unit that is not here, all or none; without `write` only say which. A file with a wrong row is not taken."""
        placed = GazetteerResult()
        try:
            async with self._database.write() as session:
                await self._take(session, placed)
                if placed.problem_count or not write:
                    raise _Undone
        except _Undone:
            return placed
        placed.written = True
        return placed

    async def _take(self, session: AsyncSession, placed: GazetteerResult) -> None:
        units = self._units(placed)
        while lot := await asyncio.to_thread(lambda: list(islice(units, BATCH_SIZE))):
            answers = await add_places(session, [(sent, None) for _, _, sent in lot])
            for (row, level, _), answer in zip(lot, answers, strict=True):
                if answer is True:
                    placed.added[level] += 1
                elif answer is False or answer.pointer == "/codes":
                    placed.existing += 1
                else:
                    _refuse(placed, RowProblem(row, f"level {level}", f"{answer.pointer}: {answer.detail}"))
            self._progress(len(lot))

    def _units(self, placed: GazetteerResult) -> Iterator[tuple[int, int, PlaceIn]]:
        for number, cells, units, geometry, sheet in self._rows():
            placed.rows += 1
            texts = {level: _at(cells, at) for level, at in units.codes.items()}
            deepest = max((level for level, code in texts.items() if code), default=None)
            if deepest is None:
                _refuse(placed, RowProblem(number, "code", "the row has no code", None, sheet))
                continue
            parent: str | None = None
            for level in LEVELS:
                code = texts.get(level)
                if not code:
                    continue
                if code not in self._seen:
                    self._seen.add(code)
                    body = self._body(level, code, parent, cells, units)
                    if level == deepest:
                        body |= {"geometry": geometry} if geometry else _centre(cells, units)
                    try:
                        yield number, level, PlaceIn.model_validate(body)
                    except ValidationError as error:
                        for wrong in field_problems(error):
                            _refuse(placed, _problem(number, level, wrong, units, sheet))
                parent = f"{SCHEME}:{code}"

    def _body(self, level: int, code: str, parent: str | None, cells: Sequence[Cell], units: UnitColumns) -> dict[str, Any]:
        name = _at(cells, units.names.get(level))
        country = _at(cells, units.iso3) or self._country
        codes = [{"scheme": SCHEME, "code": code}]
        if level == 0 and country:
            codes.append({"scheme": "iso3", "code": country})
        return {"slug": unit_slug(name, code), "name": name, "parent": parent, "country": country or None, "codes": codes}

    def _rows(self) -> Iterator[tuple[int, Sequence[Cell], UnitColumns, Mapping[str, Any] | None, str | None]]:
        if self._format in (Format.CSV, Format.XLSX):
            for table in read_tables(self._file, self._format):
                heading = detect_header(table.rows)
                if any(heading.headers):
                    units = find_unit_columns(heading, self._language)
                    for row in heading.rows:
                        if any(each not in (None, "") for each in row.cells):
                            yield row.number, row.cells, units, None, table.name
            return
        for number, feature in read_documents(self._file, self._format):
            if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
                raise UnreadableFile(f"Feature {number} of the file has no properties: a GeoJSON FeatureCollection of units is wanted.")
            properties = feature["properties"]
            heading = DetectedHeader(list(properties), [None] * len(properties), iter(()))
            yield number, list(properties.values()), find_unit_columns(heading, self._language), feature.get("geometry"), None


class _Undone(Exception):
    """Nothing of it is to be kept."""


def _at(cells: Sequence[Cell], at: int | None) -> str:
    return cell_text(cells[at]) if at is not None and at < len(cells) and cell_error(cells[at]) is None else ""


def _centre(cells: Sequence[Cell], units: UnitColumns) -> dict[str, Any]:
    if units.centre is None:
        return {}
    try:
        return {"centroid": [float(_at(cells, at)) for at in units.centre]}
    except ValueError:
        return {}


def _refuse(placed: GazetteerResult, problem: RowProblem) -> None:
    placed.problem_count += 1
    if len(placed.problems) < MAX_PROBLEMS:
        placed.problems.append(problem)


def _problem(row: int, level: int, wrong: FieldProblem, units: UnitColumns, sheet: str | None) -> RowProblem:
    field_of = wrong.pointer.split("/")[1]
    at = {"name": units.names.get(level), "codes": units.codes.get(level), "country": units.iso3}.get(field_of)
    return RowProblem(row, field_of, wrong.detail, None if at is None else cell_reference(at, row), sheet)


def unit_slug(name: str, code: str) -> str:
    """The slug of a unit: its name in plain letters, as far as it has any, and its code, which makes it the only one."""
    end = re.sub(r"[^a-z0-9]+", "-", code.lower()).strip("-")
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    start = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")[: 63 - len(end)].strip("-")
    return f"{start}-{end}" if start else end
