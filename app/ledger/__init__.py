"""The append-only ledger: entries, hash chains, verification."""
