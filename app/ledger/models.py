"""What is kept: statements, the entries of the ledger, and its five heads."""

from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import JSON, Column, Index, text
from sqlalchemy.engine import RowMapping
from sqlmodel import Field, SQLModel

from app.db import BigInt, UtcDateTime, table_of
from app.labels import LABELS

# In the detail of an outcome or a grade that another Lifeline recorded before: when it did.
FIRST_RECORDED_AT = "first_recorded_at"


class Indicator(SQLModel, table=True):
    """What statements are about: one row per (kind, place, subject). Its identifier follows from them."""

    __tablename__ = "indicator"
    __table_args__ = (Index("uq_indicator_kind_place_id_subject", "kind", "place_id", "subject", unique=True),)

    id: UUID = Field(primary_key=True)
    kind: str = Field(max_length=64)
    place_id: UUID = Field(foreign_key="place.id", index=True)
    subject: str = Field(max_length=200)
    topic: str = Field(max_length=100)


class Report(SQLModel, table=True):
    """One sourced statement, for good. Only its standing moves: the label now in force, and from which level on it is ended.

    `number` is that of the change that brought it. `level` is the label now, `level_sent` the label it came with,
    `level_lowest` the lowest that it ever had.
    `superseded_level` and `retracted_level` are the lowest clearances that see it superseded or retracted, `ended_number` is
    the last change that made it so.
    """

    __tablename__ = "report"

    number: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    id: UUID = Field(unique=True)
    kind: str = Field(max_length=64)
    indicator_id: UUID = Field(foreign_key="indicator.id")
    place_id: UUID = Field(foreign_key="place.id")
    source_id: UUID = Field(foreign_key="source.id")
    topic: str = Field(max_length=100)
    aspect: str = Field(max_length=16)
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
    level_sent: int
    level_lowest: int
    supersedes: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    superseded_level: int | None = None
    retracted_level: int | None = None
    ended_number: int | None = Field(default=None, sa_type=BigInt)
    fingerprint: str = Field(max_length=64, index=True)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str


_table = table_of(Report)
# The latest standing word of a source on an indicator is one step into this index, however long the history.
Index(
    "ix_report_voice",
    _table.c.indicator_id,
    _table.c.source_id,
    _table.c.aspect,
    _table.c.level,
    _table.c.stated_at,
    _table.c.number,
    sqlite_where=text("ended_number IS NULL"),
    postgresql_where=text("ended_number IS NULL"),
)
Index(
    "ix_report_ended",
    _table.c.indicator_id,
    _table.c.ended_number,
    sqlite_where=text("ended_number IS NOT NULL"),
    postgresql_where=text("ended_number IS NOT NULL"),
)
Index(
    "ix_report_lowered",
    _table.c.indicator_id,
    sqlite_where=text("level_lowest < level_sent"),
    postgresql_where=text("level_lowest < level_sent"),
)
for _column in (_table.c.indicator_id, _table.c.place_id, _table.c.source_id, _table.c.kind):
    Index(f"ix_report_{_column.name}_number", _column, _table.c.number)
Index(
    "ix_report_ended_in_order",
    _table.c.number,
    sqlite_where=text("ended_number IS NOT NULL"),
    postgresql_where=text("ended_number IS NOT NULL"),
)


class Voice(SQLModel, table=True):
    """Who has spoken on an indicator, of which part of it and under which label; `number` is the first report that did."""

    __tablename__ = "voice"

    indicator_id: UUID = Field(primary_key=True, foreign_key="indicator.id")
    source_id: UUID = Field(primary_key=True, foreign_key="source.id", index=True)
    aspect: str = Field(primary_key=True, max_length=16)
    level: int = Field(primary_key=True)
    number: int = Field(sa_type=BigInt)


class _Positions(SQLModel):
    """A place in the ledger of each clearance, and the hash of the chain up to there."""

    seq_clear: int | None = Field(default=None, sa_type=BigInt)
    seq_green: int | None = Field(default=None, sa_type=BigInt)
    seq_amber: int | None = Field(default=None, sa_type=BigInt)
    seq_amber_strict: int | None = Field(default=None, sa_type=BigInt)
    seq_red: int | None = Field(default=None, sa_type=BigInt)
    hash_clear: str | None = Field(default=None, max_length=64)
    hash_green: str | None = Field(default=None, max_length=64)
    hash_amber: str | None = Field(default=None, max_length=64)
    hash_amber_strict: str | None = Field(default=None, max_length=64)
    hash_red: str | None = Field(default=None, max_length=64)


class Change(_Positions, table=True):
    """One entry of the ledger, in commit order. `level` is the lowest clearance that sees it; below it the positions are null.

    `plain_below`: clearances under it see another face of the entry: of a correction a plain report, since they may not know of
    what it supersedes; of a raised label a tombstone; of a lowered one the report, which is new to them.
    `masked_below`: clearances under it see protected sources under their alias.
    A correction that moves a statement to another indicator names the one that it leaves in `from_indicator_id`.
    """

    __tablename__ = "change"
    __table_args__ = (
        *(Index(f"uq_change_seq_{label}", f"seq_{label}", unique=True) for label in LABELS),
        Index("ix_change_indicator_id_level_number", "indicator_id", "level", "number"),
        Index("ix_change_from_indicator_id_level_number", "from_indicator_id", "level", "number"),
        Index("ix_change_source_id_number", "source_id", "number"),
        Index("ix_change_recorded_at_number", "recorded_at", "number"),
    )

    number: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    type: str = Field(max_length=16)
    report_id: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    from_indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    source_id: UUID | None = Field(default=None, foreign_key="source.id")
    level: int
    plain_below: int = 0
    masked_below: int = 0
    reason: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str
    key_id: UUID | None = None


class Head(_Positions, table=True):
    """The one row at which every writer takes its turn: the last entry, and the last of each clearance.

    `writes` counts commits on PostgreSQL, of keys and reference data too, so that a lost notification is noticed.
    """

    __tablename__ = "head"

    id: int = Field(primary_key=True)
    number: int = Field(sa_type=BigInt)
    writes: int = Field(default=0, sa_type=BigInt)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


M = TypeVar("M", bound=SQLModel)


def unstored(model: type[M], **values: Any) -> M:
    """A row to be inserted: what reads as the model does, without an ORM's bookkeeping, which costs more than hashing it.

    `row_of` gives its columns. It is for inserting alone: no session takes it.
    """
    return cast(M, SimpleNamespace(**(_defaults(model) | values)))


def as_read(model: type[M], row: RowMapping, prefix: str = "") -> M:
    """A row that was read, to be looked at: like `unstored` it reads as the model does, and no session takes it.

    `prefix` stands before the names of the model's columns in the row. KeyError where one is missing.
    """
    return cast(M, SimpleNamespace(**{name: row[label] for name, label in _labels(model, prefix)}))


@cache
def _labels(model: type[SQLModel], prefix: str) -> list[tuple[str, str]]:
    return [(each.name, prefix + each.name) for each in table_of(model).c]


@cache
def _defaults(model: type[SQLModel]) -> dict[str, Any]:
    return {name: None if each.is_required() else each.default for name, each in model.model_fields.items()}


def row_of(model: type[M], row: M) -> dict[str, Any]:
    """The columns of a row to be inserted, by name."""
    columns = [each.name for each in table_of(model).c]
    return {name: getattr(row, name) for name in columns}
