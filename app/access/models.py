"""Keys as stored, and the remembered answers of keyed writes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel

from app.db import UtcDateTime


class ApiKey(SQLModel, table=True):
    """A key: what it may do, up to which label it sees, for whom. Only a hash of the secret is kept."""

    __tablename__ = "api_key"

    id: UUID = Field(primary_key=True)
    name: str
    organisation: str
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    clearance: int
    secret_hash: str = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RememberedAnswer(SQLModel, table=True):
    """The first answer to a write that carried an Idempotency-Key, kept in the write's own commit."""

    __tablename__ = "remembered_answer"

    key_id: UUID = Field(primary_key=True, foreign_key="api_key.id")
    token: str = Field(primary_key=True)
    request_hash: str
    status: int
    location: str | None = None
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
