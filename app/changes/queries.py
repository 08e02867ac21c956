"""The ledger as a reader may see it, entry by entry in order: what the delta feed, the stream and webhooks all read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.models import Indicator, StoredReading, Voice
from app.domain.tlp import LABELS
from app.indicators.queries import revision_for, seen_by
from app.ledger.models import Change
from app.ledger.queries import SUPERSEDED, aliases_in, entries, read_entry, shown
from app.reference.facts import NAMED_FROM
from app.reference.queries import in_place, places_in_country
from app.storage.paging import head_seq
from app.storage.types import table_of

# Of a selection so many entries are looked at a page, so that no page costs more the longer the ledger is.
MOST_LOOKED_AT = 10_000
# A new grade may move any number of indicators: beyond so many, readers ask `/v1/indicators?updated_since=`.
MOST_DOCUMENTS = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes are wanted: by kind, place and country of the indicator. Changes of grades are in every selection."""

    kind: str | None = None
    place: str | None = None
    within: bool = False
    country: str | None = None

    def where(self, level: int) -> list[ColumnElement[bool]]:
        """The condition on changes, joined as in `entries`, as a clearance may tell them apart."""
        on: list[ColumnElement[bool]] = []
        if self.kind is not None:
            on.append(col(Indicator.kind) == self.kind)
        if self.place is not None:
            on.append(in_place(Indicator.place_id, self.place, within=self.within))
        if self.country is not None:
            on.append(col(Indicator.place_id).in_(places_in_country(self.country)))
        if not on:
            return []

        def wanted(indicator: Any) -> ColumnElement[bool]:
            # Not EXISTS, for which PostgreSQL would read every indicator first.
            one = select(col(Indicator.id)).where(col(Indicator.id) == indicator, *on).limit(1)
            return one.correlate(Change).scalar_subquery().is_not(None)

        # What a correction left is not known to those who see it as a plain report, nor told where the label was raised since.
        left = and_(col(Change.plain_below) <= level, SUPERSEDED.c.level <= level, wanted(Change.from_indicator_id))
        return [or_(wanted(Change.indicator_id), left, col(Change.source_id).is_not(None))]


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Served:
    """One change as served: its seq in the reader's ledger, its type, when it was recorded, and the JSON."""

    seq: int
    type: str
    recorded_at: str
    json: str


async def changes_after(
    connection: AsyncConnection, seq: int, *, limit: int, level: int, selection: Selection = EVERYTHING
) -> tuple[list[Served], int, int]:
    """The changes after a seq of the reader's ledger, in order; the seq to go on from; the head of the ledger.

    What is passed over by the selection is behind the seq to go on from, so that nobody looks at it twice. Where that is below the
    head there is more to look at, though nothing may have been found.
    """
    head: int = (await connection.execute(select(head_seq(level)))).scalar_one() or 0
    upto = head if selection == EVERYTHING else min(head, seq + MOST_LOOKED_AT)
    rows = await _rows(connection, seq, upto, limit, level, selection)
    aliases = await aliases_in(connection, [read_entry(row)[2] for row in rows]) if level < NAMED_FROM else {}
    seen = {row["number"]: shown(row, level, aliases) for row in rows}
    documents = await _documents(connection, [row for row in rows if seen[row["number"]]["type"] != "withheld"], level)
    served = [_serve(row, seen[row["number"]], documents.get(row["number"], []), level) for row in rows]
    return served, served[-1].seq if len(served) == limit else max(upto, seq), head


async def _rows(connection: AsyncConnection, seq: int, upto: int, limit: int, level: int, selection: Selection) -> Sequence[RowMapping]:
    position = table_of(Change).c[f"seq_{LABELS[level]}"]
    # The head was read first: later entries wait for the next answer, so that no gap can open between the two.
    statement = entries().where(position > seq, position <= upto, *selection.where(level)).order_by(position).limit(limit)
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def _documents(connection: AsyncConnection, rows: Sequence[RowMapping], level: int) -> dict[int, list[str]]:
    """The documents of the indicators that each change moved, as they now stand, by number of the change."""
    wanted: dict[int, list[UUID]] = {}
    for row in rows:
        left = row["from_indicator_id"] is not None and level >= max(row["plain_below"], row["old_level"])
        moved = [row["indicator_id"], row["from_indicator_id"] if left else None]
        wanted[row["number"]] = [each for each in moved if each is not None]
        if row["source_id"] is not None:
            wanted[row["number"]] = await _resting_on(connection, row, level)
    ids = {each for every in wanted.values() for each in every}
    stored = select(col(StoredReading.indicator_id), col(StoredReading.document), revision_for(level)).where(
        col(StoredReading.indicator_id).in_(ids), *seen_by(level)
    )
    found = {row.indicator_id: with_revision(row.document, row.revision) for row in await connection.execute(stored)}
    return {number: [found[each] for each in every if each in found] for number, every in wanted.items()}


async def _resting_on(connection: AsyncConnection, row: RowMapping, level: int) -> list[UUID]:
    voices = (
        select(col(Voice.indicator_id), func.min(col(Voice.number)))
        .where(col(Voice.source_id) == row["source_id"], col(Voice.level) <= level, col(Voice.number) < row["number"])
        .group_by(col(Voice.indicator_id))
        .order_by(col(Voice.indicator_id))
        .limit(MOST_DOCUMENTS + 1)
    )
    return [voice[0] for voice in await connection.execute(voices)]


def _serve(row: RowMapping, seen: dict[str, Any], documents: list[str], level: int) -> Served:
    label = LABELS[level]
    head = {"seq": row[f"seq_{label}"], "hash": row[f"hash_{label}"], **seen, "documents_complete": len(documents) <= MOST_DOCUMENTS}
    body = f'{orjson.dumps(head).decode()[:-1]},"documents":[{",".join(documents[:MOST_DOCUMENTS])}]}}'
    return Served(row[f"seq_{label}"], seen["type"], seen["recorded_at"], body)
