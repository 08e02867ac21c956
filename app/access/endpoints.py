"""`/v1/me`, `/v1/keys` and `/v1/audit`: who I am, who may what, who did what."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.access.audit import fetch_audit, record_write
from app.access.dependencies import Admin, CallerDep, DatabaseDep
from app.access.idempotency import WriteResult, idempotent_write
from app.access.keys import create_key, key_row, revoke_key, rotate_key
from app.access.models import ApiKey, AuditEntry
from app.access.principal import Principal, Scope
from app.domain.times import DateOrTime, end_of, rfc3339, start_of, utc_now
from app.domain.tlp import LABELS, Label
from app.http.cursors import Cursor
from app.http.lists import ListEnvelope
from app.http.openapi import AMEND_ERRORS, WRITE_ERRORS, body_schema, json_request_body, problem_responses
from app.http.problems import Problem, not_found
from app.http.query_params import Limit, PageCursor
from app.http.request_body import validated_body
from app.http.responses import json_response, link_to_next, page_response
from app.http.state import app_state
from app.storage.paging import current_revision, fetch_page
from app.storage.types import table_of

router = APIRouter(tags=["Keys"])

KEY_CURSOR = Cursor("keys", UUID)
AUDIT_CURSOR = Cursor("audit", UUID)

KeyId = Annotated[UUID, Path(description="Identifier of the key.", examples=["01900000-0000-7000-8005-000000000001"])]
RevokedId = Annotated[UUID, Path(description="Identifier of the key.", examples=["01900000-0000-7000-8005-000000000002"])]
SEEN = problem_responses(401, 403, 404, 422, 503)
MAX_OVERLAP_HOURS = 24 * 30
KEY_EXAMPLE = {"name": "field desk", "organisation": "my-ngo", "scopes": ["read", "report"], "clearance": "amber"}


class Me(BaseModel):
    """Who asks, and what he may."""

    id: str | None = Field(description="Identifier of the key; null without one.")
    name: str | None
    organisation: str | None
    scopes: list[Scope]
    clearance: Label = Field(description="The highest label that he may see.")
    expires_at: str | None = Field(description="Until when what he sent holds; null for no end.")


class KeyIn(BaseModel):
    """A key to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200, description="What the key is for.")]
    organisation: Annotated[str, Field(min_length=1, max_length=200, description="The organisation that it speaks for.")]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    clearance: Label = Field(
        default=Label.GREEN, description="The highest label that it may read; not above that of the key that makes it."
    )
    expires_at: DateOrTime | None = Field(default=None, description="Until when it holds; of a date, the whole day in UTC.")


class RotationIn(BaseModel):
    """How a key is given a new secret."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: Annotated[int, Field(ge=0, le=MAX_OVERLAP_HOURS, description="Hours for which the secret before holds too.")] = 24


class KeyOut(BaseModel):
    """A key, without its secret."""

    id: str
    name: str
    organisation: str
    scopes: list[Scope]
    clearance: Label
    status: Literal["active", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    previous_until: str | None = Field(description="Until when the secret before the last rotation holds.")
    from_issuer: bool = Field(
        description="Whether it stands for one who comes with tokens of the issuer: he has no secret, and expires when he does not come."
    )
    links: dict[str, str]


class KeyCreated(KeyOut):
    """A key that was made or rotated, with its secret."""

    secret: str | None = Field(description="Shown this once; null where the request is repeated with its `Idempotency-Key`.")


class KeyPage(ListEnvelope[KeyOut]):
    """A page of keys, in the order of their identifiers."""


class AuditOut(BaseModel):
    """One thing that somebody did."""

    id: str
    at: str
    action: Literal["write", "read", "key"]
    key: str | None = Field(description="The key that did it; null for the command line, and for readers without one.")
    organisation: str | None
    clearance: Label | None
    address: str | None
    method: str | None
    target: str = Field(description="Path and query; for a change of keys, what was done to which.")
    status: int | None
    count: int = Field(description="How often it was read within a second, the last time at `at`.")


class AuditPage(BaseModel):
    """A page of the audit log, oldest first."""

    items: list[AuditOut]
    next: str | None = Field(description="Cursor of the next page; null on the last.")


@router.get("/me", summary="Who am I?", response_model=Me, responses=problem_responses(401, 422, 503))
async def get_me(request: Request, caller: CallerDep) -> Response:
    """What the key that was sent may do, and how much it sees; without a key, what anybody may."""
    told = {
        "id": str(caller.key_id) if caller.key_id else None,
        "name": caller.name,
        "organisation": caller.organisation,
        "scopes": sorted(caller.scopes),
        "clearance": caller.clearance.value,
        "expires_at": rfc3339(caller.expires_at) if caller.expires_at else None,
    }
    return json_response(request, orjson.dumps(told), private=True, cacheable=False)


def _serve(key: ApiKey) -> dict[str, Any]:
    expired = key.expires_at is not None and key.expires_at <= utc_now()
    times = {"expires_at": key.expires_at, "revoked_at": key.revoked_at, "previous_until": key.previous_secret_expires_at}
    at = f"/v1/keys/{key.id}"
    return {
        "id": str(key.id),
        "name": key.name,
        "organisation": key.organisation,
        "scopes": key.scopes,
        "clearance": LABELS[key.clearance].value,
        "status": "revoked" if key.revoked_at is not None else "expired" if expired else "active",
        "created_at": rfc3339(key.created_at),
        **{name: rfc3339(moment) if moment is not None else None for name, moment in times.items()},
        "from_issuer": key.from_issuer,
        "links": {"self": at, "rotation": f"{at}/rotation"},
    }


def _with_secret(key: ApiKey, secret: str, status: int) -> WriteResult:
    served = _serve(key)
    remembered = orjson.dumps(served | {"secret": None})
    return WriteResult(status, orjson.dumps(served | {"secret": secret}), served["links"]["self"], remembered)


def _must_not_exceed(caller: Principal, level: int) -> None:
    if level > caller.level:
        raise Problem(403, f"The key sees up to {caller.clearance}: it gives no more than that.", kind="clearance")


@router.get("/keys", summary="Who may what?", response_model=KeyPage, responses=problem_responses(401, 403, 422, 503))
async def list_all_keys(request: Request, caller: Admin, database: DatabaseDep, cursor: PageCursor = None, limit: Limit = 100) -> Response:
    """Every key, those expired and revoked included, and everybody who came with a token of the issuer; never a secret.

    In the order of their identifiers, which for keys is that of their making. Needs the scope `admin`.
    """
    after = KEY_CURSOR.decode(cursor)
    async with database.read_latest() as connection:
        rows, last, revision = await fetch_page(
            connection, select(*table_of(ApiKey).c), key="id", after=after, limit=limit, level=caller.level
        )
    columns = [each.name for each in table_of(ApiKey).c]
    documents = [orjson.dumps(_serve(ApiKey(**{name: row[name] for name in columns}))).decode() for row in rows]
    return page_response(
        request, documents, next_cursor=KEY_CURSOR.encode(last, revision), revision=revision, private=True, cacheable=False
    )


@router.post(
    "/keys",
    status_code=201,
    summary="Make a key",
    response_model=KeyCreated,
    responses=WRITE_ERRORS,
    openapi_extra=json_request_body(body_schema(KeyIn), {"A field desk": KEY_EXAMPLE}),
)
async def post_key(request: Request, caller: Admin, sent: Annotated[KeyIn, Depends(validated_body(KeyIn))]) -> Response:
    """Make a key; `secret` is shown this once, only a keyed hash of it is kept. Needs the scope `admin`.

    Its clearance is at the most that of the key that makes it.
    """
    _must_not_exceed(caller, sent.clearance.level)
    until = None if sent.expires_at is None else end_of(sent.expires_at)

    async def write(session: AsyncSession) -> WriteResult:
        key, secret = await create_key(
            session,
            name=sent.name,
            organisation=sent.organisation,
            scopes=sent.scopes,
            clearance=sent.clearance,
            expires_at=until,
            by=caller.key_id,
        )
        return _with_secret(key, secret, 201)

    return await idempotent_write(request, caller, write)


@router.get("/keys/{id}", summary="One key", response_model=KeyOut, responses=SEEN)
async def get_one_key(
    request: Request,
    caller: Admin,
    database: DatabaseDep,
    id: KeyId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """One key, without its secret. Needs the scope `admin`."""
    async with database.read_latest() as connection:
        row = await key_row(connection, id)
        revision = await current_revision(connection, caller.level)
    if row is None:
        raise not_found("key")
    return json_response(request, orjson.dumps(_serve(ApiKey(**row))), private=True, cacheable=False, revision=revision)


@router.post(
    "/keys/{id}/rotation",
    status_code=201,
    summary="Give a key a new secret",
    response_model=KeyCreated,
    responses=AMEND_ERRORS,
    openapi_extra=json_request_body(body_schema(RotationIn), {"Two days to change over": {"overlap_hours": 48}}),
)
async def post_rotation(
    request: Request,
    caller: Admin,
    sent: Annotated[RotationIn, Depends(validated_body(RotationIn))],
    id: KeyId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Give a key a new secret, which is shown this once; the one before holds for the overlap too. Needs the scope `admin`.

    409 for a key that is revoked, and for who comes with tokens of the issuer.
    """

    async def write(session: AsyncSession) -> WriteResult:
        found = await session.get(ApiKey, id)
        if found is None:
            raise not_found("key")
        _must_not_exceed(caller, found.clearance)
        rotated = await rotate_key(session, id, timedelta(hours=sent.overlap_hours), by=caller.key_id)
        assert rotated is not None
        return _with_secret(*rotated, 201)

    return await idempotent_write(request, caller, write)


@router.delete("/keys/{id}", status_code=204, summary="Revoke a key", response_class=Response, responses=SEEN)
async def delete_key(
    request: Request,
    caller: Admin,
    database: DatabaseDep,
    id: RevokedId,  # noqa: A002 - the field's name on the wire
) -> Response:
    """Revoke a key, from now on, in every process; its streams and exports end. It stays in the list. Needs the scope `admin`.

    Who comes with tokens of the issuer is shut out here, whatever tokens he comes with.
    """
    async with database.write() as session:
        if await revoke_key(session, id, by=caller.key_id) is None:
            raise not_found("key")
        record_write(session, request, caller.actor, 204)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


@router.get("/audit", summary="Who did what?", response_model=AuditPage, responses=problem_responses(401, 403, 422, 503))
async def list_audit_log(
    request: Request,
    caller: Admin,
    database: DatabaseDep,
    action: Annotated[Literal["write", "read", "key"] | None, Query(description="Only things of this sort.", examples=["write"])] = None,
    key: Annotated[UUID | None, Query(description="Only what this key did.")] = None,
    since: Annotated[DateOrTime | None, Query(description="Only what was done at or after this time.")] = None,
    cursor: PageCursor = None,
    limit: Limit = 100,
) -> Response:
    """The audit log, oldest first: every write, every change of keys, every read at `amber` or above (within a second, those of
    one address by one key together). Nothing is changed or removed in it. Needs the scope `admin`. Of what holders of a higher
    clearance did, only changes of keys are shown: an address that they asked for tells of records.
    """
    who = col(AuditEntry.clearance)
    where: list[ColumnElement[bool]] = [or_(col(AuditEntry.action) == "key", who.is_(None), who <= caller.level)]
    if action is not None:
        where.append(col(AuditEntry.action) == action)
    if key is not None:
        where.append(col(AuditEntry.key_id) == key)
    if since is not None:
        where.append(col(AuditEntry.occurred_at) >= start_of(since))
    after = AUDIT_CURSOR.decode(cursor)
    await app_state(request).read_audit.flush()
    items, last = await fetch_audit(database, where, after=after, limit=limit)
    following = AUDIT_CURSOR.encode(last, 0)
    body = orjson.dumps({"items": items, "next": following})
    return json_response(request, body, private=True, headers=link_to_next(request, following), cacheable=False)
