"""The caller of a request, without any web framework."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.tlp import LABELS, Label


class Scope(StrEnum):
    """What a key may do; no scope contains another."""

    READ = "read"
    REPORT = "report"
    CURATE = "curate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, as the log keeps it."""

    key_id: UUID | None
    organisation: str | None
    level: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `level` is the highest label that the caller may see, 0 to 4; `expires_at` is until when what he sent holds, as far as
    was known when he asked, and `secret_hash` what is stored of it, None for a token.

    One who is known by a token of an issuer has the identifier that follows from his name there.
    """

    level: int
    key_id: UUID | None = None
    name: str | None = None
    organisation: str | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None
    secret_hash: str | None = field(default=None, repr=False)

    @property
    def clearance(self) -> Label:
        """The level as a label."""
        return LABELS[self.level]

    @property
    def actor(self) -> Actor:
        """As the audit log keeps him."""
        return Actor(self.key_id, self.organisation, self.level)
