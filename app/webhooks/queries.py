"""Read webhooks and their delivery logs as served."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel
from sqlalchemy import Column, ColumnElement, Select, Table, case, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.models import ApiKey
from app.access.principal import Principal
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS
from app.http.problems import not_found
from app.storage.paging import fetch_page
from app.storage.types import table_of
from app.webhooks.models import Delivery, Webhook
from app.webhooks.schemas import DeliveryOut, WebhookOut

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


def visible_webhooks(caller: Principal) -> list[ColumnElement[bool]]:
    """WHERE clause: webhooks of the caller's organisation at or below the caller's clearance."""
    return [webhooks.c.organisation == caller.organisation, webhooks.c.level <= caller.level]


def _select_webhooks(caller: Principal) -> Select[Any]:
    hooks = webhooks.c
    stopped = or_(col(ApiKey.revoked_at).is_not(None), col(ApiKey.expires_at) <= utc_now(), col(ApiKey.id).is_(None))
    status = case((hooks.disabled_at.is_not(None), "disabled"), (stopped, "stopped"), else_="active").label("status")
    named = hooks.level.label("clearance"), hooks.cursor_seq.label("seq"), hooks.last_delivered_at.label("delivered_at")
    statement = select(*_served_columns(webhooks, WebhookOut), *named, status)
    return statement.outerjoin(ApiKey, col(ApiKey.id) == hooks.key_id).where(*visible_webhooks(caller))


def _select_deliveries(webhook_id: UUID) -> Select[Any]:
    served = _served_columns(deliveries, DeliveryOut)
    return select(*served, deliveries.c.event_type.label("type")).where(deliveries.c.webhook_id == webhook_id)


def _served_columns(table: Table, model: type[BaseModel]) -> list[Column[Any]]:
    return [table.c[name] for name in model.model_fields if name in table.c]


async def get_webhook(connection: AsyncConnection, caller: Principal, webhook_id: UUID) -> dict[str, Any]:
    """Return a webhook as served; 404 if the caller sees none of this identifier."""
    row = (await connection.execute(_select_webhooks(caller).where(webhooks.c.id == webhook_id))).mappings().one_or_none()
    if row is None:
        raise not_found("webhook")
    return _webhook_document(row)


async def list_webhooks(
    connection: AsyncConnection, caller: Principal, *, after: UUID | None, limit: int
) -> tuple[list[str], UUID | None, int]:
    """Return a page of webhooks as JSON, oldest first; the last identifier if there are more; the head of the ledger."""
    rows, last, revision = await fetch_page(connection, _select_webhooks(caller), key="id", after=after, limit=limit, level=caller.level)
    return [orjson.dumps(_webhook_document(row)).decode() for row in rows], last, revision


async def list_deliveries(
    connection: AsyncConnection, caller: Principal, webhook_id: UUID, *, status: str | None, before: int | None, limit: int
) -> tuple[list[str], int | None, int]:
    """Return a page of a webhook's log as JSON, latest change first; the last seq if there are more; the head of the ledger."""
    log = _select_deliveries(webhook_id)
    if status is not None:
        log = log.where(deliveries.c.status == status)
    rows, last, revision = await fetch_page(connection, log, key="seq", after=before, limit=limit, level=caller.level, descending=True)
    return [orjson.dumps(_delivery_document(row, webhook_id)).decode() for row in rows], last, revision


async def get_delivery(connection: AsyncConnection, webhook_id: UUID, delivery_id: UUID) -> dict[str, Any]:
    """Return an existing entry of a webhook's log as served."""
    row = (await connection.execute(_select_deliveries(webhook_id).where(deliveries.c.id == delivery_id))).mappings().one()
    return _delivery_document(row, webhook_id)


def _webhook_document(row: RowMapping) -> dict[str, Any]:
    path = f"/v1/webhooks/{row['id']}"
    links = {"self": path, "deliveries": f"{path}/deliveries"}
    return _fields(row, WebhookOut) | {"clearance": LABELS[row["clearance"]].value, "links": links}


def _delivery_document(row: RowMapping, webhook_id: UUID) -> dict[str, Any]:
    path = f"/v1/webhooks/{webhook_id}"
    return _fields(row, DeliveryOut) | {"links": {"webhook": path, "redelivery": f"{path}/deliveries/{row['id']}/redelivery"}}


def _fields(row: RowMapping, model: type[BaseModel]) -> dict[str, Any]:
    values = {name: row[name] for name in model.model_fields if name in row}
    return {name: rfc3339(each) if isinstance(each, datetime) else each for name, each in values.items()} | {"id": str(row["id"])}
