"""Tokens of an OpenID Connect issuer in place of keys: signed JWTs (RFC 7519), checked against the issuer's published keys.

Only asymmetric algorithms are taken, so that neither `none` nor an HMAC made with a public key gets through.
"""

import asyncio
import hashlib
import math
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import jwt
import structlog
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import PREFIX, key_row, record_key_event
from app.access.models import ISSUER_SUBJECT_PREFIX, ApiKey
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
JWKS_TTL_SECONDS = 600.0
# A token with a key that is not known asks the issuer again, but not more often than this.
MIN_REFETCH_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 5.0
LEEWAY_SECONDS = 30
# OpenID Connect gives a subject no more characters; an organisation gets as many as one of a key.
MAX_SUBJECT_CHARACTERS = 255
MAX_ORGANISATION_CHARACTERS = 200
TIME_CLAIMS = ("exp", "nbf", "iat")
# Some time is added to when a token ends, which has to be a time still.
MAX_EXPIRY = datetime(9000, 1, 1, tzinfo=UTC)
# A row whose end is so much behind is written anew.
MAX_EXPIRY_LAG = timedelta(hours=1)
MAX_SYNCED_TOKENS = 10_000
# PostgreSQL keeps no NUL, and nobody half a character.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

log = structlog.get_logger(__name__)


class InvalidToken(Exception):
    """A token that is not one of the issuer's, has expired, or is for somebody else."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a token names, and what its claims let him do."""

    id: UUID
    name: str
    organisation: str
    scopes: tuple[Scope, ...]
    clearance: Label
    expires_at: datetime


class Issuer:
    """The configured issuer, with its keys as last fetched."""

    def __init__(self, settings: Settings, url: str, audience: str) -> None:
        self._settings = settings
        self._url = url
        self._audience = audience
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = self._tried = -JWKS_TTL_SECONDS
        self._fetching = asyncio.Lock()
        # The hashes of tokens whose subjects stand among the keys as they say, oldest first.
        self._kept: dict[bytes, None] = {}

    @staticmethod
    def is_token(credential: str) -> bool:
        """Whether a credential has the form of a JWT; keys never have."""
        return credential.count(".") == 2 and not credential.startswith(PREFIX)

    async def subject_of(self, token: str) -> Subject:
        """Whom a token names; NotValid for one that is not good."""
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
        # The last two are of JSON that nests too deep, and of a time that is none.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError):
            raise InvalidToken from None

    def _subject(self, claims: dict[str, Any]) -> Subject:
        settings = self._settings
        if not all(_is_numeric_date(claims[name]) for name in TIME_CLAIMS if name in claims):
            raise InvalidToken
        given = claims.get(settings.oidc_scopes_claim, ())
        names = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        label = claims.get(settings.oidc_clearance_claim)
        organisation = claims.get(settings.oidc_organisation_claim)
        subject = claims["sub"]
        if not _is_text(subject, MAX_SUBJECT_CHARACTERS):
            raise InvalidToken
        return Subject(
            id=uuid5(NAMESPACE_URL, f"{self._url}\n{subject}"),
            name=subject,
            organisation=organisation if _is_text(organisation, MAX_ORGANISATION_CHARACTERS) else "",
            scopes=tuple(scope for scope in Scope if scope.value in names),
            clearance=Label(label) if label in [each.value for each in Label] else Label.CLEAR,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    async def sync_subject(self, database: Database, token: str, subject: Subject, level: int, *, writing: bool) -> bool:
        """See that the subject of a good token stands among the keys, with what it may do; False for one who was revoked there.

        So it can be shut out here too, what it writes refers to it, and its webhooks end with its access. It is written down once a token
        at the most. Where nothing can be written for now, those who only read are let in nevertheless.
        """
        hours = timedelta(hours=self._settings.oidc_webhook_grace_hours)
        until = min(subject.expires_at, MAX_EXPIRY) + hours
        async with database.read_latest() as connection:
            row = await key_row(connection, subject.id)
        if row is not None and row["revoked_at"] is not None:
            return False
        digest = hashlib.sha256(token.encode()).digest()
        if row is None or (digest not in self._kept and _is_behind(row, subject, level, until - min(hours / 2, MAX_EXPIRY_LAG))):
            try:
                async with database.write() as session:
                    if not await upsert_subject(session, subject, level, until):
                        return False
            except (SQLAlchemyError, OSError) as error:
                if writing:
                    raise
                log.warning("oidc_subject_not_saved", error=type(error).__name__)
                return True
        if len(self._kept) >= MAX_SYNCED_TOKENS:
            del self._kept[next(iter(self._kept))]
        self._kept[digest] = None
        return True

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        if time.monotonic() - self._fetched > JWKS_TTL_SECONDS or kid not in self._keys:
            async with self._fetching:
                now = time.monotonic()
                stale = now - self._fetched > JWKS_TTL_SECONDS or kid not in self._keys
                if stale and now - self._tried > MIN_REFETCH_SECONDS:
                    self._tried = now
                    await self._fetch()
        key = self._keys.get(kid)
        # Keys of an issuer that does not answer hold for a while; those that it took back do not for ever.
        if key is None or time.monotonic() - self._fetched > 6 * JWKS_TTL_SECONDS:
            raise InvalidToken
        return key

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client:
                url = self._settings.oidc_jwks_url
                if url is None:
                    found = await client.get(self._url.rstrip("/") + "/.well-known/openid-configuration")
                    url = found.raise_for_status().json()["jwks_uri"]
                answer = await client.get(url)
                listed = answer.raise_for_status().json()["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.warning("oidc_unreachable", error=type(error).__name__)
            return
        keys: dict[str | None, jwt.PyJWK] = {}
        for each in listed:
            try:
                key = jwt.PyJWK(each)
            except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
                continue
            if key.algorithm_name in ALGORITHMS and key.public_key_use in (None, "sig"):
                keys[key.key_id] = key
        self._keys, self._fetched = keys, time.monotonic()


def configured_issuer(settings: Settings) -> Issuer | None:
    """The issuer whose tokens hold; None where none is configured."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(settings, settings.oidc_issuer, settings.oidc_audience)


def _is_numeric_date(value: Any) -> bool:
    """Whether a claim is a NumericDate (RFC 7519, 2): a number of seconds since 1970, and no more of them than there are times for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_text(value: Any, most: int) -> TypeGuard[str]:
    """Whether a claim is text that every database keeps."""
    return isinstance(value, str) and len(value) <= most and _UNSTORABLE.search(value) is None


def _is_behind(row: RowMapping, subject: Subject, level: int, least: datetime) -> bool:
    may = subject.organisation, sorted(subject.scopes), level
    return (row["organisation"], row["scopes"], row["clearance"]) != may or row["expires_at"] is None or row["expires_at"] < least


async def upsert_subject(session: AsyncSession, subject: Subject, level: int, until: datetime) -> bool:
    """Give a subject a row among the keys, or bring it up to date, and say so in the audit log; False for one who is revoked.

    `until` is when the row expires, and with it the subject's webhooks, unless it comes again.
    """
    row = await session.get(ApiKey, subject.id)
    scopes = sorted(each.value for each in subject.scopes)
    if row is None:
        row = ApiKey(
            id=subject.id, name=subject.name, organisation=subject.organisation, scopes=scopes, clearance=level,
            secret_hash=f"{ISSUER_SUBJECT_PREFIX}{subject.id}", created_at=utc_now(), expires_at=until,
        )  # fmt: skip
        session.add(row)
        record_key_event(session, "seen", row, subject.id)
        return True
    if row.revoked_at is not None:
        return False
    if (row.organisation, row.scopes, row.clearance) != (subject.organisation, scopes, level):
        row.organisation, row.scopes, row.clearance = subject.organisation, scopes, level
        record_key_event(session, "changed", row, subject.id)
    row.expires_at = until if row.expires_at is None else max(row.expires_at, until)
    return True
