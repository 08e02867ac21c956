"""The authenticated caller of a request, without any web framework."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.tlp import LABELS, Label


class Scope(StrEnum):
    """A permission of a key; no scope includes another."""

    READ = "read"
    REPORT = "report"
    CURATE = "curate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """The part of a principal that the audit log stores."""

    key_id: UUID | None
    organisation: str | None
    level: int


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller: a key, a subject of the OpenID Connect issuer, or anonymous if `key_id` is None.

    `level` is the clearance, 0 to 4. `expires_at` is the expiry of the credential as known at the request, None for never.
    `person` is the person that the key belongs to, None if unknown. `secret_hash` is the stored hash of a key's secret, None for a token.
    """

    level: int
    key_id: UUID | None = None
    name: str | None = None
    organisation: str | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    secret_hash: str | None = field(default=None, repr=False)
    person: str | None = None

    @property
    def clearance(self) -> Label:
        """The level as a label."""
        return LABELS[self.level]

    @property
    def actor(self) -> Actor:
        """The part that the audit log stores."""
        return Actor(self.key_id, self.organisation, self.level)
