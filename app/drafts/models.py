"""The table of drafts."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from app.storage.types import UtcDateTime


class Draft(SQLModel, table=True):
    """A proposed report; `report` is what was sent, with the real slugs of sources. `level` is its label, at least `green`.

    `organisation` and `persons` are those of the key that wrote it last. `status` is `proposed`, `confirmed` or `rejected`, and
    `decided_by` the organisation that decided. `report_id` is the report that it was confirmed as.
    """

    __tablename__ = "draft"

    id: UUID = Field(primary_key=True)
    level: int
    status: str = Field(default="proposed", max_length=16)
    report: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    organisation: str
    persons: list[str] = Field(sa_column=Column(JSON, nullable=False))
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
    decided_by: str | None = None
    reason: str | None = None
    report_id: UUID | None = None
