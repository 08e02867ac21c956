"""Register and delete webhooks, deliver again."""

import base64
import secrets
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.access.principal import Principal
from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.http.problems import Problem, invalid, not_found
from app.reference.suggestions import unknown_country, unknown_place
from app.storage.paging import current_revision
from app.storage.types import table_of
from app.webhooks.models import Delivery, Webhook
from app.webhooks.queries import visible_webhooks
from app.webhooks.schemas import WebhookIn

SECRET_BYTES = 32
MAX_WEBHOOKS = 100

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


async def add_webhook(session: AsyncSession, caller: Principal, sent: WebhookIn, url: str, identifier: UUID | None = None) -> Webhook:
    """Add a webhook at the caller's clearance; 409 if its organisation has MAX_WEBHOOKS, 422 for an unknown place."""
    connection = await session.connection()
    assert caller.key_id is not None
    assert caller.organisation is not None
    count = select(func.count()).select_from(webhooks).where(webhooks.c.organisation == caller.organisation)
    if (await connection.execute(count)).scalar_one() >= MAX_WEBHOOKS:
        raise Problem(409, f"An organisation may have {MAX_WEBHOOKS} webhooks: delete one first.", kind="too-many")
    problems = await unknown_place(connection, "/place", sent.place, caller.level)
    if problems := problems + await unknown_country(connection, "/country", sent.country):
        raise invalid(problems)
    webhook = Webhook(
        id=identifier or uuid7(),
        key_id=caller.key_id,
        organisation=caller.organisation,
        level=caller.level,
        url=url,
        **sent.model_dump(include={"kind", "place", "within", "country"}),
        secret="whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        cursor_seq=0 if sent.after == "beginning" else await current_revision(connection, caller.level),
        created_at=utc_now(),
    )
    session.add(webhook)
    await session.flush()
    return webhook


async def remove_webhook(session: AsyncSession, caller: Principal, webhook_id: UUID) -> None:
    """Delete a webhook and its log; an attempt under way is not stopped. 404 if the caller does not see the webhook."""
    connection = await session.connection()
    await _lock(connection, caller, webhook_id)
    await connection.execute(delete(deliveries).where(deliveries.c.webhook_id == webhook_id))
    await connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))


async def redeliver(session: AsyncSession, caller: Principal, webhook_id: UUID, delivery_id: UUID) -> None:
    """Make a delivery due now, restart its retry schedule and enable its webhook; 404 if there is no such delivery."""
    connection = await session.connection()
    await _lock(connection, caller, webhook_id)
    restart = update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.webhook_id == webhook_id)
    restart = restart.values(status="pending", attempts=0, first_attempt_at=None, next_attempt_at=utc_now())
    if (await connection.execute(restart)).rowcount == 0:
        raise not_found("delivery")
    enable = update(webhooks).where(webhooks.c.id == webhook_id, webhooks.c.disabled_at.is_not(None))
    await connection.execute(enable.values(disabled_at=None, disabled_reason=None, failing_since=None))


async def _lock(connection: AsyncConnection, caller: Principal, webhook_id: UUID) -> None:
    found = await connection.execute(select(webhooks.c.id).where(webhooks.c.id == webhook_id, *visible_webhooks(caller)).with_for_update())
    if found.one_or_none() is None:
        raise not_found("webhook")
