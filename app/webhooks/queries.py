"""Webhooks and their log as served."""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.models import ApiKey
from app.access.principal import Caller
from app.domain.times import rfc3339, utc_now
from app.domain.tlp import LABELS
from app.storage.paging import fetch_page, head_seq
from app.storage.types import table_of
from app.webhooks.models import Delivery, Webhook

webhooks, deliveries = table_of(Webhook), table_of(Delivery)


def of_organisation(caller: Caller) -> list[ColumnElement[bool]]:
    """The condition on webhooks that a caller sees: of his organisation, and of no higher clearance, whose seqs are not his to see."""
    return [webhooks.c.organisation == caller.organisation, webhooks.c.level <= caller.level]


def _select() -> Select[Any]:
    stopped = or_(col(ApiKey.revoked_at).is_not(None), col(ApiKey.expires_at) <= utc_now(), col(ApiKey.id).is_(None))
    status = case((webhooks.c.disabled_at.is_not(None), "disabled"), (stopped, "stopped"), else_="active")
    return select(webhooks, status.label("status")).outerjoin(ApiKey, col(ApiKey.id) == webhooks.c.key_id)


async def get_webhook(connection: AsyncConnection, caller: Caller, webhook_id: UUID) -> dict[str, Any] | None:
    """A webhook as served; None when there is none that the caller sees."""
    row = (await connection.execute(_select().where(webhooks.c.id == webhook_id, *of_organisation(caller)))).mappings().one_or_none()
    return serve(row) if row is not None else None


async def list_webhooks(
    connection: AsyncConnection, caller: Caller, *, after: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None, int]:
    """A page of the webhooks that a caller sees, oldest first; the last identifier when there are more; the head of the ledger."""
    statement = _select().where(*of_organisation(caller))
    rows, last, revision = await fetch_page(connection, statement, key="id", after=after, limit=limit, level=caller.level)
    return [serve(row) for row in rows], last, revision


async def list_deliveries(
    connection: AsyncConnection, caller: Caller, webhook_id: UUID, *, status: str | None, before: int | None, limit: int
) -> tuple[list[dict[str, Any]], int | None, int]:
    """A page of a webhook's log, latest change first; the last seq when there are more; the head of the ledger."""
    statement = select(*_TOLD).where(deliveries.c.webhook_id == webhook_id).order_by(deliveries.c.seq.desc()).limit(limit + 1)
    if status is not None:
        statement = statement.where(deliveries.c.status == status)
    if before is not None:
        statement = statement.where(deliveries.c.seq < before)
    revision = (await connection.execute(select(head_seq(caller.level)))).scalar_one() or 0
    rows = (await connection.execute(statement)).mappings().all()
    return [serve_delivery(row) for row in rows[:limit]], rows[limit - 1]["seq"] if len(rows) > limit else None, revision


async def get_delivery(connection: AsyncConnection, delivery_id: UUID) -> dict[str, Any] | None:
    """One entry of a webhook's log as served."""
    row = (await connection.execute(select(*_TOLD).where(deliveries.c.id == delivery_id))).mappings().one_or_none()
    return serve_delivery(row) if row is not None else None


_TOLD = [each for each in deliveries.c if each.name != "body"]


def _time(row: RowMapping, name: str) -> str | None:
    return rfc3339(row[name]) if row[name] is not None else None


def serve(row: RowMapping) -> dict[str, Any]:
    """A webhook as served, without its secret."""
    at = f"/v1/webhooks/{row['id']}"
    return {
        "id": str(row["id"]),
        "url": row["url"],
        "kind": row["kind"],
        "place": row["place"],
        "within": row["within"],
        "country": row["country"],
        "clearance": LABELS[row["level"]].value,
        "status": row["status"],
        "seq": row["cursor_seq"],
        "created_at": _time(row, "created_at"),
        "delivered_at": _time(row, "last_delivered_at"),
        "failing_since": _time(row, "failing_since"),
        "disabled_at": _time(row, "disabled_at"),
        "disabled_reason": row["disabled_reason"],
        "links": {"self": at, "deliveries": f"{at}/deliveries"},
    }


def serve_delivery(row: RowMapping) -> dict[str, Any]:
    """One entry of a webhook's log as served."""
    at = f"/v1/webhooks/{row['webhook_id']}"
    return {
        "id": str(row["id"]),
        "seq": row["seq"],
        "type": row["event_type"],
        "status": row["status"],
        "attempts": row["attempts"],
        "created_at": _time(row, "created_at"),
        "last_attempt_at": _time(row, "last_attempt_at"),
        "next_attempt_at": _time(row, "next_attempt_at"),
        "status_code": row["status_code"],
        "error": row["error"],
        "links": {"webhook": at, "redelivery": f"{at}/deliveries/{row['id']}/redelivery"},
    }
