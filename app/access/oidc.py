"""Access tokens of an OpenID Connect issuer in place of keys: signed JWTs (RFC 7519), verified with the issuer's published keys.

Only asymmetric algorithms are accepted; otherwise `none` or an HMAC made with a public key would pass.
"""

import asyncio
import hashlib
import math
import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import jwt
import structlog
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import PREFIX, key_row, record_key_event, secret_hash
from app.access.models import ISSUER_SUBJECT_PREFIX, ApiKey
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
JWKS_TTL_SECONDS = 600.0
# While the issuer does not answer, its last keys stay valid for this time; then a key that it withdrew is refused.
MAX_JWKS_AGE_SECONDS = 6 * JWKS_TTL_SECONDS
# A token with an unknown key fetches the keys again, but at most this often.
MIN_REFETCH_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 30
# OpenID Connect Core 1.0, section 2.
MAX_SUBJECT_CHARACTERS = 255
MAX_ORGANISATION_CHARACTERS = 200
TIME_CLAIMS = ("exp", "nbf", "iat")
# Adding the grace of webhooks to a later expiry would exceed the largest datetime.
MAX_EXPIRY = datetime(9000, 1, 1, tzinfo=UTC)
# The stored expiry of a subject may lag behind its last token by this much, to save writes.
MAX_EXPIRY_LAG = timedelta(hours=1)
MAX_SYNCED_TOKENS = 10_000
# NUL (PostgreSQL cannot store it) and lone surrogates.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

log = structlog.get_logger(__name__)


class InvalidToken(Exception):
    """A token that the issuer did not sign for this audience, or that has expired."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject of a token, and what its claims grant."""

    id: UUID
    name: str
    organisation: str
    scopes: tuple[Scope, ...]
    clearance: Label
    expires_at: datetime


def with_own_organisation(subject: Subject, hashing_key: bytes) -> Subject:
    """Return a subject without an organisation as its own: keyed, because `recorded_by` is public and names can be guessed."""
    return replace(subject, organisation=f"subject-{secret_hash(str(subject.id), hashing_key)[:16]}")


class Issuer:
    """The configured issuer, with its keys as last fetched."""

    def __init__(self, settings: Settings, url: str, audience: str) -> None:
        self._settings = settings
        self._url = url
        self._audience = audience
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at = self._attempted_at = -JWKS_TTL_SECONDS
        self._fetch_lock = asyncio.Lock()
        # Hashes of tokens whose subjects are stored with these claims, oldest first.
        self._synced_tokens: dict[bytes, None] = {}

    @staticmethod
    def is_token(credential: str) -> bool:
        """Return whether a credential has the form of a JWT, which a key never has."""
        return credential.count(".") == 2 and not credential.startswith(PREFIX)

    async def subject_of(self, token: str) -> Subject:
        """Verify a token and return its subject; raises InvalidToken."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise InvalidToken
            key = await self._key(header.get("kid"))
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._url,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "iss", "aud"]},
            )
            return self._subject(claims)
        # RecursionError: JSON nested too deep. OverflowError: a time that no datetime can hold.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise InvalidToken from None

    def _subject(self, claims: dict[str, Any]) -> Subject:
        settings = self._settings
        if not all(_is_numeric_date(claims[name]) for name in TIME_CLAIMS if name in claims):
            raise InvalidToken
        scopes = claims.get(settings.oidc_scopes_claim, ())
        scope_names = scopes.split() if isinstance(scopes, str) else scopes if isinstance(scopes, list) else ()
        label = claims.get(settings.oidc_clearance_claim)
        organisation = claims.get(settings.oidc_organisation_claim)
        subject = claims["sub"]
        if not _is_storable_text(subject, MAX_SUBJECT_CHARACTERS):
            raise InvalidToken
        return Subject(
            id=uuid5(NAMESPACE_URL, f"{self._url}\n{subject}"),
            name=subject,
            organisation=organisation if _is_storable_text(organisation, MAX_ORGANISATION_CHARACTERS) else "",
            scopes=tuple(scope for scope in Scope if scope.value in scope_names),
            clearance=Label(label) if label in [each.value for each in Label] else Label.CLEAR,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    async def sync_subject(self, database: Database, token: str, subject: Subject, level: int, *, writing: bool) -> bool:
        """Store the subject of a valid token as a row of `api_key`, at most once a token; False if the row is revoked.

        The row lets an admin revoke the subject, lets records refer to it, and ends its webhooks with its access.
        If the database cannot be written to, a request that only reads is allowed anyway.
        """
        grace = timedelta(hours=self._settings.oidc_webhook_grace_hours)
        expires_at = min(subject.expires_at, MAX_EXPIRY) + grace
        async with database.read_latest() as connection:
            row = await key_row(connection, subject.id)
        if row is not None and row["revoked_at"] is not None:
            return False
        digest = hashlib.sha256(token.encode()).digest()
        min_expiry = expires_at - min(grace / 2, MAX_EXPIRY_LAG)
        if row is None or (digest not in self._synced_tokens and _is_outdated(row, subject, level, min_expiry)):
            try:
                async with database.write() as session:
                    if not await upsert_subject(session, subject, level, expires_at):
                        return False
            except (SQLAlchemyError, OSError) as error:
                if writing:
                    raise
                log.warning("oidc_subject_not_saved", error=type(error).__name__)
                return True
        if len(self._synced_tokens) >= MAX_SYNCED_TOKENS:
            del self._synced_tokens[next(iter(self._synced_tokens))]
        self._synced_tokens[digest] = None
        return True

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        if self._needs_fetch(key_id):
            async with self._fetch_lock:
                now = time.monotonic()
                if self._needs_fetch(key_id) and now - self._attempted_at > MIN_REFETCH_SECONDS:
                    self._attempted_at = now
                    await self._fetch()
        key = self._keys.get(key_id)
        if key is None or time.monotonic() - self._fetched_at > MAX_JWKS_AGE_SECONDS:
            raise InvalidToken
        return key

    def _needs_fetch(self, key_id: str | None) -> bool:
        return time.monotonic() - self._fetched_at > JWKS_TTL_SECONDS or key_id not in self._keys

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
                url = self._settings.oidc_jwks_url
                if url is None:
                    discovery = await client.get(self._url.rstrip("/") + "/.well-known/openid-configuration")
                    url = discovery.raise_for_status().json()["jwks_uri"]
                response = await client.get(url)
                jwks = response.raise_for_status().json()["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.warning("oidc_unreachable", error=type(error).__name__)
            return
        keys: dict[str | None, jwt.PyJWK] = {}
        for each in jwks:
            try:
                key = jwt.PyJWK(each)
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
                continue
            if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
                keys[key.key_id] = key
        self._keys, self._fetched_at = keys, time.monotonic()


def configured_issuer(settings: Settings) -> Issuer | None:
    """Return the configured issuer; None without one."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(settings, settings.oidc_issuer, settings.oidc_audience)


def _is_numeric_date(value: Any) -> bool:
    """Return whether a claim is a NumericDate (RFC 7519, section 2) that is not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_storable_text(value: Any, max_characters: int) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= max_characters and _UNSTORABLE.search(value) is None


def _is_outdated(row: RowMapping, subject: Subject, level: int, min_expiry: datetime) -> bool:
    granted = subject.organisation, sorted(subject.scopes), level
    stored = row["organisation"], row["scopes"], row["clearance"]
    return stored != granted or row["expires_at"] is None or row["expires_at"] < min_expiry


async def upsert_subject(session: AsyncSession, subject: Subject, level: int, expires_at: datetime) -> bool:
    """Insert or update the row of a subject, and record it in the audit log; False if the row is revoked."""
    row = await session.get(ApiKey, subject.id)
    granted = subject.organisation, sorted(each.value for each in subject.scopes), level
    if row is None:
        row = ApiKey(
            id=subject.id, name=subject.name, person=subject.name, organisation=granted[0], scopes=granted[1], clearance=level,
            secret_hash=f"{ISSUER_SUBJECT_PREFIX}{subject.id}", created_at=utc_now(), expires_at=expires_at,
        )  # fmt: skip
        session.add(row)
        await record_key_event(session, "seen", row, subject.id)
        return True
    if row.revoked_at is not None:
        return False
    if (row.organisation, row.scopes, row.clearance) != granted:
        row.organisation, row.scopes, row.clearance = granted
        await record_key_event(session, "changed", row, subject.id)
    row.expires_at = expires_at if row.expires_at is None else max(row.expires_at, expires_at)
    return True
