"""The command on the test's database."""

from collections.abc import Callable

import pytest
from click.testing import Result

from tests.support.servers import invoke

Run = Callable[..., Result]
KEY_PATTERN = r"ll_[A-Za-z0-9_-]{32,}"


@pytest.fixture
def run(database_url: str) -> Run:
    """Return a function that runs `lifeline` on the test's database."""
    return lambda *arguments: invoke(*arguments, database_url=database_url)


def error_line(result: Result) -> str:
    """Check that a command failed without output or traceback, and return its one line of standard error."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line
