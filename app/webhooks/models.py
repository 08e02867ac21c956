"""The tables of webhooks and their deliveries."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, Index, Text
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime


class Webhook(SQLModel, table=True):
    """A webhook; changes up to `cursor_seq`, in the ledger of the clearance `level`, are queued, delivered or filtered out."""

    __tablename__ = "webhook"

    id: UUID = Field(primary_key=True)
    key_id: UUID = Field(foreign_key="api_key.id", index=True)
    organisation: str = Field(index=True)
    level: int
    url: str
    kind: str | None = Field(default=None, max_length=64)
    place: str | None = Field(default=None, max_length=100)
    within: bool = False
    country: str | None = Field(default=None, max_length=3)
    secret: str
    cursor_seq: int = Field(sa_type=BigInt)
    created_at: datetime = Field(sa_type=UtcDateTime)
    last_delivered_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    # First failure after the last success.
    failing_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    disabled_reason: str | None = None
    # Until `lease_expires_at` only the holder of this lease delivers.
    lease_id: UUID | None = None
    lease_expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Delivery(SQLModel, table=True):
    """A change to deliver to a webhook; `id` is the `webhook-id` of every attempt.

    `body_global_seq` is the last ledger entry, at any clearance, when the body was built. `attempts` and `first_attempt_at` start
    again with a redelivery.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("uq_webhook_delivery_webhook_id_seq", "webhook_id", "seq", unique=True),
        Index("ix_webhook_delivery_webhook_id_status_seq", "webhook_id", "status", "seq"),
    )

    id: UUID = Field(primary_key=True)
    webhook_id: UUID = Field(foreign_key="webhook.id")
    seq: int = Field(sa_type=BigInt)
    event_type: str = Field(max_length=64)
    body: str = Field(sa_column=Column(Text, nullable=False))
    body_global_seq: int = Field(sa_type=BigInt)
    status: str = Field(max_length=16)
    attempts: int = 0
    created_at: datetime = Field(sa_type=UtcDateTime)
    first_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    next_attempt_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    status_code: int | None = None
    error: str | None = None
