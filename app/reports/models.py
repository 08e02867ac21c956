"""Tables of reports, and of labels that wait for a second person."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime

# The last is for statements as of a time, which otherwise read each row of a long history.
_STATEMENT_ORDER = ("indicator_id", "source_id", "facet", "level", "effective_at", "global_seq", "stated_at")


def _partial(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


class Report(SQLModel, table=True):
    """One statement of a source. Its content never changes; its label and its status do.

    `global_seq` is that of the entry that recorded it. `level` is the current label, `submitted_level` the label that it was sent with,
    `lowest_level` and `highest_level` the lowest and the highest that it ever had.
    `effective_at` is the time that it speaks of: the end of its observation, else when it was stated. It is `endless` if it passes no
    horizon while it stands without an outcome.
    `superseded_from_level` and `retracted_from_level` are the lowest clearances that see it superseded or retracted, and
    `ended_global_seq` is the last entry that changed either.
    """

    __tablename__ = "report"
    __table_args__ = (
        # Finds the latest standing statement of a source on an indicator in one step, however long the history.
        Index("ix_report_latest_statement", *_STATEMENT_ORDER, **_partial("ended_global_seq IS NULL")),
        Index(
            "ix_report_latest_endless",
            *_STATEMENT_ORDER,
            sqlite_where=text("ended_global_seq IS NULL AND endless = 1"),
            postgresql_where=text("ended_global_seq IS NULL AND endless"),
        ),
        Index("ix_report_indicator_id_effective_at", "indicator_id", "effective_at", "stated_at"),
        Index("ix_report_indicator_id_stated_at", "indicator_id", "stated_at"),
        Index("ix_report_ended", "indicator_id", "ended_global_seq", **_partial("ended_global_seq IS NOT NULL")),
        Index("ix_report_ended_global_seq", "global_seq", **_partial("ended_global_seq IS NOT NULL")),
        # Finds the last statement before a time, for each label.
        Index("ix_report_declassified", "indicator_id", **_partial("level < highest_level")),
        *(Index(f"ix_report_{name}_global_seq", name, "global_seq") for name in ("indicator_id", "place_id", "source_id", "kind")),
    )

    global_seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    id: UUID = Field(unique=True)
    kind: str = Field(max_length=64)
    indicator_id: UUID = Field(foreign_key="indicator.id")
    place_id: UUID = Field(foreign_key="place.id")
    source_id: UUID = Field(foreign_key="source.id")
    filter_key: str = Field(max_length=100)
    facet: str = Field(max_length=16)
    stated_at: datetime = Field(sa_type=UtcDateTime)
    stated_text: str = Field(max_length=32)
    effective_at: datetime = Field(sa_type=UtcDateTime)
    endless: bool
    value: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    via: list[str] = Field(sa_column=Column(JSON, nullable=False))
    directness: str = Field(max_length=16)
    relays: UUID | None = Field(default=None, foreign_key="report.id")
    origin: str | None = Field(default=None, max_length=64, foreign_key="source.slug", index=True)
    method: str = Field(max_length=32)
    credibility: int
    published_text: str | None = Field(default=None, max_length=32)
    url: str | None = None
    title: str | None = None
    quote: str | None = None
    language: str | None = Field(default=None, max_length=35)
    licence: str | None = None
    observed_from: str | None = Field(default=None, max_length=32)
    observed_to: str | None = Field(default=None, max_length=32)
    level: int
    submitted_level: int
    lowest_level: int
    highest_level: int
    supersedes: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    superseded_from_level: int | None = None
    retracted_from_level: int | None = None
    ended_global_seq: int | None = Field(default=None, sa_type=BigInt)
    fingerprint: str = Field(max_length=64, index=True)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str
    # Organisation whose key drafted it, if `recorded_by` confirmed a draft.
    drafted_by: str | None = None


class ReportText(SQLModel, table=True):
    """The folded quote, title and words of a report, which searches read. Narrow, because a search reads all of it."""

    __tablename__ = "report_text"

    global_seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    text: str


class LabelProposal(SQLModel, table=True):
    """A lower label that one person proposes and another confirms; it lapses when the label is no longer `previous_level`.

    `global_seq` is that of the entry that recorded it. `persons` are those who could act with the key that proposed it, at that time.
    """

    __tablename__ = "label_proposal"

    id: UUID = Field(primary_key=True)
    global_seq: int = Field(sa_type=BigInt, unique=True)
    report_id: UUID = Field(foreign_key="report.id", index=True)
    proposed_level: int
    previous_level: int
    reason: str
    proposed_by_key_id: UUID
    persons: list[str] = Field(sa_column=Column(JSON, nullable=False))
    organisation: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_by_key_id: UUID | None = None


def fingerprint_of(source: str, kind: str, place: str, subject: str, stated_at: str, value: Mapping[str, Any], url: str | None) -> str:
    """Return the hash by which equal statements are recognised."""
    identity = [source, kind, place, subject, stated_at, value, url]
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()


def mark_superseded(report: Report, level: int, global_seq: int) -> None:
    """Mark a report as superseded for the clearances from a level upwards, by the entry with this number."""
    before = report.superseded_from_level
    report.superseded_from_level = level if before is None else min(level, before)
    report.ended_global_seq = global_seq
