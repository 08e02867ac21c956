"""Reports, their amendments and their labels in requests and responses."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, ValidationInfo, create_model, field_validator, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds import KINDS
from app.domain.kinds.values import WHOLE, field_error
from app.domain.times import DateOrTime, Timestamp, end_of, start_of
from app.domain.tlp import Label
from app.domain.visible_text import free_text, not_blank, stated_text
from app.http.lists import ListEnvelope
from app.reference.schemas import Grade, Slug

ReportMethod = TypeAliasType(
    "ReportMethod",
    Literal[
        "headcount",
        "registration",
        "key_informant",
        "direct_observation",
        "remote_sensing",
        "modelled",
        "expert_estimate",
        "media_monitoring",
        "unknown",
    ],
)
Directness = TypeAliasType("Directness", Literal["direct", "quoted", "paraphrased"])
ReportStatus = TypeAliasType("ReportStatus", Literal["standing", "superseded", "retracted"])
WarningOutcome = TypeAliasType("WarningOutcome", Literal["pending", "materialised", "averted", "overtaken", "unknown"])
AmendmentType = TypeAliasType("AmendmentType", Literal["correction", "retraction", "reinstatement"])
OutcomeStatus = TypeAliasType("OutcomeStatus", Literal[201, 200, 422])
Reason = Annotated[str, Field(min_length=1, max_length=2000, description="Reason, in words."), AfterValidator(not_blank)]
FreeText = Annotated[str, Field(min_length=1), AfterValidator(free_text)]
WebUrl = Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s]+$")]
PlaceName = Annotated[str, Field(min_length=1, max_length=100, description="Slug of the place, or `scheme:code`.")]


class Provenance(BaseModel):
    """How the statement became known, and how credible it is."""

    model_config = ConfigDict(extra="forbid")

    via: list[Slug] = Field(
        default=[], max_length=20, description="Slugs of the sources that relayed the statement, such as the outlet that quotes it."
    )
    directness: Directness | None = Field(
        default=None, description="How the words became known; null means `direct`, or with `via` `paraphrased`.", validate_default=True
    )
    relays: UUID | None = Field(
        default=None, description="Identifier of the report on the same indicator that this one repeats; null for none."
    )
    origin: Slug | None = Field(
        default=None, description="Slug of the source that the speaker relies on (`the UN, citing the government`); null if not known."
    )
    method: ReportMethod = Field(default="unknown", description="How the source knows.")
    credibility: Annotated[StrictInt, Field(ge=1, le=6), WHOLE] = Field(
        default=6, description="Admiralty scale: 1 confirmed by other sources to 5 improbable; 6 cannot be judged."
    )
    published_at: DateOrTime | None = Field(default=None, description="When the statement was published; null if unknown.")
    url: WebUrl | None = Field(default=None, description="Where it was published; null if unknown.")
    title: Annotated[FreeText, Field(max_length=500)] | None = Field(default=None, description="Title of the publication.")
    quote: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(stated_text)] | None = Field(
        default=None, description="The statement word for word."
    )
    language: Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None = Field(
        default=None, description="Language of the quote (BCP 47)."
    )
    licence: Annotated[FreeText, Field(max_length=200)] | None = Field(default=None, description="Licence of the publication.")

    @field_validator("directness")
    @classmethod
    def _default_directness(cls, given: Directness | None, info: ValidationInfo) -> Directness:
        return given or ("paraphrased" if info.data.get("via") else "direct")


class ReportIn(BaseModel):
    """One statement of one source."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(max_length=64)] = Field(description="Kind of the statement.")
    place: PlaceName = Field(description="Slug of the place, or `scheme:code`.")
    source: Slug = Field(description="Slug of the source.")
    stated_at: DateOrTime = Field(description="When the source said it: a date, or an RFC 3339 date-time with offset; not in the future.")
    value: dict[str, Any] = Field(description="What the source said, in the fields of the kind.")
    provenance: Provenance = Field(default_factory=Provenance, description="How the statement became known.")
    observed_from: DateOrTime | None = Field(default=None, description="Start of the observation, not after `stated_at`; null if unknown.")
    observed_to: DateOrTime | None = Field(default=None, description="End of the observation, not after `stated_at`; null if unknown.")
    sensitivity: Label | None = Field(
        default=None,
        description="TLP 2.0 label; null means `amber` for open routes, stocks of facilities and statements of witnesses, else `green`. "
        "A correction, and a statement sent again after its retraction, get at least the label of what was recorded before.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.observed_from and self.observed_to and start_of(self.observed_from) > end_of(self.observed_to):
            raise field_error("observed_from", "observed_from must not be after observed_to")
        return self


class CorrectionIn(ReportIn):
    """A complete report that supersedes another."""

    reason: Reason = Field(description="Why the report is corrected.")


def _fields(**types: Any) -> dict[str, Any]:
    return {name: (type_, Field(description=ReportIn.model_fields[name].description)) for name, type_ in types.items()}


def _by_kind(base: type[ReportIn], suffix: str, noun: str) -> dict[str, type[BaseModel]]:
    return {
        kind.name: create_model(
            f"{kind.value_model.__name__}{suffix}",
            __base__=base,
            __doc__=f"A {noun} of the kind `{kind.name}`. {kind.description}",
            **_fields(kind=Literal[kind.name], value=kind.value_model),
        )
        for kind in KINDS.values()
    }


REPORT_MODELS = _by_kind(ReportIn, "Report", "report")
CORRECTION_MODELS = _by_kind(CorrectionIn, "Correction", "correction")


class ReportLinks(BaseModel):
    """Links of a report."""

    self: str = Field(description="The report.")
    indicator: str = Field(description="The indicator that it is about.")
    correction: str = Field(description="Post a correction here.")
    retraction: str = Field(description="Post a retraction here.")
    reinstatement: str = Field(description="Post a reinstatement here, to undo a retraction.")


class ReportOut(BaseModel):
    """A recorded report."""

    id: str = Field(description="Identifier (UUID).")
    seq: int | None = Field(description="Position in the ledger as this caller sees it; null if the caller may not read the report.")
    kind: str = Field(description="Kind of the statement.")
    place: str = Field(description="Slug of the place.")
    source: str = Field(description="Slug of the source.")
    stated_at: DateOrTime = Field(description="When the source said it: the date as sent, or a date-time in UTC.")
    value: dict[str, Any] = Field(description="What the source said, in the fields of the kind.")
    provenance: Provenance = Field(description="How the statement became known.")
    observed_from: DateOrTime | None = Field(description="Start of the source's observation; null if unknown.")
    observed_to: DateOrTime | None = Field(description="End of the source's observation; null if unknown.")
    sensitivity: Label = Field(description="Current TLP 2.0 label.")
    indicator: str = Field(description="Identifier of the indicator that it is about.")
    recorded_at: Timestamp = Field(description="When this service recorded it (UTC).")
    recorded_by: str = Field(description="Organisation that sent it, or confirmed the draft of it.")
    drafted_by: str | None = Field(description="Organisation that drafted it; null if it was sent without a draft.")
    status: ReportStatus = Field(description="Whether it stands, is superseded by a correction, or is retracted.")
    supersedes: str | None = Field(description="Identifier of the report that it corrects; null if it corrects none.")
    links: ReportLinks = Field(description="Links of the report.")


class Amendment(BaseModel):
    """A correction, retraction or reinstatement of a report."""

    seq: int = Field(description="Position in the ledger as this caller sees it.")
    type: AmendmentType = Field(description="Type of the entry.")
    reason: str = Field(description="Why the report was amended.")
    recorded_at: Timestamp = Field(description="When this service recorded it (UTC).")
    report: str | None = Field(description="Identifier of the correcting report; null for a retraction or reinstatement.")


class ReportDetail(ReportOut):
    """A recorded report with its amendments."""

    amended: list[Amendment] = Field(description="Its corrections, retractions and reinstatements, oldest first.")


class _EntryOut(BaseModel):
    reason: str = Field(description="The reason as sent.")
    recorded_at: Timestamp = Field(description="When this service recorded it (UTC).")
    recorded_by: str = Field(description="Organisation that sent it.")
    links: dict[str, str] = Field(description="Paths of the records that it is about, by their type.")


class RetractionIn(BaseModel):
    """The withdrawal of a report."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(description="Why the report is withdrawn.")


class RetractionOut(_EntryOut):
    """A recorded retraction."""

    seq: int = Field(description="Position in the ledger as this caller sees it.")
    type: Literal["retraction"] = Field(description="Type of the entry.")
    report: str = Field(description="Identifier of the retracted report.")
    indicator: str = Field(description="Identifier of the indicator that it is about.")


class ReinstatementIn(BaseModel):
    """The undoing of a withdrawal."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(description="Why the report stands after all.")


class ReinstatementOut(_EntryOut):
    """A recorded reinstatement."""

    seq: int = Field(description="Position in the ledger as this caller sees it.")
    type: Literal["reinstatement"] = Field(description="Type of the entry.")
    report: str = Field(description="Identifier of the report that stands again.")
    indicator: str = Field(description="Identifier of the indicator that it is about.")


class OutcomeIn(BaseModel):
    """The outcome of a warning, with the report that shows it."""

    model_config = ConfigDict(extra="forbid")

    outcome: WarningOutcome = Field(description="Whether the warning came true.")
    reason: Reason = Field(description="Why this is the outcome.")
    report: UUID = Field(description="Identifier of the report that shows it; for `pending`, that of the outcome to take back.")


class OutcomeOut(_EntryOut):
    """A recorded outcome."""

    seq: int = Field(description="Position in the ledger as this caller sees it.")
    type: Literal["outcome"] = Field(description="Type of the entry.")
    indicator: str = Field(description="Identifier of the indicator that warned.")
    outcome: str = Field(description="Whether the warning came true.")
    report: str = Field(description="Identifier of the report that shows it.")


class GradeIn(BaseModel):
    """The reliability of a source from now on."""

    model_config = ConfigDict(extra="forbid")

    reliability: Grade = Field(description="New reliability (Admiralty scale).")
    reason: Reason = Field(description="Why the reliability changes.")


class GradeOut(_EntryOut):
    """A recorded grade."""

    seq: int = Field(description="Position in the ledger as this caller sees it.")
    type: Literal["grade"] = Field(description="Type of the entry.")
    source: str = Field(description="Slug of the source.")
    reliability: Grade = Field(description="New reliability.")
    before: Grade = Field(description="Reliability until now.")


class LabelIn(BaseModel):
    """A new TLP 2.0 label for a report."""

    model_config = ConfigDict(extra="forbid")

    sensitivity: Label = Field(description="New label.")
    reason: Reason = Field(description="Why the label changes.")


class LabelOut(_EntryOut):
    """A recorded change of a label."""

    seq: int | None = Field(description="Position in the ledger as this caller sees it; null if the caller may not see it.")
    type: Literal["label"] = Field(description="Type of the entry.")
    report: str = Field(description="Identifier of the report.")
    indicator: str = Field(description="Identifier of the indicator that it is about.")
    sensitivity: Label = Field(description="New label.")
    before: Label = Field(description="Label until now.")


class ProposalOut(BaseModel):
    """A lower label that another person has to confirm."""

    id: str = Field(description="Identifier (UUID).")
    report: str = Field(description="Identifier of the report.")
    sensitivity: Label = Field(description="Proposed label.")
    before: Label = Field(description="Current label.")
    reason: str = Field(description="Why the label should be lower.")
    proposed_by: str = Field(description="Organisation whose key proposed it.")
    created_at: Timestamp = Field(description="When it was proposed (UTC).")
    links: dict[str, str] = Field(description="Paths of the report and of the confirmation to post.")


class ReportPage(ListEnvelope[ReportOut]):
    """A page of reports, in the order in which they were recorded."""


class ProposalPage(ListEnvelope[ProposalOut]):
    """A page of proposals."""
