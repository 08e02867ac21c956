"""Leases: one process at a time delivers to a webhook, and records the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import BindParameter, ColumnElement, Update, delete, func, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.access.models import ApiKey
from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.settings import Settings
from app.storage.types import table_of
from app.webhooks.backoff import next_attempt
from app.webhooks.delivery import DeliveryResult
from app.webhooks.models import Delivery, Webhook
from app.webhooks.queue import due_deliveries, enqueue_changes, refresh_body

log = structlog.get_logger(__name__)

# How long a lease lasts unless it is renewed, in attempts of the longest duration.
MAX_LEASED_ATTEMPTS = 2

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


@dataclass(frozen=True, slots=True)
class Lease:
    """The exclusive right to deliver to a webhook: its row when leased, its due deliveries in ledger order, the body of the first."""

    webhook: RowMapping
    due: Sequence[RowMapping]
    body: str


def _expiry(now: datetime, settings: Settings) -> datetime:
    return now + timedelta(seconds=MAX_LEASED_ATTEMPTS * settings.webhook_timeout_seconds)


def deliverable(now: datetime | BindParameter[datetime], public_level: int) -> list[ColumnElement[bool]]:
    """Return the conditions on webhooks to deliver to: not disabled, the key valid and its clearance not below the webhook's."""
    keys = table_of(ApiKey)
    valid = select(keys.c.id).where(
        keys.c.id == webhooks.c.key_id,
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > now),
        or_(keys.c.clearance >= webhooks.c.level, webhooks.c.level <= public_level),
    )
    return [webhooks.c.disabled_at.is_(None), valid.correlate(webhooks).exists()]


async def acquire_lease(
    connection: AsyncConnection, webhook_id: UUID, settings: Settings, new_id: Callable[[], UUID] = uuid7
) -> Lease | None:
    """Lease a webhook, queue new changes and load what is due; None if it is leased already, not deliverable or nothing is due.

    Runs in the caller's transaction, so bodies, cursor and lease are committed together. `new_id` makes identifiers of deliveries.
    """
    now = utc_now()
    free = or_(webhooks.c.lease_expires_at.is_(None), webhooks.c.lease_expires_at <= now)
    acquire = update(webhooks).where(webhooks.c.id == webhook_id, free, *deliverable(now, settings.public_clearance.level))
    acquire = acquire.values(lease_id=uuid4(), lease_expires_at=_expiry(now, settings))
    webhook = (await connection.execute(acquire.returning(*webhooks.c))).mappings().one_or_none()
    if webhook is None:
        return None
    await _prune(connection, webhook_id, now - timedelta(days=settings.webhook_log_days))
    await enqueue_changes(connection, webhook, now, new_id)
    due = await due_deliveries(connection, webhook_id, now)
    if due:
        return Lease(webhook, due, await refresh_body(connection, webhook, due[0]))
    await release_lease(connection, webhook)
    return None


async def _prune(connection: AsyncConnection, webhook_id: UUID, before: datetime) -> None:
    # A UUIDv7 begins with its milliseconds, so the primary key finds old rows.
    oldest = UUID(int=int(before.timestamp() * 1000) << 80)
    old = deliveries.c.webhook_id == webhook_id, deliveries.c.id < oldest, deliveries.c.status != "pending"
    await connection.execute(delete(deliveries).where(*old))


async def renew_lease(connection: AsyncConnection, webhook: RowMapping, settings: Settings) -> bool:
    """Extend a lease; return False after its first duration, or if it was lost or the webhook is not deliverable any more."""
    now = utc_now()
    if now >= webhook["lease_expires_at"]:
        return False
    renew = _update_leased(webhook).where(*deliverable(now, settings.public_clearance.level))
    return (await connection.execute(renew.values(lease_expires_at=_expiry(now, settings)))).rowcount == 1


async def release_lease(connection: AsyncConnection, webhook: RowMapping) -> None:
    """Release a lease, unless it was lost."""
    await connection.execute(_update_leased(webhook).values(lease_id=None, lease_expires_at=None))


def _update_leased(webhook: RowMapping) -> Update:
    return update(webhooks).where(webhooks.c.id == webhook["id"], webhooks.c.lease_id == webhook["lease_id"])


async def record_result(
    connection: AsyncConnection, webhook: RowMapping, delivery: RowMapping, started: datetime, result: DeliveryResult, settings: Settings
) -> None:
    """Record the result of an attempt in the log, schedule the next one, and disable a webhook that failed for too long."""
    now = utc_now()
    attempts, first = delivery["attempts"] + 1, delivery["first_attempt_at"] or started
    update_log = update(deliveries).where(deliveries.c.id == delivery["id"])
    update_log = update_log.values(attempts=attempts, first_attempt_at=first, last_attempt_at=started)
    update_log = update_log.values(status_code=result.status_code, error=result.error)
    if result.error is None:
        await connection.execute(update_log.values(status="delivered", next_attempt_at=None))
        succeeded = update(webhooks).where(webhooks.c.id == webhook["id"])
        await connection.execute(succeeded.values(last_delivered_at=now, failing_since=None))
        return
    # Only under the lease: after it was lost, another process may have delivered already.
    failed = _update_leased(webhook).values(failing_since=func.coalesce(webhooks.c.failing_since, started))
    failing_since = (await connection.execute(failed.returning(webhooks.c.failing_since))).scalar_one_or_none()
    if failing_since is None:
        return
    next_at = next_attempt(attempts, now, first, settings, result.retry_after)
    await connection.execute(update_log.values(status="failed" if next_at is None else "pending", next_attempt_at=next_at))
    if result.status_code == 410:
        await _disable(connection, webhook["id"], "the receiver answered 410 (Gone)")
    elif (now - failing_since).total_seconds() >= settings.webhook_disable_after_seconds:
        await _disable(connection, webhook["id"], f"no delivery has succeeded since {failing_since:%Y-%m-%d %H:%M} UTC")


async def _disable(connection: AsyncConnection, webhook_id: UUID, reason: str) -> None:
    disable = update(webhooks).where(webhooks.c.id == webhook_id)
    await connection.execute(disable.values(disabled_at=utc_now(), disabled_reason=reason))
    pending = deliveries.c.webhook_id == webhook_id, deliveries.c.status == "pending"
    await connection.execute(update(deliveries).where(*pending).values(error=f"on hold, the webhook is disabled: {reason}"))
    log.warning("webhook_disabled", webhook=str(webhook_id), reason=reason)
