"""Making, finding, rotating and revoking keys."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col
from uuid_utils.compat import uuid7

from app.access.models import ApiKey, AuditEntry, ServerSecret
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.http.problems import Problem
from app.storage.types import table_of

PREFIX = "ll_"
DEFAULT_OVERLAP = timedelta(hours=24)

keys = table_of(ApiKey)
# Asked for with every request that has a key: put together once.
BY_HASH = select(*keys.c).where(
    or_(*(each.in_([bindparam("keyed"), bindparam("bare")]) for each in (keys.c.secret_hash, keys.c.previous_secret_hash)))
)
BY_ID = select(*keys.c).where(keys.c.id == bindparam("id"))


def sha256_hash(secret: str) -> str:
    """The SHA-256 of a secret, which earlier versions stored as it is."""
    return hashlib.sha256(secret.encode()).hexdigest()


def keyed_hash(bare: str, hashing_key: bytes) -> str:
    """What is stored of a secret: the HMAC-SHA-256 of its hash, keyed with what only the service knows."""
    return "hmac:" + hmac.new(hashing_key, bare.encode(), hashlib.sha256).hexdigest()


async def hashing_key(connection: AsyncConnection, setting: str | None) -> bytes:
    """What hashes are keyed with: the setting LIFELINE_KEY_HASH_SECRET, else the random one that the database was made with."""
    if setting is not None:
        return setting.encode()
    return bytes.fromhex((await connection.execute(select(table_of(ServerSecret).c.secret))).scalar_one())


async def _stored_hash(session: AsyncSession, secret: str) -> str:
    return keyed_hash(sha256_hash(secret), await hashing_key(await session.connection(), session.info.get("key_hash_secret")))


def _new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def record_key_event(session: AsyncSession, what: str, key: ApiKey, by: UUID | None) -> None:
    """Put what was done to a key into the audit log, in the transaction that does it. `by` is the key that did it, None for the command."""
    target = f"{what} {key.id} {key.organisation}: {' '.join(key.scopes)}"
    session.add(AuditEntry(id=uuid7(), occurred_at=utc_now(), action="key", key_id=by, clearance=key.clearance, target=target))


async def create_key(
    session: AsyncSession,
    *,
    name: str,
    organisation: str,
    scopes: Iterable[Scope],
    clearance: Label,
    expires_at: datetime | None = None,
    by: UUID | None = None,
    identifier: UUID | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is shown this once. `by` is the key that made it, None for the command line.

    `identifier` is one to give it, which must be new.
    """
    secret = _new_secret()
    key = ApiKey(
        id=identifier or uuid7(),
        name=name,
        organisation=organisation,
        scopes=sorted({scope.value for scope in scopes}),
        clearance=clearance.level,
        secret_hash=await _stored_hash(session, secret),
        created_at=utc_now(),
        expires_at=expires_at,
    )
    session.add(key)
    record_key_event(session, "created", key, by)
    return key, secret


async def list_keys(session: AsyncSession) -> list[ApiKey]:
    """Every key, in the order of their identifiers, which is that of their making but for those who come with tokens."""
    return list((await session.scalars(select(ApiKey).order_by(col(ApiKey.id)))).all())


async def revoke_key(session: AsyncSession, key_id: UUID, by: UUID | None = None) -> ApiKey | None:
    """Revoke a key from now on; None when there is no such key. A key stays revoked since the first time."""
    key = await session.get(ApiKey, key_id)
    if key is not None and key.revoked_at is None:
        key.revoked_at = utc_now()
        record_key_event(session, "revoked", key, by)
    return key


async def rotate_key(
    session: AsyncSession, key_id: UUID, overlap: timedelta = DEFAULT_OVERLAP, by: UUID | None = None
) -> tuple[ApiKey, str] | None:
    """Give a key a new secret; the one before it holds for the overlap.

    None when there is no such key, 409 for a revoked one, and for who comes with tokens of an issuer: a secret would outlive them.
    """
    key = await session.get(ApiKey, key_id)
    if key is None:
        return None
    if key.revoked_at is not None:
        raise Problem(409, "The key is revoked: make a new one.", kind="revoked")
    if key.from_issuer:
        raise Problem(409, "This is who comes with tokens of the issuer: there is no secret to give anew.", kind="from-issuer")
    secret = _new_secret()
    key.previous_secret_hash, key.previous_secret_expires_at = key.secret_hash, utc_now() + overlap
    key.secret_hash = await _stored_hash(session, secret)
    record_key_event(session, "rotated", key, by)
    return key, secret


async def key_old_hashes(session: AsyncSession) -> int:
    """Key the hashes that an earlier version stored; answers how many there were. Their secrets go on holding."""
    old = list(await session.scalars(select(ApiKey).where(~col(ApiKey.secret_hash).startswith("hmac:", autoescape=True))))
    if old:
        key = await hashing_key(await session.connection(), session.info.get("key_hash_secret"))
        for each in old:
            each.secret_hash = keyed_hash(each.secret_hash, key)
        await session.flush()
    return len(old)


async def find_key(connection: AsyncConnection, secret: str, key: bytes) -> tuple[ApiKey, datetime | None, str] | None:
    """The valid key of a secret, until when that secret holds, and what is stored of it; None when it is unknown, expired or revoked."""
    bare = sha256_hash(secret)
    keyed = keyed_hash(bare, key)
    hashes = (keyed, bare)
    now = utc_now()
    for row in (await connection.execute(BY_HASH, {"keyed": keyed, "bare": bare})).mappings():
        # The index has found it already; who measures how long that takes learns of a hash that he cannot aim.
        newest = any(hmac.compare_digest(row["secret_hash"], each) for each in hashes)
        until = _until(row, newest=newest)
        if row["revoked_at"] is None and (until is None or until > now):
            return ApiKey(**row), until, row["secret_hash"] if newest else row["previous_secret_hash"]
    return None


async def key_row(connection: AsyncConnection, key_id: UUID) -> RowMapping | None:
    """What is stored of a key, revoked or not; None where there is none."""
    return (await connection.execute(BY_ID, {"id": key_id})).mappings().one_or_none()


async def secret_expiry(connection: AsyncConnection, key_id: UUID, held: str) -> datetime | None:
    """Until when a secret holds that was valid a while ago, by what was stored of it: None for no end, now where it has ended."""
    row = await key_row(connection, key_id)
    if row is None or row["revoked_at"] is not None or held not in (row["secret_hash"], row["previous_secret_hash"]):
        return utc_now()
    return _until(row, newest=held == row["secret_hash"])


def _until(row: RowMapping, *, newest: bool) -> datetime | None:
    ends = (row["expires_at"], None if newest else row["previous_secret_expires_at"])
    return min((each for each in ends if each is not None), default=None)


async def is_revoked(connection: AsyncConnection, key_id: UUID) -> bool:
    """Whether a key is revoked."""
    revoked = select(col(ApiKey.id)).where(col(ApiKey.id) == key_id, col(ApiKey.revoked_at).is_not(None))
    return (await connection.execute(revoked)).one_or_none() is not None
