"""Helpers of tests that read a complete ledger, sign it or rewrite it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import update

from app.domain.tlp import LABELS
from app.ledger.hash_chain import GENESIS, EntryViews, chain_hash
from app.ledger.models import HASH_COLUMNS, LEAF_COLUMNS, SEQ_COLUMNS, LedgerEntry, LedgerHead
from app.ledger.queries import decode_entry, load_aliases, select_entries
from app.ledger.signing_key import LedgerKey
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
