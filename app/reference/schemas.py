"""Reference data on the wire: places, sources and routes, as sent and as served."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from app.http.lists import ListEnvelope
from app.reference.geometry import Geometry, Position

Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="1 to 64 of a-z, 0-9 and -.")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 3166-1 alpha-3.")]
SourceType = Literal["un", "government", "armed_actor", "ngo", "monitor", "media", "local_council", "witness"]
Grade = Literal["A", "B", "C", "D", "E", "F"]
Mode = Literal["road", "rail", "air", "sea", "river", "crossing"]


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Code(_Sent):
    """A code together with its scheme, such as pcode SY02. GeoNames calls another place SY.02."""

    scheme: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$", examples=["pcode"])]
    code: Annotated[str, Field(pattern=r"^[^\s:]{1,64}$", examples=["SY02"])]


class PlaceIn(_Sent):
    """A place, as sent."""

    slug: Slug
    name: Name
    parent: str | None = Field(default=None, description="Slug, or `scheme:code`, of the place that contains it.", max_length=100)
    country: Country | None = Field(default=None, description="ISO 3166-1 alpha-3; the parent's unless given.")
    codes: list[Code] = Field(default=[], max_length=20)
    centroid: Position | None = None
    geometry: Geometry | None = None


class Links(BaseModel):
    """Where the record stands."""

    self: str


class PlaceOut(BaseModel):
    """A place, as served."""

    id: str
    slug: str
    name: str
    parent: str | None
    country: str | None
    codes: list[Code]
    centroid: Position | None
    geometry: Geometry | None
    links: Links


class SourceIn(_Sent):
    """A source, as sent. An outlet that quotes somebody is not the source of what it quotes."""

    slug: Slug
    name: Name
    type: SourceType
    reliability: Grade = Field(default="F", description="Admiralty scale: A completely reliable to E unreliable; F cannot be judged.")
    party_to_conflict: StrictBool | None = Field(default=None, description="Unless given: true for an armed actor, else false.")
    alias: Name | None = Field(
        default=None, description="Protects the source: below the clearance `amber` this is its name, and its slug is another."
    )
    organisation: Name | None = Field(
        default=None, description="Whose keys report for it; without one any key with the scope `report` does."
    )


class SourceOut(BaseModel):
    """A source, as served. Below the clearance `amber` a protected one shows under its alias, and `redacted` says so."""

    id: str
    slug: str
    name: str
    type: SourceType
    reliability: Grade
    first_reliability: Grade = Field(description="The grade that it was added with; later ones are changes of the ledger.")
    party_to_conflict: bool
    alias: str | None
    organisation: str | None = None
    redacted: list[str] = []
    links: Links


class RouteIn(_Sent):
    """A route, as sent."""

    slug: Slug
    name: Name
    mode: Mode
    origin: Name | None = Field(default=None, alias="from", description="Where it comes from.")
    destination: Name | None = Field(default=None, alias="to", description="Where it leads.")
    geometry: Geometry | None = None


class RouteOut(BaseModel):
    """A route, as served. Below the clearance `amber` the geometry is rounded to 0.1 degree and `redacted` says so."""

    id: str
    slug: str
    name: str
    mode: Mode
    origin: str | None = Field(alias="from")
    destination: str | None = Field(alias="to")
    geometry: Geometry | None
    redacted: list[str]
    links: Links


class PlacePage(ListEnvelope[PlaceOut]):
    """A page of places."""


class SourcePage(ListEnvelope[SourceOut]):
    """A page of sources."""


class RoutePage(ListEnvelope[RouteOut]):
    """A page of routes."""
