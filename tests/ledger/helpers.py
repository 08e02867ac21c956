"""Helpers of tests that read a complete ledger, sign it or rewrite it."""

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import update

from app.domain.tlp import LABELS
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import HASH_COLUMNS, LEAF_COLUMNS, SEQ_COLUMNS, LedgerEntry, LedgerHead, Partner
from app.ledger.notes import Checkpoint, SigningKey
from app.ledger.queries import decode_entry, load_aliases, select_entries
from app.ledger.signing_key import LedgerKey
from app.ledger.tree import EMPTY_ROOT, consistency_spans, leaf_hash, node_hash
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.support.servers import execute_sql_async, invoke, settings_on


async def all_changes(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return every change that the client may see."""
    items: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/changes", params={"limit": 1000} | after)).json()
        if not page["items"]:
            return items
        items += page["items"]
        after = {"after": page["next"]}


async def assert_verified(url: str) -> None:
    """Assert that `lifeline verify` finds no problem in a database."""
    result = await asyncio.to_thread(invoke, "verify", database_url=url)
    assert result.exit_code == 0, result.output


def signing_settings(settings: Settings, folder: Path) -> Settings:
    """Return the same settings with a new key."""
    key = LedgerKey.create("ledger.example.org/aid", folder / "signing.key")
    return settings.model_copy(update={"origin": key.origin, "signing_key_file": str(key.file)})


async def rewrite(url: str, *statements: str) -> None:
    """Alter the database behind the service's back, and hash every chain and tree again."""
    free = "PRAGMA defer_foreign_keys = ON" if url.startswith("sqlite") else "SET session_replication_role = replica"
    await execute_sql_async(url, free, *statements)
    async with Database(settings_on(url)) as database, database.write() as session:
        connection = await session.connection()
        entries = table_of(LedgerEntry)
        rows = (await connection.execute(select_entries().order_by(entries.c.global_seq))).mappings().all()
        decoded = [decode_entry(row) for row in rows]
        aliases = await load_aliases(connection, [body for *_, body in decoded])
        await connection.execute(update(entries), dict.fromkeys(SEQ_COLUMNS))
        seq, hashes = [0] * len(LABELS), [GENESIS] * len(LABELS)
        for number, (entry, _, body) in enumerate(decoded, 1):
            values: dict[str, Any] = {"global_seq": number}
            for level in range(entry.level, len(LABELS)):
                views = EntryViews(entry, body, aliases)
                seq[level] += 1
                hashes[level] = chain_hash(hashes[level], views.canonical(level))
                values |= {SEQ_COLUMNS[level]: seq[level], HASH_COLUMNS[level]: hashes[level], LEAF_COLUMNS[level]: views.leaf(level)}
            await connection.execute(update(entries).where(entries.c.global_seq == entry.global_seq), values)
        ends = dict(zip((*SEQ_COLUMNS, *HASH_COLUMNS), (*seq, *hashes), strict=True))
        await connection.execute(update(table_of(LedgerHead)), {"global_seq": len(decoded)} | ends)


class ForeignLog:
    """A log that is no Lifeline, with a tree of numbered entries, which may fork."""

    def __init__(self, origin: str, seed: int = 1) -> None:
        self.key = SigningKey(origin, bytes([seed]) * 32)
        self.vkey = str(self.key.verifier())
        # The entries that a fork has in common with the log.
        self.forks_after = 0

    def root(self, size: int, fork: str = "") -> bytes:
        """Return the root of the first entries; a fork has other ones."""
        return self.root_of(0, size, fork)

    def root_of(self, start: int, end: int, fork: str = "") -> bytes:
        if end - start < 2:
            return leaf_hash(f"{fork if start >= self.forks_after else ''}{start}".encode()) if end > start else EMPTY_ROOT
        middle = start + (1 << ((end - start - 1).bit_length() - 1))
        return node_hash(self.root_of(start, middle, fork), self.root_of(middle, end, fork))

    def note(self, size: int, fork: str = "", root: bytes | None = None) -> bytes:
        """Return a signed checkpoint."""
        text = str(Checkpoint(self.key.name, size, self.root(size, fork) if root is None else root))
        return f"{text}\n{self.key.sign(text)}".encode()

    def request(self, old: int, size: int, fork: str = "", path: list[bytes] | None = None) -> bytes:
        """Return the body of `add-checkpoint`."""
        if path is None:
            path = [self.root_of(*span, fork) for span in consistency_spans(old, size)] if 0 < old < size else []
        return f"old {old}\n".encode() + b"".join(b64encode(each) + b"\n" for each in path) + b"\n" + self.note(size, fork)


async def add_partner(
    url: str, name: str, log: str, cosigner: str, address: str = "http://127.0.0.1:9", level: int = 0, age: str | None = None
) -> None:
    """Add a partner to a database."""
    async with Database(settings_on(url)) as database, database.write() as session:
        session.add(Partner(name=name, log_vkey=log, cosigner_vkey=cosigner, url=address, clearance=level, age_recipient=age))
