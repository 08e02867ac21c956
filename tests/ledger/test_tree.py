"""Trees over the entries of a ledger: proofs, and what is stored of them."""

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.tlp import LABELS, Label
from app.ledger import nodes
from app.ledger.models import LEAF_COLUMNS
from app.ledger.tree import (
    consistency_spans,
    inclusion_spans,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    root_of,
    roots_from_consistency,
    stored_hashes,
)
from app.ledger.verify_trees import verify_trees
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, report

LEAVES = [leaf_hash(b"%d" % number) for number in range(600)]


def root(leaves: list[bytes]) -> bytes:
    """Return the root as RFC 6962, section 2.1, defines it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(root(leaves[:split]), root(leaves[split:]))


def stored_root(span: tuple[int, int]) -> bytes:
    tiles = [LEAVES, [root(LEAVES[at : at + 256]) for at in (0, 256)]]
    return root_of([tiles[height][first : first + count] for height, first, count in stored_hashes(span)])


@given(st.integers(1, 600), st.data())
@settings(max_examples=60)
def test_proofs_lead_to_the_root_and_nothing_else_does(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    whole, begun = root(LEAVES[:size]), root(LEAVES[:old])
    assert stored_root((0, size)) == whole
    path = [stored_root(span) for span in inclusion_spans(index, size)]
    assert root_from_inclusion(LEAVES[index], index, size, path) == whole
    proof = [stored_root(span) for span in consistency_spans(old, size)]
    assert roots_from_consistency(old, size, proof, begun) == (begun, whole)
    for hashes, check in (
        (path, lambda changed: root_from_inclusion(LEAVES[index], index, size, changed) == whole),
        (proof, lambda changed: roots_from_consistency(old, size, changed, begun) == (begun, whole)),
    ):
        for at in range(len(hashes)):
            assert not check([*hashes[:at], leaf_hash(b"other"), *hashes[at + 1 :]])
        assert not check([*hashes, LEAVES[0]])
    assert root_from_inclusion(LEAVES[index], index + size, size, path) is None
    assert roots_from_consistency(size + 1, size, proof, begun) is None


async def test_stored_hashes_give_the_root_of_each_clearance(client: httpx.AsyncClient, reference: Reference, database: Database) -> None:
    labels = list(Label)
    for start in range(0, 800, 400):
        bodies = [report(value={"people": start + each}, sensitivity=labels[each % 7 % 5].value) for each in range(400)]
        assert (await client.post("/v1/reports", json=bodies)).status_code == 207
    async with database.read() as connection:
        sizes = [len(await nodes.read_hashes(connection, level, 0, 0, 1000)) for level in range(len(LABELS))]
        for level in range(len(LABELS)):
            head = (await client.get("/v1/ledger/head")).json()["seq"] if level == len(LABELS) - 1 else None
            leaves = await nodes.read_hashes(connection, level, 0, 0, 1000)
            assert head in (None, len(leaves) == SEEDED + 800 and SEEDED + 800)
            assert await nodes.read_root(connection, level, (0, len(leaves))) == root(leaves)
            assert len(await nodes.read_hashes(connection, level, 1, 0, 1000)) == len(leaves) // 256
    set_node, of_red = "UPDATE ledger_node SET hash = (SELECT leaf_red FROM ledger_entry WHERE global_seq = 1)", "WHERE clearance = 4"
    wrong = ["tree of red: its node 1 at height 1 is not that of its entries"]
    async with database.writer.connect() as connection:
        assert [each async for each in verify_trees(connection, [0] * 5, sizes)] == []
        for statement in (f"{set_node} {of_red} AND number = 1", f"DELETE FROM ledger_node {of_red} AND number = 1"):
            await connection.exec_driver_sql(statement)
            assert [each async for each in verify_trees(connection, [0] * 5, sizes)] == wrong
            # A run that began within the tile verifies it, a later one does not.
            assert [each async for each in verify_trees(connection, [0, 0, 0, 0, 511], sizes)] == wrong
            assert [each async for each in verify_trees(connection, [0, 0, 0, 0, 512], sizes)] == []
            await connection.rollback()


@pytest.mark.parametrize("name", LEAF_COLUMNS)
def test_leaf_columns_follow_the_labels(name: str) -> None:
    assert name.removeprefix("leaf_") in set(LABELS)
