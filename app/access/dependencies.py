"""Who is asking: the reader with a clearance, the writer with a scope."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access.keys import find_key, hashing_key, is_revoked, secret_expiry
from app.access.oidc import InvalidToken, Issuer
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
    description="A Lifeline key, `ll_...`, from `lifeline key create`. Reading what is `clear` needs none.",
)


# Both async: FastAPI sends what is not to a thread, which costs more than a query.
async def get_database(request: Request) -> Database:
    """The engines of this process."""
    return app_state(request).database


async def get_app_settings(request: Request) -> Settings:
    """The settings that the app was made with."""
    return app_state(request).settings


DatabaseDep = Annotated[Database, Depends(get_database)]
SettingsDep = Annotated[Settings, Depends(get_app_settings)]


async def get_caller(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    """The caller of a request; 401 for a key that is not valid, and for anything in `Authorization` that is no key.

    429 for a key that was never valid here, from an address that has sent too many wrong ones.
    """
    public = settings.public_clearance.level
    current_requirement().level = public
    if credentials is None:
        if "authorization" in request.headers:
            raise _unauthorized("Authorization must be `Bearer KEY`.")
        caller = Principal(level=public)
    else:
        caller = await _authenticate(request, database, credentials.credentials, public)
        request_state(request.scope)["caller"] = caller
        current_requirement().level = caller.level
    if request.method == "GET":
        app_state(request).read_audit.record(caller.actor, request.scope)
    return caller


async def _authenticate(request: Request, database: Database, credential: str, public: int) -> Principal:
    limits, issuer = app_state(request).rate_limiter, app_state(request).issuer
    address = request.client.host if request.client else ""
    authorization = request.headers["authorization"].encode("latin-1")
    wait = limits.lockout_seconds(address, authorization)
    if wait is not None:
        detail = f"Too many wrong keys came from this address; try again in {wait} seconds."
        raise Problem(429, detail, kind="rate-limit", headers={"Retry-After": str(wait)})
    if issuer is not None and issuer.is_token(credential):
        writing = request.method not in ("GET", "HEAD")
        caller = await _principal_of_token(issuer, database, credential, public, writing=writing)
    else:
        caller = await _principal_of_key(database, credential, public)
    if caller is None:
        limits.record_failure(address, authorization)
        raise _unauthorized("The key is unknown, expired or revoked.")
    assert caller.key_id is not None
    limits.record_success(authorization, caller.key_id.bytes)
    return caller


async def _principal_of_key(database: Database, credential: str, public: int) -> Principal | None:
    async with database.read_latest() as connection:
        if database.hashing_key is None:
            database.hashing_key = await hashing_key(connection, database.key_hash_secret)
        found = await find_key(connection, credential, database.hashing_key)
    if found is None:
        return None
    key, until, held = found
    scopes = frozenset(key.scopes)
    level = max(public, key.clearance) if Scope.READ in scopes else public
    return Principal(level, key.id, key.name, key.organisation, scopes, until, secret_hash=held)


async def _principal_of_token(issuer: Issuer, database: Database, token: str, public: int, *, writing: bool) -> Principal | None:
    try:
        subject = await issuer.subject_of(token)
    except InvalidToken:
        return None
    level = max(public, subject.clearance.level) if Scope.READ in subject.scopes else public
    if not await issuer.sync_subject(database, token, subject, level, writing=writing):
        return None
    return Principal(level, subject.id, subject.name, subject.organisation, frozenset(subject.scopes), subject.expires_at)


async def credential_expiry(caller: Principal, database: Database) -> datetime | None:
    """Until when what a caller sent holds, looked at anew for one whose request has taken long: None for no end, now where it has ended."""
    if caller.key_id is None:
        return None
    async with database.read_latest() as connection:
        if caller.secret_hash is not None:
            return await secret_expiry(connection, caller.key_id, caller.secret_hash)
        return utc_now() if await is_revoked(connection, caller.key_id) else caller.expires_at


async def credential_still_valid(caller: Principal, database: Database) -> bool:
    """Whether what a caller sent holds still, looked at anew."""
    until = await credential_expiry(caller, database)
    return until is None or until > utc_now()


def credential_revoked() -> Problem:
    """The answer to one whose key has ended while he waited."""
    return _unauthorized("The key is unknown, expired or revoked.")


CallerDep = Annotated[Principal, Depends(get_caller)]


def require(*scopes: Scope) -> Callable[..., Coroutine[Any, Any, Principal]]:
    """A dependency that lets through keys with any of these scopes; 401 without a key, 403 without the scope."""

    async def with_scope(caller: CallerDep) -> Principal:
        if caller.key_id is None:
            raise _unauthorized("This needs a key: `Authorization: Bearer KEY`.")
        if not caller.scopes.intersection(scopes):
            wanted = " or ".join(scopes)
            raise Problem(403, f"The key needs the scope {wanted}.", kind="scope")
        return caller

    return with_scope


Reporter = Annotated[Principal, Depends(require(Scope.REPORT))]
ReporterOrCurator = Annotated[Principal, Depends(require(Scope.REPORT, Scope.CURATE))]
Curator = Annotated[Principal, Depends(require(Scope.CURATE))]
Admin = Annotated[Principal, Depends(require(Scope.ADMIN))]


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, kind="key", headers={"WWW-Authenticate": 'Bearer realm="lifeline"'})
