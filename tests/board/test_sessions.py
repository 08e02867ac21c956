"""Tests for session cookies."""

import pytest

from app.board.sessions import Sessions
from app.settings import Settings

SECRET = "s" * 32


def test_cookie_is_decrypted_with_the_same_secret_only() -> None:
    encrypted = Sessions(Settings(session_secret=SECRET)).encrypt("ll_key")
    assert Sessions(Settings(session_secret=SECRET)).decrypt(encrypted) == "ll_key"
    assert Sessions(Settings(session_secret="t" * 32)).decrypt(encrypted) is None
    assert Sessions(Settings()).decrypt(encrypted) is None
    assert Sessions(Settings(session_secret=SECRET)).decrypt(encrypted[:-3] + "abc") is None
    assert Sessions(Settings(session_secret=SECRET)).decrypt("é") is None


def test_cookie_expires() -> None:
    sessions = Sessions(Settings(session_secret=SECRET))
    encrypted = sessions.encrypt("ll_key")
    sessions._max_age_seconds = -1
    assert sessions.decrypt(encrypted) is None


def test_short_secret_is_rejected() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Settings(session_secret="short")
