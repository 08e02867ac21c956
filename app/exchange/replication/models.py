"""The tables of followed Lifelines, and of the ledgers of partners that came in bundles."""

from datetime import datetime

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, UtcDateTime


class Upstream(SQLModel, table=True):
    """A followed Lifeline. Its cursor moves in the transaction that applies its changes."""

    __tablename__ = "upstream"

    url: str = Field(primary_key=True)
    cursor: str | None = None
    updated_at: datetime = Field(sa_type=UtcDateTime)


class ReceivedTile(SQLModel, table=True):
    """The leaves of up to 256 entries of a partner's ledger that a bundle brought, and the checkpoint that they were proved by."""

    __tablename__ = "received_tile"

    origin: str = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    leaves: bytes
    checkpoint: str
