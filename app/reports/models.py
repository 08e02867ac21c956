"""What waits for a second curator."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Index, text
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime, table_of


class Report(SQLModel, table=True):
    """One sourced statement, for good. Only its standing moves: the label now in force, and from which level on it is ended.

    `number` is that of the change that brought it. `level` is the label now, `level_sent` the label it came with,
    `level_lowest` the lowest that it ever had.
    `superseded_level` and `retracted_level` are the lowest clearances that see it superseded or retracted, `ended_number` is
    the last change that made it so.
    """

    __tablename__ = "report"

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
    value: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    via: list[str] = Field(sa_column=Column(JSON, nullable=False))
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
    supersedes: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    superseded_from_level: int | None = None
    retracted_from_level: int | None = None
    ended_global_seq: int | None = Field(default=None, sa_type=BigInt)
    fingerprint: str = Field(max_length=64, index=True)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str


_table = table_of(Report)
# The latest standing word of a source on an indicator is one step into this index, however long the history.
Index(
    "ix_report_latest_statement",
    _table.c.indicator_id,
    _table.c.source_id,
    _table.c.facet,
    _table.c.level,
    _table.c.stated_at,
    _table.c.global_seq,
    sqlite_where=text("ended_global_seq IS NULL"),
    postgresql_where=text("ended_global_seq IS NULL"),
)
Index(
    "ix_report_ended",
    _table.c.indicator_id,
    _table.c.ended_global_seq,
    sqlite_where=text("ended_global_seq IS NOT NULL"),
    postgresql_where=text("ended_global_seq IS NOT NULL"),
)
Index(
    "ix_report_declassified",
    _table.c.indicator_id,
    sqlite_where=text("lowest_level < submitted_level"),
    postgresql_where=text("lowest_level < submitted_level"),
)
for _column in (_table.c.indicator_id, _table.c.place_id, _table.c.source_id, _table.c.kind):
    Index(f"ix_report_{_column.name}_global_seq", _column, _table.c.global_seq)
Index(
    "ix_report_ended_global_seq",
    _table.c.global_seq,
    sqlite_where=text("ended_global_seq IS NOT NULL"),
    postgresql_where=text("ended_global_seq IS NOT NULL"),
)


class LabelProposal(SQLModel, table=True):
    """A lower label that one key has proposed for a report; another key confirms it. It lapses once the label is not `before`."""

    __tablename__ = "label_proposal"

    id: UUID = Field(primary_key=True)
    report_id: UUID = Field(foreign_key="report.id", index=True)
    proposed_level: int
    previous_level: int
    reason: str
    proposed_by_key_id: UUID
    organisation: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_by_key_id: UUID | None = None
