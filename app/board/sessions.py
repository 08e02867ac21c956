"""Who reads the board: a key, kept in a cookie that only this service can open.

The cookie holds the key encrypted and authenticated (Fernet). Scripts cannot read it, it is sent to this site alone, and whoever
steals it has no key: it opens the pages of the board for some hours, and writes nothing. The pages and their addresses never hold it.
"""

import base64
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.types import Scope

from app.settings import Settings

LANGUAGE_COOKIE = "lifeline_language"
_PURPOSE = b"lifeline board session 1"


def cookie_name(scheme: str) -> str:
    """The name of the cookie: over https with the prefix by which no sibling host and no plain http can set it."""
    return "__Host-lifeline" if scheme == "https" else "lifeline"


def cookies(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The cookies of a request; none of a header that is no cookie header."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name == b"cookie":
            try:
                found |= {each: morsel.value for each, morsel in SimpleCookie(value.decode("latin-1")).items()}
            except CookieError:
                continue
    return found


class Sessions:
    """Seals keys into cookies and opens them again."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.session_secret.get_secret_value() or secrets.token_urlsafe(32)
        derived = HKDF(SHA256(), 32, None, _PURPOSE).derive(secret.encode())
        self._box = Fernet(base64.urlsafe_b64encode(derived))
        self._seconds = settings.session_hours * 3600

    def seal(self, key: str) -> str:
        """The value of a cookie for a key."""
        return self._box.encrypt(key.encode()).decode()

    def open(self, value: str) -> str | None:
        """The key in a cookie's value; None when it is not ours, altered, or too old."""
        try:
            return self._box.decrypt(value.encode(), ttl=self._seconds).decode()
        except (InvalidToken, UnicodeError):
            return None

    def key_of(self, scope: Scope) -> str | None:
        """The key that a request's cookie holds."""
        value = cookies(scope["headers"]).get(cookie_name(scope["scheme"]))
        return None if value is None else self.open(value)
