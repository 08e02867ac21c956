"""The table of followed Lifelines."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.storage.types import UtcDateTime


class Upstream(SQLModel, table=True):
    """A followed Lifeline. Its cursor moves in the transaction that applies its changes."""

    __tablename__ = "upstream"

    url: str = Field(primary_key=True)
    cursor: str | None = None
    updated_at: datetime = Field(sa_type=UtcDateTime)
