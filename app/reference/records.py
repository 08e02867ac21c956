"""Records of places and sources as documents show them, and the names of protected sources."""

import hashlib
from dataclasses import dataclass, replace
from uuid import UUID

from app.domain.tlp import LEVELS, Label

# The lowest clearance that sees the name and slug of protected sources.
REVEAL_FROM = LEVELS[Label.AMBER]


@dataclass(frozen=True, slots=True)
class PlaceRecord:
    """The part of a place that documents show."""

    id: UUID
    slug: str
    name: str
    country: str | None
    codes: tuple[tuple[str, str], ...]
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class SourceNames:
    """Slug and name of a source, and the alias of a protected one for clearances below REVEAL_FROM."""

    slug: str
    name: str
    alias: str | None = None
    alias_slug: str | None = None

    @property
    def protected(self) -> bool:
        """Whether the source has an alias."""
        return self.alias_slug is not None

    def visible_at(self, level: int) -> tuple[str, str]:
        """Return the slug and name that a clearance sees."""
        if self.alias is None or self.alias_slug is None or level >= REVEAL_FROM:
            return self.slug, self.name
        return self.alias_slug, self.alias


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """The part of a source that documents show; `reliability` is the grade in force."""

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
        """Its names."""
        return SourceNames(self.slug, self.name, self.alias, self.alias_slug)

    def visible_at(self, level: int) -> "SourceRecord":
        """Return the record with the slug and name that a clearance sees."""
        slug, name = self.names.visible_at(level)
        return replace(self, slug=slug, name=name)


def alias_slug(source_id: UUID) -> str:
    """Return the slug of a protected source for low clearances: it follows from the identifier and reveals nothing about the real slug."""
    return "protected-" + hashlib.sha256(b"alias" + source_id.bytes).hexdigest()[:16]
