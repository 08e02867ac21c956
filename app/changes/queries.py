"""Read changes: the ledger as a clearance sees it, in order, for polling, streams and webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, or_, select, true
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.models import Indicator, IndicatorProjection, IndicatorSource
from app.changes.schemas import ALL_CHANGES, ChangeFilters
from app.domain.tlp import LABELS
from app.http.cursors import Cursor
from app.indicators.queries import revision_for, visible_at
from app.ledger.evidence import EVIDENCE_CHANGES, OUTCOMES, evidence_changes
from app.ledger.models import LedgerEntry, seq_column
from app.ledger.queries import SUPERSEDED, select_entries, visible_entries
from app.reference.queries import place_conditions
from app.reports.models import Report
from app.storage.paging import current_revision
from app.storage.slices import end_slice
from app.storage.types import table_of

# Entries that one filtered page looks at, so that a page costs the same however long the ledger is.
MAX_SCANNED = 10_000
# A grade, a place or a source may change any number of indicators: beyond this many, clients ask `/v1/indicators?updated_since=`.
MAX_DOCUMENTS = 100
# Entries served before other requests get their turn.
SLICE_CHANGES = 100
# One for each clearance, because each numbers its ledger by itself.
CHANGE_CURSORS = [Cursor(f"changes/{label}", int, valid_for="list or clearance") for label in LABELS]


@dataclass(frozen=True, slots=True)
class ServedChange:
    """One change as JSON, with its position in the reader's ledger, its type and the time when it was recorded."""

    seq: int
    type: str
    recorded_at: str
    json: str


async def changes_after(
    connection: AsyncConnection, seq: int, *, limit: int, level: int, filters: ChangeFilters = ALL_CHANGES
) -> tuple[list[ServedChange], int, int]:
    """Return the changes after a position of the reader's ledger, in order, the position to continue from, and the ledger's head.

    The position to continue from lies behind all entries that the filters excluded. If it is less than the head, more entries follow,
    even if no change was returned.
    """
    head = await current_revision(connection, level)
    through = head if filters == ALL_CHANGES else min(head, seq + MAX_SCANNED)
    position = seq_column(level)
    # `through` was read first and bounds the page, so that an entry committed in between is left for the next page.
    statement = select_entries().where(position <= through, *_conditions(filters, level)).order_by(position)
    served: list[ServedChange] = []
    while len(served) < limit:
        after, wanted = served[-1].seq if served else seq, min(SLICE_CHANGES, limit - len(served))
        rows = (await connection.execute(statement.where(position > after).limit(wanted))).mappings().all()
        entries = await visible_entries(connection, rows, level)
        named = [row for row, entry in zip(rows, entries, strict=True) if entry["type"] != "withheld"]
        documents = await _documents(connection, named, level)
        served += (_serve(entry, documents.get(row["global_seq"], [])) for row, entry in zip(rows, entries, strict=True))
        if len(rows) < wanted:
            break
        if len(served) < limit:
            await end_slice(0)
    return served, served[-1].seq if len(served) == limit else max(through, seq), head


def _conditions(filters: ChangeFilters, level: int) -> list[ColumnElement[bool]]:
    """Return the conditions on rows of `select_entries`, using only what the clearance may know."""
    conditions = place_conditions(Indicator.place_id, filters.place, within=filters.within, country=filters.country)
    if filters.kind is not None:
        conditions.append(col(Indicator.kind) == filters.kind)
    if not conditions:
        return []

    def fits(indicator_id: Any) -> ColumnElement[bool]:
        # A scalar subquery, because PostgreSQL plans EXISTS as a scan of all indicators.
        fitting = select(col(Indicator.id)).where(col(Indicator.id) == indicator_id, *conditions).limit(1)
        return fitting.correlate(LedgerEntry).scalar_subquery().is_not(None)

    # The indicator that a correction moves a statement away from, unless the reader may not know of the superseded report.
    left = and_(col(LedgerEntry.redacted_below) <= level, SUPERSEDED.c.level <= level, fits(LedgerEntry.from_indicator_id))
    # Evidence is about the place of the warning, but may be of another kind.
    rested = select(OUTCOMES.c.report_id).join(Indicator, col(Indicator.id) == OUTCOMES.c.indicator_id).limit(1)
    rested = rested.where(
        OUTCOMES.c.report_id == LedgerEntry.report_id, OUTCOMES.c.type == "outcome", OUTCOMES.c.level <= level, *conditions
    )
    evidence = and_(col(LedgerEntry.type).in_(EVIDENCE_CHANGES), rested.correlate(LedgerEntry).scalar_subquery().is_not(None))
    # Every indicator may name a source or a route that was graded or changed; a new record changes none.
    own_place = place_conditions(LedgerEntry.record_id, filters.place, within=filters.within, country=filters.country)
    shown = or_(col(LedgerEntry.type) != "place", and_(true(), *own_place))
    named = or_(col(LedgerEntry.type) == "grade", and_(col(LedgerEntry.previous_global_seq).is_not(None), shown))
    # A filter must not tell what a report is about that was raised since.
    hidden = and_(col(Report.level) > level, col(LedgerEntry.type) != "outcome")
    return [or_(fits(LedgerEntry.indicator_id), left, named, hidden, evidence)]


async def _documents(connection: AsyncConnection, rows: Sequence[RowMapping], level: int) -> dict[int, list[str]]:
    """Return the current documents of the indicators that each entry changed, by `global_seq`."""
    changed: dict[int, list[UUID]] = {}
    rested: dict[int, list[UUID]] = {}
    if amending := [row["global_seq"] for row in rows if row["type"] in EVIDENCE_CHANGES]:
        for indicator, from_level, global_seq in await connection.execute(evidence_changes(amending)):
            if from_level <= level:
                rested.setdefault(global_seq, []).append(indicator)
    for row in rows:
        # The creation of a record changes no indicator.
        if row["record_id"] is not None and row["previous_global_seq"] is None:
            changed[row["global_seq"]] = []
            continue
        if row["source_id"] is not None or row["type"] == "place":
            changed[row["global_seq"]] = await _indicators_that_show(connection, row, level)
            continue
        left = row["from_indicator_id"] is not None and level >= max(row["redacted_below"], row["superseded_level"])
        indicators = [row["indicator_id"], row["from_indicator_id"] if left else None, *rested.get(row["global_seq"], [])]
        changed[row["global_seq"]] = [each for each in indicators if each is not None]
    ids = {each for indicators in changed.values() for each in indicators}
    stored = select(col(IndicatorProjection.indicator_id), col(IndicatorProjection.document), revision_for(level)).where(
        col(IndicatorProjection.indicator_id).in_(ids), *visible_at(level)
    )
    found = {row.indicator_id: with_revision(row.document, row.revision) for row in await connection.execute(stored)}
    return {global_seq: [found[each] for each in indicators if each in found] for global_seq, indicators in changed.items()}


async def _indicators_that_show(connection: AsyncConnection, row: RowMapping, level: int) -> list[UUID]:
    """Return the indicators that rested on the source, or were of the place, of an entry before it."""
    sources = table_of(IndicatorSource).c
    shown = sources.source_id == row["source_id"]
    if row["type"] == "place":
        shown = sources.indicator_id.in_(select(col(Indicator.id)).where(col(Indicator.place_id) == row["record_id"]))
    rows = await connection.execute(
        select(sources.indicator_id)
        .distinct()
        .where(shown, sources.level <= level, sources.first_global_seq < row["global_seq"])
        .order_by(sources.indicator_id)
        .limit(MAX_DOCUMENTS + 1)
    )
    return list(rows.scalars())


def _serve(entry: Mapping[str, Any], documents: Sequence[str]) -> ServedChange:
    body = orjson.dumps({**entry, "documents_complete": len(documents) <= MAX_DOCUMENTS}).decode()
    json = f'{body[:-1]},"documents":[{",".join(documents[:MAX_DOCUMENTS])}]}}'
    return ServedChange(entry["seq"], entry["type"], entry["recorded_at"], json)
