"""Sign the tree of each clearance, and never two histories: what is not consistent with the last signed checkpoint is not signed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.tlp import LABELS
from app.http.problems import Problem
from app.ledger.nodes import MissingHashes, read_root
from app.ledger.notes import COSIGNATURE, Checkpoint, InvalidNote, SignedNote
from app.ledger.partners import read_cosigned
from app.ledger.signing_key import FORK, LedgerKey, SigningError
from app.settings import Settings
from app.storage.database import Database
from app.storage.paging import current_revision


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint, and the note that has it with its signatures."""

    checkpoint: Checkpoint
    note: bytes


class CheckpointSigner:
    """Signs for all requests of a process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._latest: dict[int, Signed] = {}

    def _key(self) -> LedgerKey:
        """Return the key; raise 404 if nothing is signed, 503 if it cannot be read."""
        try:
            key = LedgerKey.load(self._settings)
        except SigningError as error:
            raise refusal(str(error)) from None
        if key is None:
            raise Problem(404, "This service signs no checkpoints: its operator has not set LIFELINE_ORIGIN.", kind="not-found")
        return key

    async def has_forked(self) -> bool:
        """Tell whether caches may hold tiles of an earlier history under the addresses of this one."""
        try:
            key = LedgerKey.load(self._settings)
            return key is not None and await asyncio.to_thread(key.is_forked)
        except SigningError:
            return True

    async def sign(self, database: Database, level: int) -> Signed:
        """Return the signed checkpoint of the tree as it is now; raise 404 where nothing is signed, 503 where it must not be."""
        key = self._key()
        async with database.read_latest() as connection:
            head = await _tree_head(connection, key, level)
        if level in self._latest and self._latest[level].checkpoint == head:
            return self._latest[level]
        try:
            async with self._lock, _locked(key):
                last = await asyncio.to_thread(key.last_signed, level)
                # Read again under the lock: what other processes have signed since is no older than this.
                async with database.read_latest() as connection:
                    if (problem := await _inconsistency(connection, level, last)) is not None:
                        raise SigningError(f"{problem}. Nothing is signed until its operator puts it right; else {FORK}.")
                    head = await _tree_head(connection, key, level)
                signed = Signed(head, f"{head}\n{key.signer(level).sign(str(head))}".encode())
                if signed.note != last:
                    await asyncio.to_thread(key.remember, level, signed.note)
        except SigningError as error:
            raise refusal(str(error)) from None
        self._latest[level] = signed
        return signed

    async def cosigned(self, database: Database, level: int, at_least: int | None = None) -> Signed:
        """Return the checkpoint of the tree as it is now, with the cosignatures that it has.

        With `at_least` return the checkpoint of that size or more that most partners have cosigned; that of now if none has.
        """
        head = await self.sign(database, level)
        async with database.read_latest() as connection:
            found = await read_cosigned(connection, level, head.checkpoint.origin)
        for each in found:
            if each.checkpoint.encode() == head.note or (at_least is not None and at_least <= each.size <= head.checkpoint.size):
                return Signed(Checkpoint.parse(SignedNote.parse(each.note).text), each.note)
        return head


def verifier_keys(settings: Settings, level: int) -> dict[str, str | None]:
    """Return what verifies the checkpoints of a clearance, for `/v1/ledger/head`; nulls where nothing can be signed."""
    try:
        key = LedgerKey.load(settings)
    except SigningError:
        key = None
    if key is None:
        return dict.fromkeys(("origin", "vkey", "cosigner_vkey"))
    return {
        "origin": key.signer(level).name,
        "vkey": str(key.signer(level).verifier()),
        "cosigner_vkey": str(key.cosigner.verifier(COSIGNATURE)),
    }


async def find_signing_problems(
    settings: Settings, levels: Iterable[int], connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
) -> list[str]:
    """Return why the trees of some clearances must not be signed: one line for each."""
    try:
        if (key := LedgerKey.load(settings)) is None:
            return []
        last = {level: await asyncio.to_thread(key.last_signed, level) for level in levels}
        # Connect afterwards, because the ledger must not be older than what was signed.
        async with connect() as connection:
            found = [await _inconsistency(connection, level, note) for level, note in last.items()]
    except SigningError as error:
        return [str(error)]
    return [each for each in found if each is not None]


# A signed checkpoint convicts the operator of a ledger that was rewritten after it.
_WHERE = "the signed checkpoint is beside the key, in the file that ends in .signed"


async def _inconsistency(connection: AsyncConnection, level: int, last: bytes | None) -> str | None:
    """Return why a tree does not continue the last one that was signed; None if it does."""
    if last is None:
        return None
    try:
        signed = Checkpoint.parse(SignedNote.parse(last).text)
    except InvalidNote:
        raise SigningError(f"The last signed checkpoint, beside the key, is damaged: put it back, or {FORK}.") from None
    if (size := await current_revision(connection, level)) < signed.size:
        return f"The ledger of {LABELS[level]} has {size} entries, but {signed.size} were signed: it was rolled back or shortened"
    try:
        same = await read_root(connection, level, (0, signed.size)) == signed.root
    except MissingHashes:
        same = False
    return None if same else f"The first {signed.size} entries of the ledger of {LABELS[level]} are not those that were signed: {_WHERE}"


async def _tree_head(connection: AsyncConnection, key: LedgerKey, level: int) -> Checkpoint:
    size = await current_revision(connection, level)
    try:
        return Checkpoint(key.signer(level).name, size, await read_root(connection, level, (0, size)))
    except MissingHashes:
        raise refusal("The hashes of the tree are not complete: its operator has to run `lifeline verify`.") from None


def refusal(detail: str) -> Problem:
    """Return a 503 for what must not be signed."""
    return Problem(503, detail, kind="not-signed", headers={"Retry-After": "60"})


@asynccontextmanager
async def _locked(key: LedgerKey) -> AsyncIterator[None]:
    lock = key.lock()
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
