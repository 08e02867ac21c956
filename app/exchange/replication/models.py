"""What is remembered of those that this service follows."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.storage.types import UtcDateTime


class Upstream(SQLModel, table=True):
    """Another Lifeline that is followed: how far its changes are applied here. Moved in the commit of what was applied."""

    __tablename__ = "upstream"

    url: str = Field(primary_key=True)
    cursor: str | None = None
    updated_at: datetime = Field(sa_type=UtcDateTime)
