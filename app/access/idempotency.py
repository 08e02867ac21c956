"""A write happens once: with an Idempotency-Key the first answer is given again (contract, Writing)."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from fastapi import Request, Response
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.audit import record_write
from app.access.models import IdempotencyRecord
from app.access.principal import Principal
from app.domain.times import utc_now
from app.http.problems import Problem
from app.http.responses import JSON
from app.http.responses import REVISION_HEADER as REVISION
from app.http.state import app_state, request_state
from app.storage.database_errors import is_conflict
from app.storage.paging import head_seq

HEADER = "Idempotency-Key"
MAX_KEY_CHARACTERS = 255
MAX_ATTEMPTS = 3

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write answers: a status, JSON bytes, and where the new thing stands."""

    status: int
    body: bytes
    location: str | None = None
    # What is remembered in place of the body, where that holds a secret which is shown once.
    replay_body: bytes | None = None


async def idempotent_write(request: Request, caller: Principal, write: Callable[[AsyncSession], Awaitable[WriteResult]]) -> Response:
    """Run a write in its transaction, commit, then answer.

    A repeated Idempotency-Key of the same key gives the first answer without writing; with another request, 422.
    What failed wrote nothing and is not remembered. What the database gave up for another transaction's sake is tried again.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return await _write_once(request, caller, write)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            log.warning("write_retried", error=type(error.orig).__name__)
    return await _write_once(request, caller, write)


async def _write_once(request: Request, caller: Principal, write: Callable[[AsyncSession], Awaitable[WriteResult]]) -> Response:
    token = request.headers.get(HEADER)
    if token is not None and not 1 <= len(token) <= MAX_KEY_CHARACTERS:
        raise Problem(422, f"{HEADER} has 1 to {MAX_KEY_CHARACTERS} characters.", kind="idempotency")
    async with app_state(request).database.write() as session:
        if token is None:
            written = await write(session)
            record_write(session, request, caller.actor, written.status)
            return await _answer(session, caller, written, replayed=False)
        assert caller.key_id is not None
        # A request without a body was not read.
        body = request_state(request.scope).get("raw_body", b"")
        digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body).hexdigest()
        oldest = utc_now() - timedelta(days=app_state(request).settings.idempotency_days)
        await session.execute(delete(IdempotencyRecord).where(col(IdempotencyRecord.created_at) < oldest))
        first = await session.get(IdempotencyRecord, (caller.key_id, token))
        if first is not None:
            if first.request_hash != digest:
                raise Problem(422, f"This {HEADER} came with another request before.", kind="idempotency")
            return await _answer(session, caller, WriteResult(first.status_code, first.response_body, first.location), replayed=True)
        written = await write(session)
        record_write(session, request, caller.actor, written.status)
        session.add(
            IdempotencyRecord(
                key_id=caller.key_id,
                idempotency_key=token,
                request_hash=digest,
                status_code=written.status,
                location=written.location,
                response_body=written.body if written.replay_body is None else written.replay_body,
                created_at=utc_now(),
            )
        )
        return await _answer(session, caller, written, replayed=False)


async def _answer(session: AsyncSession, caller: Principal, written: WriteResult, *, replayed: bool) -> Response:
    headers = {"Cache-Control": "no-store", REVISION: str(await session.scalar(select(head_seq(caller.level))) or 0)}
    if written.location is not None:
        headers["Location"] = written.location
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(written.body, written.status, headers, media_type=JSON)
