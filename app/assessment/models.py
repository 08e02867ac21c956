"""Tables of indicators, their sources, and their stored documents."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import JSON, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime

_NOT_KEPT = text("kept_until IS NOT NULL")


class IndicatorProjection(SQLModel, table=True):
    """The document of one indicator for the clearances `min_clearance` to `max_clearance`, which see the same.

    `revision_*` is the seq of its last change in the ledger of each of these clearances; `document` has everything else.
    `warning_day` is the day that its open warnings are listed by, see `Kind.warning_day`.
    The last change is `dated` if it counts from a time of its own, as grades and outcomes do.
    The steps of the indicator (`IndicatorStep`) are kept for the times before `kept_until`, None for all, with the newest at `newest_step`.
    """

    __tablename__ = "indicator_projection"
    __table_args__ = (
        Index("ix_indicator_projection_kind_indicator_id", "kind", "indicator_id"),
        Index("ix_indicator_projection_kind_filter_key_indicator_id", "kind", "filter_key", "indicator_id"),
        Index("ix_indicator_projection_place_id_indicator_id_min_clearance", "place_id", "indicator_id", "min_clearance"),
        Index("ix_indicator_projection_state_indicator_id", "state", "indicator_id"),
        Index("ix_indicator_projection_agreement_indicator_id", "agreement", "indicator_id"),
        Index("ix_indicator_projection_preferred_source_id_indicator_id", "preferred_source_id", "indicator_id"),
        Index("ix_indicator_projection_country_indicator_id", "country", "indicator_id"),
        Index("ix_indicator_projection_recorded_at", "recorded_at"),
        Index("ix_indicator_projection_stale_after", "stale_after"),
        Index("ix_indicator_projection_warning_day_indicator_id", "warning_day", "indicator_id"),
        Index("ix_indicator_projection_not_kept", "indicator_id", sqlite_where=_NOT_KEPT, postgresql_where=_NOT_KEPT),
    )

    indicator_id: UUID = Field(primary_key=True, foreign_key="indicator.id")
    min_clearance: int = Field(primary_key=True)
    max_clearance: int
    kind: str = Field(max_length=64)
    place_id: UUID = Field(foreign_key="place.id")
    country: str | None = Field(default=None, max_length=3)
    filter_key: str = Field(max_length=100)
    state: str | None = Field(default=None, max_length=64)
    agreement: str | None = Field(default=None, max_length=16)
    preferred_source_id: UUID | None = Field(default=None, foreign_key="source.id")
    preferred_grade_rank: int | None = None
    warning_day: date | None = None
    stated_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    stale_after: datetime | None = Field(default=None, sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    revision_clear: int | None = Field(default=None, sa_type=BigInt)
    revision_green: int | None = Field(default=None, sa_type=BigInt)
    revision_amber: int | None = Field(default=None, sa_type=BigInt)
    revision_amber_strict: int | None = Field(default=None, sa_type=BigInt)
    revision_red: int | None = Field(default=None, sa_type=BigInt)
    document: str = Field(sa_column=Column(Text, nullable=False))
    dated: bool = False
    kept_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    newest_step: datetime | None = Field(default=None, sa_type=UtcDateTime)


class IndicatorStep(SQLModel, table=True):
    """The document of one indicator as of the times from `since` to its next step, for a run of clearances that see the same.

    `document` is compressed, and lacks the time of the last change, which later entries move. The other columns are
    those of `IndicatorProjection`.
    """

    __tablename__ = "indicator_step"

    indicator_id: UUID = Field(primary_key=True, foreign_key="indicator.id")
    since: datetime = Field(sa_column=Column(UtcDateTime, primary_key=True))
    min_clearance: int = Field(primary_key=True)
    max_clearance: int
    state: str | None = Field(default=None, max_length=64)
    agreement: str | None = Field(default=None, max_length=16)
    preferred_source_id: UUID | None = None
    preferred_grade_rank: int | None = None
    warning_day: date | None = None
    stale_after: datetime | None = Field(default=None, sa_type=UtcDateTime)
    document: bytes


class Indicator(SQLModel, table=True):
    """One row for each (kind, place, subject), from which its identifier is computed."""

    __tablename__ = "indicator"
    __table_args__ = (
        Index("uq_indicator_kind_place_id_subject", "kind", "place_id", "subject", unique=True),
        Index("ix_indicator_place_id_id", "place_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    kind: str = Field(max_length=64)
    place_id: UUID = Field(foreign_key="place.id")
    subject: str = Field(max_length=200)
    filter_key: str = Field(max_length=100)


class AlertStanding(SQLModel, table=True):
    """The assessment of a report of a kind with alerts when each clearance first saw it; the alert that was sent does not change later.

    `confirmed` has the bit `1 << level` of each clearance for which it can be acted on, `ended` such bits for each report that it ended.
    One that `cancels` calls for no alert: it has a message only where it is confirmed, for the alerts that it ended.
    """

    __tablename__ = "alert_standing"

    report_id: UUID = Field(primary_key=True, foreign_key="report.id")
    cancels: bool
    confirmed: int
    ended: dict[str, int] = Field(sa_column=Column(JSON, nullable=False))


class IndicatorSource(SQLModel, table=True):
    """One row for each source of an indicator, facet and level; `first_global_seq` is that of its first report.

    Sources of the evidence for its outcomes have a facet of their own, and the first entry of such an outcome; so have sources that its
    reports name beside their own.
    """

    __tablename__ = "indicator_source"
    __table_args__ = (Index("ix_indicator_source_source_id_indicator_id_level", "source_id", "indicator_id", "level"),)

    indicator_id: UUID = Field(primary_key=True, foreign_key="indicator.id")
    source_id: UUID = Field(primary_key=True, foreign_key="source.id")
    facet: str = Field(primary_key=True, max_length=16)
    level: int = Field(primary_key=True)
    first_global_seq: int = Field(sa_type=BigInt)


class StaleRecord(SQLModel, table=True):
    """A place or source that changed, while stored documents still show it as it was: those of a `level`, after an indicator, and above."""

    __tablename__ = "stale_record"

    record_id: UUID = Field(primary_key=True)
    level: int
    after: UUID | None = None
