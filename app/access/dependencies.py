"""Who is asking: the reader with a clearance, the writer with a scope."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.access.service import Scope, find_key
from app.db import Database
from app.errors import Problem
from app.labels import LABELS, Label
from app.settings import Settings

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="Key",
    description="A Lifeline key, `ll_...`, from `lifeline key create`. Reading what is `clear` needs none.",
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `level` is the highest label that the caller may see, 0 to 4."""

    level: int
    key_id: UUID | None = None
    organisation: str | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None

    @property
    def clearance(self) -> Label:
        """The level as a label."""
        return LABELS[self.level]


# Both async: FastAPI sends what is not to a thread, which costs more than a query.
async def get_database(request: Request) -> Database:
    """The engines of this process."""
    database: Database = request.app.state.database
    return database


async def get_app_settings(request: Request) -> Settings:
    """The settings that the app was made with."""
    settings: Settings = request.app.state.settings
    return settings


DatabaseDep = Annotated[Database, Depends(get_database)]
SettingsDep = Annotated[Settings, Depends(get_app_settings)]


async def get_caller(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Caller:
    """The caller of a request; 401 for a key that is not valid, and for anything in `Authorization` that is no key."""
    public = settings.public_clearance.level
    if credentials is None:
        if "authorization" in request.headers:
            raise _unauthorized("Authorization must be `Bearer KEY`.")
        return Caller(level=public)
    async with database.read() as connection:
        key = await find_key(connection, credentials.credentials)
    if key is None:
        raise _unauthorized("The key is unknown, expired or revoked.")
    scopes = frozenset(key.scopes)
    level = max(public, key.clearance) if Scope.READ in scopes else public
    caller = Caller(level=level, key_id=key.id, organisation=key.organisation, scopes=scopes, expires_at=key.expires_at)
    request.state.caller = caller
    return caller


CallerDep = Annotated[Caller, Depends(get_caller)]


def require(*scopes: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency that lets through keys with any of these scopes; 401 without a key, 403 without the scope."""

    async def with_scope(caller: CallerDep) -> Caller:
        if caller.key_id is None:
            raise _unauthorized("Writing needs a key: `Authorization: Bearer KEY`.")
        if not caller.scopes.intersection(scopes):
            wanted = " or ".join(scopes)
            raise Problem(403, f"The key needs the scope {wanted}.", kind="scope")
        return caller

    return with_scope


Reporter = Annotated[Caller, Depends(require(Scope.REPORT))]
ReporterOrCurator = Annotated[Caller, Depends(require(Scope.REPORT, Scope.CURATE))]
Curator = Annotated[Caller, Depends(require(Scope.CURATE))]


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, kind="key", headers={"WWW-Authenticate": 'Bearer realm="lifeline"'})
