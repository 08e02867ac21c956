"""Drafts and articles in requests and responses."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypeAliasType

from app.domain.times import DateOrTimeAsWritten, Timestamp
from app.http.lists import ListEnvelope
from app.reports.schemas import ReportIn, WebUrl

MAX_TEXT_CHARACTERS = 50_000

DraftStatus = TypeAliasType("DraftStatus", Literal["proposed", "confirmed", "rejected"])
Span = Annotated[list[int], Field(min_length=2, max_length=2)]

# Documents the members of a merge patch; what they make is validated as a whole report.
_MEMBERS: dict[str, Any] = {name: (Any, Field(default=None, description=each.description)) for name, each in ReportIn.model_fields.items()}
DraftPatch = create_model(
    "DraftPatch",
    __doc__="The members of a draft's report to change (JSON Merge Patch, RFC 7396); null removes one.",
    **_MEMBERS,
)


class DraftOut(BaseModel):
    """A proposed report, which is in no ledger until it is confirmed."""

    id: str = Field(description="Identifier (UUID).")
    status: DraftStatus = Field(description="Whether it waits for a decision, was confirmed as a report, or was rejected.")
    report: ReportIn = Field(description="The proposed report, in the form in which reports are sent.")
    drafted_by: str = Field(description="Organisation of the key that wrote it, or corrected it last.")
    created_at: Timestamp = Field(description="When it was drafted (UTC).")
    expires_at: Timestamp = Field(description="When it is deleted (UTC).")
    decided_by: str | None = Field(description="Organisation of the key that confirmed or rejected it; null while it waits.")
    reason: str | None = Field(description="Why it was rejected; null otherwise.")
    links: dict[str, str] = Field(description="Path of the draft, of its confirmation and rejection, and of the `report` once confirmed.")


class PreviewedIndicator(BaseModel):
    """The assessment of an indicator."""

    kind: str = Field(description="Kind of the indicator.")
    subject: str = Field(description="What it is about, such as a supply or a route.")
    value: dict[str, Any] | None = Field(description="The assessed value; null if no report leads.")
    agreement: str | None = Field(description="Whether the sources agree; null if no report stands.")


class PreviewedSituation(BaseModel):
    """The level of urgency of a place."""

    level: str | None = Field(description="Level of urgency; null if no report leads.")
    because: list[dict[str, Any]] = Field(description="Reasons for the level, as in a situation.")


class PreviewOut(BaseModel):
    """The changes that a report would make. Nothing was recorded."""

    report: ReportIn = Field(description="The report as it would be recorded: relative times resolved, defaults and label filled in.")
    existing: str | None = Field(description="Identifier of the report that stands for this statement already; null for a new one.")
    indicator_before: PreviewedIndicator | None = Field(description="The assessment of its indicator now; null for a new one.")
    indicator: PreviewedIndicator | None = Field(description="The assessment with the report.")
    situation_before: PreviewedSituation = Field(description="The level of its place now.")
    situation: PreviewedSituation = Field(description="The level with the report.")


class DraftPage(ListEnvelope[DraftOut]):
    """A page of drafts, in the order in which they were made."""


class ArticleIn(BaseModel):
    """An article to read statements from."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)] = Field(description="The text of the article, in English.")
    publisher: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="Slug or name of the source that published it.")
    published_at: DateOrTimeAsWritten = Field(
        description="When it was published; its day is the one from which `on Friday` is counted back."
    )
    url: WebUrl | None = Field(default=None, description="Where it was published; null if unknown.")
    language: Annotated[str, Field(max_length=35)] | None = Field(
        default=None, description="Language of the text (BCP 47); only English is read."
    )


class DraftProposal(BaseModel):
    """A statement that the text makes, to look at and to send to `/v1/drafts` or `/v1/reports`."""

    report: ReportIn = Field(description="The statement, in the form in which reports are sent.")
    spans: dict[str, Span] = Field(description="Start and end of the words behind each field, in characters, by JSON Pointer.")


class UnclearOut(BaseModel):
    """Words that may state something, for which nothing is proposed."""

    span: Span = Field(description="Start and end of the words, in characters.")
    reason: str = Field(description="Why nothing is proposed.")


class ReadingOut(BaseModel):
    """The statements read out of an article; nothing of it is stored."""

    rules: str = Field(description="Version of the rules that read it.")
    drafts: list[DraftProposal] = Field(description="The statements, in the order of the text.")
    unclear: list[UnclearOut] = Field(description="What may state something and is proposed as nothing, in the order of the text.")
