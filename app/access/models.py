"""Tables of keys, of the secret that hashes them, of idempotency records and of the audit log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, Column, Index, LargeBinary, text
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime

# Begins the `secret_hash` of a subject of the OpenID Connect issuer; no hash of a secret contains it.
ISSUER_SUBJECT_PREFIX = "oidc:"


class ApiKey(SQLModel, table=True):
    """A key, of which only an HMAC of the secret is stored, or a subject of the OpenID Connect issuer, which has no secret.

    `person` is the person that the key belongs to, None if unknown, and `created_by` the key that created it, None for the command line.
    `seen_by` names the other persons that have seen a secret of it, as `app.access.keys.persons_of` does.
    After a rotation the previous secret stays valid until `previous_secret_expires_at`. Revoking a subject's row shuts the subject out,
    and the subject's webhooks end when the row expires.
    """

    __tablename__ = "api_key"
    __table_args__ = (Index("uq_api_key_previous_secret_hash", "previous_secret_hash", unique=True),)

    id: UUID = Field(primary_key=True)
    name: str
    organisation: str
    person: str | None = None
    created_by: UUID | None = None
    seen_by: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
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
        """Whether the row stands for a subject of the OpenID Connect issuer."""
        return self.secret_hash.startswith(ISSUER_SUBJECT_PREFIX)


class IdempotencyRecord(SQLModel, table=True):
    """The first response to a write with an `Idempotency-Key`, stored in the write's own commit."""

    __tablename__ = "idempotency_record"

    key_id: UUID = Field(primary_key=True, foreign_key="api_key.id")
    idempotency_key: str = Field(primary_key=True)
    request_hash: str
    status_code: int
    location: str | None = None
    response_body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)


class ServerSecret(SQLModel, table=True):
    """The single row with the random secret that hashes keys unless LIFELINE_KEY_HASH_SECRET is set."""

    __tablename__ = "server_secret"

    id: int = Field(primary_key=True)
    secret: str


class EndedSession(SQLModel, table=True):
    """A session of the board that its reader ended before it expires, by the hash of its cookie."""

    __tablename__ = "ended_session"

    cookie_hash: str = Field(primary_key=True, max_length=64)
    expires_at: datetime = Field(sa_type=UtcDateTime)


class AuditEntry(SQLModel, table=True):
    """One entry of the audit log. The database rejects DELETE, and every UPDATE but of a read whose count and time grow.

    `count` is the number of equal reads in one hour that an entry stands for, `first_at` the time of the first of them, `occurred_at` of
    the last, and `read_key` a hash of what they have in common, so that all processes count them in one row.
    `position`, `hash` and `seal` are those of `app.access.audit_chain`.
    """

    __tablename__ = "audit_entry"
    __table_args__ = (
        *(
            Index(f"uq_audit_entry_{name}_position", "position", unique=True, sqlite_where=text(rows), postgresql_where=text(rows))
            for name, rows in (("write", "action <> 'read'"), ("read", "action = 'read'"))
        ),
    )

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
    first_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    read_key: str | None = Field(default=None, max_length=32, unique=True)
    position: int = Field(sa_type=BigInt)
    hash: bytes
    seal: bytes


class AuditHead(SQLModel, table=True):
    """The end of a chain of the audit log, and the anchor that pruning left: position and hash of the last row that was deleted.

    `seal` is an HMAC of the other columns, empty before the first row.
    """

    __tablename__ = "audit_head"

    chain: str = Field(primary_key=True, max_length=8)
    position: int = Field(sa_type=BigInt)
    hash: bytes
    anchor: int = Field(sa_type=BigInt)
    anchor_hash: bytes
    seal: bytes
