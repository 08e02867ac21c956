"""Places, sources and routes in requests and responses."""

import re
from datetime import date
from functools import cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, WithJsonSchema, create_model, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.values import field_error
from app.domain.visible_text import not_blank
from app.http.lists import ListEnvelope
from app.reference.geometry import Geometry, Position

Slug = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="1 to 64 of a-z, 0-9 and -.")]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(not_blank)]
Country = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 3166-1 alpha-3.")]
SourceType = TypeAliasType("SourceType", Literal["un", "government", "armed_actor", "ngo", "monitor", "media", "local_council", "witness"])
Grade = TypeAliasType("Grade", Literal["A", "B", "C", "D", "E", "F"])
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,4}")


def known_language(tag: str) -> str:
    """Return a language tag unchanged; raise ValueError for any other text."""
    if _LANGUAGE.fullmatch(tag) is None:
        raise ValueError("a language must be a tag of BCP 47, such as ar or zh-Hant")
    return tag


Names = Annotated[dict[Annotated[str, AfterValidator(known_language)], Name], Field(max_length=100)]


def _known_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("must be a date, such as 2016-12-22") from None


Day = Annotated[str, AfterValidator(_known_day), WithJsonSchema({"type": "string", "format": "date"})]
RouteMode = TypeAliasType("RouteMode", Literal["road", "rail", "air", "sea", "river", "crossing"])


@cache
def _timezones() -> set[str]:
    # `localtime` is the zone of the server, whatever that is, and `Factory` says that none was set.
    return available_timezones() - {"localtime", "Factory"}


def _known_timezone(name: str) -> str:
    if name not in _timezones():
        raise ValueError("unknown time zone: use a name of the IANA time zone database, such as Asia/Damascus")
    return name


Timezone = Annotated[str, Field(max_length=64), AfterValidator(_known_timezone)]


_NAMES = "Names by language (BCP 47), such as `ar`."
_VALID_FROM = "First day on which it was a place of its own; null if unknown."
_VALID_TO = "Last day on which it was a place of its own; null for one that still is."


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Code(_Request):
    """A code of a place together with its scheme, because the same code belongs to different places in different schemes."""

    scheme: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$", description="Scheme of the code.", examples=["pcode"])]
    code: Annotated[str, Field(pattern=r"^[^\s:]{1,64}$", description="Code within the scheme.", examples=["SY02"])]


class PlaceIn(_Request):
    """A place to create."""

    slug: Slug = Field(description="Short name for URLs, unique among places: 1 to 64 of a-z, 0-9 and -.")
    name: Name = Field(description="Name to display.")
    names: Names = Field(default={}, description=_NAMES)
    parent: str | None = Field(
        default=None, max_length=100, description="Slug, or `scheme:code`, of the place that contains it; null for the top level."
    )
    country: Country | None = Field(default=None, description="ISO 3166-1 alpha-3; null takes the country that the parent has now.")
    timezone: Timezone | None = Field(
        default=None,
        description="IANA time zone, in which relative days are counted; null takes the one that the parent has now, at the top level UTC.",
    )
    codes: list[Code] = Field(default=[], max_length=20, description="Its codes in other registers.")
    centroid: Position | None = Field(default=None, description="[longitude, latitude] in degrees (WGS 84); null if unknown.")
    geometry: Geometry | None = Field(default=None, description="GeoJSON geometry (WGS 84, longitude first); null if unknown.")
    valid_from: Day | None = Field(default=None, description=_VALID_FROM)
    valid_to: Day | None = Field(default=None, description=_VALID_TO)
    successor_of: str | None = Field(
        default=None, max_length=100, description="Slug, or `scheme:code`, of the place that it takes the place of; null for none."
    )

    @model_validator(mode="after")
    def _check_validity(self) -> Self:
        if self.valid_from is not None and self.valid_to is not None and self.valid_to < self.valid_from:
            raise field_error("valid_to", "must not be before valid_from")
        return self


class Links(BaseModel):
    """Links of a record."""

    self: str = Field(description="Path of the record.")


class PlaceOut(BaseModel):
    """A place."""

    id: str = Field(description="Identifier (UUID).")
    slug: str = Field(description="Short name in URLs, unique among places.")
    name: str = Field(description="Name to display, in the language of `lang` where there is one.")
    names: dict[str, str] = Field(description=_NAMES)
    parent: str | None = Field(description="Slug of the place that contains it; null at the top level.")
    country: str | None = Field(description="ISO 3166-1 alpha-3; null if unknown.")
    timezone: str = Field(description="IANA time zone, in which relative days are counted.")
    codes: list[Code] = Field(description="Its codes in other registers.")
    centroid: Position | None = Field(description="[longitude, latitude] in degrees (WGS 84); null if unknown.")
    geometry: Geometry | None = Field(description="GeoJSON geometry (WGS 84, longitude first); null if unknown.")
    valid_from: Day | None = Field(description=_VALID_FROM)
    valid_to: Day | None = Field(description=_VALID_TO)
    successor_of: str | None = Field(description="Slug of the place that it takes the place of; null for none.")
    links: Links = Field(description="Links of the place.")


class SourceIn(_Request):
    """A source to create. An outlet that quotes a statement is not the source of the statement."""

    slug: Slug = Field(description="Short name for URLs, unique among sources: 1 to 64 of a-z, 0-9 and -.")
    name: Name = Field(description="Name to display.")
    names: Names = Field(default={}, description=_NAMES)
    type: SourceType = Field(description="What the source is.")
    reliability: Grade = Field(
        default="F", description="Reliability on the Admiralty scale: A completely reliable to E unreliable; F cannot be judged."
    )
    party_to_conflict: StrictBool | None = Field(
        default=None, description="Whether it is a party to the conflict; null means true for an armed actor, else false."
    )
    alias: Name | None = Field(
        default=None, description="Name that replaces the real name and slug below the clearance `amber`; null does not protect the source."
    )
    organisation: Name | None = Field(
        default=None, description="Organisation whose keys may report for it; null allows every key with the scope `report`."
    )


class SourceOut(BaseModel):
    """A source. Below the clearance `amber` a protected source has another name and slug, and `redacted` names these fields."""

    id: str = Field(description="Identifier (UUID).")
    slug: str = Field(description="Short name in URLs, unique among sources.")
    name: str = Field(description="Name to display, in the language of `lang` where there is one.")
    names: dict[str, str] = Field(description=f"{_NAMES} None if redacted.")
    type: SourceType = Field(description="What the source is.")
    reliability: Grade = Field(description="Current reliability (Admiralty scale).")
    first_reliability: Grade = Field(description="Reliability that it was created with; `/v1/changes` has every later grade.")
    party_to_conflict: bool = Field(description="Whether it is a party to the conflict.")
    alias: str | None = Field(description="Name of a protected source below the clearance `amber`; null for other sources.")
    organisation: str | None = Field(default=None, description="Organisation whose keys may report for it; null for all, or if redacted.")
    redacted: list[str] = Field(default=[], description="Fields that are replaced or withheld below the clearance `amber`.")
    links: Links = Field(description="Links of the source.")


class RouteIn(_Request):
    """A route to create."""

    slug: Slug = Field(description="Short name for URLs, unique among routes: 1 to 64 of a-z, 0-9 and -.")
    name: Name = Field(description="Name to display.")
    names: Names = Field(default={}, description=_NAMES)
    mode: RouteMode = Field(description="Mode of transport.")
    origin: Name | None = Field(default=None, alias="from", description="Where it starts; null if unknown.")
    destination: Name | None = Field(default=None, alias="to", description="Where it ends; null if unknown.")
    geometry: Geometry | None = Field(default=None, description="GeoJSON geometry (WGS 84, longitude first); null if unknown.")


class RouteOut(BaseModel):
    """A route. Below the clearance `amber` its geometry is rounded to 0.1 degree, and `redacted` names it."""

    id: str = Field(description="Identifier (UUID).")
    slug: str = Field(description="Short name in URLs, unique among routes.")
    name: str = Field(description="Name to display, in the language of `lang` where there is one.")
    names: dict[str, str] = Field(description=_NAMES)
    mode: RouteMode = Field(description="Mode of transport.")
    origin: str | None = Field(alias="from", description="Where it starts; null if unknown.")
    destination: str | None = Field(alias="to", description="Where it ends; null if unknown.")
    geometry: Geometry | None = Field(description="GeoJSON geometry (WGS 84, longitude first); null if unknown.")
    redacted: list[str] = Field(description="Fields that are rounded below the clearance `amber`.")
    links: Links = Field(description="Links of the route.")


SCHEMAS: dict[str, type[PlaceIn | SourceIn | RouteIn]] = {"place": PlaceIn, "source": SourceIn, "route": RouteIn}


def _patch_model(name: str, created: type[BaseModel], what: str) -> type[BaseModel]:
    """Return the fields that a patch of a record may have, each or null, for the OpenAPI document."""
    fields: dict[str, Any] = {
        each: (
            (dict[str, Name | None] if each == "names" else field.rebuild_annotation()) | None,
            Field(default=None, alias=field.alias, description=field.description),
        )
        for each, field in created.model_fields.items()
        if each not in ("slug", "reliability")
    }
    return create_model(name, __base__=_Request, __doc__=f"What to change about {what}; null removes a field, absent ones stay.", **fields)


PlacePatch = _patch_model("PlacePatch", PlaceIn, "a place")
SourcePatch = _patch_model("SourcePatch", SourceIn, "a source")
RoutePatch = _patch_model("RoutePatch", RouteIn, "a route")


class PlacePage(ListEnvelope[PlaceOut]):
    """A page of places."""


class SourcePage(ListEnvelope[SourceOut]):
    """A page of sources."""


class RoutePage(ListEnvelope[RouteOut]):
    """A page of routes."""
