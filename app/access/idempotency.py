"""Writes with an `Idempotency-Key`: executed once, and answered with the first response when repeated."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import structlog
from fastapi import Request, Response
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.audit import record_writes, write_row
from app.access.models import IdempotencyRecord
from app.access.principal import Principal
from app.domain.times import utc_now
from app.http.problems import Problem
from app.http.responses import JSON, REVISION_HEADER
from app.http.state import app_state, request_state
from app.storage.batches import DEFERRED, Batches, Deferred
from app.storage.database import Database
from app.storage.database_errors import is_conflict
from app.storage.paging import HEADS, chunks, current_revisions
from app.storage.slices import before_slices
from app.storage.types import table_of

HEADER = "Idempotency-Key"
MAX_KEY_CHARACTERS = 255
MAX_ATTEMPTS = 3

_records = table_of(IdempotencyRecord)
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The response to a write: status, JSON body, and `Location` of a new resource.

    `replay_body` is stored in place of a body with a secret that is shown only once.
    """

    status: int
    body: bytes
    location: str | None = None
    replay_body: bytes | None = None


@dataclass(frozen=True, slots=True)
class SentWrite:
    """A write as a caller sent it: what the audit log has of it, its `Idempotency-Key`, and with that a hash of the request."""

    caller: Principal
    audit_row: dict[str, Any]
    idempotency_key: str | None
    request_hash: str | None

    @property
    def record_key(self) -> tuple[UUID | None, str] | None:
        """The primary key of the stored response, None without an `Idempotency-Key`."""
        return None if self.idempotency_key is None else (self.caller.key_id, self.idempotency_key)


@dataclass(frozen=True, slots=True)
class CommittedWrite:
    """The result of a write that is on disk, and the head of the caller's ledger."""

    result: WriteResult
    revision: int
    replayed: bool

    def response(self) -> Response:
        """Return it as a response."""
        headers = {"Cache-Control": "no-store", REVISION_HEADER: str(self.revision)}
        if self.result.location is not None:
            headers["Location"] = self.result.location
        if self.replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(self.result.body, self.result.status, headers, media_type=JSON)


@dataclass(frozen=True, slots=True)
class FunctionWrite(SentWrite):
    """A write that a function makes in the transaction, reading there what it depends on."""

    write: Callable[[AsyncSession], Awaitable[WriteResult]]


W = TypeVar("W", bound=SentWrite)
Outcome = CommittedWrite | Problem | Deferred
WriteGroups = Batches[SentWrite, CommittedWrite]


class _NothingWritten(Exception):
    """Rolls a transaction back in which every write was refused."""


def sent_write(request: Request, caller: Principal, make: Callable[[Principal, dict[str, Any], str | None, str | None], W]) -> W:
    """Make what a transaction needs to know of a request; raise 422 for an `Idempotency-Key` that is empty or too long."""
    key, request_hash = request.headers.get(HEADER), None
    if key is not None:
        if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
            raise Problem(422, f"The header {HEADER} must have 1 to {MAX_KEY_CHARACTERS} characters.", kind="idempotency")
        assert caller.key_id is not None
        body = request_state(request.scope).get("raw_body", b"")
        request_hash = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body).hexdigest()
    return make(caller, write_row(request, caller.actor), key, request_hash)


async def idempotent_write(
    request: Request, caller: Principal, write: Callable[[AsyncSession], Awaitable[WriteResult]], *, long: bool = False
) -> Response:
    """Run a write, commit, and respond; retry it after a deadlock or serialisation failure.

    A repeated `Idempotency-Key` of the same key gets the first response without a write, or 422 with its `Location` for another request.
    Only successful writes are stored. It shares the next transaction of this process, unless it is `long`.
    """

    async def write_one(session: AsyncSession, _: Sequence[SentWrite]) -> list[WriteResult | Problem | Deferred]:
        return [await write(session)]

    state, sent = app_state(request), sent_write(request, caller, partial(FunctionWrite, write=write))
    if not long:
        return (await state.write_groups.submit(sent)).response()
    (outcome,) = await commit_writes(state.database, state.settings.idempotency_days, lambda: [sent], write_one)
    if isinstance(outcome, Problem):
        raise outcome
    assert isinstance(outcome, CommittedWrite)
    return outcome.response()


async def commit_writes(
    database: Database,
    idempotency_days: int,
    take: Callable[[], list[W]],
    write: Callable[[AsyncSession, Sequence[W]], Awaitable[list[WriteResult | Problem | Deferred]]],
) -> list[Outcome]:
    """Run writes in one transaction, as `idempotent_write` does one; return an outcome for each.

    `take` returns the writes once the transaction has begun, `write` runs those that were not sent before. Writes that are refused must
    have left nothing behind. A second one with the same `Idempotency-Key` is deferred.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return await _attempt(database, idempotency_days, take, write)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            log.warning("write_retried", error=type(error.orig).__name__)
    return await _attempt(database, idempotency_days, take, write)


async def _attempt(
    database: Database,
    idempotency_days: int,
    take: Callable[[], list[W]],
    write: Callable[[AsyncSession, Sequence[W]], Awaitable[list[WriteResult | Problem | Deferred]]],
) -> list[Outcome]:
    results: dict[int, WriteResult | Problem | Deferred] = {}
    try:
        async with AsyncExitStack() as committed, database.write() as session:
            committed.enter_context(before_slices())
            sent = take()
            results = await _find_replays(session, sent, idempotency_days)
            replayed = {at for at, each in results.items() if isinstance(each, WriteResult)}
            if new := [at for at in range(len(sent)) if at not in results]:
                results |= zip(new, await write(session, [sent[at] for at in new]), strict=True)
            written = [(sent[at], result) for at in new if isinstance(result := results[at], WriteResult)]
            if written:
                await record_writes(session, [(each.audit_row, result.status) for each, result in written])
                await _store(session, written)
            elif not replayed:
                raise _NothingWritten
            revisions = session.info.get(HEADS) or await current_revisions(await session.connection())
    except _NothingWritten:
        return [each for _, each in sorted(results.items()) if not isinstance(each, WriteResult)]
    return [
        CommittedWrite(result, revisions[each.caller.level], at in replayed) if isinstance(result := results[at], WriteResult) else result
        for at, each in enumerate(sent)
    ]


async def _find_replays(
    session: AsyncSession, sent: Sequence[SentWrite], idempotency_days: int
) -> dict[int, WriteResult | Problem | Deferred]:
    """Return the results of writes that were sent before, by their place in the batch."""
    places: dict[tuple[UUID | None, str], list[int]] = {}
    for at, each in enumerate(sent):
        if each.record_key is not None:
            places.setdefault(each.record_key, []).append(at)
    if not places:
        return {}
    results: dict[int, WriteResult | Problem | Deferred] = {at: DEFERRED for first, *others in places.values() for at in others}
    await session.execute(delete(_records).where(_records.c.created_at < utc_now() - timedelta(days=idempotency_days)))
    key_ids, columns = {key_id for key_id, _ in places}, _records.c
    for some in chunks({key for _, key in places}):
        stored = select(_records).where(columns.key_id.in_(key_ids), columns.idempotency_key.in_(some))
        for first in await session.execute(stored):
            if (first.key_id, first.idempotency_key) not in places:
                continue
            for at in places[first.key_id, first.idempotency_key]:
                if first.request_hash == sent[at].request_hash:
                    results[at] = WriteResult(first.status_code, first.response_body, first.location)
                else:
                    detail = f"This {HEADER} was sent with another request: use a new one."
                    headers = {"Location": first.location} if first.location else {}
                    results[at] = Problem(422, detail, kind="idempotency", headers=headers)
    return results


async def _store(session: AsyncSession, written: Sequence[tuple[SentWrite, WriteResult]]) -> None:
    now = utc_now()
    rows = [
        {
            "key_id": sent.caller.key_id,
            "idempotency_key": sent.idempotency_key,
            "request_hash": sent.request_hash,
            "status_code": result.status,
            "location": result.location,
            "response_body": result.body if result.replay_body is None else result.replay_body,
            "created_at": now,
        }
        for sent, result in written
        if sent.idempotency_key is not None
    ]
    if rows:
        await session.execute(insert(_records), rows)
