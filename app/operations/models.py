"""The table of commands that an operator runs regularly."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from app.storage.types import UtcDateTime


class OperationRun(SQLModel, table=True):
    """When `backup`, `verify` or `migrate --reassess` last ended well on this database."""

    __tablename__ = "operation_run"

    name: str = Field(primary_key=True, max_length=16)
    finished_at: datetime = Field(sa_type=UtcDateTime)
