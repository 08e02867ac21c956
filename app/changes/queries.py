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
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource
from app.domain.tlp import LABELS
from app.http.cursors import Cursor
from app.indicators.queries import revision_for, visible_at
from app.ledger.models import LedgerEntry
from app.ledger.queries import SUPERSEDED, decode_entry, load_aliases, select_entries, visible_entry
from app.reference.facts import REVEAL_FROM
from app.reference.queries import place_filter, places_in_country
from app.storage.paging import head_seq
from app.storage.types import table_of

# Of a selection so many entries are looked at a page, so that no page costs more the longer the ledger is.
MAX_SCANNED = 10_000
# A new grade may move any number of indicators: beyond so many, readers ask `/v1/indicators?updated_since=`.
MAX_DOCUMENTS = 100
# One for each clearance, because each numbers its ledger by itself.
CHANGE_CURSORS = [Cursor(f"changes/{label}", int, valid_for="list or clearance") for label in LABELS]


@dataclass(frozen=True, slots=True)
class ChangeFilters:
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
            on.append(place_filter(Indicator.place_id, self.place, within=self.within))
        if self.country is not None:
            on.append(col(Indicator.place_id).in_(places_in_country(self.country)))
        if not on:
            return []

        def wanted(indicator: Any) -> ColumnElement[bool]:
            # Not EXISTS, for which PostgreSQL would read every indicator first.
            one = select(col(Indicator.id)).where(col(Indicator.id) == indicator, *on).limit(1)
            return one.correlate(LedgerEntry).scalar_subquery().is_not(None)

        # What a correction left is not known to those who see it as a plain report, nor told where the label was raised since.
        left = and_(col(LedgerEntry.redacted_below) <= level, SUPERSEDED.c.level <= level, wanted(LedgerEntry.from_indicator_id))
        return [or_(wanted(LedgerEntry.indicator_id), left, col(LedgerEntry.source_id).is_not(None))]


ALL_CHANGES = ChangeFilters()


@dataclass(frozen=True, slots=True)
class ServedChange:
    """One change as served: its seq in the reader's ledger, its type, when it was recorded, and the JSON."""

    seq: int
    type: str
    recorded_at: str
    json: str


async def changes_after(
    connection: AsyncConnection, seq: int, *, limit: int, level: int, selection: ChangeFilters = ALL_CHANGES
) -> tuple[list[ServedChange], int, int]:
    """The changes after a seq of the reader's ledger, in order; the seq to go on from; the head of the ledger.

    What is passed over by the selection is behind the seq to go on from, so that nobody looks at it twice. Where that is below the
    head there is more to look at, though nothing may have been found.
    """
    head: int = (await connection.execute(select(head_seq(level)))).scalar_one() or 0
    upto = head if selection == ALL_CHANGES else min(head, seq + MAX_SCANNED)
    rows = await _rows(connection, seq, upto, limit, level, selection)
    aliases = await load_aliases(connection, [decode_entry(row)[2] for row in rows]) if level < REVEAL_FROM else {}
    seen = {row["global_seq"]: visible_entry(row, level, aliases) for row in rows}
    documents = await _documents(connection, [row for row in rows if seen[row["global_seq"]]["type"] != "withheld"], level)
    served = [_serve(row, seen[row["global_seq"]], documents.get(row["global_seq"], []), level) for row in rows]
    return served, served[-1].seq if len(served) == limit else max(upto, seq), head


async def _rows(connection: AsyncConnection, seq: int, upto: int, limit: int, level: int, selection: ChangeFilters) -> Sequence[RowMapping]:
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    # The head was read first: later entries wait for the next answer, so that no gap can open between the two.
    statement = select_entries().where(position > seq, position <= upto, *selection.where(level)).order_by(position).limit(limit)
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def _documents(connection: AsyncConnection, rows: Sequence[RowMapping], level: int) -> dict[int, list[str]]:
    """The documents of the indicators that each change moved, as they now stand, by number of the change."""
    wanted: dict[int, list[UUID]] = {}
    for row in rows:
        left = row["from_indicator_id"] is not None and level >= max(row["redacted_below"], row["old_level"])
        moved = [row["indicator_id"], row["from_indicator_id"] if left else None]
        wanted[row["global_seq"]] = [each for each in moved if each is not None]
        if row["source_id"] is not None:
            wanted[row["global_seq"]] = await _indicators_of_source(connection, row, level)
    ids = {each for every in wanted.values() for each in every}
    stored = select(col(IndicatorProjection.indicator_id), col(IndicatorProjection.document), revision_for(level)).where(
        col(IndicatorProjection.indicator_id).in_(ids), *visible_at(level)
    )
    found = {row.indicator_id: with_revision(row.document, row.revision) for row in await connection.execute(stored)}
    return {number: [found[each] for each in every if each in found] for number, every in wanted.items()}


async def _indicators_of_source(connection: AsyncConnection, row: RowMapping, level: int) -> list[UUID]:
    voices = (
        select(col(IndicatorSource.indicator_id), func.min(col(IndicatorSource.first_global_seq)))
        .where(
            col(IndicatorSource.source_id) == row["source_id"],
            col(IndicatorSource.level) <= level,
            col(IndicatorSource.first_global_seq) < row["global_seq"],
        )
        .group_by(col(IndicatorSource.indicator_id))
        .order_by(col(IndicatorSource.indicator_id))
        .limit(MAX_DOCUMENTS + 1)
    )
    return [voice[0] for voice in await connection.execute(voices)]


def _serve(row: RowMapping, seen: dict[str, Any], documents: list[str], level: int) -> ServedChange:
    label = LABELS[level]
    head = {"seq": row[f"seq_{label}"], "hash": row[f"hash_{label}"], **seen, "documents_complete": len(documents) <= MAX_DOCUMENTS}
    body = f'{orjson.dumps(head).decode()[:-1]},"documents":[{",".join(documents[:MAX_DOCUMENTS])}]}}'
    return ServedChange(row[f"seq_{label}"], seen["type"], seen["recorded_at"], body)
