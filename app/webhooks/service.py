"""Webhooks in the database: registered and deleted, queued for out of the ledger, sent by one at a time, and what came of it.

The ledger is the outbox: what is committed there reaches every webhook, since each has a cursor of its own in it.
"""

import base64
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog
from sqlalchemy import BindParameter, ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from app.access.models import ApiKey
from app.access.principal import Caller
from app.assessment.models import IndicatorProjection
from app.changes.queries import ChangeFilters, ServedChange, changes_after
from app.domain.times import utc_now
from app.domain.tlp import LABELS
from app.http.problems import Problem, invalid_field, not_found
from app.indicators.queries import visible_at
from app.ledger.models import LedgerEntry, LedgerHead
from app.reference.queries import find_places
from app.settings import Settings
from app.storage.paging import head_seq
from app.storage.types import table_of
from app.webhooks.backoff import next_attempt
from app.webhooks.delivery import DeliveryResult
from app.webhooks.events import MAX_DOCUMENT_LEVEL, build_event, event_type
from app.webhooks.models import Delivery, Webhook
from app.webhooks.queries import visible_webhooks
from app.webhooks.schemas import WebhookIn

SECRET_BYTES = 32
MAX_WEBHOOKS = 100
# What waits beyond this waits in the ledger, behind the cursor.
MAX_PENDING_DELIVERIES = 1000
BATCH_SIZE = 100
# How long one turn looks for the first change of a selection.
MAX_SCAN_SECONDS = 0.5

log = structlog.get_logger(__name__)

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


async def register(session: AsyncSession, caller: Caller, sent: WebhookIn, url: str, identifier: UUID | None = None) -> Webhook:
    """A new webhook that delivers at the caller's clearance. 409 beyond 100 of one organisation, 422 for an unknown place.

    `identifier` is one to give it, which must be new.
    """
    connection = await session.connection()
    assert caller.key_id is not None
    assert caller.organisation is not None
    count = select(func.count()).select_from(webhooks).where(webhooks.c.organisation == caller.organisation)
    if (await connection.execute(count)).scalar_one() >= MAX_WEBHOOKS:
        raise Problem(409, f"The organisation has {MAX_WEBHOOKS} webhooks already: delete one first.", kind="too-many")
    if sent.place is not None and sent.place not in await find_places(connection, [sent.place]):
        raise invalid_field("/place", "there is no such place")
    head = (await connection.execute(select(head_seq(caller.level)))).scalar_one() or 0
    webhook = Webhook(
        id=identifier or uuid7(),
        key_id=caller.key_id,
        organisation=caller.organisation,
        level=caller.level,
        url=url,
        kind=sent.kind,
        place=sent.place,
        within=sent.within,
        country=sent.country,
        secret="whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        cursor_seq=0 if sent.after == "beginning" else head,
        created_at=utc_now(),
    )
    session.add(webhook)
    await session.flush()
    return webhook


async def remove(session: AsyncSession, caller: Caller, webhook_id: UUID) -> None:
    """Delete a webhook and its log; an attempt under way is not called back. 404 where the caller does not see it."""
    connection = await session.connection()
    found = await connection.execute(select(webhooks.c.id).where(webhooks.c.id == webhook_id, *visible_webhooks(caller)).with_for_update())
    if found.one_or_none() is None:
        raise not_found("webhook")
    await connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
    await connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))


async def redeliver(session: AsyncSession, caller: Caller, webhook_id: UUID, delivery_id: UUID) -> None:
    """Make a delivery due now, with its schedule before it again; sets a disabled webhook going. 404 where there is none."""
    connection = await session.connection()
    visible = select(webhooks.c.id).where(webhooks.c.id == webhook_id, *visible_webhooks(caller)).with_for_update()
    if (await connection.execute(visible)).one_or_none() is None:
        raise not_found("webhook")
    again = update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
    done = await connection.execute(again.values(status="pending", attempts=0, first_attempt_at=None, next_attempt_at=utc_now()))
    if done.rowcount == 0:
        raise not_found("delivery")
    going = update(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_not(None))
    await connection.execute(going.values(disabled_at=None, disabled_reason=None, failing_since=None))


def deliverable(now: datetime | BindParameter[datetime], public_level: int) -> list[ColumnElement[bool]]:
    """The condition on webhooks that go: not disabled, and the key that made them is valid and still sees as much."""
    keys = table_of(ApiKey)
    valid = select(keys.c.id).where(
        keys.c.id == webhooks.c.key_id,
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > now),
        or_(keys.c.clearance >= webhooks.c.level, webhooks.c.level <= public_level),
    )
    return [webhooks.c.disabled_at.is_(None), valid.correlate(webhooks).exists()]


def is_full() -> ColumnElement[bool]:
    """Whether as much waits for a webhook as may be queued."""
    waiting = select(deliveries.c.id).where(deliveries.c.webhook_id == webhooks.c.id, deliveries.c.status == "pending")
    some = waiting.correlate(webhooks).limit(MAX_PENDING_DELIVERIES).subquery()
    return select(func.count()).select_from(some).scalar_subquery() >= MAX_PENDING_DELIVERIES


def lease_seconds(settings: Settings) -> float:
    """Seconds for which one process may send to a webhook, unless it says again that it lives: two attempts."""
    return 2 * settings.webhook_timeout_seconds


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send to one webhook, held by its lease, and what is due, in the order of the ledger; nothing is held for nothing."""

    lease: UUID
    webhook: RowMapping
    due: Sequence[RowMapping]


async def acquire_lease(
    connection: AsyncConnection, webhook_id: UUID, settings: Settings, new_id: Callable[[], UUID] = uuid7
) -> Lease | None:
    """Lease a webhook, queue what is new in its ledger, and answer what is due; None when another has it, or it does not go.

    All in the caller's transaction: bodies, cursor and lease are committed together. `new_id` makes the identifiers of deliveries.
    """
    now, lease = utc_now(), uuid4()
    free = or_(webhooks.c.lease_expires_at.is_(None), webhooks.c.lease_expires_at <= now)
    until = now + timedelta(seconds=lease_seconds(settings))
    taking = update(webhooks).where(webhooks.c.id == webhook_id, free, *deliverable(now, settings.public_clearance.level))
    row = (await connection.execute(taking.values(lease_id=lease, lease_expires_at=until).returning(*webhooks.c))).mappings().one_or_none()
    if row is None:
        return None
    await _prune(connection, webhook_id, now - timedelta(days=settings.webhook_log_days))
    if not (await connection.execute(select(is_full()).where(webhooks.c.id == webhook_id))).scalar_one():
        await _enqueue_changes(connection, row, now, new_id)
    due = (
        select(deliveries)
        .where(deliveries.c.webhook_id == webhook_id, deliveries.c.status == "pending", deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.seq)
        .limit(BATCH_SIZE)
    )
    found = (await connection.execute(due)).mappings().all()
    if found and await _rebuild_bodies(connection, row, found):
        found = (await connection.execute(due)).mappings().all()
    turn = Lease(lease, row, found)
    if not turn.due:
        await renew_lease(connection, turn, settings, go_on=False)
    return turn


async def _enqueue_changes(connection: AsyncConnection, webhook: RowMapping, now: datetime, new_id: Callable[[], UUID]) -> None:
    level: int = webhook["level"]
    # Read before the changes: what is recorded between the two is taken for unknown.
    known = await _last_global_seq(connection)
    selection = ChangeFilters(webhook["kind"], webhook["place"], webhook["within"], webhook["country"])
    changes, cursor, head = await changes_after(connection, webhook["cursor_seq"], limit=BATCH_SIZE, level=level, selection=selection)
    until = time.monotonic() + MAX_SCAN_SECONDS
    # What is left is for the next turn: on SQLite nobody else writes meanwhile.
    while not changes and cursor < head and time.monotonic() < until:
        changes, cursor, head = await changes_after(connection, cursor, limit=BATCH_SIZE, level=level, selection=selection)
    if cursor == webhook["cursor_seq"]:
        return
    if changes:
        levels = await _required_clearances(connection, changes, level)
        rows = []
        for change in changes:
            id_ = new_id()
            rows.append(
                Delivery(
                    id=id_,
                    webhook_id=webhook["id"],
                    seq=change.seq,
                    event_type=event_type(change.type),
                    body=build_event(id_, change, reference_only=levels[change.seq] > MAX_DOCUMENT_LEVEL, reader_level=level),
                    body_global_seq=known,
                    status="pending",
                    created_at=now,
                    next_attempt_at=now,
                ).model_dump()
            )
        await connection.execute(insert(deliveries), rows)
    await connection.execute(update(webhooks).where(webhooks.c.id == webhook["id"]).values(cursor_seq=cursor))


async def _last_global_seq(connection: AsyncConnection) -> int:
    return (await connection.execute(select(col(LedgerHead.global_seq)))).scalar_one()


async def _rebuild_bodies(connection: AsyncConnection, webhook: RowMapping, waiting: Sequence[RowMapping]) -> bool:
    """Make the bodies anew of what waits, where a label was raised above the webhook since they were made.

    By numbers, not by times: what is recorded earlier may be committed later, and clocks of machines differ.
    """
    level: int = webhook["level"]
    raised = select(func.max(col(LedgerEntry.global_seq))).where(
        col(LedgerEntry.type) == "label",
        col(LedgerEntry.level) <= level,
        col(LedgerEntry.redacted_below) > level,
        col(LedgerEntry.global_seq) > min(each["body_global_seq"] for each in waiting),
    )
    last: int | None = (await connection.execute(raised)).scalar_one()
    old = [each for each in waiting if last is not None and each["body_global_seq"] < last]
    known = await _last_global_seq(connection) if old else 0
    for each in old:
        changes, _, _ = await changes_after(connection, each["seq"] - 1, limit=1, level=level)
        thin = (await _required_clearances(connection, changes, level))[each["seq"]] > MAX_DOCUMENT_LEVEL
        body = build_event(each["id"], changes[0], reference_only=thin, reader_level=level)
        await connection.execute(update(deliveries).where(deliveries.c.id == each["id"]).values(body=body, body_global_seq=known))
    return bool(old)


async def refresh_body(connection: AsyncConnection, turn: Lease, delivery: RowMapping) -> RowMapping:
    """A delivery that waited while others were sent, less what was raised above its webhook meanwhile."""
    if not await _rebuild_bodies(connection, turn.webhook, [delivery]):
        return delivery
    return (await connection.execute(select(deliveries).where(deliveries.c.id == delivery["id"]))).mappings().one()


async def _required_clearances(connection: AsyncConnection, changes: Sequence[ServedChange], level: int) -> dict[int, int]:
    """The lowest clearance that sees each change just as it is served to this one, by its seq: the entry and every document beside it."""
    position = table_of(LedgerEntry).c[f"seq_{LABELS[level]}"]
    entries = select(position, col(LedgerEntry.level), col(LedgerEntry.redacted_below)).where(
        position.in_([change.seq for change in changes])
    )
    # Who may not know of what a correction supersedes sees it as a plain report.
    levels = {seq: max(own, below if level >= below else 0) for seq, own, below in await connection.execute(entries)}
    beside = {change.seq: [UUID(document["id"]) for document in orjson.loads(change.json)["documents"]] for change in changes}
    ids = {each for every in beside.values() for each in every}
    readings = select(col(IndicatorProjection.indicator_id), col(IndicatorProjection.min_clearance)).where(
        col(IndicatorProjection.indicator_id).in_(ids), *visible_at(level)
    )
    lowest = {row.indicator_id: row.min_clearance for row in await connection.execute(readings)}
    return {seq: max(own, *(lowest.get(each, level) for each in beside[seq]), 0) for seq, own in levels.items()}


async def _prune(connection: AsyncConnection, webhook_id: UUID, before: datetime) -> None:
    # A UUIDv7 begins with its milliseconds, so the index of identifiers finds what is old.
    oldest = UUID(int=int(before.timestamp() * 1000) << 80)
    old = deliveries.c.webhook_id == webhook_id, deliveries.c.id < oldest, deliveries.c.status != "pending"
    await connection.execute(delete(deliveries).where(*old))


async def renew_lease(connection: AsyncConnection, turn: Lease, settings: Settings, *, go_on: bool) -> bool:
    """Hold the lease for longer, or give it back; False when it is not held any more or the webhook is not to be sent to."""
    now = utc_now()
    mine = update(webhooks).where(webhooks.c.id == turn.webhook["id"], webhooks.c.lease_id == turn.lease)
    if not go_on:
        await connection.execute(mine.values(lease_id=None, lease_expires_at=None))
        return False
    until = now + timedelta(seconds=lease_seconds(settings))
    kept = await connection.execute(mine.where(*deliverable(now, settings.public_clearance.level)).values(lease_expires_at=until))
    return kept.rowcount == 1


async def record_result(
    connection: AsyncConnection, turn: Lease, delivery: RowMapping, started: datetime, outcome: DeliveryResult, settings: Settings
) -> None:
    """Write down what came of an attempt: delivered, to be tried again, or failed; and what that says of the webhook."""
    now = utc_now()
    attempts, first = delivery["attempts"] + 1, delivery["first_attempt_at"] or started
    told = {
        "attempts": attempts,
        "first_attempt_at": first,
        "last_attempt_at": started,
        "status_code": outcome.status_code,
        "error": outcome.error,
    }
    this = update(deliveries).where(deliveries.c.id == delivery["id"])
    webhook = update(webhooks).where(webhooks.c.id == turn.webhook["id"])
    if outcome.error is None:
        await connection.execute(this.values(**told, status="delivered", next_attempt_at=None))
        await connection.execute(webhook.values(last_delivered_at=now, failing_since=None))
        return
    # A failure is only told by who holds the lease: another may have delivered since.
    mine = webhooks.c.lease_id == turn.lease
    failing = webhook.where(mine).values(failing_since=func.coalesce(webhooks.c.failing_since, started)).returning(webhooks.c.failing_since)
    since = (await connection.execute(failing)).scalar_one_or_none()
    if since is None:
        return
    following = next_attempt(
        attempts,
        now,
        first,
        base_seconds=settings.webhook_retry_base_seconds,
        window_seconds=settings.webhook_retry_window_seconds,
        retry_after=outcome.retry_after,
    )
    await connection.execute(this.values(**told, status="pending" if following else "failed", next_attempt_at=following))
    if outcome.gone:
        await _disable(connection, turn, now, "the receiver answered 410: it is gone")
    elif following is None and (now - since).total_seconds() >= settings.webhook_disable_after_seconds:
        await _disable(connection, turn, now, f"no delivery got through since {since:%Y-%m-%d %H:%M} UTC")


async def _disable(connection: AsyncConnection, turn: Lease, now: datetime, reason: str) -> None:
    held_back: dict[str, Any] = {"error": f"held back, the webhook was disabled: {reason}"}
    waiting = deliveries.c.webhook_id == turn.webhook["id"], deliveries.c.status == "pending"
    await connection.execute(update(webhooks).where(webhooks.c.id == turn.webhook["id"]).values(disabled_at=now, disabled_reason=reason))
    await connection.execute(update(deliveries).where(*waiting).values(**held_back))
    log.warning("webhook_disabled", webhook=str(turn.webhook["id"]), reason=reason)
