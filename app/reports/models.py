"""What waits for a second curator."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from app.db import UtcDateTime


class LabelProposal(SQLModel, table=True):
    """A lower label that one key has proposed for a report; another key confirms it. It lapses once the label is not `before`."""

    __tablename__ = "label_proposal"

    id: UUID = Field(primary_key=True)
    report_id: UUID = Field(foreign_key="report.id", index=True)
    level: int
    before: int
    reason: str
    key_id: UUID
    organisation: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    confirmed_by: UUID | None = None
