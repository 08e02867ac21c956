"""Situations and positions of places, kept in memory until something moves them: one statement over the indicators tells."""

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Engine, Select, bindparam, case, exists, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorProjection, StaleRecord
from app.domain.time_point import LATEST
from app.domain.tlp import LABELS
from app.domain.view import View
from app.indicators.queries import visible_at
from app.indicators.steps import AS_OF, select_steps
from app.ledger.models import LedgerHead
from app.reference.models import Place, PlaceAncestor
from app.situations.urgency import Position
from app.storage.paging import head_seq
from app.storage.types import table_of

# Of about 10 kB each, and of about 300 bytes each, with a figure of people about 1 kB.
MAX_SITUATIONS, MAX_POSITIONS = 1000, 100_000

# The number of indicators of a place, and the last change of them that a clearance sees; None where that does not tell all.
Moved = tuple[int, int] | None
# The value that tells whether the position of a place moved, the position, and the place's figures of people.
Kept = tuple[Moved, Position, Sequence[Mapping[str, Any]]]

_kept: WeakKeyDictionary[Engine, OrderedDict[Hashable, bytes]] = WeakKeyDictionary()
_positions: WeakKeyDictionary[Engine, OrderedDict[Hashable, dict[UUID, Kept]]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Stamp:
    """The key of the situation of a place for a clearance at a time, and the number of the last entry that the clearance sees."""

    key: Hashable
    revision: int


@lru_cache(maxsize=16)
def _select_stamp(level: int, *, is_past: bool) -> Select[Any]:
    """Select the last change of each indicator of a place and of those above it, by the parameter `slug`."""
    place, pairs, projections = table_of(Place), table_of(PlaceAncestor), table_of(IndicatorProjection)
    target = select(place.c.id).where(place.c.slug == bindparam("slug")).scalar_subquery()
    of_places = projections.c.place_id.in_(select(pairs.c.ancestor_id).where(pairs.c.place_id == target))
    revision = projections.c[f"revision_{LABELS[level]}"]
    is_left = [exists().where(pairs.c.ancestor_id == target, pairs.c.place_id != target), exists(select(table_of(StaleRecord).c.record_id))]
    # Whatever changes for a clearance has the highest number yet, or is gone; places that move are public.
    changes = select(table_of(LedgerHead).c.public_changes).scalar_subquery()
    shown: list[Any] = [func.count().label("count"), func.max(revision), changes, head_seq(level).label("head")]
    shown.append(or_(*is_left).label("is_left"))
    if not is_past:
        return select(*shown).where(of_places, *visible_at(level))
    kept = select_steps(level)
    wrong = func.max(case((or_(~kept.selected_columns.kept, projections.c.dated), 1), else_=0))
    return kept.with_only_columns(*shown, wrong.label("wrong")).where(of_places)


async def situation_stamp(connection: AsyncConnection, slug: str, view: View, lang: str | None) -> Stamp | None:
    """Return the stamp of the situation of a place; None if that may depend on more than these indicators.

    It does where places lie below, where documents are made again after a change of a place or source, at `known_at`, with names in
    another language, and without indicators. Every change to what a clearance sees of an indicator has a number of its own.
    """
    if view.time_point.through_global_seq is not None or lang is not None:
        return None
    is_past = view.time_point != LATEST
    statement = _select_stamp(view.level, is_past=is_past)
    row = (await connection.execute(statement, {"slug": slug} | ({AS_OF.key: view.time_point.as_of} if is_past else {}))).one()
    if not row.count or row.is_left or (is_past and row.wrong):
        return None
    return Stamp((slug, view.level, view.at, *row[:3]), row.head or 0)


def find_situation(connection: AsyncConnection, stamp: Stamp) -> bytes | None:
    """Return the situation that was kept under a stamp."""
    kept = _situations(connection)
    if (found := kept.get(stamp.key)) is not None:
        kept.move_to_end(stamp.key)
    return found


def keep_situation(connection: AsyncConnection, stamp: Stamp, body: bytes) -> None:
    """Keep a situation under the stamp that was read with it; drop those asked for least recently."""
    kept = _situations(connection)
    kept[stamp.key] = body
    while len(kept) > MAX_SITUATIONS:
        kept.popitem(last=False)


async def places_moved(connection: AsyncConnection, where: Sequence[ColumnElement[bool]], view: View) -> dict[UUID, Moved]:
    """Return the places that have indicators, and what tells whether these moved, as recorded now; `where` has conditions on places."""
    projections, is_past = table_of(IndicatorProjection), view.time_point != LATEST
    shown: list[Any] = [projections.c.place_id, func.count(), func.max(projections.c[f"revision_{LABELS[view.level]}"])]
    statement = select_steps(view.level) if is_past else select(literal(1).label("kept")).where(*visible_at(view.level))
    unkept = func.min(case((statement.selected_columns.kept, 1), else_=0)) == 0 if is_past else literal(value=False)
    shown.append(or_(exists(select(table_of(StaleRecord).c.record_id)), unkept).label("unsure"))
    if where:
        statement = statement.where(projections.c.place_id.in_(select(col(Place.id)).where(*where)))
    grouped = statement.with_only_columns(*shown).group_by(projections.c.place_id)
    rows = await connection.execute(grouped, {AS_OF.key: view.time_point.as_of} if is_past else {})
    return {place: None if unsure else (count, changed) for place, count, changed, unsure in rows}


def kept_positions(connection: AsyncConnection, view: View) -> dict[UUID, Kept]:
    """Return the positions of places that are kept for a view; more may be added."""
    kept = _positions.setdefault(_engine(connection), OrderedDict())
    found = kept.setdefault((view, view.at), {})
    kept.move_to_end((view, view.at))
    while len(kept) > 1 and sum(map(len, kept.values())) > MAX_POSITIONS:
        kept.popitem(last=False)
    return found


def _situations(connection: AsyncConnection) -> OrderedDict[Hashable, bytes]:
    return _kept.setdefault(_engine(connection), OrderedDict())


def _engine(connection: AsyncConnection) -> Engine:
    assert connection.sync_connection is not None
    return connection.sync_connection.engine
