"""FastAPI dependencies: database, settings, and the authenticated and authorised caller."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access.keys import KeyLookups, find_key, hashing_key_of, key_row, secret_expiry
from app.access.oidc import InvalidToken, Issuer, with_own_organisation
from app.access.principal import Principal, Scope
from app.domain.times import utc_now
from app.http.problems import Problem
from app.http.state import app_state, request_state
from app.settings import Settings
from app.storage.consistency import current_requirement
from app.storage.database import Database

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="Key",
    description="A Lifeline key, `ll_...`, from `lifeline key create`. Reading `clear` data needs no key.",
)


# Async, because FastAPI runs other functions in a thread, which costs more than a query.
async def get_database(request: Request) -> Database:
    """Return the engines of this process."""
    return app_state(request).database


async def get_app_settings(request: Request) -> Settings:
    """Return the settings that the application was created with."""
    return app_state(request).settings


DatabaseDep = Annotated[Database, Depends(get_database)]
SettingsDep = Annotated[Settings, Depends(get_app_settings)]


async def get_caller(request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Principal:
    """Return the caller of a request.

    Raises 401 for an invalid key or any other `Authorization`, and 429 for an address that has sent too many invalid keys.
    """
    state = app_state(request)
    public_level = state.settings.public_clearance.level
    current_requirement().level = public_level
    if credentials is None:
        if "authorization" in request.headers:
            raise _unauthorized(
                "The header Authorization must be `Bearer KEY`, or HTTP Basic with the key as password. "
                "A page of another site must send `Bearer KEY` to write."
            )
        caller = Principal(level=public_level)
    else:
        caller = await _authenticate(request, state.database, credentials.credentials, public_level)
        request_state(request.scope)["caller"] = caller
        current_requirement().level = caller.level
    if request.method == "GET":
        state.read_audit.record(caller.actor, request.scope)
    return caller


async def _authenticate(request: Request, database: Database, credential: str, public_level: int) -> Principal:
    limits, issuer = app_state(request).rate_limiter, app_state(request).issuer
    address = request.client.host if request.client else ""
    authorization = request.headers["authorization"].encode("latin-1")
    wait = limits.lockout_seconds(address, authorization)
    if wait is not None:
        detail = f"This address has sent too many invalid keys; try again in {wait} seconds."
        raise Problem(429, detail, kind="rate-limit", headers={"Retry-After": str(wait)})
    if issuer is not None and issuer.is_token(credential):
        writing = request.method not in ("GET", "HEAD")
        caller = await _principal_of_token(issuer, database, credential, public_level, writing=writing)
    else:
        caller = await _principal_of_key(app_state(request).key_lookups, database, credential, public_level)
    if caller is None:
        limits.record_failure(address, authorization)
        raise credential_revoked()
    assert caller.key_id is not None
    limits.record_success(authorization, caller.key_id.bytes)
    if (on_verified := request_state(request.scope).get("on_verified")) is not None:
        on_verified(caller.key_id.bytes)
    return caller


async def _principal_of_key(lookups: KeyLookups, database: Database, credential: str, public_level: int) -> Principal | None:
    found = await find_key(lookups, database, credential)
    if found is None:
        return None
    key, expires_at, hash_ = found
    scopes = frozenset(key.scopes)
    level = max(public_level, key.clearance) if Scope.READ in scopes else public_level
    return Principal(level, key.id, key.name, key.organisation, scopes, expires_at, secret_hash=hash_, person=key.person)


async def _principal_of_token(issuer: Issuer, database: Database, token: str, public_level: int, *, writing: bool) -> Principal | None:
    try:
        subject = await issuer.subject_of(token)
    except InvalidToken:
        return None
    if not subject.organisation:
        async with database.read_latest() as connection:
            subject = with_own_organisation(subject, await hashing_key_of(database, connection))
    level = max(public_level, subject.clearance.level) if Scope.READ in subject.scopes else public_level
    if not await issuer.sync_subject(database, token, subject, level, writing=writing):
        return None
    scopes = frozenset(subject.scopes)
    return Principal(level, subject.id, subject.name, subject.organisation, scopes, subject.expires_at, person=subject.name)


async def credential_expiry(caller: Principal, database: Database) -> datetime | None:
    """Look up again when the caller's credential expires. None: never. The current time: already expired or revoked."""
    if caller.key_id is None:
        return None
    async with database.read_latest() as connection:
        if caller.secret_hash is not None:
            return await secret_expiry(connection, caller.key_id, caller.secret_hash)
        subject = await key_row(connection, caller.key_id)
    return utc_now() if subject is not None and subject["revoked_at"] is not None else caller.expires_at


async def credential_still_valid(caller: Principal, database: Database) -> bool:
    """Look up again whether the caller's credential is valid."""
    expires_at = await credential_expiry(caller, database)
    return expires_at is None or expires_at > utc_now()


def credential_revoked() -> Problem:
    """Return the problem for a caller whose credential expired or was revoked during the request."""
    return _unauthorized("The key is unknown, expired or revoked.")


CallerDep = Annotated[Principal, Depends(get_caller)]


def require(*scopes: Scope) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """Return a dependency for callers with any of these scopes; raises 401 without a key, 403 without such a scope."""

    async def with_scope(caller: CallerDep) -> Principal:
        if caller.key_id is None:
            raise _unauthorized("This operation needs a key: `Authorization: Bearer KEY`.")
        if not caller.scopes.intersection(scopes):
            raise Problem(403, f"The key needs the scope {' or '.join(scopes)}.", kind="scope")
        return caller

    return with_scope


Reporter = Annotated[Principal, Depends(require(Scope.REPORT))]
ReporterOrCurator = Annotated[Principal, Depends(require(Scope.REPORT, Scope.CURATE))]
Curator = Annotated[Principal, Depends(require(Scope.CURATE))]
Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, kind="key", headers={"WWW-Authenticate": 'Bearer realm="lifeline"'})
