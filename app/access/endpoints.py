"""`/v1/me`, `/v1/keys` and `/v1/audit`."""

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access import audit, keys
from app.access.dependencies import Admin, CallerDep, DatabaseDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.models import ApiKey, AuditEntry
from app.access.principal import Principal
from app.access.schemas import AuditAction, AuditPage, KeyCreated, KeyIn, KeyOut, KeyPage, Me, RotationIn
from app.domain.times import DateOrTime, end_of, rfc3339, start_of, utc_now
from app.domain.tlp import LABELS
from app.http.cursors import Cursor
from app.http.openapi import AMEND_ERRORS, SCOPED_LIST_ERRORS, SCOPED_READ_ERRORS, create_operation, problem_responses
from app.http.problems import Problem, invalid_field, not_found
from app.http.query_params import Limit, PageCursor
from app.http.request_body import validated_body
from app.http.responses import json_response, link_to_next, page_response
from app.http.state import app_state
from app.storage.paging import current_revision, fetch_page
from app.storage.types import table_of

router = APIRouter(tags=["Keys"])

KEY_CURSOR = Cursor("keys", UUID)
AUDIT_CURSOR = Cursor("audit", UUID)

KeyId = Annotated[UUID, Path(description="Key to read or rotate.", examples=["01900000-0000-7000-8005-000000000001"])]
RevokedId = Annotated[UUID, Path(description="Key to revoke.", examples=["01900000-0000-7000-8005-000000000002"])]


@router.get("/me", summary="Get the caller", response_model=Me, responses=problem_responses(401, 422, 503))
async def get_me(request: Request, caller: CallerDep) -> Response:
    """Return what the key of the request may do and read; without a key, what anonymous clients may do and read."""
    body = {
        "id": str(caller.key_id) if caller.key_id else None,
        "name": caller.name,
        "organisation": caller.organisation,
        "person": caller.person,
        "scopes": sorted(caller.scopes),
        "clearance": caller.clearance.value,
        "expires_at": rfc3339(caller.expires_at) if caller.expires_at else None,
    }
    return json_response(request, orjson.dumps(body), cacheable=False, headers={"Cache-Control": "private, no-cache"})


@router.get("/keys", summary="List keys", response_model=KeyPage, responses=SCOPED_LIST_ERRORS)
async def list_keys(request: Request, caller: Admin, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100) -> Response:
    """List all keys, expired and revoked ones included, and the subjects of the OpenID Connect issuer, without secrets.

    They come in order of identifier, which begins with the millisecond of creation. Needs the scope `admin`.
    """
    statement, after = select(*table_of(ApiKey).c), KEY_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        rows, last, revision = await fetch_page(connection, statement, key="id", after=after, limit=limit, level=caller.level)
    items = [orjson.dumps(_key_body(ApiKey(**row))).decode() for row in rows]
    return page_response(request, items, next_cursor=KEY_CURSOR.encode(last, revision), revision=revision, cacheable=False)


@router.post("/keys", summary="Create a key", response_model=KeyCreated, **create_operation(KeyIn))
async def create_key(request: Request, caller: Admin, body: Annotated[KeyIn, Depends(validated_body(KeyIn))]) -> Response:
    """Create a key. Its `secret` is shown only in this response, because only a hash of it is stored. Needs the scope `admin`.

    Its clearance must not exceed that of the key that creates it.
    """
    _require_clearance(caller, body.clearance.level)
    expires_at = None if body.expires_at is None else end_of(body.expires_at)

    async def write(session: AsyncSession) -> WriteResult:
        key, secret = await keys.create_key(
            session,
            name=body.name,
            organisation=body.organisation,
            person=body.person,
            scopes=body.scopes,
            clearance=body.clearance,
            expires_at=expires_at,
            by=caller.key_id,
        )
        return _created(key, secret)

    return await idempotent_write(request, caller, write)


@router.get("/keys/{id}", summary="Get a key", response_model=KeyOut, responses=SCOPED_READ_ERRORS)
async def get_key(request: Request, caller: Admin, database: DatabaseDep, id: KeyId) -> Response:  # noqa: A002 - the name on the wire
    """Return a key without its secret. Needs the scope `admin`."""
    async with database.read_latest() as connection:
        row = await keys.key_row(connection, id)
        revision = await current_revision(connection, caller.level)
    if row is None:
        raise not_found("key")
    return json_response(request, orjson.dumps(_key_body(ApiKey(**row))), cacheable=False, revision=revision)


@router.post(
    "/keys/{id}/rotation", summary="Rotate a key", response_model=KeyCreated, **create_operation(RotationIn, responses=AMEND_ERRORS)
)
async def rotate_key(
    request: Request,
    caller: Admin,
    body: Annotated[RotationIn, Depends(validated_body(RotationIn))],
    id: KeyId,  # noqa: A002 - the name on the wire
) -> Response:
    """Give a key a new `secret`, shown only in this response; the previous one stays valid for the overlap. Needs the scope `admin`.

    A revoked key and a subject of the OpenID Connect issuer get 409.
    """

    async def write(session: AsyncSession) -> WriteResult:
        key = await session.get(ApiKey, id)
        if key is None:
            raise not_found("key")
        _require_clearance(caller, key.clearance)
        rotated = await keys.rotate_key(session, id, timedelta(hours=body.overlap_hours), by=caller.key_id)
        assert rotated is not None
        return _created(*rotated)

    return await idempotent_write(request, caller, write)


@router.delete("/keys/{id}", status_code=204, summary="Revoke a key", response_class=Response, responses=SCOPED_READ_ERRORS)
async def delete_key(request: Request, caller: Admin, database: DatabaseDep, id: RevokedId) -> Response:  # noqa: A002 - the name on the wire
    """Revoke a key at once, in every process; its streams and exports end. It stays in the list of keys. Needs the scope `admin`.

    A revoked subject of the OpenID Connect issuer is refused with any token.
    """
    async with database.write() as session:
        if await keys.revoke_key(session, id, by=caller.key_id) is None:
            raise not_found("key")
        await audit.record_write(session, request, caller.actor, 204)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.get("/audit", summary="List audit entries", response_model=AuditPage, responses=SCOPED_LIST_ERRORS)
async def list_audit(
    request: Request,
    caller: Admin,
    database: DatabaseDep,
    action: Annotated[AuditAction | None, Query(description="Only entries with this action.", examples=["write"])] = None,
    key: Annotated[UUID | None, Query(description="Only what this key did.")] = None,
    since: Annotated[DateOrTime | None, Query(description="Only entries at or after this time.")] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """List the audit log, oldest entry first: every write, every change of a key, and every read at `amber` or above. It is append-only.

    Needs the scope `admin`. Of callers with a higher clearance only changes of keys are listed, because URLs that they read reveal records.
    """
    clearance = col(AuditEntry.clearance)
    where: list[ColumnElement[bool]] = [or_(col(AuditEntry.action) == "key", clearance.is_(None), clearance <= caller.level)]
    if action is not None:
        where.append(col(AuditEntry.action) == action)
    if key is not None:
        where.append(col(AuditEntry.key_id) == key)
    if since is not None:
        where.append(col(AuditEntry.occurred_at) >= start_of(since))
    await app_state(request).read_audit.flush()
    entries, last = await audit.fetch_audit(database, where, after=AUDIT_CURSOR.decode(cursor), limit=limit)
    if key is not None and not entries:
        async with database.read_latest() as connection:
            if await keys.key_row(connection, key) is None:
                raise invalid_field("?key", "no such key: send the id of a key in /v1/keys")
    next_cursor = AUDIT_CURSOR.encode(last, 0)
    body = orjson.dumps({"items": entries, "next": next_cursor})
    return json_response(request, body, headers=link_to_next(request, next_cursor), cacheable=False)


def _key_body(key: ApiKey) -> dict[str, Any]:
    expired = key.expires_at is not None and key.expires_at <= utc_now()
    times = {"expires_at": key.expires_at, "revoked_at": key.revoked_at, "previous_until": key.previous_secret_expires_at}
    url = f"/v1/keys/{key.id}"
    return {
        "id": str(key.id),
        "name": key.name,
        "organisation": key.organisation,
        "person": key.person,
        "created_by": str(key.created_by) if key.created_by else None,
        "scopes": key.scopes,
        "clearance": LABELS[key.clearance].value,
        "status": "revoked" if key.revoked_at is not None else "expired" if expired else "active",
        "created_at": rfc3339(key.created_at),
        **{name: rfc3339(time) if time is not None else None for name, time in times.items()},
        "from_issuer": key.from_issuer,
        "links": {"self": url, "rotation": f"{url}/rotation"},
    }


def _created(key: ApiKey, secret: str) -> WriteResult:
    body = _key_body(key)
    body_with_secret, replay_body = (orjson.dumps(body | {"secret": each}) for each in (secret, None))
    return WriteResult(201, body_with_secret, body["links"]["self"], replay_body)


def _require_clearance(caller: Principal, level: int) -> None:
    if level > caller.level:
        raise Problem(403, f"This key is cleared for {caller.clearance}: it cannot grant a higher clearance.", kind="clearance")
