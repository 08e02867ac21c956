"""The board touches no database: it asks the public API, which is tested on both engines. One engine is enough here."""

import pytest


@pytest.fixture
def engine() -> str:
    """The quicker one."""
    return "sqlite"
