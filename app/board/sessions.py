"""Sessions of the board: the reader's key, encrypted and authenticated (Fernet) in a cookie, so that a stolen cookie reveals no key."""

import base64
import hashlib
import hmac
import secrets
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select
from sqlmodel import col
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.access.models import EndedSession
from app.domain.times import utc_now
from app.settings import Settings
from app.storage.commit_notifier import Version
from app.storage.database import Database

LANGUAGE_COOKIE = "lifeline_language"
# The part of a place that the reader of its page has seen, below the path of that page: clearance and revisions, nothing about the reader.
SEEN_COOKIE = "lifeline_seen"
_HKDF_INFO = b"lifeline board session 1"
_FORM_INFO = b"lifeline board form 1"
MAX_KNOWN_SESSIONS = 10_000


def session_cookie(scheme: str) -> str:
    """Return the name of the session cookie; the prefix `__Host-` keeps sibling hosts and plain HTTP from setting it."""
    return "__Host-lifeline" if scheme == "https" else "lifeline"


class Sessions:
    """Encrypts keys into cookies, decrypts them, and ends sessions for every process."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        # Whether a session was ended, and the version of keys and sessions at which that was looked up.
        self._known: dict[str, tuple[Version, bool]] = {}
        given = settings.session_secret
        secret = secrets.token_urlsafe(32) if given is None else given.get_secret_value()
        derived = HKDF(SHA256(), 32, None, _HKDF_INFO).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))
        self._form_key = HKDF(SHA256(), 32, None, _FORM_INFO).derive(secret.encode())
        self._max_age_seconds = settings.session_hours * 3600

    def form_token(self, cookie_hash: str) -> str:
        """Return the token that a form of a session carries; another site cannot know it."""
        return hmac.new(self._form_key, cookie_hash.encode(), hashlib.sha256).hexdigest()

    def encrypt(self, key: str) -> str:
        """Return the value of a session cookie for a key."""
        return self._fernet.encrypt(key.encode()).decode()

    def decrypt(self, value: str) -> str | None:
        """Return the key in a session cookie; None for a value that is forged, altered or expired."""
        try:
            return self._fernet.decrypt(value.encode(), ttl=self._max_age_seconds).decode()
        except (InvalidToken, UnicodeError):
            return None

    def read(self, scope: Scope) -> tuple[str, str] | None:
        """Return the key in a request's session cookie and the hash of the cookie; None without a valid one."""
        value = HTTPConnection(scope).cookies.get(session_cookie(scope["scheme"]))
        key = None if value is None else self.decrypt(value)
        if value is None or key is None:
            return None
        # Decoded, because several spellings of one value are valid.
        return key, hashlib.sha256(base64.urlsafe_b64decode(value)).hexdigest()

    async def is_ended(self, cookie_hash: str) -> bool:
        """Return whether a session was ended; looked up once for each change of a key or a session."""
        head = self._database.commit_notifier.head()
        known = self._known.get(cookie_hash)
        if head is not None and known is not None and known[0] == head.access:
            return known[1]
        statement = select(col(EndedSession.cookie_hash)).where(col(EndedSession.cookie_hash) == cookie_hash)
        async with self._database.read_latest() as connection:
            ended = (await connection.execute(statement)).first() is not None
        if head is not None:
            if len(self._known) >= MAX_KNOWN_SESSIONS:
                self._known.clear()
            self._known[cookie_hash] = head.access, ended
        return ended

    async def end(self, scope: Scope) -> None:
        """End the session of a request in every process."""
        found = self.read(scope)
        if found is None or await self.is_ended(found[1]):
            return
        async with self._database.write() as session:
            await session.execute(delete(EndedSession).where(col(EndedSession.expires_at) < utc_now()))
            if await session.get(EndedSession, found[1]) is None:
                session.add(EndedSession(cookie_hash=found[1], expires_at=utc_now() + timedelta(seconds=self._max_age_seconds)))
