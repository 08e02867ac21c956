"""The head of the ledger in responses."""

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.domain.tlp import Label

_EXAMPLE: dict[str, JsonValue] = {
    "clearance": "amber",
    "seq": 17,
    "hash": "03069070cbbe397aed39a43754d6b2a1af97f0fc7cc0f5c41ac8586428d6e041",
    "recorded_at": "2026-11-24T09:00:00Z",
}


class LedgerHead(BaseModel):
    """The last entry of the ledger as this caller sees it: keep it to prove later that no earlier entry was altered."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    clearance: Label = Field(description="Clearance whose ledger this is: each clearance has its own.")
    seq: int = Field(description="Position of the last entry; 0 before the first.")
    hash: str = Field(description="SHA-256 of the chain up to the last entry, in hexadecimal; 64 zeros before the first.")
    recorded_at: str | None = Field(description="When the last entry was recorded (UTC); null before the first.")
