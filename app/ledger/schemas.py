"""The ledger on the wire."""

from pydantic import BaseModel, Field

from app.domain.tlp import Label


class LedgerHead(BaseModel):
    """Where the ledger stands, as this reader sees it: enough to prove later that nothing before it was altered."""

    clearance: Label
    seq: int
    hash: str = Field(description="SHA-256 of the chain up to here, hexadecimal; 64 zeros before the first entry.")
    recorded_at: str | None
