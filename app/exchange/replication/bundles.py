"""Bundles: the ledger of a clearance as a file for a partner without a link, in packages that are proved one by one.

A bundle is a line, then frames, each after its length in four bytes: JSON, compressed, and above `clear` encrypted to the partner. The
first has the signed checkpoint, each further one up to 256 entries with the proof that they are in its tree, the last one says that nothing
is missing. What comes before the place where a file is torn is good.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any

import orjson
import pyrage
import zstandard
from sqlalchemy.ext.asyncio import AsyncConnection

from app.ledger.hash_chain import canonical_json
from app.ledger.models import LEAF_COLUMNS, seq_column
from app.ledger.nodes import read_roots
from app.ledger.notes import Checkpoint, SignedNote, SigningKey, VerifierKey, decode_base64
from app.ledger.queries import select_entries, visible_entries
from app.ledger.tree import HASH_BYTES, TILE_WIDTH, inclusion_spans, leaf_hash, root_from_inclusion, tree_root
from app.ledger.witness import signed_lines

MAGIC = b"lifeline-bundle 1\n"
MAX_FRAME_BYTES = 64_000_000
_LENGTH_BYTES = 4
_LEVEL = 19


class InvalidBundle(Exception):
    """The reason why a file is no bundle that may be read."""


class ForkFound(Exception):
    """Two checkpoints of one log that do not continue each other."""

    def __init__(self, known: str, other: str) -> None:
        super().__init__("the log has two histories")
        self.checkpoints = known, other


@dataclass(frozen=True, slots=True)
class Package:
    """Adjacent entries as JSON, empty where they are withheld, with what proves them; withheld in part, the log alone vouches for them."""

    first: int
    entries: Sequence[bytes]
    leaves: Mapping[int, bytes]
    redacted: Mapping[int, Any]
    path: Sequence[bytes]
    signature: str

    def bodies(self) -> Iterator[Any]:
        """Yield the entries that can be applied, in order."""
        for at, entry in enumerate(self.entries):
            if entry or at in self.redacted:
                yield orjson.loads(entry) if entry else self.redacted[at]


def _redacted_text(origin: str, first: int, redacted: Mapping[int, Any]) -> str:
    digest = sha256(canonical_json({str(at): body for at, body in redacted.items()})).digest()
    return f"lifeline-bundle redacted\n{origin}\n{first}\n{b64encode(digest).decode()}\n"


async def read_package(connection: AsyncConnection, level: int, first: int, size: int, key: SigningKey) -> Package:
    """Return the package of the ledger that begins at an entry."""
    seq, end = seq_column(level), min(first + TILE_WIDTH, size)
    rows = (await connection.execute(select_entries().where(seq > first, seq <= end).order_by(seq))).mappings().all()
    entries, leaves, redacted = [], {}, {}
    for at, (row, visible) in enumerate(zip(rows, await visible_entries(connection, rows, level), strict=True)):
        body = {name: value for name, value in visible.items() if name not in ("seq", "hash", "redacted")}
        entry = canonical_json(body)
        if leaf_hash(entry) == row[LEAF_COLUMNS[level]]:
            entries.append(entry)
            continue
        entries.append(b"")
        leaves[at], redacted[at] = row[LEAF_COLUMNS[level]], body
    path = await read_roots(connection, level, inclusion_spans(first, size, end - first))
    signature = key.sign(_redacted_text(key.name, first, redacted)) if redacted else ""
    return Package(first, entries, leaves, redacted, path, signature)


def verify_package(package: Package, checkpoint: Checkpoint, key: VerifierKey) -> list[bytes]:
    """Return the leaves of a package; raise InvalidBundle unless they are in the tree, and the log vouches for what it withheld."""
    leaves = [leaf_hash(entry) if entry else package.leaves.get(at, b"") for at, entry in enumerate(package.entries)]
    width = min(TILE_WIDTH, checkpoint.size - package.first)
    complete = package.first % TILE_WIDTH == 0 and 0 < width == len(leaves) and all(len(each) == HASH_BYTES for each in leaves)
    if not complete or root_from_inclusion(tree_root(leaves), package.first, checkpoint.size, package.path, width) != checkpoint.root:
        raise InvalidBundle(f"the entries from {package.first + 1} on are not those of the checkpoint: they were altered on the way")
    if package.redacted:
        text = _redacted_text(key.name, package.first, package.redacted)
        if SignedNote.parse(f"{text}\n{package.signature}".encode()).signed_at(key) is None:
            raise InvalidBundle(f"the entries from {package.first + 1} on have parts that the log does not vouch for")
    return leaves


def write_frame(file: IO[bytes], head: Mapping[str, Any], entries: Sequence[bytes] = (), recipient: str | None = None) -> None:
    """Append a frame."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    data = compressor.compress(b"\n".join([orjson.dumps(head), *entries]))
    if recipient is not None:
        data = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(recipient)])
    file.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)


def write_package(file: IO[bytes], package: Package, recipient: str | None) -> None:
    """Append the frame of a package."""
    head = {
        "first": package.first,
        "leaves": {str(at): b64encode(leaf).decode() for at, leaf in package.leaves.items()},
        "redacted": {str(at): body for at, body in package.redacted.items()},
        "path": [b64encode(each).decode() for each in package.path],
        "signature": package.signature,
    }
    write_frame(file, head, package.entries, recipient)


def _read_frames(file: IO[bytes], identities: Sequence[pyrage.x25519.Identity]) -> Iterator[list[bytes]]:
    """Yield the lines of each frame, up to where the file is torn or damaged."""
    if file.read(len(MAGIC)) != MAGIC:
        raise InvalidBundle("it does not begin as a bundle")
    while len(length := file.read(_LENGTH_BYTES)) == _LENGTH_BYTES:
        count = int.from_bytes(length, "big")
        data = file.read(count) if count <= MAX_FRAME_BYTES else b""
        if len(data) < count or not count:
            return
        if data.startswith(b"age-encryption.org/"):
            try:
                data = pyrage.decrypt(data, list(identities))
            except pyrage.DecryptError as error:
                if "No matching keys" in str(error) or not identities:
                    raise InvalidBundle("it is encrypted to another age identity: name yours with --identity") from None
                return
        try:
            # The size is checked first, because a small frame may claim to hold any number of bytes.
            if zstandard.get_frame_parameters(data).content_size > MAX_FRAME_BYTES:
                return
            yield zstandard.ZstdDecompressor().decompress(data).split(b"\n")
        except zstandard.ZstdError:
            return


@dataclass(slots=True)
class Bundle:
    """A bundle whose first frame was read and verified."""

    origin: str
    key: VerifierKey
    checkpoint: Checkpoint
    note: str
    cosignatures: Sequence[str]
    frames: Iterator[list[bytes]]
    complete: bool = field(default=False)

    def packages(self) -> Iterator[tuple[Package, list[bytes]]]:
        """Yield the packages with their leaves, up to where the bundle is torn; raise InvalidBundle for one that was altered."""
        expected: int | None = None
        for head, *entries in self.frames:
            try:
                record = orjson.loads(head)
                if record.get("end") == self.note:
                    self.complete = expected is None or expected == self.checkpoint.size
                    return
                package = Package(
                    record["first"],
                    entries,
                    {int(at): decode_base64(leaf) for at, leaf in record["leaves"].items()},
                    {int(at): body for at, body in record["redacted"].items()},
                    [decode_base64(each) for each in record["path"]],
                    record["signature"],
                )
                leaves = verify_package(package, self.checkpoint, self.key)
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                raise InvalidBundle(f"it has a frame that is no package ({type(error).__name__})") from None
            if expected not in (None, package.first):
                raise InvalidBundle(f"the entries from {expected} on are missing: packages were left out or moved")
            expected = package.first + len(leaves)
            yield package, leaves


def open_bundle(file: IO[bytes], logs: Mapping[str, VerifierKey], identities: Sequence[pyrage.x25519.Identity]) -> Bundle:
    """Return a bundle of one of these logs; raise InvalidBundle."""
    frames = _read_frames(file, identities)
    try:
        record = orjson.loads(next(frames, [b"null"])[0])
        signed = SignedNote.parse(record["checkpoint"].encode())
        checkpoint, cosignatures = Checkpoint.parse(signed.text), [str(each) for each in record["cosignatures"]]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InvalidBundle("it ends before its checkpoint, or has none") from None
    key = logs.get(checkpoint.origin)
    if key is None:
        raise InvalidBundle(f"it is of {checkpoint.origin}, which is the log of no partner: add it with `lifeline witness add`")
    if not signed_lines(signed, key):
        raise InvalidBundle(f"its checkpoint is not signed with the key of {checkpoint.origin}")
    return Bundle(checkpoint.origin, key, checkpoint, record["checkpoint"], cosignatures, frames)
