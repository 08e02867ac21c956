"""Reports on the wire: as sent, and as served."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictInt, create_model, model_validator

from app.domain.kinds import KINDS
from app.domain.kinds.base import field_error
from app.domain.times import DateOrTime, start_of
from app.domain.tlp import Label
from app.http.lists import ListEnvelope
from app.http.problems import ProblemDetails
from app.reference.schemas import Grade, Slug

Method = Literal[
    "headcount",
    "registration",
    "key_informant",
    "direct_observation",
    "remote_sensing",
    "modelled",
    "expert_estimate",
    "media_monitoring",
    "unknown",
]
Status = Literal["standing", "superseded", "retracted"]
Reason = Annotated[str, Field(min_length=1, max_length=2000, description="Why, in words.")]
OutcomeName = Literal["pending", "materialised", "averted", "overtaken", "unknown"]
PlaceName = Annotated[str, Field(min_length=1, max_length=100, description="Slug of the place, or `scheme:code`.")]


class Provenance(BaseModel):
    """On what basis, how credible, by whose hands, in which words."""

    model_config = ConfigDict(extra="forbid")

    via: list[Slug] = Field(
        default=[], max_length=20, description="Slugs of those who relayed it. An outlet that quotes is not the source."
    )
    method: Method = Field(default="unknown", description="How the source knows.")
    credibility: Annotated[StrictInt, Field(ge=1, le=6)] = Field(
        default=6, description="Admiralty scale: 1 confirmed by other sources to 5 improbable; 6 cannot be judged."
    )
    published_at: DateOrTime | None = Field(default=None, description="When it was published, which is not when it was stated.")
    url: Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s]+$")] | None = None
    title: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    quote: Annotated[str, Field(min_length=1, max_length=2000)] | None = Field(default=None, description="The words themselves.")
    language: Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None = Field(
        default=None, description="Language of the quote, BCP 47."
    )
    licence: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ReportIn(BaseModel):
    """One source's statement, as sent."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(max_length=64)]
    place: PlaceName
    source: Slug
    stated_at: DateOrTime = Field(description="When the source said so: a date, or an RFC 3339 date-time with offset; not in the future.")
    value: dict[str, Any]
    provenance: Provenance = Field(default_factory=Provenance)
    observed_from: DateOrTime | None = Field(default=None, description="From when on the source observed it.")
    observed_to: DateOrTime | None = Field(default=None, description="Until when.")
    sensitivity: Label | None = Field(
        default=None,
        description="TLP 2.0 label. Without one: `amber` for routes said to be passable, facility stocks and witnesses, else `green`.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.observed_from and self.observed_to and start_of(self.observed_from) > start_of(self.observed_to):
            raise field_error("observed_from", "observed_from must not be after observed_to")
        return self


class CorrectionIn(ReportIn):
    """A whole report that supersedes another, and why."""

    reason: Reason


def _fields(**types: Any) -> dict[str, Any]:
    return {name: (type_, ...) for name, type_ in types.items()}


def _by_kind(base: type[ReportIn], suffix: str, doing: str) -> dict[str, type[BaseModel]]:
    return {
        kind.name: create_model(
            f"{kind.value_model.__name__}{suffix}",
            __base__=base,
            __doc__=f"A {doing} of the kind `{kind.name}`, as sent. {kind.description}",
            **_fields(kind=Literal[kind.name], value=kind.value_model),
        )
        for kind in KINDS.values()
    }


SENT_MODELS = _by_kind(ReportIn, "Report", "report")
CORRECTION_MODELS = _by_kind(CorrectionIn, "Correction", "correction")


class ReportLinks(BaseModel):
    """Where the report and its indicator stand."""

    self: str
    indicator: str
    correction: str
    retraction: str


class ReportOut(BaseModel):
    """One stored statement, as served."""

    id: str
    seq: int | None = Field(description="Its number in the ledger as this reader sees it; null where the reader may not see it again.")
    kind: str
    place: str
    source: str
    stated_at: str = Field(description="As sent: a date, or a date-time in UTC.")
    value: dict[str, Any]
    provenance: Provenance
    observed_from: str | None
    observed_to: str | None
    sensitivity: Label
    indicator: str = Field(description="Identifier of the indicator that reads it.")
    recorded_at: str
    recorded_by: str = Field(description="Organisation whose key sent it.")
    status: Status
    supersedes: str | None = Field(description="The report that this one corrects.")
    links: ReportLinks


class Amendment(BaseModel):
    """One change that ended a report: a correction, with the report that supersedes it, or a retraction."""

    seq: int
    type: Literal["correction", "retraction"]
    reason: str
    recorded_at: str
    report: str | None = Field(description="The superseding report.")


class ReportDetail(ReportOut):
    """One stored statement, with what became of it."""

    amended: list[Amendment]


class RetractionIn(BaseModel):
    """The withdrawal of a report."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


class RetractionOut(BaseModel):
    """A recorded withdrawal."""

    seq: int
    type: Literal["retraction"]
    report: str
    indicator: str
    reason: str
    recorded_at: str
    recorded_by: str
    links: dict[str, str]


class OutcomeIn(BaseModel):
    """What became of a warning, and the report that shows it."""

    model_config = ConfigDict(extra="forbid")

    outcome: OutcomeName
    reason: Reason
    report: UUID = Field(description="Identifier of the report that shows it.")


class OutcomeOut(BaseModel):
    """A recorded outcome."""

    seq: int
    type: Literal["outcome"]
    indicator: str
    outcome: str
    report: str
    reason: str
    recorded_at: str
    recorded_by: str
    links: dict[str, str]


class GradeIn(BaseModel):
    """A source's reliability from now on (Admiralty scale)."""

    model_config = ConfigDict(extra="forbid")

    reliability: Grade
    reason: Reason


class GradeOut(BaseModel):
    """A recorded grade."""

    seq: int
    type: Literal["grade"]
    source: str
    reliability: Grade
    before: Grade
    reason: str
    recorded_at: str
    recorded_by: str
    links: dict[str, str]


class ReportPage(ListEnvelope[ReportOut]):
    """A page of statements, in the order in which they were recorded."""


class Outcome(BaseModel):
    """What became of one item of a list."""

    status: Literal[201, 200, 422] = Field(description="201 recorded, 200 recognised as recorded before, 422 refused.")
    id: str | None = None
    seq: int | None = None
    indicator: str | None = None
    location: str | None = None
    problem: ProblemDetails | None = None


class Outcomes(BaseModel):
    """One outcome an item, in the order sent."""

    items: list[Outcome]
    created: int
    existing: int
    refused: int
    revision: int = Field(description="Head of the ledger after it, as this caller sees it.")
