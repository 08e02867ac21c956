"""Tables of the ledger: its entries, and its head with one position for each clearance."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, ColumnElement, Index, text
from sqlmodel import Field, SQLModel

from app.domain.times import rfc3339, start_of
from app.domain.tlp import LABELS
from app.storage.types import BigInt, UtcDateTime, table_of

# Key in the detail of a replicated outcome, grade or label: when the other Lifeline recorded it.
FIRST_RECORDED_AT = "first_recorded_at"
# Key in the detail of a grade from elsewhere: from when it counts, if not from when it was first recorded.
EFFECTIVE_FROM = "effective_from"
# Key in the detail of an entry of a place, source or route: its record from then on.
RECORD = "record"
# Types of these entries.
REFERENCE_TYPES = ("place", "source", "route")
# Types of the entries of judgements, and the key in their detail: what a judgement says, or of a retraction which one it withdraws.
JUDGEMENT_TYPES = ("judgement", "judgement_retraction")
JUDGEMENT = "judgement"

_CHANGED, _JUDGED, _LABEL = text("previous_global_seq IS NOT NULL"), text("judgement_id IS NOT NULL"), text("type = 'label'")
# Names of columns, by level.
SEQ_COLUMNS = tuple(f"seq_{label}" for label in LABELS)
HASH_COLUMNS = tuple(f"hash_{label}" for label in LABELS)
LEAF_COLUMNS = tuple(f"leaf_{label}" for label in LABELS)


class _Positions(SQLModel):
    """Position in the ledger of each clearance, and the hash of that chain up to it."""

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
    """One entry of the ledger, in commit order. `level` is the lowest clearance that sees it; its positions below that are NULL.

    Clearances below `redacted_below` see less: a correction as a plain report, because they may not know of the report that it
    supersedes; a raised label as a tombstone; a lowered label as the report itself, which is new to them; a protected source under its
    alias; a route with its geometry rounded.
    Clearances below `pseudonymised_below` see protected sources under their aliases.
    `from_indicator_id` is the indicator that a correction moves a statement away from, `record_id` the place, source or route that the
    entry creates or changes, `previous_global_seq` the entry before on a change of it, `judgement_id` the judgement that the entry records
    or withdraws. `salt` is 16 random bytes in hexadecimal, which are
    hashed with the entry and withheld with it, so that a hash confirms no guess of what the entry says. `leaf_*` is the hash of
    the entry in the tree of each clearance, see `app.ledger.tree`. `actor_hash` is an HMAC of `key_id`, of which each clearance from
    `amber` up sees an HMAC of its own.
    """

    __tablename__ = "ledger_entry"
    __table_args__ = (
        *(Index(f"uq_ledger_entry_{name}", name, unique=True) for name in SEQ_COLUMNS),
        Index("ix_ledger_entry_indicator_id_level_global_seq", "indicator_id", "level", "global_seq"),
        Index("ix_ledger_entry_from_indicator_id_level_global_seq", "from_indicator_id", "level", "global_seq"),
        Index("ix_ledger_entry_source_id_global_seq", "source_id", "global_seq"),
        Index("ix_ledger_entry_record_id_global_seq", "record_id", "global_seq"),
        Index("ix_ledger_entry_recorded_at_global_seq", "recorded_at", "global_seq"),
        Index("ix_ledger_entry_changed", "global_seq", sqlite_where=_CHANGED, postgresql_where=_CHANGED),
        Index("ix_ledger_entry_label", "global_seq", sqlite_where=_LABEL, postgresql_where=_LABEL),
        # By type, too; otherwise SQLite reads every entry on an indicator.
        Index("ix_ledger_entry_judged", "indicator_id", "type", sqlite_where=_JUDGED, postgresql_where=_JUDGED),
        Index("ix_ledger_entry_judgement_id", "judgement_id", sqlite_where=_JUDGED, postgresql_where=_JUDGED),
    )

    global_seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    type: str = Field(max_length=32)
    report_id: UUID | None = Field(default=None, foreign_key="report.id", index=True)
    indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    from_indicator_id: UUID | None = Field(default=None, foreign_key="indicator.id")
    source_id: UUID | None = Field(default=None, foreign_key="source.id")
    record_id: UUID | None = None
    previous_global_seq: int | None = Field(default=None, sa_type=BigInt)
    judgement_id: UUID | None = None
    level: int
    redacted_below: int = 0
    pseudonymised_below: int = 0
    salt: str = Field(max_length=32)
    leaf_clear: bytes | None = None
    leaf_green: bytes | None = None
    leaf_amber: bytes | None = None
    leaf_amber_strict: bytes | None = None
    leaf_red: bytes | None = None
    reason: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    recorded_by: str
    key_id: UUID | None = None
    actor_hash: bytes


class LedgerNode(SQLModel, table=True):
    """The root of 256 ** `height` entries of the tree of one clearance, `number` of which lie before it; those of height 0 are `leaf_*`."""

    __tablename__ = "ledger_node"

    clearance: int = Field(primary_key=True)
    height: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    hash: bytes


class Partner(SQLModel, table=True):
    """Another Lifeline, or any log and witness: this service witnesses its log, and sends it the trees up to `clearance`.

    Without a URL it gets bundles alone.
    """

    __tablename__ = "partner"

    name: str = Field(primary_key=True, max_length=64)
    log_vkey: str = Field(unique=True)
    cosigner_vkey: str = Field(unique=True)
    url: str | None = None
    clearance: int
    age_recipient: str | None = None


class Cosignature(SQLModel, table=True):
    """The last cosignature of a partner on the tree of a clearance: the checkpoint as this service signed it, and the partner's line."""

    __tablename__ = "cosignature"

    partner: str = Field(primary_key=True, max_length=64, foreign_key="partner.name")
    clearance: int = Field(primary_key=True)
    checkpoint: str
    size: int = Field(sa_type=BigInt)
    line: str
    cosigned_at: datetime = Field(sa_type=UtcDateTime)


class LedgerHead(_Positions, table=True):
    """The single row that every writer locks: the last entry, and the last position of each clearance.

    `commit_count` counts commits on PostgreSQL, those of keys and reference data too, so that a lost notification is noticed.
    `public_changes` counts those that concern every reader and are in no ledger: of keys and sessions, and indicators assessed again.
    """

    __tablename__ = "ledger_head"

    id: int = Field(primary_key=True)
    global_seq: int = Field(sa_type=BigInt)
    commit_count: int = Field(default=0, sa_type=BigInt)
    public_changes: int = Field(default=0, sa_type=BigInt)
    recorded_at: datetime = Field(sa_type=UtcDateTime)


def seq_column(level: int) -> ColumnElement[int]:
    """Return the column with the positions of entries in the ledger of a clearance."""
    return table_of(LedgerEntry).c[SEQ_COLUMNS[level]]


def seq_for(entry: LedgerEntry, level: int) -> int | None:
    """Return the position of an entry in the ledger of a clearance, None below its level."""
    seq: int | None = getattr(entry, SEQ_COLUMNS[level])
    return seq


def effective_since(detail: Mapping[str, Any], recorded_at: datetime) -> datetime:
    """Return the time from which the grade of an entry counts."""
    dated: str | None = detail.get(EFFECTIVE_FROM) or detail.get(FIRST_RECORDED_AT)
    return recorded_at if dated is None else start_of(dated)


def effective_detail(effective_from: datetime | None, first_recorded_at: datetime | None, recorded_at: datetime) -> dict[str, str]:
    """Return what the detail of an entry adds about the time from which it counts, unless that is when it was first recorded."""
    return {} if effective_from == first_recorded_at else {EFFECTIVE_FROM: rfc3339(effective_from or recorded_at)}


def first_recorded(recorded_at: datetime, detail: Mapping[str, Any] | None) -> datetime:
    """Return when an entry was first recorded, here or elsewhere."""
    first = (detail or {}).get(FIRST_RECORDED_AT)
    return recorded_at if first is None else start_of(first)


def first_recorded_detail(first_recorded_at: datetime | None) -> dict[str, str]:
    """Return what the detail of an entry adds if another Lifeline recorded it first."""
    return {} if first_recorded_at is None else {FIRST_RECORDED_AT: rfc3339(first_recorded_at)}
