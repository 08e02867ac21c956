"""Send checkpoints to partners, and store their cosignatures: at fixed times, a tree only if it grew, so that no hidden commit shows.

One process of those that share the signing key sends. The trees that most readers see come first, so that no other one delays them.
"""

import asyncio
import contextlib
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import IO

import httpx
import structlog
from sqlalchemy import select
from sqlalchemy.engine import RowMapping
from sqlmodel import col

from app.domain.tlp import LABELS
from app.http.problems import Problem
from app.ledger.checkpoints import CheckpointSigner, Signed
from app.ledger.models import Cosignature, Partner
from app.ledger.nodes import read_roots
from app.ledger.notes import InvalidNote, SignedNote, VerifierKey, signature_line
from app.ledger.partners import read_partners, store_cosignature
from app.ledger.signing_key import LedgerKey, SigningError
from app.ledger.tree import consistency_spans
from app.settings import Settings
from app.storage.database import Database
from app.webhooks.delivery import NotDelivered, new_client, post

# At most once in this time a partner is sent a tree.
INTERVAL_SECONDS = 60.0
MAX_SEND_SECONDS = 60.0

log = structlog.get_logger(__name__)


@asynccontextmanager
async def cosigning(database: Database, settings: Settings, signer: CheckpointSigner) -> AsyncIterator[None]:
    """Send checkpoints while the block runs."""
    task = asyncio.create_task(_send_at_intervals(CheckpointSender(database, settings, signer)))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _send_at_intervals(sender: "CheckpointSender") -> None:
    with contextlib.ExitStack() as locks:
        lock = None
        while True:
            # First of all, because another process may have sent a moment before this one began.
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                if lock is None and (lock := sender.lead()) is not None:
                    locks.enter_context(lock)
                if lock is not None:
                    async with asyncio.timeout(MAX_SEND_SECONDS):
                        await sender.send_all()
            except Exception as error:  # noqa: BLE001 - otherwise the task would end silently and send nothing any more
                log.warning("checkpoints_not_sent", error=type(error).__name__)


class CheckpointSender:
    """Sends the trees of all clearances to the partners that are cleared for them."""

    def __init__(self, database: Database, settings: Settings, signer: CheckpointSigner) -> None:
        self._database = database
        self._settings = settings
        self._signer = signer

    def lead(self) -> IO[str] | None:
        """Return the lock of the process that sends; None if another one has it, or nothing is signed."""
        try:
            key = LedgerKey.load(self._settings)
            return None if key is None else key.lead()
        except SigningError:
            return None

    async def send_all(self) -> None:
        """Send each tree that grew to each partner that may have it."""
        async with self._database.read_latest() as connection:
            partners = [each for each in await read_partners(connection) if each["url"]]
        for level in range(len(LABELS)):
            if cleared := [each for each in partners if each["clearance"] >= level]:
                await self._send_tree(level, cleared)

    async def _send_tree(self, level: int, partners: Sequence[RowMapping]) -> None:
        try:
            signed = await self._signer.sign(self._database, level)
        except Problem as problem:
            log.warning("checkpoint_not_sent", reason=problem.detail)
            return
        async with self._database.read_latest() as connection:
            stored = select(col(Cosignature.partner), col(Cosignature.checkpoint), col(Cosignature.size))
            last = {row.partner: row for row in await connection.execute(stored.where(col(Cosignature.clearance) == level))}
        origin = f"{signed.checkpoint.origin}\n"
        old = {name: row.size for name, row in last.items() if row.checkpoint.startswith(origin)}
        grown = [each for each in partners if signed.checkpoint.size > old.get(each["name"], 0)]
        await asyncio.gather(*(self._send(each, level, signed, old.get(each["name"], 0)) for each in grown))

    async def _send(self, partner: RowMapping, level: int, signed: Signed, old: int) -> None:
        name, size = partner["name"], signed.checkpoint.size
        try:
            async with new_client() as client:
                status, body = await self._post(client, partner["url"], level, signed, old)
                known = int(body) if status == 409 and body.strip().isdigit() and len(body) < 20 else old
                if known != old and known <= size:
                    status, body = await self._post(client, partner["url"], level, signed, known)
            if status != 200:
                raise NotDelivered(f"the partner answered {status}" + (f" and knows {known} entries, of {size}" if known != old else ""))
            line, at = find_cosignature(signed, body, VerifierKey.parse(partner["cosigner_vkey"]))
        except (NotDelivered, InvalidNote) as failure:
            log.warning("checkpoint_not_cosigned", partner=name, origin=signed.checkpoint.origin, reason=str(failure))
            return
        cosignature = Cosignature(
            partner=name,
            clearance=level,
            checkpoint=signed.note.decode(),
            size=size,
            line=line,
            cosigned_at=datetime.fromtimestamp(at, UTC),
        )
        async with self._database.write() as session:
            # The partner may have been removed meanwhile.
            if await session.get(Partner, name) is not None:
                await store_cosignature(session, cosignature, self._settings.public_clearance.level)

    async def _post(self, client: httpx.AsyncClient, url: str, level: int, signed: Signed, old: int) -> tuple[int, bytes]:
        path: Sequence[bytes] = []
        if 0 < old < signed.checkpoint.size:
            async with self._database.read_latest() as connection:
                path = await read_roots(connection, level, consistency_spans(old, signed.checkpoint.size))
        body = f"old {old}\n".encode() + b"".join(b64encode(each) + b"\n" for each in path) + b"\n" + signed.note
        headers = {"Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "identity"}
        response, answer = await post(client, f"{url.rstrip('/')}/add-checkpoint", headers, body, self._settings)
        return response.status_code, answer


def find_cosignature(signed: Signed, lines: bytes, cosigner: VerifierKey) -> tuple[str, int]:
    """Return the line of a cosigner among some lines, and its time; raise InvalidNote if it is missing or not valid."""
    note = SignedNote.parse(signed.note + lines)
    for name, id_, signature in note.signatures:
        if (name, id_) == (cosigner.name, cosigner.id) and (at := cosigner.verify(note.text, signature)) is not None:
            return signature_line(cosigner, signature), at
    raise InvalidNote("the response has no valid cosignature of the partner's key")
