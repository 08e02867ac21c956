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
    origin: str | None = Field(description="Name of this ledger in checkpoints; null where the service signs none.")
    vkey: str | None = Field(description="Key that verifies the checkpoints of this ledger (C2SP signed-note).")
    cosigner_vkey: str | None = Field(description="Key that verifies this service's cosignatures of other ledgers.")
    partners: int = Field(description="Number of partners that have cosigned the public ledger together.")
    proved_at: Timestamp | None = Field(description="When the last of them did (UTC); null before the first.")
