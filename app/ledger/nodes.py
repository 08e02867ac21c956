"""The stored hashes of the tree of each clearance: leaves with their entries, and the root of every 256 that are complete."""

from collections.abc import Sequence

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.ledger.models import LEAF_COLUMNS, LedgerEntry, LedgerNode, seq_column
from app.ledger.tree import TILE_WIDTH, Span, root_of, stored_hashes
from app.storage.types import table_of


async def read_hashes(connection: AsyncConnection, level: int, height: int, first: int, count: int) -> list[bytes]:
    """Return adjacent hashes of one height of tiles in the tree of a clearance; those that are complete."""
    if height == 0:
        leaf, seq = table_of(LedgerEntry).c[LEAF_COLUMNS[level]], seq_column(level)
        found = select(leaf).where(seq > first, seq <= first + count).order_by(seq)
    else:
        nodes = table_of(LedgerNode).c
        found = select(nodes.hash).where(nodes.clearance == level, nodes.height == height, nodes.number.between(first, first + count - 1))
        found = found.order_by(nodes.number)
    return list((await connection.execute(found)).scalars())


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
