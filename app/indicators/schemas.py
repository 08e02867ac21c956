"""Indicators on the wire, and what lists of them are filtered by."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.assessment.envelope import Agreement, Reason, Relation
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.times import DateOrTime
from app.domain.tlp import Label
from app.http.lists import GeographicFormat, ListEnvelope
from app.http.query_params import AsOf, BoundingBox, CountryFilter, KnownAt, Limit, PageCursor, PlaceFilter, Within
from app.reference.schemas import Code, Grade, Slug, SourceType

KindName: Any = Literal[tuple(KINDS)]


class PlaceBrief(BaseModel):
    """The place, in short."""

    slug: str
    name: str
    codes: list[Code]
    country: str | None


class SourceBrief(BaseModel):
    """The source as graded when it was read."""

    slug: str
    name: str
    type: SourceType
    reliability: Grade
    party_to_conflict: bool


class Named(BaseModel):
    """Who relayed it."""

    slug: str
    name: str


class Assessment(BaseModel):
    """How the reading was made."""

    method: str = Field(description="Name and number of the method; the README says how to recompute it.")
    reports: int = Field(description="Standing reports read.")
    sources: int = Field(description="Different sources among them.")
    preferred: str | None = Field(description="Identifier of the preferred report.")


class IndicatorProvenance(BaseModel):
    """Where the preferred report comes from."""

    report: str
    source: SourceBrief
    stated_at: str
    via: list[Named]
    method: str
    credibility: int
    url: str | None
    title: str | None
    quote: str | None
    language: str | None
    licence: str | None


class IndicatorLinks(BaseModel):
    """Where to read on."""

    self: str
    history: str
    reports: str


def _value_of(kinds: Iterable[Kind[Any]]) -> Any:
    return reduce(or_, [kind.assessment_model for kind in kinds])


class Indicator(BaseModel):
    """The assessed reading of the standing reports on one (kind, place, subject)."""

    id: str
    kind: str
    subject: str = Field(description="The concept, the supply (with its scope where that is not all stock), or the route.")
    place: PlaceBrief
    value: _value_of(KINDS.values()) | None = Field(description="What the kind says; null once no report stands.")  # type: ignore[valid-type]
    agreement: Agreement | None = Field(
        description="`single`: one source. `consistent`. `contested`: two standing reports cannot both be true. "
        "`unconfirmed`: more than one source, agreeing, all of them parties to the conflict. Null once no report stands."
    )
    stated_at: str | None = Field(description="When the preferred report was stated.")
    stale_after: str | None = Field(description="The newest standing statement plus the kind's horizon.")
    recorded_at: str = Field(description="When the last change to this indicator was recorded.")
    assessment: Assessment
    provenance: IndicatorProvenance | None
    sensitivity: Label | None = Field(description="The highest label among the standing reports.")
    redacted: list[str]
    links: IndicatorLinks
    revision: int = Field(description="Number of the last change to this indicator, in the ledger as this reader sees it.")


class _ReadReport(BaseModel):
    id: str
    source: SourceBrief
    via: list[Named]
    stated_at: str
    recorded_at: str
    value: dict[str, Any]
    method: str
    credibility: int
    sensitivity: Label
    links: dict[str, str]


class StandingReport(_ReadReport):
    """A report that was read, and how it relates to the reading."""

    relation: Relation


class LeftOutReport(_ReadReport):
    """A report that was not read, and why."""

    reason: Reason


class IndicatorDetail(Indicator):
    """An indicator with every report behind it."""

    reports: list[StandingReport] = Field(description="Those read, best grade first.")
    left_out: list[LeftOutReport] = Field(description="Those not read, latest first.")


class IndicatorPage(ListEnvelope[Indicator]):
    """A page of indicators, in order of identifier."""


class HistoryStep(BaseModel):
    """One change that moved the reading, and how it read after it."""

    seq: int = Field(description="Number of the change, in the ledger as this reader sees it.")
    type: str = Field(description="`report`, `correction`, `retraction`, `outcome` or `grade`.")
    report: str | None = Field(description="The report that came, was withdrawn, or shows the outcome.")
    reason: str | None
    recorded_at: str
    moved: list[Literal["value", "range", "agreement"]]
    value: _value_of(KINDS.values()) | None  # type: ignore[valid-type]
    agreement: Agreement | None
    preferred: str | None


class HistoryPage(ListEnvelope[HistoryStep]):
    """A page of steps, oldest first."""


class IndicatorFilters(BaseModel):
    """What every list of indicators is filtered by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: PlaceFilter = None
    within: Within = False
    country: CountryFilter = None
    source: Annotated[Slug | None, Field(description="Slug of the preferred report's source.")] = None
    agreement: Annotated[Agreement | None, Field(description="How the sources agree.")] = None
    min_reliability: Annotated[
        Grade | None, Field(description="Worst grade of the preferred report's source; F ranks below C and above D.", examples=["C"])
    ] = None
    stale: Annotated[bool | None, Field(description="Whether the newest statement is older than the kind's horizon.")] = None
    updated_since: Annotated[
        DateOrTime | None, Field(description="Changed at or after this time; a date is its first moment.", examples=["2016-10-05"])
    ] = None
    bbox: BoundingBox = None
    as_of: AsOf = None
    known_at: KnownAt = None
    cursor: PageCursor = None
    limit: Limit = 100
    format: GeographicFormat = None


def _filters(kinds: Iterable[Kind[Any]], name: str, **more: Any) -> type[IndicatorFilters]:
    own: dict[str, Any] = dict(more)
    states: list[str] = []
    shown: list[str] = []
    for kind in kinds:
        field = kind.value_model.model_fields[kind.filter_field]
        described = Field(
            default=None, description=field.description, examples=[kind.example[kind.filter_field]], **_pattern(field.metadata)
        )
        # Kinds may share a topic: two of them may speak of supplies, each of its own.
        earlier = own[kind.filter_field][0] if kind.filter_field in own else None
        own[kind.filter_field] = (field.annotation | earlier, described)
        if kind.status_field is not None:
            states.extend(get_args(kind.value_model.model_fields[kind.status_field].annotation))
            shown.extend([kind.example[kind.status_field]] if kind.status_field in kind.example else [])
    if states:
        own["status"] = (
            Literal[tuple(dict.fromkeys(states))] | None,
            Field(default=None, description="What it reads: of a route `status`, of a supply `state`.", examples=[*shown, *states][:1]),
        )
    return create_model(name, __base__=IndicatorFilters, **own)


def _pattern(metadata: list[Any]) -> dict[str, Any]:
    return next(({"pattern": each.pattern} for each in metadata if getattr(each, "pattern", None)), {})


def _page_of(kind: Kind[Any]) -> type[IndicatorPage]:
    name = kind.assessment_model.__name__
    fields: dict[str, Any] = {"kind": (Literal[kind.name], ...), "value": (kind.assessment_model | None, ...)}
    item: Any = create_model(f"{name}Indicator", __base__=Indicator, **fields)
    items: dict[str, Any] = {"items": (list[item], ...)}
    return create_model(f"{name}Page", __base__=IndicatorPage, **items)


ALL_FILTERS = _filters(
    KINDS.values(),
    "AllIndicatorFilters",
    kind=(KindName | None, Field(default=None, description="Only this kind.", examples=["supply_runout"])),
)
KIND_FILTERS = {kind.name: _filters([kind], f"{kind.assessment_model.__name__}Filters") for kind in KINDS.values()}
KIND_PAGES = {kind.name: _page_of(kind) for kind in KINDS.values()}
