"""Filters of changes, and changes in responses."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, Field

from app.domain.times import Timestamp
from app.http.lists import ListEnvelope
from app.http.query_params import CountryFilter, PlaceFilter, Within
from app.indicators.schemas import Indicator, KindName


@dataclass(frozen=True, slots=True)
class ChangeFilters:
    """Filters of changes by kind, place and country of the indicator.

    Grades and changes of sources and routes pass every filter, changes of places those of place and country; new records pass none.
    """

    kind: Annotated[KindName | None, Query(description="Only changes of this kind of indicator.", examples=["supply_runout"])] = None
    place: PlaceFilter = None
    within: Within = False
    country: CountryFilter = None


ALL_CHANGES = ChangeFilters()


class ChangeOut(BaseModel):
    """One entry of the ledger as this caller sees it. Ignore types that you do not know."""

    seq: int = Field(description="Position in the ledger as this caller sees it: without gaps, in commit order.")
    hash: str = Field(description="SHA-256 of the previous hash and the canonical JSON (RFC 8785) of this entry, in hexadecimal.")
    type: str = Field(
        description="`report`, `correction`, `retraction`, `reinstatement`, `outcome`, `grade` or `label`; `judgement`, "
        "`judgement_retraction`: an analyst's conclusion was recorded or withdrawn; `place`, `source`, "
        "`route`: one was created or changed; `proposal`: a lower label waits for another person; `tombstone`: the label of a report was "
        "raised, delete your copy of it; `withheld`: an earlier entry about such a report."
    )
    salt: str | None = Field(description="16 random bytes in hexadecimal, hashed with the entry; null if a part of it is withheld.")
    report_id: str | None = Field(
        description="Identifier of the report that was recorded, retracted, reinstated or relabelled, or shows the outcome."
    )
    indicator: str | None = Field(
        description="Identifier of the indicator that the entry is about; null for a grade or proposal, and for a tombstone if you see no "
        "other report on it."
    )
    source: str | None = Field(description="Slug of the source that was graded, created or changed; null for other types.")
    report: dict[str, Any] | None = Field(description="The statement that was recorded or became visible; null for other types.")
    reason: str | None = Field(description="The reason as sent; null for a report.")
    detail: dict[str, Any] | None = Field(
        description="`supersedes` of a correction, `outcome` of an outcome, `reliability` and `before` of a grade, `sensitivity` and "
        "`before` of a label or proposal, `judgement` of a judgement and which one it `corrects`, `record` of a place, source or route "
        "from then on, `first_recorded_at` if another Lifeline recorded it first; null for other types."
    )
    recorded_at: Timestamp = Field(description="When this service recorded it (UTC).")
    recorded_by: str = Field(description="Organisation that sent it; empty if withheld.")
    actor: str | None = Field(
        default=None,
        description="Hash of the key that recorded it, made for your clearance: the same for each entry of one key. Absent below `amber`; "
        "null if withheld.",
    )
    redacted: list[str] = Field(
        default=[], description="Fields withheld since a label was raised; take the hash of such an entry as given. Absent if none."
    )
    documents_complete: bool = Field(
        description="False if a grade changed more than 100 indicators: ask `/v1/indicators?updated_since=` for all."
    )
    documents: list[Indicator] = Field(description="The changed indicators in their current state; their `revision` may be later.")


class ChangePage(ListEnvelope[ChangeOut]):
    """A page of changes, in order."""

    next: str = Field(description="Cursor to continue from with `after=`, now or later; never null.")
