"""What is kept: statements, the entries of the ledger, and its five heads."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

from app.domain.tlp import LABELS
from app.storage.types import BigInt, UtcDateTime

# In the detail of an outcome or a grade that another Lifeline recorded before: when it did.
FIRST_RECORDED_AT = "first_recorded_at"


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


class LedgerEntry(_Positions, table=True):
    """One entry of the ledger, in commit order. `level` is the lowest clearance that sees it; below it the positions are null.

    `plain_below`: clearances under it see another face of the entry: of a correction a plain report, since they may not know of
    what it supersedes; of a raised label a tombstone; of a lowered one the report, which is new to them.
    `masked_below`: clearances under it see protected sources under their alias.
    A correction that moves a statement to another indicator names the one that it leaves in `from_indicator_id`.
    """

    __tablename__ = "ledger_entry"
    __table_args__ = (
        *(Index(f"uq_ledger_entry_seq_{label}", f"seq_{label}", unique=True) for label in LABELS),
        Index("ix_ledger_entry_indicator_id_level_global_seq", "indicator_id", "level", "global_seq"),
        Index("ix_ledger_entry_from_indicator_id_level_global_seq", "from_indicator_id", "level", "global_seq"),
        Index("ix_ledger_entry_source_id_global_seq", "source_id", "global_seq"),
        Index("ix_ledger_entry_recorded_at_global_seq", "recorded_at", "global_seq"),
    )

    global_seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    type: str = Field(max_length=16)
    report_id: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    from_indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    source_id: UUID | None = Field(default=None, foreign_key="source.id")
    level: int
    redacted_below: int = 0
    pseudonymised_below: int = 0
    reason: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str
    key_id: UUID | None = None


class LedgerHead(_Positions, table=True):
    """The one row at which every writer takes its turn: the last entry, and the last of each clearance.

    `writes` counts commits on PostgreSQL, of keys and reference data too, so that a lost notification is noticed.
    """

    __tablename__ = "ledger_head"

    id: int = Field(primary_key=True)
    global_seq: int = Field(sa_type=BigInt)
    commit_count: int = Field(default=0, sa_type=BigInt)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
