"""Help and version, and one clear line for each error of any command."""

import re
from typing import Any

import pytest

import app
from app.cli import cli
from app.settings import get_settings
from tests.cli.conftest import error_line
from tests.support.servers import invoke

COMMANDS: list[tuple[str, ...]] = [("serve",), ("migrate",), ("demo",), ("verify",), ("key", "list")]


def test_help_lists_every_command_and_version_prints_it() -> None:
    listed = invoke().output
    for name in (
        "serve", "demo", "openapi", "migrate", "verify", "doctor", "backup", "restore", "key", "audit", "import", "export", "place", "pull",
        "ledger", "verify-proof",
    ):  # fmt: skip
        assert re.search(rf"^\W*{name}\s+\w", listed, re.MULTILINE), name
        assert invoke(name, "--help").exit_code == 0
    assert invoke("--version").output.strip() == app.__version__
    assert cli.info.name == "lifeline"
    assert invoke("no-such-command").exit_code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_command_without_a_database_prints_one_line(command: tuple[str, ...]) -> None:
    line = error_line(invoke(*command, database_url="postgresql://nobody:a-password@127.0.0.1:1/none"))
    assert line.startswith("The database cannot be used: ")
    assert "a-password" not in line


@pytest.mark.parametrize("command", COMMANDS[2:])
def test_command_without_a_schema_names_migrate(command: tuple[str, ...], tmp_path: Any) -> None:
    line = error_line(invoke(*command, database_url=f"sqlite:///{tmp_path / 'empty.db'}"))
    assert "Run `lifeline migrate` if that has not been done." in line


@pytest.mark.parametrize(
    ("setting", "value"),
    [("database_url", "mysql://localhost/x"), ("database_pool_size", "many"), ("public_clearance", "secret"), ("horizon_days", "thirty")],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_command_with_an_invalid_setting_names_it(command: tuple[str, ...], setting: str, value: str) -> None:
    settings: dict[str, Any] = {"database_url": "sqlite://", setting: value}
    line = error_line(invoke(*command, **settings))
    assert line.startswith("The settings are invalid: ")
    assert setting in line.lower()
    get_settings.cache_clear()
