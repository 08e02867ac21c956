"""What a document tells of places and sources, and under which name of a protected source."""

import hashlib
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.tlp import LEVELS, Label

# The clearance from which on protected sources show under their own name and slug.
REVEAL_FROM = LEVELS[Label.AMBER]


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """What a document tells of a place."""

    id: UUID
    slug: str
    name: str
    country: str | None
    codes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SourceNames:
    """Slug and name of a source, and those under which a protected one shows below the clearance."""

    slug: str
    name: str
    alias: str | None = None
    alias_slug: str | None = None

    @property
    def protected(self) -> bool:
        """Whether it has an alias to show under."""
        return self.alias_slug is not None

    def visible_at(self, level: int) -> tuple[str, str]:
        """Slug and name as a clearance sees them."""
        if self.alias is None or self.alias_slug is None or level >= REVEAL_FROM:
            return self.slug, self.name
        return self.alias_slug, self.alias


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What a document tells of a source; `reliability` is the grade in force."""

    id: UUID
    slug: str
    name: str
    type: str
    party_to_conflict: bool
    reliability: str
    alias: str | None = None
    alias_slug: str | None = None
    organisation: str | None = None

    @property
    def names(self) -> SourceNames:
        """Under which names it shows."""
        return SourceNames(self.slug, self.name, self.alias, self.alias_slug)

    def visible_at(self, level: int) -> "SourceRecord":
        """The same under the slug and name that a clearance sees."""
        slug, name = self.names.visible_at(level)
        return replace(self, slug=slug, name=name)


def alias_slug(source_id: UUID) -> str:
    """The slug of a protected source below the clearance: it follows from its identifier, and tells nothing of its own slug."""
    return "protected-" + hashlib.sha256(b"alias" + source_id.bytes).hexdigest()[:16]
