"""Reports that were just recorded, in responses."""

from pydantic import BaseModel, Field

from app.http.problems import ProblemDetails
from app.reports.schemas import OutcomeStatus, ProposalOut, ReportOut

_PROPOSED = Field(
    default=None,
    description="Lower label that it was sent with: it stays at a stricter one until another person confirms it. Absent if none.",
)


class RecordedReport(ReportOut):
    """A report that was just recorded."""

    label_proposal: ProposalOut | None = _PROPOSED


class Outcome(BaseModel):
    """The result for one report of a list."""

    status: OutcomeStatus = Field(description="201: recorded; 200: recorded before; 422: rejected.")
    id: str | None = Field(default=None, description="Identifier of the report; absent if rejected.")
    seq: int | None = Field(default=None, description="Position in the ledger as this caller sees it; absent if rejected.")
    indicator: str | None = Field(default=None, description="Identifier of the indicator; absent if rejected.")
    location: str | None = Field(default=None, description="Path of the report; absent if rejected.")
    label_proposal: ProposalOut | None = _PROPOSED
    problem: ProblemDetails | None = Field(default=None, description="Why it was rejected; absent otherwise.")


class Outcomes(BaseModel):
    """One result per report, in the order sent."""

    items: list[Outcome] = Field(description="One result per report, in the order sent.")
    created: int = Field(description="Number of reports that were recorded.")
    existing: int = Field(description="Number of reports that were recorded before.")
    refused: int = Field(description="Number of reports that were rejected.")
    revision: int = Field(description="Head of the ledger as this caller sees it, after the request.")
