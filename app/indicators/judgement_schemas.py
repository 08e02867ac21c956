"""The schema of a judgement in the document of an indicator."""

from typing import Any

from pydantic import BaseModel, Field

from app.assessment.judgements import Confidence, Likelihood
from app.domain.times import DateOrTime, Timestamp
from app.domain.tlp import Label


class StandingJudgement(BaseModel):
    """An analyst's own conclusion on an indicator, beside the assessment."""

    id: str = Field(description="Identifier (UUID).")
    value: dict[str, Any] = Field(description="What is concluded, in the fields of the kind's value, as in a report.")
    likelihood: Likelihood = Field(description="How probable the conclusion is, in the words of ICD 203.")
    confidence: Confidence = Field(description="How good the basis of the conclusion is, the sources and the reasoning.")
    reasons: str = Field(description="Why the analyst concludes this.")
    reports: list[str] = Field(description="Identifiers of the reports that it relies on.")
    alternatives: str | None = Field(description="Other explanations that were considered; null for none.")
    valid_until: DateOrTime | None = Field(description="Day after which no level of urgency rests on it any more; null for no end.")
    sensitivity: Label = Field(description="Label of the judgement, or that of a report that it relies on if it is stricter since.")
    recorded_at: Timestamp = Field(description="When it was first recorded, here or by the Lifeline that it came from (UTC).")
    recorded_by: str = Field(description="Organisation of the analyst.")
    lapsed: bool = Field(description="Whether a sound report that was stated after it was recorded contradicts it.")
    partial: bool = Field(
        description="Whether reports that stand are stricter than its label, so that its analyst may not have seen them: then it lowers no "
        "level of urgency."
    )
    unsupported: bool = Field(
        description="Whether all reports that it relies on were withdrawn or corrected: then it lowers no level of urgency."
    )
    links: dict[str, str] = Field(description="Link to the judgement.")
