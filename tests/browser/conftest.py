"""The board reads the public API only, which has tests on both database engines. These tests run on SQLite only."""

import pytest


@pytest.fixture
def engine() -> str:
    """Return the engine of every test in this folder."""
    return "sqlite"
