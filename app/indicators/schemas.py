"""Schemas of indicators, and the filters of their lists."""

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model
from typing_extensions import TypeAliasType

from app.assessment.envelope import METHOD, LeftOutReason, Relation
from app.assessment.statement import Directness
from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.kinds.values import Agreement, closed_set
from app.domain.times import DateOrTime, Timestamp
from app.domain.tlp import Label
from app.http.lists import ListEnvelope, PastListFilters
from app.http.query_params import BoundingBox
from app.indicators.examples import example_config, history_step_example, indicator_example, listed_example
from app.indicators.judgement_schemas import StandingJudgement
from app.reference.names import Lang
from app.reference.schemas import Code, Grade, Slug, SourceType

KindName: Any = TypeAliasType("KindName", Literal[tuple(KINDS)])
_FIRST_KIND = next(iter(KINDS.values()))
PolicyBasis = TypeAliasType("PolicyBasis", Literal["no_parties"])
MovedPart = TypeAliasType("MovedPart", Literal["value", "range", "agreement", "judgement"])


class PlaceBrief(BaseModel):
    """A place in a document."""

    slug: str = Field(description="Slug of the place.")
    name: str = Field(description="Name of the place.")
    codes: list[Code] = Field(description="Codes of the place, such as its p-code.")
    country: str | None = Field(description="Country, ISO 3166-1 alpha-3; null if not known.")


class SourceBrief(BaseModel):
    """A source in a document."""

    slug: str = Field(description="Slug of the source; below the clearance `amber` that of its alias.")
    name: str = Field(description="Name of the source; below the clearance `amber` its alias.")
    type: SourceType = Field(description="Type of the source.")
    reliability: Grade = Field(description="Reliability of the source, A to F, at the time point of the answer.")
    party_to_conflict: bool = Field(description="Whether the source is a party to the conflict.")


class Named(BaseModel):
    """A source that relayed a report."""

    slug: str = Field(description="Slug of the source.")
    name: str = Field(description="Name of the source.")


class AssessmentPolicy(BaseModel):
    """Which reports count."""

    basis: PolicyBasis | None = Field(description="`no_parties`: no report of a party to the conflict; null for all.")
    min_reliability: Grade | None = Field(description="Worst grade of a source that counts; null for any.")
    without: str | None = Field(description="Slug of the source that does not count, as source or as origin; null for none.")


class Assessment(BaseModel):
    """How the value was assessed."""

    method: str = Field(description="Name and version of the method, which the guide describes.", examples=[METHOD])
    policy: AssessmentPolicy | None = Field(description="Policy that the reader asked for; null if every report counts.")
    reports: int = Field(
        description="Number of reports that count: those that stand, without warnings that have an outcome if others lead."
    )
    sources: int = Field(description="Number of their sources.")
    origins: int = Field(description="Number of their origins: sources that rely on one origin count once.")
    preferred: str | None = Field(description="Identifier of the report that leads; null if none does.")
    basis: dict[str, str] = Field(
        description="For each figure and date of the value, and the state of each direction, the identifier of the report that gives it.",
        examples=[{"runs_out_earliest": "01900000-0000-7000-8004-000000000014"}],
    )
    spread: float | None = Field(
        description="Highest figure divided by the lowest, to two digits; null for a kind of states or an open end."
    )
    newest_at: Timestamp | None = Field(description="Time of the newest report that is neither superseded nor retracted; null for none.")
    newest_sound_at: Timestamp | None = Field(description="Time of the newest sound one of these; null for none.")


class DetailAssessment(Assessment):
    """How the value was assessed, and on which reports it depends."""

    deciding: list[str] = Field(
        description="A smallest set of reports, the newest where there are several, without which the preferred value or the agreement "
        "would be another; empty if no such set of up to three reports was found in a bounded search."
    )


class _ReportBrief(BaseModel):
    source: SourceBrief = Field(description="Source of the report.")
    via: list[Named] = Field(description="Sources that relayed it, in the order reported.")
    directness: Directness = Field(description="Whether the words are the source's own, quoted or paraphrased.")
    origin: Named | None = Field(description="Source that the speaker relies on; null for none.")
    stated_at: Timestamp = Field(description="When the source stated it.")
    method: str = Field(description="How the source knows, such as `headcount`.")
    credibility: int = Field(description="Credibility of the information, 1 (confirmed) to 6 (cannot be judged).")


class IndicatorProvenance(_ReportBrief):
    """Provenance of the preferred report."""

    report: str = Field(description="Identifier of the report.")
    url: str | None = Field(description="Web address of the publication; null if none is given.")
    title: str | None = Field(description="Title of the publication; null if none is given.")
    quote: str | None = Field(description="The source's own words; null if none are given.")
    language: str | None = Field(description="Language of the quote, BCP 47; null if not given.")
    licence: str | None = Field(description="Licence of the publication; null if not given.")


class IndicatorLinks(BaseModel):
    """Links of an indicator."""

    self: str = Field(description="The indicator with all its reports.")
    history: str = Field(description="How its assessment changed.")
    reports: str = Field(description="All reports on it.")


def _value_of(kinds: Iterable[Kind[Any]]) -> Any:
    return reduce(or_, [kind.assessment_model for kind in kinds])


class Indicator(BaseModel):
    """The assessment of all standing reports on one kind, place and subject."""

    model_config = example_config(listed_example(_FIRST_KIND))

    id: str = Field(description="Identifier, computed from kind, place and subject.")
    kind: str = Field(description="Kind of indicator.", examples=["supply_runout"])
    subject: str = Field(description="What the indicator is about, such as a concept, a supply with its scope unless `all_stock`, a route.")
    place: PlaceBrief = Field(description="Place of the indicator.")
    value: _value_of(KINDS.values()) | None = Field(  # type: ignore[valid-type]
        description="Assessed value; null if no report stands, with null fields if only relief is claimed by reports that are not sound."
    )
    agreement: Agreement | None = Field(
        description="`claimed`: no report leads, because only reports that are not sound claim relief. `contested`: two standing reports "
        "cannot both be true. `unconfirmed`: all are of parties to the conflict. `consistent`: two or more origins, which agree. "
        "`single`: one origin. Null: no report stands."
    )
    stated_at: Timestamp | None = Field(
        description="Time of the preferred report: the end of its observation, else when it was stated; or null."
    )
    stale_after: Timestamp | None = Field(
        description="That time plus the horizon of the report; null if no report leads, or the kind has no horizon."
    )
    recorded_at: Timestamp = Field(description="When the last change to this indicator was recorded.")
    assessment: Assessment = Field(description="Method and basis of the value.")
    provenance: IndicatorProvenance | None = Field(description="Provenance of the preferred report; null if none leads.")
    judgement: StandingJudgement | None = Field(
        description="The latest judgement on the indicator, never mixed into `value`; null for none, and for one that was retracted."
    )
    sensitivity: Label | None = Field(description="Strictest label of the standing reports; null if none stands.")
    redacted: list[str] = Field(description="Fields that are withheld or coarsened for this clearance.")
    links: IndicatorLinks = Field(description="Links of the indicator.")
    revision: int = Field(description="Seq of the last change to this indicator, in the ledger as this caller sees it.")


class _AssessedReport(_ReportBrief):
    id: str = Field(description="Identifier of the report.")
    recorded_at: Timestamp = Field(description="When it was recorded.")
    value: dict[str, Any] = Field(description="Value as reported.")
    sensitivity: Label = Field(description="Label of the report.")
    links: dict[str, str] = Field(description="Links of the report.")


class StandingReport(_AssessedReport):
    """A report that stands, or that is listed beside those that do."""

    relation: Relation = Field(
        description="`preferred`, or whether it `supports` or `contradicts` the report that leads; listed and counted for nothing else: "
        "`relayed` repeats another report, `announced` has not happened yet, `overtaken` is contradicted by later reports."
    )


class LeftOutReport(_AssessedReport):
    """A report that the assessment leaves out."""

    reason: LeftOutReason = Field(
        description="`superseded` by a correction, `retracted`, `replaced_by_later` report of the same source, `past_horizon`: too long "
        "before the newest report, or left out by the `policy` that the reader asked for."
    )


class IndicatorDetail(Indicator):
    """An indicator with its reports."""

    model_config = example_config(indicator_example(_FIRST_KIND))

    assessment: DetailAssessment = Field(description="Method and basis of the value.")
    reports: list[StandingReport] = Field(
        description="The preferred report, the others that stand, best grade first, then those beside them, latest first."
    )
    left_out: list[LeftOutReport] = Field(description="Reports that were left out, latest first.")


class IndicatorPage(ListEnvelope[Indicator]):
    """A page of indicators, in order of identifier."""


class HistoryStep(BaseModel):
    """One change of the assessment of an indicator."""

    model_config = example_config(history_step_example(_FIRST_KIND))

    seq: int = Field(description="Seq of the ledger entry, in the ledger as this caller sees it.")
    type: str = Field(
        description="`report`, `correction`, `retraction`, `reinstatement`, `outcome`, `judgement`, `judgement_retraction`, `grade`, "
        "`label` or `tombstone`."
    )
    report: str | None = Field(description="Report that was recorded, withdrawn, or shows the outcome; null if it is not visible.")
    reason: str | None = Field(description="Reason given for the change; null if none is given or it is not visible.")
    recorded_at: Timestamp = Field(description="When the change was recorded.")
    moved: list[MovedPart] = Field(description="Parts of the assessment that changed.")
    value: _value_of(KINDS.values()) | None = Field(description="Value after the change; null if no report stands.")  # type: ignore[valid-type]
    agreement: Agreement | None = Field(description="Agreement after the change; null if no report stands.")
    preferred: str | None = Field(description="Identifier of the preferred report after the change; null if no report stands.")
    judgement: str | None = Field(description="Identifier of the judgement that stands after the change; null for none.")


class HistoryPage(ListEnvelope[HistoryStep]):
    """A page of the history of an indicator, oldest change first."""


class IndicatorFilters(PastListFilters):
    """Filters of every list of indicators."""

    lang: Lang = None
    source: Annotated[Slug | None, Field(description="Slug of the preferred report's source.")] = None
    agreement: Annotated[Agreement | None, Field(description="How the sources agree.")] = None
    min_reliability: Annotated[
        Grade | None, Field(description="Worst grade of the preferred report's source; F ranks below C and above D.", examples=["C"])
    ] = None
    stale: Annotated[bool | None, Field(description="Whether the preferred report is older than its horizon.")] = None
    updated_since: Annotated[
        DateOrTime | None, Field(description="Changed at or after this time; a date means its start in UTC.", examples=["2016-10-05"])
    ] = None
    include_empty: Annotated[bool, Field(description="Whether to include indicators on which no report stands.")] = False
    bbox: BoundingBox = None


def _named(name: str, values: Iterable[str]) -> Any:
    return TypeAliasType(name, Literal[tuple(values)])


def _filters(kinds: Iterable[Kind[Any]], name: str, **more: Any) -> type[IndicatorFilters]:
    own: dict[str, Any] = dict(more)
    states: list[Any] = []
    status_examples: list[str] = []
    for kind in kinds:
        field = kind.value_model.model_fields[kind.filter_field]
        pattern = next((each.pattern for each in field.metadata if getattr(each, "pattern", None)), None)
        described = Field(None, description=field.description, examples=[kind.example[kind.filter_field]], pattern=pattern)
        # Kinds may share a filter field, each with its own values.
        earlier = own[kind.filter_field][0] if kind.filter_field in own else None
        own[kind.filter_field] = (field.annotation | earlier, described)
        if kind.status_field is not None:
            states.append(kind.value_model.model_fields[kind.status_field].annotation)
            status_examples += [kind.example[kind.status_field]] if kind.status_field in kind.example else []
    if states:
        every: Any = states[0]
        if len(states) > 1:
            every = _named("AssessedState", dict.fromkeys(each for state in states for each in closed_set(state)))
        own["status"] = (
            every | None,
            Field(
                default=None,
                description="Assessed state: of a route its `status`, of a supply or service its `state`, of a delivery its `stage`.",
                examples=[*status_examples, *closed_set(every)][:1],
            ),
        )
    return create_model(name, __base__=IndicatorFilters, **own)


def _page_of(kind: Kind[Any]) -> type[IndicatorPage]:
    name = kind.assessment_model.__name__
    fields: dict[str, Any] = {
        "kind": (Literal[kind.name], Field(description="Kind of indicator.")),
        "value": (kind.assessment_model | None, Field(description="Assessed value; null if no report stands.")),
    }
    config = dict(example_config(listed_example(kind)))
    item: Any = create_model(f"{name}Indicator", __base__=Indicator, __cls_kwargs__=config, **fields)
    items: dict[str, Any] = {"items": (list[item], Field(description="The records of this page."))}
    return create_model(f"{name}Page", __base__=IndicatorPage, **items)


ALL_FILTERS = _filters(
    KINDS.values(),
    "AllIndicatorFilters",
    kind=(KindName | None, Field(default=None, description="Only this kind.", examples=["supply_runout"])),
)
KIND_FILTERS = {kind.name: _filters([kind], f"{kind.assessment_model.__name__}Filters") for kind in KINDS.values()}
KIND_PAGES = {kind.name: _page_of(kind) for kind in KINDS.values()}
