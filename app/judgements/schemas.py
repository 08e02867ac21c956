"""Judgements in requests and responses."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypeAliasType

from app.assessment.judgements import Confidence, Likelihood
from app.domain.times import DateOrTime, Timestamp
from app.domain.tlp import Label
from app.domain.visible_text import not_blank
from app.http.lists import ListEnvelope
from app.indicators.judgement_schemas import StandingJudgement
from app.indicators.schemas import KindName
from app.reports.schemas import Reason

JudgementStatus = TypeAliasType("JudgementStatus", Literal["standing", "superseded", "retracted"])


def _joined(sent: object) -> object:
    return "\n".join(sent) if isinstance(sent, list) and all(isinstance(each, str) for each in sent) else sent


# Twice this, escaped, leaves room in the 65,535 bytes of a proved entry.
Words = Annotated[str, Field(min_length=1, max_length=3000), BeforeValidator(_joined), AfterValidator(not_blank)]


class JudgementIn(BaseModel):
    """An analyst's own conclusion on an indicator."""

    model_config = ConfigDict(extra="forbid")

    value: dict[str, Any] = Field(description="What is concluded, in the fields of the kind's value, as in a report.")
    likelihood: Likelihood = Field(description="How probable the conclusion is, in the words of ICD 203.")
    confidence: Confidence = Field(description="How good the basis of the conclusion is, the sources and the reasoning.")
    reasons: Words = Field(description="Why the analyst concludes this.")
    reports: list[UUID] = Field(default=[], max_length=100, description="Identifiers of the reports on the indicator that it relies on.")
    alternatives: Words | None = Field(default=None, description="Other explanations that were considered; null for none.")
    valid_until: DateOrTime | None = Field(
        default=None, description="From then on, no level of urgency rests on it; a date means its end in UTC. Null for no end."
    )
    sensitivity: Label | None = Field(
        default=None,
        description="TLP 2.0 label, at least the strictest of the reports that it relies on; null means that one (without `reports`, the "
        "strictest of those that stand for this key), and at least the label that a report of this value would get. A correction, and what "
        "was concluded before in the same words, get at least the label of that.",
    )


class JudgementCorrectionIn(JudgementIn):
    """A complete judgement that takes the place of another."""

    reason: Reason = Field(description="Why the judgement is corrected.")


class JudgementRetractionIn(BaseModel):
    """The withdrawal of a judgement."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(description="Why the judgement is withdrawn.")


class JudgementRetraction(BaseModel):
    """A recorded withdrawal."""

    reason: str = Field(description="The reason as sent.")
    recorded_at: Timestamp = Field(description="When this service recorded it (UTC).")
    recorded_by: str = Field(description="Organisation that sent it.")


class JudgementOut(StandingJudgement):
    """A recorded judgement."""

    kind: KindName = Field(description="Kind of the indicator.")
    place: str = Field(description="Slug of the place.")
    indicator: str = Field(description="Identifier of the indicator.")
    status: JudgementStatus = Field(
        description="`standing`; `superseded` by a later judgement on the indicator, also by one that was retracted; or `retracted`."
    )
    lapsed: bool = Field(description="Whether it stands, but a sound report that was stated after it was recorded contradicts it.")
    corrects: str | None = Field(description="Identifier of the judgement that it corrects; null for none.")
    reason: str | None = Field(description="Why that was corrected; null for none.")
    retraction: JudgementRetraction | None = Field(description="Its withdrawal; null for none.")


class JudgementPage(ListEnvelope[JudgementOut]):
    """A page of judgements on an indicator, in the order in which they were recorded."""
