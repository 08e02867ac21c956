"""The places that a gazetteer adds, and its changes of those that are known."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field
from sqlalchemy import null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.exchange.imports.reference_lookup import either_scheme
from app.exchange.imports.results import FileResult
from app.exchange.imports.unit_columns import ISO3, Unit, UnitRow
from app.reference.models import Place
from app.reference.queries import ancestors_of, find_places
from app.reference.records import PlaceRecord
from app.reference.schemas import PlaceIn
from app.storage.paging import chunks
from app.storage.types import table_of

MAX_NOTES = 20


class GazetteerResult(FileResult):
    """The result for a gazetteer: places `added` by level, `changes` of others in words, and how many units were left out."""

    added: Counter[int] = Field(default_factory=Counter)
    changes: list[str] = Field(default_factory=list)
    left_out: int = 0
    unread_columns: list[str] = Field(default_factory=list)

    def ignore(self, columns: Collection[str]) -> None:
        """Record columns that are not read."""
        self.unread_columns += [each for each in columns if each not in self.unread_columns]

    def leave_out(self, unit: str) -> None:
        """Count a unit that is left out, and note the first ones, with the reason."""
        self.left_out += 1
        if self.left_out <= MAX_NOTES:
            self.note(f"{unit}, and was left out.")


class PlannedUnit(NamedTuple):
    """A unit, with the row that describes it, and as a place; None for a unit without a name."""

    row: UnitRow
    unit: Unit
    place: PlaceIn | None

    def codes(self) -> list[str]:
        """Return its codes, `scheme:code`."""
        return [f"{each.scheme}:{each.code}" for each in self.place.codes] if self.place else [self.unit.code]


@dataclass(frozen=True, slots=True)
class Step:
    """Places that some units add and change, by the identifier of the place, and how many of them exist."""

    new: list[tuple[Unit, PlaceIn]]
    changes: dict[UUID, dict[str, Any]]
    existing: int

    def count(self, result: GazetteerResult) -> None:
        """Count the units in the result."""
        result.created += len(self.new)
        result.added.update(unit.level for unit, _ in self.new)
        result.existing += self.existing


class _Shown(NamedTuple):
    """Further fields of a known place: its names in other languages, and where it lies."""

    names: dict[str, str]
    centroid: list[float] | None
    geometry: dict[str, Any] | None


async def _shown_places(connection: AsyncConnection, places: Iterable[PlaceRecord], batch: Collection[PlannedUnit]) -> dict[UUID, _Shown]:
    """Return what is compared with some units; geometries, which may be large, only if the units have some."""
    table = table_of(Place)
    geometry = table.c.geometry if any(each.place and each.place.geometry for each in batch) else null()
    columns = select(table.c.id, table.c.names, table.c.longitude, table.c.latitude, geometry.label("geometry"))
    found: dict[UUID, _Shown] = {}
    for ids in chunks({each.id for each in places}):
        for row in await connection.execute(columns.where(table.c.id.in_(ids))):
            centroid = None if row.longitude is None else [row.longitude, row.latitude]
            found[row.id] = _Shown(row.names, centroid, row.geometry)
    return found


@dataclass
class GazetteerPlan:
    """Compares the units of a file with the places that are known, batch by batch, upper units first."""

    result: GazetteerResult
    update: bool
    # Slugs of places by slug and by code of their units, and codes of units that are left out.
    _slugs: dict[str, str] = field(default_factory=dict)
    _left_out: set[str] = field(default_factory=set)

    async def step(self, connection: AsyncConnection, batch: Collection[PlannedUnit]) -> Step:
        """Compare some units, and record problems, changes and what is left out in the result."""
        names = {name for each in batch for code in (*each.codes(), each.unit.parent) if code for name in either_scheme(code)}
        names |= {name for each in batch for name in _in_other_case(each.unit.code)}
        names |= {self._slugs[name] for each in batch for name in either_scheme(each.unit.parent or "") if name in self._slugs}
        known = await find_places(connection, names | {each.place.slug for each in batch if each.place})
        ancestors = await ancestors_of(connection, {place.id for place in known.values()})
        shown = await _shown_places(connection, known.values(), batch)
        new: list[tuple[Unit, PlaceIn]] = []
        changes: dict[UUID, dict[str, Any]] = {}
        existing = 0
        for each in batch:
            places = {known[name].id: known[name] for code in each.codes() for name in either_scheme(code) if name in known}
            if len(places) > 1:
                slugs = " and ".join(place.slug for place in places.values())
                self._reject(each, "codes", f"its codes belong to different places, {slugs}: correct one of them")
            elif places:
                (place,) = places.values()
                existing += 1
                self._slugs |= dict.fromkeys(each.codes(), place.slug)
                if change := self._compare(each, place, known, ancestors, shown[place.id]):
                    changes[place.id] = change
            elif (other := next((name for name in _in_other_case(each.unit.code) if name in known), None)) is not None:
                self._reject(each, "codes", f"{known[other].slug} has this code in other letters: write {other.partition(':')[2]}")
            elif (added := self._add(each, known)) is not None:
                new.append((each.unit, added))
        return Step(new, changes, existing)

    def _parent(self, unit: Unit, known: dict[str, PlaceRecord]) -> str | None:
        slugs = self._slugs | {name: place.slug for name, place in known.items()}
        return next((slugs[name] for name in either_scheme(unit.parent or "") if name in slugs), None)

    def _add(self, each: PlannedUnit, known: dict[str, PlaceRecord]) -> PlaceIn | None:
        """Return the place of a new unit; None if the unit is left out or rejected."""
        unit, parent = each.unit, self._parent(each.unit, known)
        if each.place is None or unit.parent in self._left_out:
            self._left_out.add(unit.code)
            where = each.row.problem(unit.level, "codes", "").location
            why = "has no name" if each.place is None else f"is in {unit.parent}, which has no name"
            self.result.leave_out(f"{where}: {unit.code} {why}")
        elif unit.parent and parent is None:
            self._reject(each, "parent", f"{unit.parent} is neither in the file nor known: import the table of that level too")
        elif (other := known[each.place.slug].slug if each.place.slug in known else self._slugs.get(each.place.slug)) is not None:
            self._reject(each, "codes", f"the place {other} exists, with another code: give it this code, or correct the code")
        else:
            self._slugs |= dict.fromkeys([each.place.slug, *each.codes()], each.place.slug)
            return each.place.model_copy(update={"parent": parent})
        return None

    def _compare(
        self, each: PlannedUnit, place: PlaceRecord, known: dict[str, PlaceRecord], ancestors: dict[UUID, set[UUID]], shown: _Shown
    ) -> dict[str, Any]:
        """Return what changes in a known place, and record it in words: as a problem unless changes are wanted."""
        unit, change, words = each.unit, dict[str, Any](), list[str]()
        # Names of countries that the file does not name are not its own.
        if each.place and not unit.code.startswith(f"{ISO3}:") and unicodedata.normalize("NFC", place.name) != each.place.name:
            change["name"] = each.place.name
            words.append(f"name {place.name!r} -> {each.place.name!r}")
        names = {language: name for language, name in unit.names.items() if shown.names.get(language) != name}
        if names:
            change["names"] = names
            words += [f"names.{language} {shown.names.get(language)!r} -> {name!r}" for language, name in names.items()]
        if each.place and each.place.geometry not in (None, shown.geometry):
            # Members of a geometry of another type would stay.
            change["geometry"] = {"coordinates": None, "geometries": None, **each.place.geometry}
            words.append(f"{'other' if shown.geometry else 'new'} geometry")
        if each.place and each.place.centroid is not None and (centroid := each.place.centroid[:2]) != shown.centroid:
            change["centroid"] = centroid
            words.append(f"centroid {shown.centroid} -> {centroid}")
        if unit.country and place.country and unit.country != place.country:
            change["country"] = unit.country
            words.append(f"country {place.country} -> {unit.country}")
        parent = self._parent(unit, known)
        # By its slug, because the code by which the file names it may be new to it.
        above = next((place for place in known.values() if place.slug == parent), None)
        if parent is not None and (above is None or above.id not in ancestors[place.id]):
            if above is not None and place.id in ancestors[above.id]:
                self._reject(each, "parent", f"{place.slug} contains {parent}, which cannot contain it: correct the parent")
                return {}
            change["parent"] = parent
            words.append(f"parent -> {parent}")
        codes = [code for code in each.codes() if not any(name in known for name in either_scheme(code))]
        if codes:
            change["codes"] = [{"scheme": scheme, "code": code} for scheme, code in (*place.codes, *(code.split(":", 1) for code in codes))]
            words.append(f"new code {', '.join(codes)}")
        if change and not self.update:
            detail = f"{unit.code} is known as {place.slug}, which differs ({'; '.join(words)}): --update changes it, or correct the file"
            self._reject(each, next(iter(change)), detail)
            return {}
        if change:
            self.result.changes.append(f"{unit.code} ({place.slug}): {'; '.join(words)}")
        return change

    def _reject(self, each: PlannedUnit, field_: str, detail: str) -> None:
        self.result.reject([each.row.problem(each.unit.level, field_, detail)])


def _in_other_case(code: str) -> list[str]:
    scheme, _, letters = code.partition(":")
    return [f"{scheme}:{each}" for each in (letters.upper(), letters.lower()) if each != letters]
