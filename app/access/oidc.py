"""Tokens of an OpenID Connect issuer in place of keys: signed JWTs (RFC 7519), checked against the issuer's published keys.

Only asymmetric algorithms are taken, so that neither `none` nor an HMAC made with a public key gets through.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import jwt
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.models import ApiKey
from app.access.service import PREFIX, Scope
from app.labels import Label
from app.settings import Settings
from app.times import utc_now

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
KEYS_SECONDS = 600.0
# A token with a key that is not known asks the issuer again, but not more often than this.
AGAIN_SECONDS = 10.0
FETCH_SECONDS = 5.0
LEEWAY_SECONDS = 30

log = structlog.get_logger(__name__)


class NotValid(Exception):
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
        self._fetched = self._tried = -KEYS_SECONDS
        self._fetching = asyncio.Lock()

    @staticmethod
    def is_token(credential: str) -> bool:
        """Whether a credential has the form of a JWT; keys never have."""
        return credential.count(".") == 2 and not credential.startswith(PREFIX)

    async def subject_of(self, token: str) -> Subject:
        """Whom a token names; NotValid for one that is not good."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise NotValid
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
        except (jwt.PyJWTError, ValueError, TypeError):
            raise NotValid from None
        return self._subject(claims)

    def _subject(self, claims: dict[str, Any]) -> Subject:
        settings = self._settings
        given = claims.get(settings.oidc_scopes_claim, ())
        names = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        label = claims.get(settings.oidc_clearance_claim)
        organisation = claims.get(settings.oidc_organisation_claim)
        subject = claims["sub"]
        return Subject(
            id=uuid5(NAMESPACE_URL, f"{self._url}\n{subject}"),
            name=subject,
            organisation=organisation if isinstance(organisation, str) else "",
            scopes=tuple(scope for scope in Scope if scope.value in names),
            clearance=Label(label) if label in [each.value for each in Label] else Label.CLEAR,
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    async def _key(self, kid: str | None) -> jwt.PyJWK:
        if time.monotonic() - self._fetched > KEYS_SECONDS or kid not in self._keys:
            async with self._fetching:
                now = time.monotonic()
                stale = now - self._fetched > KEYS_SECONDS or kid not in self._keys
                if stale and now - self._tried > AGAIN_SECONDS:
                    self._tried = now
                    await self._fetch()
        key = self._keys.get(kid)
        # Keys of an issuer that does not answer hold for a while; those that it took back do not for ever.
        if key is None or time.monotonic() - self._fetched > 6 * KEYS_SECONDS:
            raise NotValid
        return key

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False, trust_env=False) as client:
                url = self._settings.oidc_jwks_url
                if url is None:
                    found = await client.get(self._url.rstrip("/") + "/.well-known/openid-configuration")
                    url = found.raise_for_status().json()["jwks_uri"]
                answer = await client.get(url)
                listed = answer.raise_for_status().json()["keys"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            log.warning("issuer_does_not_answer", error=type(error).__name__)
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


def issuer_of(settings: Settings) -> Issuer | None:
    """The issuer whose tokens hold; None where none is configured."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    return Issuer(settings, settings.oidc_issuer, settings.oidc_audience)


async def keep_subject(session: AsyncSession, id_: UUID, name: str, organisation: str, scopes: Collection[str], level: int) -> None:
    """Give the subject of a token a row among the keys: what he writes refers to it, and revoking it shuts him out."""
    row = await session.get(ApiKey, id_)
    if row is None:
        row = ApiKey(
            id=id_, name=name, organisation=organisation, scopes=sorted(scopes), clearance=level, secret_hash=f"hmac:oidc:{id_}",
            created_at=utc_now(),
        )  # fmt: skip
    row.organisation, row.scopes, row.clearance = organisation, sorted(scopes), level
    session.add(row)
