"""Verification of everything that the database holds, for `lifeline verify` and for backups."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import asyncpg
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.assessment.verify import Horizons, verify_projections
from app.domain.tlp import LABELS, Label
from app.ledger.hash_chain import GENESIS
from app.ledger.models import HASH_COLUMNS, LedgerEntry, seq_column
from app.ledger.queries import load_head
from app.ledger.verify import ChainVerifier, verify_chain
from app.operations.verify_derived import verify_derived
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import SchemaError, read_schema_revision, schema_problem
from app.storage.sqlite_integrity import verify_sqlite_file
from app.storage.types import table_of

# Seconds for one statement, which compares whole tables.
STATEMENT_TIMEOUT_SECONDS = 3600.0


class KnownHead(BaseModel):
    """The end of the ledger of one clearance at some time, with the fields of `/v1/ledger/head` that prove something."""

    clearance: Label
    seq: Annotated[int, Field(ge=0, lt=2**63)]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


HEADS = TypeAdapter(KnownHead | Annotated[list[KnownHead], Field(min_length=1)])


class UnreadableHead(Exception):
    """The reason why a file is no head."""


def read_heads(path: Path) -> list[KnownHead]:
    """Return the heads in a file: the response of `/v1/ledger/head`, or a list of several; raise UnreadableHead for any other."""
    try:
        found = HEADS.validate_json(path.read_bytes())
    except ValidationError:
        example = '{"clearance": "green", "seq": 17, "hash": "64 hexadecimal digits"}'
        raise UnreadableHead(f"{path} is not a head of a ledger: it must have the fields of /v1/ledger/head, such as {example}.") from None
    return found if isinstance(found, list) else [found]


async def load_heads(connection: AsyncConnection) -> list[KnownHead]:
    """Return the head of each clearance."""
    return [KnownHead.model_validate(await load_head(connection, level)) for level in range(len(LABELS))]


@asynccontextmanager
async def open_snapshot(settings: Settings) -> AsyncIterator[AsyncConnection]:
    """Open the connection of `open_database`."""
    async with open_database(settings) as (_, connection):
        yield connection


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[tuple[Database, AsyncConnection]]:
    """Open one state of the primary to read, without any lock; of a standby if the URL names no primary. Raises SchemaError."""
    settings = settings.model_copy(update={"read_database_url": None, "database_lock_timeout_seconds": STATEMENT_TIMEOUT_SECONDS})
    async with AsyncExitStack() as stack:
        try:
            database = await stack.enter_async_context(Database(settings))
            connection = await stack.enter_async_context(database.snapshot())
        except DBAPIError as error:
            if error.orig is None or not isinstance(error.orig.__cause__, asyncpg.TargetServerAttributeNotMatched):
                raise
            database = await stack.enter_async_context(Database(settings, read_from="standby"))
            connection = await stack.enter_async_context(database.snapshot())
        if (problem := schema_problem(await connection.run_sync(read_schema_revision))) is not None:
            raise SchemaError(problem)
        yield database, connection


async def verify_all(
    connection: AsyncConnection, horizons: Horizons, since: Sequence[KnownHead] = (), hashing_key: bytes | None = None
) -> AsyncIterator[str]:
    """Yield one line for each problem of the SQLite file, else of the ledger and the indicators, in a transaction that sees one state.

    `since` are heads that were verified before: only what later entries changed is verified, and not the file.
    `hashing_key` is what hashes keys; without it, which key recorded an entry is not verified.
    """
    found = [problem async for problem in (find_missing_heads(connection, since) if since else verify_sqlite_file(connection))]
    for problem in found:
        yield problem
    if found:
        return
    verifier = await _verifier_after(connection, since)
    changed_since = verifier.global_seq
    async for problem in verify_chain(connection, verifier, hashing_key):
        yield problem
    for check in (verify_projections(connection, horizons, changed_since), verify_derived(connection, horizons, changed_since)):
        async for problem in check:
            yield problem


async def find_missing_heads(connection: AsyncConnection, heads: Sequence[KnownHead]) -> AsyncIterator[str]:
    """Yield one line for each head that is not in the history of this ledger."""
    for head in heads:
        level, what = head.clearance.level, f"head of {head.clearance.value} at {head.seq}"
        hash_ = table_of(LedgerEntry).c[HASH_COLUMNS[level]]
        stored = (await connection.execute(select(hash_).where(seq_column(level) == head.seq))).scalar_one_or_none()
        expected = stored if head.seq else GENESIS
        if expected is None:
            last = await load_head(connection, level)
            yield f"{what}: this ledger ends at {last['seq']}; entries were removed, or the head is of another ledger"
        elif expected != head.hash:
            yield f"{what}: this ledger has another hash there; an entry up to it was altered, or the head is of another ledger"


async def _verifier_after(connection: AsyncConnection, heads: Sequence[KnownHead]) -> ChainVerifier:
    """Return a verifier of what follows the latest of some heads, with the seq and hash of each clearance there."""
    verifier, entries = ChainVerifier(), table_of(LedgerEntry).c
    for head in heads:
        number = select(entries.global_seq).where(seq_column(head.clearance.level) == head.seq)
        verifier.global_seq = max(verifier.global_seq, (await connection.execute(number)).scalar_one_or_none() or 0)
    known = {head.clearance.level: (head.seq, head.hash) for head in heads} if len(heads) == len(LABELS) else {}
    for level in range(len(LABELS)):
        seq = seq_column(level)
        last = select(seq, entries[HASH_COLUMNS[level]]).where(seq.is_not(None), entries.global_seq <= verifier.global_seq)
        stored = (await connection.execute(last.order_by(seq.desc()).limit(1))).one_or_none()
        verifier.seq[level], verifier.hashes[level] = known.get(level) or stored or (0, GENESIS)
    return verifier
