"""Merkle trees over the entries of a ledger (RFC 6962), stored in tiles of 256 hashes (C2SP tlog-tiles). Pure."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
# Hashes of a tile. A hash at level L of tiles is the root of 256 ** L entries.
TILE_WIDTH = 256
_TILE_HEIGHT = 8
EMPTY_ROOT = sha256().digest()

# The entries from a number up to, but without, another.
Span = tuple[int, int]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with two children."""
    return sha256(b"\x01" + left + right).digest()


def _split(count: int) -> int:
    """Return the largest power of two below a count of at least two."""
    return 1 << ((count - 1).bit_length() - 1)


def inclusion_spans(index: int, size: int, width: int = 1) -> list[Span]:
    """Return the subtrees whose roots prove that an entry is in a tree, the lowest first (RFC 6962, 2.1.1).

    With a `width` the same for a tile: the entries from `index`, a multiple of TILE_WIDTH, to its end or to that of the tree.
    """
    spans: list[Span] = []
    start, end = 0, size
    while end - start > width:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(old: int, size: int) -> list[Span]:
    """Return the subtrees whose roots prove that the first `old` entries, at least one, begin a tree (RFC 6962, 2.1.2)."""
    spans: list[Span] = []
    start, end = 0, size
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return [(start, end)] * (start > 0) + spans[::-1]


def stored_hashes(span: Span) -> Iterator[tuple[int, int, int]]:
    """Yield what the root of a subtree is computed from: level of tiles, number of the first hash there, and how many, a power of two."""
    start, end = span
    while start < end:
        height = (end - start).bit_length() - 1
        level, rest = divmod(height, _TILE_HEIGHT)
        yield level, start >> (level * _TILE_HEIGHT), 1 << rest
        start += 1 << height


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a tree from all of its leaves."""
    parts, start = list[Sequence[bytes]](), 0
    for height in range(len(leaves).bit_length() - 1, -1, -1):
        if len(leaves) >> height & 1:
            parts.append(leaves[start : start + (1 << height)])
            start += 1 << height
    return root_of(parts)


def root_of(parts: Sequence[Sequence[bytes]]) -> bytes:
    """Return the root of a subtree from the hashes that `stored_hashes` names, in that order."""
    root = b""
    for part in reversed(parts):
        hashes = part
        while len(hashes) > 1:
            hashes = [node_hash(*pair) for pair in zip(hashes[::2], hashes[1::2], strict=True)]
        root = node_hash(hashes[0], root) if root else hashes[0]
    return root or EMPTY_ROOT


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], width: int = 1) -> bytes | None:
    """Return the root that a proof leads to from a leaf, or from the root of a tile; None if it has not the right length."""
    spans = inclusion_spans(index, size, width) if 0 <= index < size else None
    if spans is None or len(path) != len(spans):
        return None
    root = leaf
    for (start, _), hash_ in zip(spans, path, strict=True):
        root = node_hash(root, hash_) if start > index else node_hash(hash_, root)
    return root


def roots_from_consistency(old: int, size: int, path: Sequence[bytes], old_root: bytes) -> tuple[bytes, bytes] | None:
    """Return the roots of both trees that a proof leads to; None if it has not the right length."""
    if not 0 < old <= size or len(path) != len(spans := consistency_spans(old, size)):
        return None
    first = spans[0][0] if spans and spans[0][1] == old else 0
    # Without a first subtree in the proof, the whole old tree is one.
    (own, rest) = (path[0], list(zip(spans, path, strict=True))[1:]) if first else (old_root, list(zip(spans, path, strict=True)))
    old_found = new_found = own
    for (start, _), hash_ in rest:
        if start < first:
            old_found, new_found = node_hash(hash_, old_found), node_hash(hash_, new_found)
        else:
            new_found = node_hash(new_found, hash_)
    return old_found, new_found
