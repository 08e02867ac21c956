"""What a document tells of places and sources."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """What a document tells of a place."""

    id: UUID
    slug: str
    name: str
    country: str | None
    codes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a document tells of a source; `reliability` is the grade in force."""

    id: UUID
    slug: str
    name: str
    type: str
    party_to_conflict: bool
    reliability: str
