"""Keys: create, find, rotate and revoke them. Only an HMAC of each secret is stored."""

import hashlib
import hmac
import json
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import BindParameter, bindparam, or_, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import col

from app.access.audit_chain import WRITES, append_rows
from app.access.models import ApiKey, ServerSecret
from app.access.principal import Scope
from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.http.problems import Problem
from app.storage.batches import Batches
from app.storage.database import Database
from app.storage.direct import execute_direct
from app.storage.paging import MAX_IN_VALUES
from app.storage.types import row_from, table_of

PREFIX = "ll_"
DEFAULT_OVERLAP = timedelta(hours=24)
UNKNOWN_PERSON = "key "

_table = table_of(ApiKey)
# Built once, because every request with a key runs it.
_HASHES: BindParameter[str] = bindparam("hashes", expanding=True)
_BY_HASH = select(*_table.c).where(or_(_table.c.secret_hash.in_(_HASHES), _table.c.previous_secret_hash.in_(_HASHES)))
_BY_ID = select(*_table.c).where(_table.c.id == bindparam("id"))


def secret_hash(secret: str, hashing_key: bytes) -> str:
    """Return what is stored of a secret: its HMAC-SHA-256."""
    return hmac.new(hashing_key, secret.encode(), hashlib.sha256).hexdigest()


async def load_hashing_key(connection: AsyncConnection, setting: str | None) -> bytes:
    """Return the key of the HMAC: the setting LIFELINE_KEY_HASH_SECRET, or the random secret in the database."""
    if setting is not None:
        return setting.encode()
    secret = (await connection.execute(select(table_of(ServerSecret).c.secret))).scalar_one_or_none()
    if secret is None:
        raise Problem(503, "The row of server_secret is missing, by which keys are known: restore it from a backup.")
    return bytes.fromhex(secret)


async def hashing_key_of(database: Database, connection: AsyncConnection) -> bytes:
    """Return the key of the HMAC, which is read once for each process."""
    if database.hashing_key is None:
        database.hashing_key = await load_hashing_key(connection, database.key_hash_secret)
    return database.hashing_key


async def writer_hashing_key(session: AsyncSession) -> bytes:
    """Return the key of the HMAC for a session of `Database.write`."""
    return await hashing_key_of(session.info["database"], await session.connection())


def actor_hash(key_id: UUID | None, hashing_key: bytes) -> bytes:
    """Return what is stored with an entry of the ledger of the key that recorded it, None for none."""
    return bytes.fromhex(secret_hash(f"actor {key_id}", hashing_key))


def persons_hash(proposal_id: UUID, persons: Iterable[str], hashing_key: bytes) -> str:
    """Return what the ledger has of the persons who could act with a key that proposed a label."""
    return secret_hash(f"persons {proposal_id} {json.dumps(sorted(persons))}", hashing_key)


async def _new_secret(session: AsyncSession) -> tuple[str, str]:
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, secret_hash(secret, await writer_hashing_key(session))


async def record_key_event(session: AsyncSession, event: str, key: ApiKey, by: UUID | None) -> None:
    """Add a change of a key to the audit log; `by` is the key that made it, None for the command line."""
    target = f"{event} {key.id} {key.organisation}: {' '.join(key.scopes)}"
    row = {"id": uuid7(), "occurred_at": utc_now(), "action": "key", "key_id": by, "clearance": key.clearance, "target": target, "count": 1}
    await append_rows(await session.connection(), WRITES, [row], await writer_hashing_key(session))


def persons_of(key: ApiKey) -> list[str]:
    """Return the persons that can act with a key: its person, spelt in one way, and those who have seen a secret of it.

    A key without a person stands for an unknown one, whose name begins with UNKNOWN_PERSON.
    """
    person = f"{UNKNOWN_PERSON}{key.id}" if key.person is None else " ".join(unicodedata.normalize("NFKC", key.person).casefold().split())
    return sorted({person, *key.seen_by})


async def _seen_by(session: AsyncSession, by: UUID | None) -> list[str]:
    creator = None if by is None else await session.get(ApiKey, by)
    return [] if creator is None else persons_of(creator)


async def create_key(
    session: AsyncSession,
    *,
    name: str,
    organisation: str,
    person: str | None = None,
    scopes: Iterable[Scope],
    clearance: Label,
    expires_at: datetime | None = None,
    by: UUID | None = None,
    identifier: UUID | None = None,
) -> tuple[ApiKey, str]:
    """Create a key and return it with its secret, which is not stored.

    `by` is the key that creates it, None for the command line. `identifier` must be unused; None makes one.
    """
    secret, hash_ = await _new_secret(session)
    key = ApiKey(
        id=identifier or uuid7(),
        name=name,
        organisation=organisation,
        person=person,
        created_by=by,
        seen_by=await _seen_by(session, by),
        scopes=sorted({scope.value for scope in scopes}),
        clearance=clearance.level,
        secret_hash=hash_,
        created_at=utc_now(),
        expires_at=expires_at,
    )
    session.add(key)
    await record_key_event(session, "created", key, by)
    return key, secret


async def list_keys(session: AsyncSession) -> list[ApiKey]:
    """Return every key in order of identifier: keys in order of creation, then the subjects of the issuer."""
    return list((await session.scalars(select(ApiKey).order_by(col(ApiKey.id)))).all())


async def revoke_key(session: AsyncSession, key_id: UUID, by: UUID | None = None) -> ApiKey | None:
    """Revoke a key; None for an unknown one. A revoked key keeps the time of its first revocation."""
    key = await session.get(ApiKey, key_id)
    if key is not None and key.revoked_at is None:
        key.revoked_at = utc_now()
        await record_key_event(session, "revoked", key, by)
    return key


async def rotate_key(
    session: AsyncSession, key_id: UUID, overlap: timedelta = DEFAULT_OVERLAP, by: UUID | None = None
) -> tuple[ApiKey, str] | None:
    """Give a key a new secret; the previous one stays valid for the overlap.

    The person that rotates it over HTTP sees the new secret. On the command line, without an overlap, no earlier secret stays valid.
    None for an unknown key. Raises 409 for a revoked key, and for a subject of the issuer, whose tokens a secret would outlive.
    """
    key = await session.get(ApiKey, key_id)
    if key is None:
        return None
    if key.revoked_at is not None:
        raise Problem(409, "The key is revoked: create a new one.", kind="revoked")
    if key.from_issuer:
        raise Problem(409, "A subject of the OpenID Connect issuer has no secret to rotate.", kind="from-issuer")
    secret, hash_ = await _new_secret(session)
    key.previous_secret_hash, key.previous_secret_expires_at = key.secret_hash, utc_now() + overlap
    key.secret_hash = hash_
    if by is not None or overlap <= timedelta():
        key.seen_by = [] if by is None else sorted({*key.seen_by, *await _seen_by(session, by)})
    await record_key_event(session, "rotated", key, by)
    return key, secret


KeyLookups = Batches[str, RowMapping | None]


def key_lookups(database: Database) -> KeyLookups:
    """Return the look-ups of keys by secret of this process: requests that arrive together share a query, begun after each of them."""
    return Batches(partial(_find_keys, database), max_weight=MAX_IN_VALUES)


async def _find_keys(database: Database, take: Callable[[], list[str]]) -> list[RowMapping | None]:
    """Return the row of the key of each secret, valid or not; None for an unknown one."""
    async with database.read_latest() as connection:
        hashing_key = await hashing_key_of(database, connection)
        hashes = [secret_hash(secret, hashing_key) for secret in take()]
        # The index lookup leaks timing, but only about keyed hashes that an attacker cannot choose.
        rows = (await execute_direct(connection, _BY_HASH, {"hashes": list(set(hashes))})).mappings().all()
    by_hash = {row[name]: row for row in rows for name in ("previous_secret_hash", "secret_hash")}
    return [by_hash.get(each) for each in hashes]


async def find_key(lookups: KeyLookups, database: Database, secret: str) -> tuple[ApiKey, datetime | None, str] | None:
    """Return the valid key of a secret, the expiry of that secret, and its hash; None for an unknown, expired or revoked key."""
    row = await lookups.submit(secret)
    if row is None or row["revoked_at"] is not None:
        return None
    assert database.hashing_key is not None
    hash_ = secret_hash(secret, database.hashing_key)
    expires_at = _expiry(row, hash_)
    return None if expires_at is not None and expires_at <= utc_now() else (row_from(ApiKey, row), expires_at, hash_)


async def key_row(connection: AsyncConnection, key_id: UUID) -> RowMapping | None:
    """Return the row of a key, revoked or not; None for an unknown one."""
    return (await connection.execute(_BY_ID, {"id": key_id})).mappings().one_or_none()


async def secret_expiry(connection: AsyncConnection, key_id: UUID, hash_: str) -> datetime | None:
    """Look up again when a secret expires, by its hash. None: never. The current time: it is invalid by now."""
    row = await key_row(connection, key_id)
    if row is None or row["revoked_at"] is not None or hash_ not in (row["secret_hash"], row["previous_secret_hash"]):
        return utc_now()
    return _expiry(row, hash_)


def _expiry(row: RowMapping, hash_: str) -> datetime | None:
    times = (row["expires_at"], None if hash_ == row["secret_hash"] else row["previous_secret_expires_at"])
    return min((each for each in times if each is not None), default=None)
