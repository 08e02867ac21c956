"""Request and response bodies of keys and of the audit log."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt
from typing_extensions import TypeAliasType

from app.access.principal import Scope
from app.domain.kinds.values import WHOLE
from app.domain.times import DateOrTime, Timestamp
from app.domain.tlp import Label
from app.domain.visible_text import not_blank
from app.http.lists import ListEnvelope

MAX_OVERLAP_HOURS = 24 * 30

KeyStatus = TypeAliasType("KeyStatus", Literal["active", "expired", "revoked"])
AuditAction = TypeAliasType("AuditAction", Literal["write", "read", "key"])


class Me(BaseModel):
    """The caller, and what the caller may do."""

    id: str | None = Field(description="Identifier of the key, a UUID; null without a key.")
    name: str | None = Field(description="Name of the key; null without a key.")
    organisation: str | None = Field(description="Organisation of the key; null without a key.")
    person: str | None = Field(description="Person that the key belongs to; null if it names none.")
    scopes: list[Scope] = Field(description="Scopes of the key; empty without a key.")
    clearance: Label = Field(description="Highest label that the caller may read.")
    expires_at: Timestamp | None = Field(description="When the key or token expires, UTC; null for never.")


class KeyIn(BaseModel):
    """A key to create."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200, description="What the key is for."), AfterValidator(not_blank)]
    organisation: Annotated[
        str, Field(min_length=1, max_length=200, description="Organisation that reports with the key."), AfterValidator(not_blank)
    ]
    person: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S"), AfterValidator(not_blank)] | None = Field(
        default=None, description="Person that the key belongs to; lowering a label takes the keys of two persons. Null names none."
    )
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10, description="What the key may do.")]
    clearance: Label = Field(
        default=Label.GREEN, description="Highest label that the key may read; not above the clearance of the key that creates it."
    )
    expires_at: DateOrTime | None = Field(
        default=None, description="When the key expires: a time, or a date whose last moment (UTC) it is; null for never."
    )


class RotationIn(BaseModel):
    """How to rotate a key."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[
        StrictInt,
        Field(ge=0, le=MAX_OVERLAP_HOURS, description="Hours for which the previous secret stays valid; 0 ends it at once."),
        WHOLE,
    ] = 24


class KeyOut(BaseModel):
    """A key without its secret, or a subject of the OpenID Connect issuer."""

    id: str = Field(description="Identifier, a UUID.")
    name: str = Field(description="What the key is for; of a subject, its name at the issuer.")
    organisation: str = Field(description="Organisation that reports with the key.")
    person: str | None = Field(description="Person that the key belongs to; of a subject, its name at the issuer; null if it names none.")
    created_by: str | None = Field(description="Identifier of the key that created it; null for the command line and for subjects.")
    scopes: list[Scope] = Field(description="What the key may do.")
    clearance: Label = Field(description="Highest label that the key may read.")
    status: KeyStatus = Field(description="Whether the key is valid now.")
    created_at: Timestamp = Field(description="When it was created, UTC.")
    expires_at: Timestamp | None = Field(description="When it expires, UTC; null for never.")
    revoked_at: Timestamp | None = Field(description="When it was revoked, UTC; null if it was not.")
    previous_until: Timestamp | None = Field(
        description="When the secret before the last rotation expires, UTC; null if the key was never rotated."
    )
    from_issuer: bool = Field(
        description="Whether this is a subject of the OpenID Connect issuer: it has no secret, and expires some time after its last token."
    )
    links: dict[str, str] = Field(description="Links by name: `self` is this key, `rotation` rotates it.")


class KeyCreated(KeyOut):
    """A new or rotated key, with its secret."""

    secret: str | None = Field(
        description="The key to send as `Authorization: Bearer`. Shown only in this response; null if the request is repeated with its "
        "`Idempotency-Key`."
    )


class KeyPage(ListEnvelope[KeyOut]):
    """A page of keys in order of identifier."""


class AuditOut(BaseModel):
    """An entry of the audit log."""

    id: str = Field(description="Identifier, a UUID.")
    at: Timestamp = Field(description="When it happened, UTC; of several equal reads, the last.")
    first_at: Timestamp | None = Field(description="When the first of several equal reads happened, UTC; null for other entries.")
    action: AuditAction = Field(
        description="`write`: a change of data, or the dry run of an import. `read`: a read at `amber` or above. `key`: a change of a key."
    )
    key: str | None = Field(description="Key that did it; null for the command line and for anonymous readers.")
    organisation: str | None = Field(description="Organisation of the key; null without a key and for changes of keys.")
    clearance: Label | None = Field(description="Clearance of the caller; of a change of a key, of that key.")
    address: str | None = Field(description="IP address of the client; null for the command line.")
    method: str | None = Field(description="HTTP method; null for changes of keys.")
    target: str = Field(
        description="Path and query; of a change of a key, what was done to which key. `?*` stands for the further queries of an hour."
    )
    status: int | None = Field(description="HTTP status; null for reads and for changes of keys.")
    count: int = Field(description="Number of equal reads that this entry stands for, of one key and address within an hour; otherwise 1.")


class AuditPage(BaseModel):
    """A page of the audit log, oldest entry first."""

    items: list[AuditOut] = Field(description="The entries of this page.")
    next: str | None = Field(description="Cursor of the next page; null on the last.")
