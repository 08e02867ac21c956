"""Fixtures for tests of imports."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.servers import invoke

Run = Callable[..., Any]


@pytest.fixture
def run(seeded_database: str) -> Run:
    """Return a function that runs `lifeline` on a database with reference data."""
    return lambda *arguments: invoke(*arguments, database_url=seeded_database)
