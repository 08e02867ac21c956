"""Sessions of the board: the reader's key, encrypted and authenticated (Fernet) in a cookie, so that a stolen cookie reveals no key."""

import base64
import secrets

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.settings import Settings

LANGUAGE_COOKIE = "lifeline_language"
_HKDF_INFO = b"lifeline board session 1"


def session_cookie(scheme: str) -> str:
    """Return the name of the session cookie; the prefix `__Host-` keeps sibling hosts and plain HTTP from setting it."""
    return "__Host-lifeline" if scheme == "https" else "lifeline"


class Sessions:
    """Encrypts keys into cookies, and decrypts them."""

    def __init__(self, settings: Settings) -> None:
        given = settings.session_secret
        secret = secrets.token_urlsafe(32) if given is None else given.get_secret_value()
        derived = HKDF(SHA256(), 32, None, _HKDF_INFO).derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))
        self._max_age_seconds = settings.session_hours * 3600

    def encrypt(self, key: str) -> str:
        """Return the value of a session cookie for a key."""
        return self._fernet.encrypt(key.encode()).decode()

    def decrypt(self, value: str) -> str | None:
        """Return the key in a session cookie; None for a value that is forged, altered or expired."""
        try:
            return self._fernet.decrypt(value.encode(), ttl=self._max_age_seconds).decode()
        except (InvalidToken, UnicodeError):
            return None

    def key_of(self, scope: Scope) -> str | None:
        """Return the key in a request's session cookie."""
        value = HTTPConnection(scope).cookies.get(session_cookie(scope["scheme"]))
        return None if value is None else self.decrypt(value)
