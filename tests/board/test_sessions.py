"""Tests for session cookies."""

import pytest
from pydantic import SecretStr

from app.board.sessions import Sessions
from app.settings import Settings
from app.storage.database import Database

SECRET = "s" * 32


def sessions(secret: str) -> Sessions:
    settings = Settings.model_construct(session_secret=SecretStr(secret))
    return Sessions(settings, Database(settings))


def test_cookie_is_decrypted_with_the_same_secret_only() -> None:
    encrypted = sessions(SECRET).encrypt("ll_key")
    assert sessions(SECRET).decrypt(encrypted) == "ll_key"
    assert sessions("t" * 32).decrypt(encrypted) is None
    assert sessions("").decrypt(encrypted) is None
    assert sessions(SECRET).decrypt(encrypted[:-3] + "abc") is None
    assert sessions(SECRET).decrypt("é") is None


def test_cookie_expires() -> None:
    expired = sessions(SECRET)
    encrypted = expired.encrypt("ll_key")
    expired._max_age_seconds = -1
    assert expired.decrypt(encrypted) is None


def test_short_secret_is_rejected() -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Settings(session_secret="short")
