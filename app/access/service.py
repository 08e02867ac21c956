"""Making, finding and revoking keys."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from app.access.models import ApiKey
from app.db import table_of
from app.labels import Label
from app.times import utc_now

PREFIX = "ll_"


class Scope(StrEnum):
    """What a key may do; no scope contains another."""

    READ = "read"
    REPORT = "report"
    CURATE = "curate"
    ADMIN = "admin"


def secret_hash(secret: str) -> str:
    """What is stored of a key: the SHA-256 of 256 random bits, which no dictionary shortens."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def create_key(
    session: AsyncSession,
    *,
    name: str,
    organisation: str,
    scopes: Iterable[Scope],
    clearance: Label,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once."""
    secret = PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=uuid7(),
        name=name,
        organisation=organisation,
        scopes=sorted({scope.value for scope in scopes}),
        clearance=clearance.level,
        secret_hash=secret_hash(secret),
        created_at=utc_now(),
        expires_at=expires_at,
    )
    session.add(key)
    return key, secret


async def list_keys(session: AsyncSession) -> list[ApiKey]:
    """Every key, oldest first."""
    return list((await session.scalars(select(ApiKey).order_by(col(ApiKey.id)))).all())


async def revoke_key(session: AsyncSession, key_id: UUID) -> ApiKey | None:
    """Revoke a key from now on; None when there is no such key. A key stays revoked since the first time."""
    key = await session.get(ApiKey, key_id)
    if key is not None and key.revoked_at is None:
        key.revoked_at = utc_now()
    return key


async def find_key(connection: AsyncConnection, secret: str) -> ApiKey | None:
    """The valid key of a secret; None when it is unknown, expired or revoked."""
    rows = await connection.execute(select(*table_of(ApiKey).c).where(col(ApiKey.secret_hash) == secret_hash(secret)))
    row = rows.mappings().one_or_none()
    if row is None or row["revoked_at"] is not None:
        return None
    if row["expires_at"] is not None and row["expires_at"] <= utc_now():
        return None
    return ApiKey(**row)
