"""Write the bundle of a partner, and read a bundle of one: verify all of it first, then apply package by package."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

import pyrage
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.domain.times import utc_now
from app.domain.tlp import LABELS, LEVELS, Label
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.bundles import MAGIC, Bundle, ForkFound, InvalidBundle, open_bundle, read_package, write_frame, write_package
from app.exchange.replication.models import ReceivedTile
from app.exchange.replication.results import ApplyResult
from app.ledger.checkpoints import CheckpointSigner
from app.ledger.models import Cosignature, Partner
from app.ledger.nodes import read_root
from app.ledger.notes import Checkpoint, InvalidNote, SignedNote, VerifierKey, signature_line
from app.ledger.partners import log_keys, read_log_keys, read_partners, store_cosignature
from app.ledger.signing_key import LedgerKey
from app.ledger.tree import HASH_BYTES, TILE_WIDTH, inclusion_spans, tree_root
from app.settings import Settings
from app.storage.database import Database


async def write_bundle(database: Database, key: LedgerKey, settings: Settings, partner: Any, since: bytes | None, file: IO[bytes]) -> int:
    """Write the ledger that a partner is cleared for, from a checkpoint that it has, and return the number of entries."""
    level, recipient = partner["clearance"], partner["age_recipient"]
    if level > 0 and recipient is None:
        raise InvalidBundle(f"a bundle of {LABELS[level]} is encrypted: add the partner again with --age")
    signer = key.signer(level)
    signed = await CheckpointSigner(settings).cosigned(database, level)
    size, first = signed.checkpoint.size, 0
    if since is not None:
        async with database.read_latest() as connection:
            first = await _size_of_own(connection, level, signer.verifier(), since, size) // TILE_WIDTH * TILE_WIDTH
    names = [name for name in log_keys(partner["log_vkey"]) if LEVELS.get(_label_of(name), 0) <= level]
    cosigned = [note.decode() for name in names if (note := await asyncio.to_thread(key.last_cosigned, name)) is not None]
    file.write(MAGIC)
    own = recipient if level > 0 else None
    write_frame(file, {"checkpoint": signed.note.decode(), "cosignatures": cosigned}, recipient=own)
    for start in range(first, size, TILE_WIDTH):
        async with database.read_latest() as connection:
            package = await read_package(connection, level, start, size, signer)
        await asyncio.to_thread(write_package, file, package, own)
    write_frame(file, {"end": signed.note.decode()}, recipient=own)
    return size - first


def _label_of(origin: str) -> Any:
    return origin.rpartition("/")[2]


async def _size_of_own(connection: AsyncConnection, level: int, key: VerifierKey, note: bytes, size: int) -> int:
    """Return the size of an earlier checkpoint of this ledger."""
    try:
        signed = SignedNote.parse(note)
        checkpoint = Checkpoint.parse(signed.text)
    except InvalidNote as error:
        raise InvalidBundle(f"--since must be a checkpoint: {error}") from None
    if checkpoint.origin != key.name or signed.signed_at(key) is None:
        raise InvalidBundle(f"--since must be a checkpoint of {key.name}, with its signature")
    if checkpoint.size > size or await read_root(connection, level, (0, checkpoint.size)) != checkpoint.root:
        raise InvalidBundle("--since is a checkpoint that the ledger does not continue")
    return checkpoint.size


@dataclass(slots=True)
class BundleResult:
    """A bundle that was read: its checkpoint, the entries that were verified, what was applied, and whether the file is complete."""

    checkpoint: Checkpoint
    entries: int = 0
    complete: bool = False
    applied: ApplyResult = field(default_factory=ApplyResult)
    # The checkpoints of this service that the partner has cosigned.
    cosignatures: int = 0


class BundleReader:
    """Reads the bundles of partners into a database. `key` is that of this service, None if it signs nothing."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        key: LedgerKey | None,
        applier: EntryApplier,
        identities: Sequence[pyrage.x25519.Identity] = (),
    ) -> None:
        self._database = database
        self._settings = settings
        self._key = key
        self._applier = applier
        self._identities = identities

    async def read(self, file: IO[bytes], *, write: bool) -> BundleResult:
        """Verify a bundle, and with `write` apply it; raise InvalidBundle, or ForkFound before anything is applied."""
        async with self._database.read_latest() as connection:
            logs = await read_log_keys(connection)
            partners = await read_partners(connection)
        result = await self._pass(open_bundle(file, logs, self._identities), None)
        if write:
            file.seek(0)
            bundle = open_bundle(file, logs, self._identities)
            result = await self._pass(bundle, self._apply)
            partner = next(each for each in partners if bundle.origin in log_keys(each["log_vkey"]))
            result.cosignatures = await self._store_cosignatures(bundle, partner)
        return result

    async def _pass(self, bundle: Bundle, apply: Callable[[AsyncSession, list[Any]], Any] | None) -> BundleResult:
        result = BundleResult(bundle.checkpoint)
        known = await asyncio.to_thread(self._key.last_cosigned, bundle.origin) if self._key else None
        leaves = bytearray()
        for package, found in bundle.packages():
            if not result.entries:
                leaves = await self._check_before(bundle, package.first, package.path)
            number, packed = package.first // TILE_WIDTH, b"".join(found)
            async with self._database.read_latest() as connection:
                tile = await _read_tile(connection, bundle.origin, number)
            overlap = min(len(packed), len(tile.leaves)) if tile else 0
            if tile and tile.leaves[:overlap] != packed[:overlap]:
                raise ForkFound(tile.checkpoint, bundle.note)
            leaves += packed
            known = _check_known(known, leaves, bundle.note)
            if apply is not None and len(packed) > overlap:
                async with self._database.write() as session:
                    result.applied.add(await apply(session, list(package.bodies())))
                    row = ReceivedTile(origin=bundle.origin, number=number, leaves=packed, checkpoint=bundle.note)
                    await session.merge(row)
            result.entries += len(found)
        result.complete = bundle.complete
        if apply is not None and self._key and bundle.complete:
            await asyncio.to_thread(self._cosign, self._key, bundle, leaves)
        return result

    async def _check_before(self, bundle: Bundle, first: int, path: Sequence[bytes]) -> bytearray:
        """Return the leaves that came before a bundle; raise ForkFound if its tree has others, InvalidBundle if some never came."""
        leaves, checkpoint = bytearray(), bundle.note
        for number in range(first // TILE_WIDTH):
            async with self._database.read_latest() as connection:
                tile = await _read_tile(connection, bundle.origin, number)
            if tile is None or len(tile.leaves) < TILE_WIDTH * HASH_BYTES:
                have = (len(leaves) + len(tile.leaves if tile else b"")) // HASH_BYTES
                raise InvalidBundle(f"it begins at entry {first + 1}, but {have} came before: ask for one without --since, or since then")
            leaves += tile.leaves
            checkpoint = tile.checkpoint
        spans = inclusion_spans(first, bundle.checkpoint.size, min(TILE_WIDTH, bundle.checkpoint.size - first))
        for (start, end), root in zip(spans, path, strict=True):
            if end <= first and tree_root(_split(leaves)[start:end]) != root:
                raise ForkFound(checkpoint, bundle.note)
        return leaves

    async def _apply(self, session: AsyncSession, bodies: list[Any]) -> ApplyResult:
        applied = await self._applier.apply(session, bodies)
        for at, errors in applied.refused:
            details = "; ".join(f"{each.pointer} {each.detail}".strip() for each in errors)
            raise InvalidBundle(f"the entry recorded at {bodies[at].get('recorded_at')} cannot be applied: {details}")
        return applied

    def _cosign(self, key: LedgerKey, bundle: Bundle, leaves: bytearray) -> None:
        """Cosign the checkpoint of a complete bundle, unless a later one was cosigned; the next bundle takes it back."""
        with key.lock():
            known = key.last_cosigned(bundle.origin)
            _check_known(known, leaves, bundle.note)
            if known is None or Checkpoint.parse(SignedNote.parse(known).text).size < bundle.checkpoint.size:
                text = SignedNote.parse(bundle.note.encode()).text
                own = next(sig for name, id_, sig in SignedNote.parse(bundle.note.encode()).signatures if id_ == bundle.key.id)
                line = key.cosigner.cosign(text, int(utc_now().timestamp()))
                key.remember_cosigned(bundle.origin, f"{text}\n{signature_line(bundle.key, own)}{line}".encode())

    async def _store_cosignatures(self, bundle: Bundle, partner: Any) -> int:
        """Store the partner's cosignatures of the checkpoints of this service that came with a bundle; return their number."""
        if self._key is None:
            return 0
        cosigner, stored = VerifierKey.parse(partner["cosigner_vkey"]), 0
        levels = {self._key.signer(label.level).name: label.level for label in Label}
        for note in bundle.cosignatures:
            try:
                signed = SignedNote.parse(note.encode())
                checkpoint = Checkpoint.parse(signed.text)
            except InvalidNote:
                continue
            level = levels.get(checkpoint.origin)
            at = signed.signed_at(cosigner)
            if level is None or at is None or signed.signed_at(self._key.signer(level).verifier()) is None:
                continue
            line = next(
                signature_line(cosigner, sig) for name, id_, sig in signed.signatures if (name, id_) == (cosigner.name, cosigner.id)
            )
            async with self._database.write() as session:
                last = await session.get(Cosignature, (partner["name"], level))
                if await session.get(Partner, partner["name"]) is None or (last is not None and last.size >= checkpoint.size):
                    continue
                own = f"{signed.text}\n{self._key.signer(level).sign(signed.text)}"
                row = Cosignature(
                    partner=partner["name"], clearance=level, checkpoint=own, size=checkpoint.size, line=line,
                    cosigned_at=datetime.fromtimestamp(at, UTC),
                )  # fmt: skip
                await store_cosignature(session, row, self._settings.public_clearance.level)
                stored += 1
        return stored


async def _read_tile(connection: AsyncConnection, origin: str, number: int) -> Any:
    tiles = select(col(ReceivedTile.leaves), col(ReceivedTile.checkpoint))
    return (await connection.execute(tiles.where(col(ReceivedTile.origin) == origin, col(ReceivedTile.number) == number))).one_or_none()


def _split(leaves: bytes | bytearray) -> list[bytes]:
    return [bytes(leaves[at : at + HASH_BYTES]) for at in range(0, len(leaves), HASH_BYTES)]


def _check_known(known: bytes | None, leaves: bytearray, note: str) -> bytes | None:
    """Raise ForkFound if the last cosigned checkpoint has other entries than the first ones here; return it while these are too few."""
    if known is None or (checkpoint := Checkpoint.parse(SignedNote.parse(known).text)).size * HASH_BYTES > len(leaves):
        return known
    if tree_root(_split(leaves[: checkpoint.size * HASH_BYTES])) != checkpoint.root:
        raise ForkFound(known.decode(), note)
    return None
