"""The queue of a webhook: the changes that wait for delivery, and the bodies to send.

The ledger is the outbox: each webhook has a cursor in it, so every committed change reaches every webhook.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.models import IndicatorProjection
from app.changes.queries import ServedChange, changes_after
from app.changes.schemas import ChangeFilters
from app.indicators.queries import visible_at
from app.ledger.models import LedgerEntry, LedgerHead, seq_column
from app.storage.types import table_of
from app.webhooks.events import MAX_DOCUMENT_LEVEL, build_event, event_type
from app.webhooks.models import Delivery, Webhook

BATCH_SIZE = 100
# Further changes stay in the ledger, after the cursor.
MAX_PENDING_DELIVERIES = 1000
# SQLite has no other writer meanwhile, so a scan for the first change that matches goes on with the next lease.
MAX_SCAN_SECONDS = 0.5

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


def is_full() -> ColumnElement[bool]:
    """Return the condition on webhooks whose queue is full."""
    pending = select(deliveries.c.id).where(deliveries.c.webhook_id == webhooks.c.id, deliveries.c.status == "pending")
    some = pending.correlate(webhooks).limit(MAX_PENDING_DELIVERIES).subquery()
    return select(func.count()).select_from(some).scalar_subquery() >= MAX_PENDING_DELIVERIES


async def enqueue_changes(connection: AsyncConnection, webhook: RowMapping, now: datetime, new_id: Callable[[], UUID]) -> None:
    """Queue the changes after the webhook's cursor that match its filters, and move the cursor."""
    if (await connection.execute(select(is_full()).where(webhooks.c.id == webhook["id"]))).scalar_one():
        return
    level, cursor = webhook["level"], webhook["cursor_seq"]
    filters = ChangeFilters(webhook["kind"], webhook["place"], webhook["within"], webhook["country"])
    # Read before the changes: an entry committed in between then counts as newer than the bodies.
    global_seq = await _last_global_seq(connection)
    deadline = time.monotonic() + MAX_SCAN_SECONDS
    while True:
        changes, cursor, head = await changes_after(connection, cursor, limit=BATCH_SIZE, level=level, filters=filters)
        if changes or cursor >= head or time.monotonic() >= deadline:
            break
    if changes:
        queued = {new_id(): change for change in changes}
        rows = [
            Delivery(
                id=id_,
                webhook_id=webhook["id"],
                seq=queued[id_].seq,
                event_type=event_type(queued[id_].type),
                body=body,
                body_global_seq=global_seq,
                status="pending",
                created_at=now,
                next_attempt_at=now,
            ).model_dump()
            for id_, body in (await _build_bodies(connection, queued, level)).items()
        ]
        await connection.execute(insert(deliveries), rows)
    if cursor != webhook["cursor_seq"]:
        await connection.execute(update(webhooks).where(webhooks.c.id == webhook["id"]).values(cursor_seq=cursor))


async def due_deliveries(connection: AsyncConnection, webhook_id: UUID, now: datetime) -> Sequence[RowMapping]:
    """Load the deliveries that are due, in ledger order: none after one that waits for its next attempt."""
    pending = select(deliveries).where(deliveries.c.webhook_id == webhook_id, deliveries.c.status == "pending")
    rows = (await connection.execute(pending.order_by(deliveries.c.seq).limit(BATCH_SIZE))).mappings()
    return list(takewhile(lambda each: each["next_attempt_at"] <= now, rows))


async def refresh_body(connection: AsyncConnection, webhook: RowMapping, delivery: RowMapping) -> str:
    """Return the body of a delivery, rebuilt if a label was raised above the webhook since it was built.

    Compares `global_seq`, not times, because entries may be committed out of order and clocks differ.
    """
    level: int = webhook["level"]
    raised = select(func.max(col(LedgerEntry.global_seq))).where(
        col(LedgerEntry.type) == "label",
        col(LedgerEntry.level) <= level,
        col(LedgerEntry.redacted_below) > level,
        col(LedgerEntry.global_seq) > delivery["body_global_seq"],
    )
    body: str = delivery["body"]
    if (await connection.execute(raised)).scalar_one() is not None:
        global_seq = await _last_global_seq(connection)
        (change,), _, _ = await changes_after(connection, delivery["seq"] - 1, limit=1, level=level)
        body = (await _build_bodies(connection, {delivery["id"]: change}, level))[delivery["id"]]
        await connection.execute(update(deliveries).where(deliveries.c.id == delivery["id"]).values(body=body, body_global_seq=global_seq))
    return body


async def _last_global_seq(connection: AsyncConnection) -> int:
    return (await connection.execute(select(col(LedgerHead.global_seq)))).scalar_one()


async def _build_bodies(connection: AsyncConnection, changes: Mapping[UUID, ServedChange], level: int) -> dict[UUID, str]:
    """Build the body of each delivery: a reference if the change or a document beside it needs a clearance above MAX_DOCUMENT_LEVEL."""
    position = seq_column(level)
    seqs = [change.seq for change in changes.values()]
    entries = select(position, col(LedgerEntry.level), col(LedgerEntry.redacted_below)).where(position.in_(seqs))
    # Below `redacted_below` a correction is served as a plain report, which does not need that clearance.
    required = {seq: max(own, below if level >= below else 0) for seq, own, below in await connection.execute(entries)}
    documents = {change.seq: [UUID(each["id"]) for each in orjson.loads(change.json)["documents"]] for change in changes.values()}
    projections = select(col(IndicatorProjection.indicator_id), col(IndicatorProjection.min_clearance)).where(
        col(IndicatorProjection.indicator_id).in_({each for ids in documents.values() for each in ids}), *visible_at(level)
    )
    lowest = {row.indicator_id: row.min_clearance for row in await connection.execute(projections)}
    bodies = {}
    for id_, change in changes.items():
        clearance = max(required[change.seq], *(lowest.get(each, level) for each in documents[change.seq]), 0)
        bodies[id_] = build_event(id_, change, reference_only=clearance > MAX_DOCUMENT_LEVEL, reader_level=level)
    return bodies
