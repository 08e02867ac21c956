"""Writes with an `Idempotency-Key`: executed once, and answered with the first response when repeated."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from fastapi import Request, Response
from sqlalchemy import delete
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.audit import record_write
from app.access.models import IdempotencyRecord
from app.access.principal import Principal
from app.domain.times import utc_now
from app.http.problems import Problem
from app.http.responses import JSON, REVISION_HEADER
from app.http.state import app_state, request_state
from app.storage.database_errors import is_conflict
from app.storage.paging import current_revision

HEADER = "Idempotency-Key"
MAX_KEY_CHARACTERS = 255
MAX_ATTEMPTS = 3

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


async def idempotent_write(request: Request, caller: Principal, write: Callable[[AsyncSession], Awaitable[WriteResult]]) -> Response:
    """Run a write in its own transaction, commit, and respond; retry it after a deadlock or serialisation failure.

    A repeated `Idempotency-Key` of the same key gets the first response without a write, or 422 for another request.
    Only successful writes are stored.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return await _attempt(request, caller, write)
        except DBAPIError as error:
            if not is_conflict(error):
                raise
            log.warning("write_retried", error=type(error.orig).__name__)
    return await _attempt(request, caller, write)


async def _attempt(request: Request, caller: Principal, write: Callable[[AsyncSession], Awaitable[WriteResult]]) -> Response:
    idempotency_key = request.headers.get(HEADER)
    if idempotency_key is not None and not 1 <= len(idempotency_key) <= MAX_KEY_CHARACTERS:
        raise Problem(422, f"The header {HEADER} must have 1 to {MAX_KEY_CHARACTERS} characters.", kind="idempotency")
    state = app_state(request)
    async with state.database.write() as session:
        if idempotency_key is None:
            result = await write(session)
            await record_write(session, request, caller.actor, result.status)
            return await _response(session, caller, result, replayed=False)
        assert caller.key_id is not None
        body = request_state(request.scope).get("raw_body", b"")
        request_hash = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode() + body).hexdigest()
        expired = col(IdempotencyRecord.created_at) < utc_now() - timedelta(days=state.settings.idempotency_days)
        await session.execute(delete(IdempotencyRecord).where(expired))
        first = await session.get(IdempotencyRecord, (caller.key_id, idempotency_key))
        if first is not None:
            if first.request_hash != request_hash:
                raise Problem(422, f"This {HEADER} was sent with another request: use a new one.", kind="idempotency")
            result = WriteResult(first.status_code, first.response_body, first.location)
            return await _response(session, caller, result, replayed=True)
        result = await write(session)
        await record_write(session, request, caller.actor, result.status)
        session.add(
            IdempotencyRecord(
                key_id=caller.key_id,
                idempotency_key=idempotency_key,
                request_hash=request_hash,
                status_code=result.status,
                location=result.location,
                response_body=result.body if result.replay_body is None else result.replay_body,
                created_at=utc_now(),
            )
        )
        return await _response(session, caller, result, replayed=False)


async def _response(session: AsyncSession, caller: Principal, result: WriteResult, *, replayed: bool) -> Response:
    revision = await current_revision(await session.connection(), caller.level)
    headers = {"Cache-Control": "no-store", REVISION_HEADER: str(revision)}
    if result.location is not None:
        headers["Location"] = result.location
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    return Response(result.body, result.status, headers, media_type=JSON)
