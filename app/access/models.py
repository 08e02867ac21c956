"""Keys as stored, what their hashes are keyed with, the remembered answers of keyed writes, and the audit log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, Column, Index, LargeBinary
from sqlmodel import Field, SQLModel

from app.storage.types import UtcDateTime

# How the hash of one begins who comes with tokens of an issuer: no secret has it.
ISSUER_SUBJECT_PREFIX = "hmac:oidc:"


class ApiKey(SQLModel, table=True):
    """A key: what it may do, up to which label it sees, for whom. Only a keyed hash of the secret is kept.

    After a rotation the secret before it holds until `previous_until`. Who comes with tokens of an issuer has a row too, without a secret:
    revoking it shuts him out, and `expires_at` is until when he is taken to have access though he does not come.
    """

    __tablename__ = "api_key"
    __table_args__ = (Index("uq_api_key_previous_secret_hash", "previous_secret_hash", unique=True),)

    id: UUID = Field(primary_key=True)
    name: str
    organisation: str
    scopes: list[str] = Field(sa_column=Column(JSON, nullable=False))
    clearance: int
    secret_hash: str = Field(unique=True)
    previous_secret_hash: str | None = None
    previous_secret_expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)

    @property
    def from_issuer(self) -> bool:
        """Whether it stands for one who comes with tokens."""
        return self.secret_hash.startswith(ISSUER_SUBJECT_PREFIX)


class IdempotencyRecord(SQLModel, table=True):
    """The first answer to a write that carried an Idempotency-Key, kept in the write's own commit."""

    __tablename__ = "idempotency_record"

    key_id: UUID = Field(primary_key=True, foreign_key="api_key.id")
    idempotency_key: str = Field(primary_key=True)
    request_hash: str
    status_code: int
    location: str | None = None
    response_body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)


class ServerSecret(SQLModel, table=True):
    """The one row with what hashes of keys are keyed with where the setting `LIFELINE_KEY_HASH_SECRET` is not given."""

    __tablename__ = "server_secret"

    id: int = Field(primary_key=True)
    secret: str


class AuditEntry(SQLModel, table=True):
    """One thing that somebody did, for good: the table takes no UPDATE and no DELETE.

    `count` is more than 1 where one key read the same address several times before it was written down, the last time at `at`.
    """

    __tablename__ = "audit_entry"

    id: UUID = Field(primary_key=True)
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    action: str = Field(max_length=16)
    key_id: UUID | None = Field(default=None, index=True)
    organisation: str | None = None
    clearance: int | None = None
    address: str | None = Field(default=None, max_length=64)
    method: str | None = Field(default=None, max_length=8)
    target: str
    status_code: int | None = None
    count: int = 1
