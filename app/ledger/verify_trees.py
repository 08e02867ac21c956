"""Verify that the stored nodes of the tree of each clearance are those of its leaves."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.tlp import LABELS
from app.ledger.models import LedgerNode
from app.ledger.nodes import read_hashes
from app.ledger.tree import TILE_WIDTH, root_of
from app.storage.types import table_of

# Enough for more entries than a position can count.
MAX_HEIGHT = 7
# Nodes that are computed at once.
BATCH_SIZE = 64


async def verify_trees(connection: AsyncConnection, before: Sequence[int], sizes: Sequence[int]) -> AsyncIterator[str]:
    """Yield the nodes that do not follow from the hashes below them; of each clearance those that the entries after a size completed."""
    nodes = table_of(LedgerNode).c
    for level, label in enumerate(LABELS):
        for height in range(1, MAX_HEIGHT + 1):
            first, end = before[level] // TILE_WIDTH**height, sizes[level] // TILE_WIDTH**height
            stored = select(nodes.number, nodes.hash).where(nodes.clearance == level, nodes.height == height, nodes.number >= first)
            wrong: dict[int, bytes] = {row.number: row.hash for row in await connection.execute(stored)}
            for start in range(first, end, BATCH_SIZE):
                count = min(BATCH_SIZE, end - start)
                hashes = await read_hashes(connection, level, height - 1, start * TILE_WIDTH, count * TILE_WIDTH)
                for at in range(count):
                    below = hashes[at * TILE_WIDTH : (at + 1) * TILE_WIDTH]
                    if len(below) == TILE_WIDTH and wrong.get(start + at) == root_of([below]):
                        del wrong[start + at]
                    else:
                        wrong.setdefault(start + at, b"")
            for number in sorted(wrong):
                yield f"tree of {label}: its node {number} at height {height} is not that of its entries"
