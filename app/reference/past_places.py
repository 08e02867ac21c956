"""Conditions on places at a time point: their tree, codes, countries and geometries as they were known then."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, false, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import TimePoint
from app.ledger.models import RECORD
from app.reference.bounding_box import parse_bbox
from app.reference.models import Place, PlaceAncestor
from app.reference.queries import ancestors_of, find_places, place_conditions, places_by_id, places_in_box
from app.reference.records import PlaceRecord
from app.reference.rows import is_within
from app.reference.versions import changed_places, changed_since, entries, past_records, recorded_by
from app.storage.types import table_of


@dataclass(frozen=True, slots=True)
class PlaceTree:
    """Which places contained which at a time point: the tree of now, and the places that have another parent now.

    `parents` has the parents that these had then, `ancestors` what contains them, their parents and their ancestors now.
    """

    parents: Mapping[UUID, UUID | None]
    ancestors: Mapping[UUID, set[UUID]]

    def below(self, place: UUID) -> Select[Any]:
        """Select a place and the places that it contained then; a place may come more than once."""
        pairs = table_of(PlaceAncestor)
        marks = self.parents.keys() | {place}
        is_inside = {each: self._is_inside(each, place, marks) for each in marks}
        # Only the places that crossed the border of `place` since; the others moved along with what contains them.
        crossed = [each for each in self.parents if each != place and is_inside[each] != self._above(each, marks, is_inside)]
        came, left = ([each for each in crossed if is_inside[each] == inside] for inside in (True, False))
        below = select(pairs.c.place_id).where(pairs.c.ancestor_id.in_(_literal([place, *came])))
        if not left:
            return below
        inner, between = pairs.alias("inner_pair"), pairs.alias("between")
        excluded = select(inner.c.place_id).join(between, between.c.place_id == inner.c.ancestor_id)
        excluded = excluded.where(inner.c.place_id == pairs.c.place_id, inner.c.ancestor_id.in_(_literal(left)))
        return below.where(~excluded.where(between.c.ancestor_id == pairs.c.ancestor_id).correlate(pairs).exists())

    def nearest(self, places: set[UUID], marks: Collection[UUID]) -> UUID | None:
        """Return the innermost of some places that contain each other, of those that are marked; None without any."""
        return max((each for each in places if each in marks), key=lambda each: len(self.ancestors.get(each, ())), default=None)

    def _above(self, each: UUID, marks: Collection[UUID], is_inside: Mapping[UUID, bool]) -> bool:
        nearest = self.nearest(self.ancestors[each] - {each}, marks)
        return nearest is not None and is_inside[nearest]

    def _is_inside(self, each: UUID, place: UUID, marks: Collection[UUID]) -> bool:
        """Follow the parents of then: between two places that have moved, the tree is that of now."""
        found: UUID | None = each
        for _ in marks:
            nearest = None if found is None else self.nearest(self.ancestors.get(found, {found}), marks)
            if nearest is None or nearest == place:
                break
            found = self.parents[nearest]
        return nearest == place


async def place_tree(connection: AsyncConnection, time_point: TimePoint) -> PlaceTree:
    """Return the tree of places as it was known at a time point."""
    if time_point.through_global_seq is None:
        return PlaceTree({}, {})
    now, above, then = (table_of(Place).alias(name) for name in ("now", "above", "then"))
    moved = (
        changed_places(time_point.through_global_seq, then.c.id.label("parent"))
        .join(now, now.c.id == entries.c.record_id)
        .outerjoin(above, above.c.id == now.c.parent_id)
        .outerjoin(then, then.c.slug == entries.c.detail[RECORD]["parent"].as_string())
        .where(above.c.id.is_distinct_from(then.c.id))
    )
    parents = {row.record_id: row.parent for row in await connection.execute(moved)}
    near = await ancestors_of(connection, parents.keys() | (set(parents.values()) - {None}))
    far = await ancestors_of(connection, set().union(*near.values()) - near.keys())
    return PlaceTree(parents, near | far)


async def ancestors_then(connection: AsyncConnection, places: Collection[UUID], time_point: TimePoint) -> dict[UUID, set[UUID]]:
    """Return the places that contained each of some places at a time point."""
    tree = await place_tree(connection, time_point)
    now = await ancestors_of(connection, places)
    then: dict[UUID, set[UUID]] = {}
    for place in places:
        found: set[UUID] = set()
        each: UUID | None = place
        while each is not None and each not in found:
            above = now[each] if each in now else (await ancestors_of(connection, [each]))[each]
            moved = tree.nearest(above, tree.parents)
            found |= above if moved is None else above - tree.ancestors[moved] | {moved}
            each = None if moved is None else tree.parents[moved]
        then[place] = found - {place}
    return then


async def find_places_then(connection: AsyncConnection, references: Collection[str], time_point: TimePoint) -> dict[str, PlaceRecord]:
    """Return the places that slugs and the `scheme:code` pairs of a time point refer to; unknown references are absent."""
    found = await find_places(connection, references)
    coded = {each for each in references if ":" in each}
    if time_point.through_global_seq is None or not coded:
        return found
    changed = changed_places(time_point.through_global_seq, entries.c.detail[RECORD]["codes"].as_json().label("codes"))
    then: dict[str, UUID] = {}
    others: set[UUID] = set()
    for row in await connection.execute(changed):
        others.add(row.record_id)
        then |= {pair: row.record_id for code in row.codes if (pair := f"{code['scheme']}:{code['code']}") in coded}
    kept_codes = [place.id for each, place in found.items() if each in coded and place.id not in others]
    existed = select(col(Place.id)).where(col(Place.id).in_(kept_codes), recorded_by(table_of(Place).c.id, time_point.through_global_seq))
    known = set((await connection.execute(existed)).scalars())
    kept = {each: place for each, place in found.items() if each not in coded or place.id in known}
    records = await places_by_id(connection, set(then.values()))
    return kept | {pair: records[each] for pair, each in then.items()}


def placed(filters: Any) -> dict[str, Any]:
    """Return the filters of a list on places, as `place_conditions_at` takes them."""
    return {name: getattr(filters, name, None) for name in ("place", "within", "country", "bbox")}


async def place_conditions_at(
    connection: AsyncConnection,
    column: Any,
    place: str | None,
    *,
    within: bool,
    country: str | None,
    time_point: TimePoint,
    bbox: str | None = None,
) -> list[ColumnElement[bool]]:
    """Return the conditions of filters on a column of place identifiers, for places as they were known at a time point."""
    through, box = time_point.through_global_seq, None if bbox is None else parse_bbox(bbox)
    if through is None:
        in_box = [] if box is None else [col(column).in_(places_in_box(box))]
        return [*place_conditions(column, place, within=within, country=country), *in_box]
    conditions: list[ColumnElement[bool]] = []
    if place is not None:
        found = (await find_places_then(connection, [place], time_point)).get(place)
        if found is None:
            return [false()]
        tree = await place_tree(connection, time_point) if within else None
        conditions.append(col(column) == found.id if tree is None else col(column).in_(tree.below(found.id)))
    unchanged = col(column).not_in(changed_since(through))
    if country is not None:
        then = changed_places(through).where(entries.c.detail[RECORD]["country"].as_string() == country)
        now = select(col(Place.id)).where(col(Place.country) == country)
        conditions.append(or_(col(column).in_(now) & unchanged, col(column).in_(then)))
    if box is not None:
        records = await past_records(connection, "place", time_point)
        inside = [each for each, record in records.items() if is_within(record, box)]
        conditions.append(or_(col(column).in_(places_in_box(box)) & unchanged, col(column).in_(_literal(inside))))
    return conditions


def _literal(ids: Collection[UUID]) -> Any:
    """Return identifiers as part of the statement, because a statement takes at most 32,766 parameters."""
    return bindparam(None, list(ids), type_=table_of(Place).c.id.type, expanding=True, literal_execute=True, unique=True)
