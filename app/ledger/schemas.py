"""The head of the ledger in responses."""

from pydantic import BaseModel, Field

from app.domain.times import Timestamp
from app.domain.tlp import Label


class LedgerHead(BaseModel):
    """The last entry of the ledger as this caller sees it: keep it to prove later that no earlier entry was altered."""

    clearance: Label = Field(description="Clearance whose ledger this is: each clearance has its own.")
    seq: int = Field(description="Position of the last entry; 0 before the first.")
    hash: str = Field(description="SHA-256 of the chain up to the last entry, in hexadecimal; 64 zeros before the first.")
    recorded_at: Timestamp | None = Field(description="When the last entry was recorded (UTC); null before the first.")
