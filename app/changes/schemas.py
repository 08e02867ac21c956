"""Changes on the wire."""

from typing import Any

from pydantic import BaseModel, Field

from app.http.lists import CurrentListEnvelope
from app.indicators.schemas import Indicator


class ChangeOut(BaseModel):
    """One entry of the ledger. Ignore types that you do not know."""

    seq: int = Field(description="Its number in the ledger as this reader sees it: without gaps, in commit order.")
    hash: str = Field(description="SHA-256 of the previous hash and this entry's canonical JSON (RFC 8785).")
    type: str = Field(
        description="`report`, `correction`, `retraction`, `outcome`, `grade`, `label`; `tombstone`: the label of the report was raised, "
        "forget what you hold of it; `withheld`: an earlier entry about such a report."
    )
    report_id: str | None = Field(description="The report that came, was withdrawn, or shows the outcome.")
    indicator: str | None
    source: str | None = Field(description="Slug of the source that was graded anew.")
    report: dict[str, Any] | None = Field(description="The statement, where the change brought one.")
    reason: str | None
    detail: dict[str, Any] | None = Field(description="`supersedes` of a correction, `outcome`, `reliability` and `before` of a grade.")
    recorded_at: str
    recorded_by: str
    redacted: list[str] = Field(
        default=[], description="What is withheld here, where a label was raised since; the hash of such an entry is taken as given."
    )
    documents_complete: bool = Field(description="False when a grade moved more than 100: ask `/v1/indicators?updated_since=`.")
    documents: list[Indicator] = Field(description="The indicators that it moved, as they stand now; their `revision` may be later.")


class ChangePage(CurrentListEnvelope[ChangeOut]):
    """Changes in order."""

    next: str = Field(description="Where to go on from; never null. Ask with `after=` once more, now or later.")
