"""Imports gazetteers: each unit becomes a place with its P-code and the slug `name-code`, inside the unit above.

A unit whose code is known is that place. Where its name, its parent or a code differs, it is refused, or with `update` changed.
"""

import asyncio
import time
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO

from pydantic import ValidationError

from app.access.principal import Principal
from app.domain.tlp import MAX_LEVEL
from app.exchange.imports.file_readers import TABULAR, read_batches, read_documents, read_tables
from app.exchange.imports.gazetteer_plan import GazetteerPlan, GazetteerResult, PlannedUnit
from app.exchange.imports.results import Progress, row_problem
from app.exchange.imports.tables import DetectedHeader, Row, UnreadableFile, choose_tables, detect_header
from app.exchange.imports.unit_columns import ISO3, Unit, UnitColumns, UnitRow, UnreadableUnit, find_unit_columns, is_unit_header, normalise
from app.http.content_negotiation import Format
from app.http.problems import field_problems
from app.reference.models import Place
from app.reference.schemas import PlaceIn
from app.reference.service import add_places
from app.reference.suggestions import unknown_country
from app.reference.updates import change_record
from app.storage.database import Database

BATCH_SIZE = 250
MAX_SLUG_CHARACTERS = 64
_SAMPLE_ROWS = 50


@dataclass(slots=True)
class _Described:
    """A unit as the rows of a file describe it, and where: the row in which it is the lowest unit, otherwise the first one."""

    unit: Unit
    at: tuple[str | None, int]
    order: int
    is_lowest: bool
    # A hash of where it lies; None if the row does not say it.
    location: int | None = None


@dataclass(frozen=True)
class Gazetteer:
    """Imports a gazetteer. `country` (ISO 3166-1 alpha-3) is that of rows without one, `timezone` that of all new units.

    With `update`, places that are known are changed; `horizons` are those of the assessments that show them.
    """

    file: IO[bytes]
    format_: Format
    database: Database
    country: str | None = None
    language: str | None = None
    timezone: str | None = None
    on_progress: Progress = lambda _: None
    sheet: str | None = None
    update: bool = False
    organisation: str = "import"

    async def check(self) -> GazetteerResult:
        """Return what would be added and changed, and every problem, without the lock of the writer."""
        result = GazetteerResult()
        async with self.database.read() as connection:
            if problems := await unknown_country(connection, "--country", self.country):
                raise UnreadableFile(f"{self.country} is {problems[0].detail} (--country).")
        plan = GazetteerPlan(result, update=self.update)
        # Closed before the file is, also after an error.
        with closing(self._read_units(result)) as units:
            async for batch in read_batches(units, BATCH_SIZE, self.on_progress):
                async with self.database.read_latest() as connection:
                    (await plan.step(connection, batch)).count(result)
        return result

    async def write(self, result: GazetteerResult) -> None:
        """Add every new unit to the database, with `update` change the others, and count them in the result.

        Each batch is a transaction of its own, so that others write in between. Written again, units that exist are not added.
        """
        author, plan = Principal(MAX_LEVEL, organisation=self.organisation), GazetteerPlan(result, update=self.update)
        with closing(self._read_units(result)) as units:
            async for batch in read_batches(units, BATCH_SIZE, self.on_progress):
                began = time.monotonic()
                async with self.database.write() as session:
                    step = await plan.step(await session.connection(), batch)
                    await add_places(session, author, [(place, None) for _, place in step.new])
                    for identifier, change in step.changes.items():
                        await change_record(session, author, Place, identifier, change)
                step.count(result)
                # As long as others have waited: SQLite keeps no queue, so the next batch would take the lock before them.
                await asyncio.sleep(time.monotonic() - began)
        result.written = True

    def _read_units(self, result: GazetteerResult) -> Generator[PlannedUnit, None, None]:
        """Yield each unit once, after the one that contains it; several times through the file where that comes later there."""
        described, is_ordered = self._describe(result)
        levels = [None] if is_ordered else sorted({each.unit.level for each in described.values()})
        for wanted in levels:
            for row in self._read_rows(GazetteerResult()):
                try:
                    units = row.units(self.country)
                except UnreadableUnit:
                    continue
                for unit in units:
                    found = described.get(unit.code.casefold())
                    if found is None or found.at != (row.sheet, row.row.number) or wanted not in (None, unit.level):
                        continue
                    try:
                        yield PlannedUnit(row, found.unit, self._place(row, found.unit, is_lowest=unit is units[-1]))
                    except ValidationError as error:
                        result.reject(row.problem(unit.level, each.pointer.split("/")[1], each.detail) for each in field_problems(error))

    def _describe(self, result: GazetteerResult) -> tuple[dict[str, _Described], bool]:
        """Return what the file says of each unit, and whether upper units come first; reject rows that contradict earlier ones."""
        described: dict[str, _Described] = {}
        for row in self._read_rows(result):
            result.rows += 1
            try:
                units, location = row.units(self.country), row.location()
                for found in row.without_code(units[-1].level):
                    result.leave_out(f"{found.location}: {found.detail} has no code")
            except UnreadableUnit as error:
                result.reject([row_problem(row.row.number, error.field, str(error), error.index, row.sheet)])
                continue
            for unit in units:
                own = _Described(unit, (row.sheet, row.row.number), result.rows, unit is units[-1])
                own.location = hash(repr(location)) if location and own.is_lowest else None
                known = described.setdefault(unit.code.casefold(), own)
                if contradiction := _contradiction(known.unit, unit, f"{known.at[0]}!{known.at[1]}" if known.at[0] else str(known.at[1])):
                    result.reject([row.problem(unit.level, *contradiction)])
                    continue
                if None not in (own.location, known.location) and own.location != known.location:
                    detail = f"{unit.code} lies elsewhere in row {known.at[1]}: join its parts into one geometry, such as a MultiPolygon"
                    result.reject([row.problem(unit.level, "geometry", detail)])
                elif (own.is_lowest, own.location is not None) > (known.is_lowest, known.location is not None):
                    known.at, known.order, known.is_lowest, known.location = own.at, own.order, True, own.location
                deeper = unit if unit.parent_level > known.unit.parent_level else known.unit
                names = {**unit.names, **known.unit.names}
                country = known.unit.country or unit.country
                known.unit = deeper._replace(name=known.unit.name or unit.name, country=country, names=names)
        uppers = [(described.get((each.unit.parent or "").casefold()), each) for each in described.values()]
        for upper, each in uppers:
            # Also where units are inside each other in a circle.
            if upper is not None and upper.unit.level >= each.unit.level:
                detail = f"{each.unit.code} is of level {each.unit.level}, and inside {upper.unit.code} of level {upper.unit.level}"
                result.reject([row_problem(each.at[1], "parent", f"{detail}: correct the level or the parent", None, each.at[0])])
                each.unit = each.unit._replace(parent=None, parent_level=-1)
        return described, all(upper is None or upper.order <= each.order for upper, each in uppers)

    def _place(self, row: UnitRow, unit: Unit, *, is_lowest: bool) -> PlaceIn | None:
        if not unit.name:
            return None
        scheme, _, code = unit.code.partition(":")
        codes = [{"scheme": scheme, "code": code}]
        if unit.level == 0 and unit.country and scheme != ISO3:
            codes.append({"scheme": ISO3, "code": unit.country})
        body = {"slug": unit_slug(unit.name, code), "name": unit.name, "parent": unit.parent, "country": unit.country, "codes": codes}
        more = {"names": unit.names, "timezone": self.timezone}
        return PlaceIn.model_validate(body | more | (row.location() if is_lowest else {}))

    def _read_rows(self, result: GazetteerResult) -> Iterator[UnitRow]:
        if self.format_ in TABULAR:
            tried = "the file, which has no rows"
            for table in choose_tables(read_tables(self.file, self.format_), self.sheet, result.note):
                header = detect_header(table.rows, is_unit_header)
                rows = header.shown_rows(result.note, table)
                sample = list(islice(rows, _SAMPLE_ROWS))
                columns = find_unit_columns(header, self.language, sample)
                if columns is not None:
                    tried = ""
                    result.ignore(columns.unread())
                    yield from (UnitRow(row, columns, table.name) for row in chain(sample, rows))
                elif any(header.headers):
                    tried = tried and header.describe(table.name)
                    result.note(f"The sheet {table.name} has no column of codes and was not read.")
            if tried:
                raise UnreadableFile(f"There is no column of codes in {tried}: name one such as ADM1_PCODE, admin1Pcode or #adm1+code.")
            return
        found: dict[tuple[str, ...], UnitColumns | None] = {}
        for number, feature in read_documents(self.file, self.format_):
            if not isinstance(feature, dict) or not isinstance(feature.get("properties"), dict):
                raise UnreadableFile(f"Feature {number} has no properties: the file has to be a GeoJSON FeatureCollection of units.")
            names, row = tuple(feature["properties"]), Row(number, list(feature["properties"].values()))
            if names not in found:
                found[names] = find_unit_columns(DetectedHeader(names, [None] * len(names), number, iter(())), self.language, [row])
            if (columns := found[names]) is None:
                raise UnreadableFile(f"Feature {number} has no code: name a property such as ADM1_PCODE, admin1Pcode or adm1_pcode.")
            result.ignore(columns.unread())
            yield UnitRow(row, columns, geometry=feature.get("geometry"))


def _contradiction(known: Unit, unit: Unit, row: str) -> tuple[str, str] | None:
    """Return the field of a unit that differs from what a row above says, and how; None if both can be true."""
    if unit.code != known.code:
        return "codes", f"{unit.code} is written {known.code} in row {row}: write it the same"
    if unit.country and known.country and unit.country != known.country:
        return "country", f"{unit.code} is in the country {known.country} in row {row}, and in {unit.country} here: correct one of them"
    if unit.level != known.level:
        return "codes", f"{unit.code} is of level {known.level} in row {row}, and of level {unit.level} here: a code is of one unit"
    if unit.parent_level == known.parent_level and unit.parent != known.parent:
        return "parent", f"{unit.code} is in {known.parent} in row {row}, and in {unit.parent} here: a unit is in one other"
    if unit.name and known.name and unit.name.casefold() != known.name.casefold():
        return "name", f"{unit.code} is {known.name!r} in row {row}, and {unit.name!r} here: a code is of one unit"
    for language in known.names.keys() & unit.names.keys():
        if (name := unit.names[language]).casefold() != (other := known.names[language]).casefold():
            return f"names.{language}", f"{unit.code} is {other!r} in row {row}, and {name!r} here: a code is of one unit"
    return None


def unit_slug(name: str, code: str) -> str:
    """Return the slug of a unit: its name in ASCII letters, shortened as necessary, and its code, which makes the slug unique."""
    end = normalise(code, "-")
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    start = normalise(ascii_name, "-")[: MAX_SLUG_CHARACTERS - 1 - len(end)].strip("-")
    return f"{start}-{end}" if start else end
