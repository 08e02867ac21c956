"""Tiles of entries, and the proof of one report, for clients that verify the tree of a clearance."""

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.http.problems import not_found
from app.ledger.hash_chain import canonical_json
from app.ledger.models import JUDGEMENT, LEAF_COLUMNS, LedgerEntry, seq_column
from app.ledger.nodes import read_roots
from app.ledger.policy import PROOF_VERSION
from app.ledger.queries import select_entries, visible_entries
from app.ledger.tree import TILE_WIDTH, inclusion_spans, leaf_hash
from app.reports.models import Report
from app.storage.direct import execute_direct
from app.storage.slices import end_slice

# Returns in which tree what has an identifier is proved for a level, or for one that is wanted, and its position; raises 404.
Find = Callable[[AsyncConnection, UUID, int, int | None], Awaitable[tuple[int, int]]]
# The length of an entry has 16 bits.
MAX_ENTRY_BYTES = 65_535
# Entries composed before other requests get their turn.
SLICE_ENTRIES = 100
# Numbers in groups of three digits, all but the last with an x before it, and the width of a tile that is not complete.
_TILE = re.compile(r"(?!x000)((?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def parse_tile(path: str) -> tuple[int, int]:
    """Return the first hash and the width of a tile such as `x001/234.p/17`; raise 404."""
    match = _TILE.fullmatch(path)
    width = int(match[2] or TILE_WIDTH) if match else 0
    if match is None or width > TILE_WIDTH - (match[2] is not None):
        raise not_found("tile")
    return int(match[1].replace("x", "").replace("/", "")) * TILE_WIDTH, width


async def read_entries(connection: AsyncConnection, level: int, first: int, count: int) -> list[bytes]:
    """Return entries as the tree of a clearance has them; one that was withheld since, in whole or in part, is empty."""
    seq, found = seq_column(level), list[bytes]()
    while len(found) < count:
        after, through = first + len(found), min(first + len(found) + SLICE_ENTRIES, first + count)
        rows = (await connection.execute(select_entries().where(seq > after, seq <= through).order_by(seq))).mappings().all()
        for row, visible in zip(rows, await visible_entries(connection, rows, level), strict=True):
            entry = canonical_json({name: value for name, value in visible.items() if name not in ("seq", "hash", "redacted")})
            whole = leaf_hash(entry) == row[LEAF_COLUMNS[level]] and len(entry) <= MAX_ENTRY_BYTES
            found.append(entry if whole else b"")
        if len(rows) < through - after:
            break
        await end_slice(0)
    return found


async def find_statement(connection: AsyncConnection, report: UUID, level: int, wanted: int | None) -> tuple[int, int]:
    """Return in which tree a report is proved, that of its label or the stricter one that is wanted, and its position; raise 404."""
    label = (await execute_direct(connection, _LABEL, {"id": report})).scalar_one_or_none()
    if label is None or label > level or (wanted is not None and wanted < label):
        raise not_found("report")
    tree: int = label if wanted is None else wanted
    return tree, (await execute_direct(connection, _select_first(tree), {"id": report})).scalar_one() - 1


_LABEL = select(col(Report.level)).where(col(Report.id) == bindparam("id"))


@cache
def _select_first(level: int) -> Select[Any]:
    return select(func.min(seq_column(level)).label("seq")).where(col(LedgerEntry.report_id) == bindparam("id"))


async def find_judgement(connection: AsyncConnection, judgement: UUID, level: int, wanted: int | None) -> tuple[int, int]:
    """Return the same of a judgement; raise 404 also where a report that it relies on is hidden."""
    of_it = (col(LedgerEntry.judgement_id) == judgement, col(LedgerEntry.type) == JUDGEMENT)
    label = await connection.scalar(select(col(LedgerEntry.level)).where(*of_it))
    if label is None or label > level or (wanted is not None and wanted < label):
        raise not_found("judgement")
    tree: int = label if wanted is None else wanted
    own, proved = (await connection.execute(select(seq_column(level), seq_column(tree)).where(*of_it))).one()
    if not (await read_entries(connection, level, own - 1, 1))[0]:
        raise not_found("judgement")
    return tree, proved - 1


async def inclusion_proof(connection: AsyncConnection, level: int, index: int, size: int, checkpoint: bytes) -> bytes:
    """Return a proof that an entry is in the tree of a checkpoint (C2SP tlog-proof)."""
    path = await read_roots(connection, level, inclusion_spans(index, size))
    hashes = "".join(f"{b64encode(each).decode()}\n" for each in path)
    return f"{PROOF_VERSION}\nindex {index}\n{hashes}\n".encode() + checkpoint
