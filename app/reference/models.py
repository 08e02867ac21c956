"""Tables of places, sources and routes as they are now; the ledger has every version of them."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime

# Before every time point, so that the first grade of a source is in force at all of them.
MIN_EFFECTIVE_FROM = datetime(1, 1, 1, tzinfo=UTC)


class Place(SQLModel, table=True):
    """A place where people are."""

    __tablename__ = "place"

    id: UUID = Field(primary_key=True)
    slug: str = Field(unique=True, max_length=64)
    name: str
    names: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    parent_id: UUID | None = Field(default=None, foreign_key="place.id", index=True)
    country: str | None = Field(default=None, max_length=3, index=True)
    timezone: str = Field(default="UTC", max_length=64)
    longitude: float | None = None
    latitude: float | None = None
    geometry: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    valid_from: str | None = Field(default=None, max_length=10)
    valid_to: str | None = Field(default=None, max_length=10)
    successor_of: str | None = Field(default=None, max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)


class PlaceCode(SQLModel, table=True):
    """A code of a place in one scheme; the same code may belong to different places in different schemes."""

    __tablename__ = "place_code"

    scheme: str = Field(primary_key=True, max_length=32)
    code: str = Field(primary_key=True, max_length=64)
    place_id: UUID = Field(foreign_key="place.id", index=True)


class PlaceAncestor(SQLModel, table=True):
    """Every pair of a place and a place that contains it; a place contains itself."""

    __tablename__ = "place_ancestor"

    ancestor_id: UUID = Field(primary_key=True, foreign_key="place.id")
    place_id: UUID = Field(primary_key=True, foreign_key="place.id", index=True)


class Source(SQLModel, table=True):
    """A person or organisation that makes statements.

    A source with an `alias` is protected: low clearances see `alias` and `alias_slug` instead of its name and slug.
    `organisation` is the one whose keys may report for it; None if every organisation may.
    """

    __tablename__ = "source"
    __table_args__ = (Index("uq_source_alias_slug", "alias_slug", unique=True),)

    id: UUID = Field(primary_key=True)
    slug: str = Field(unique=True, max_length=64)
    name: str
    names: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    type: str = Field(max_length=32)
    party_to_conflict: bool
    alias: str | None = None
    alias_slug: str | None = Field(default=None, max_length=64)
    organisation: str | None = None
    created_at: datetime = Field(sa_type=UtcDateTime)


class SourceGrade(SQLModel, table=True):
    """The grade of a source (Admiralty scale), and whether it is a party to the conflict, from an entry of the ledger on.

    None where the entry leaves that as it was; the first row has both, and `global_seq` 0.
    """

    __tablename__ = "source_grade"

    source_id: UUID = Field(primary_key=True, foreign_key="source.id")
    global_seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    effective_from: datetime = Field(sa_type=UtcDateTime)
    reliability: str | None = Field(default=None, max_length=1)
    party_to_conflict: bool | None = None


class Route(SQLModel, table=True):
    """A road, crossing or other way by which people and goods reach places."""

    __tablename__ = "route"

    id: UUID = Field(primary_key=True)
    slug: str = Field(unique=True, max_length=64)
    name: str
    names: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    mode: str = Field(max_length=16)
    origin: str | None = None
    destination: str | None = None
    geometry: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    created_at: datetime = Field(sa_type=UtcDateTime)


class Extent(SQLModel, table=True):
    """The bounding box, in degrees of WGS 84, of the parts of one type of a geometry, for the clearances that see it so.

    The geometry is that of a place, else its centroid, or that of a route. The box crosses the antimeridian if `west` is above `east`.
    """

    __tablename__ = "extent"

    record_id: UUID = Field(primary_key=True)
    type: str = Field(primary_key=True, max_length=16)
    min_clearance: int = Field(primary_key=True)
    max_clearance: int
    west: float
    south: float
    east: float
    north: float


class RecordText(SQLModel, table=True):
    """The folded names, slug and codes of a place, source or route, which searches read, for the clearances that see these names."""

    __tablename__ = "record_text"

    record_id: UUID = Field(primary_key=True)
    min_clearance: int = Field(primary_key=True)
    max_clearance: int
    text: str


ReferenceModel = type[Place] | type[Source] | type[Route]

MODELS: dict[str, ReferenceModel] = {"place": Place, "source": Source, "route": Route}
