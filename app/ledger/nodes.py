"""The stored hashes of the tree of each clearance: leaves with their entries, and the root of every 256 that are complete."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.ledger.models import LEAF_COLUMNS, LedgerEntry, LedgerNode, seq_column
from app.ledger.tree import TILE_WIDTH, Span, root_of, stored_hashes
from app.storage.direct import execute_direct
from app.storage.types import table_of


async def read_hashes(connection: AsyncConnection, level: int, height: int, first: int, count: int) -> list[bytes]:
    """Return adjacent hashes of one height of tiles in the tree of a clearance; those that are complete."""
    between = {"first": first, "last": first + count - 1}
    if height:
        rows = await execute_direct(connection, _NODES, {"level": level, "height": height, **between})
    else:
        rows = await execute_direct(connection, _select_leaves(level), between)
    return list(rows.scalars())


_nodes = table_of(LedgerNode).c
_FIRST, _LAST = bindparam("first", type_=BigInteger), bindparam("last", type_=BigInteger)
_NODES = (
    select(_nodes.hash)
    .where(_nodes.clearance == bindparam("level"), _nodes.height == bindparam("height"), _nodes.number.between(_FIRST, _LAST))
    .order_by(_nodes.number)
)


@cache
def _select_leaves(level: int) -> Select[Any]:
    seq = seq_column(level)
    return select(table_of(LedgerEntry).c[LEAF_COLUMNS[level]]).where(seq > _FIRST, seq <= _LAST + 1).order_by(seq)


class MissingHashes(Exception):
    """Stored hashes are fewer than the ledger has entries for."""


async def read_root(connection: AsyncConnection, level: int, span: Span) -> bytes:
    """Return the root of a subtree of the tree of a clearance; raise MissingHashes."""
    return (await read_roots(connection, level, [span]))[0]


async def read_roots(connection: AsyncConnection, level: int, spans: Sequence[Span]) -> list[bytes]:
    """Return the roots of subtrees, as a proof names them; each tile is read once. Raise MissingHashes."""
    tiles: dict[tuple[int, int], list[bytes]] = {}

    async def read_part(height: int, first: int, count: int) -> list[bytes]:
        tile, at = divmod(first, TILE_WIDTH)
        if (height, tile) not in tiles:
            tiles[height, tile] = await read_hashes(connection, level, height, tile * TILE_WIDTH, TILE_WIDTH)
        if len(found := tiles[height, tile][at : at + count]) < count:
            raise MissingHashes
        return found

    return [root_of([await read_part(*each) for each in stored_hashes(span)]) for span in spans]


async def insert_nodes(session: AsyncSession, level: int, before: int, size: int) -> None:
    """Store the nodes that a tree completes when it grows from one size to another."""
    connection = await session.connection()
    height = 1
    while (before := before // TILE_WIDTH) < (size := size // TILE_WIDTH):
        numbers = range(before, size)
        hashes = [root_of([await read_hashes(connection, level, height - 1, each * TILE_WIDTH, TILE_WIDTH)]) for each in numbers]
        rows = [
            {"clearance": level, "height": height, "number": number, "hash": hash_} for number, hash_ in zip(numbers, hashes, strict=True)
        ]
        await session.execute(insert(table_of(LedgerNode)), rows)
        height += 1
