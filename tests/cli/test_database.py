"""`lifeline migrate` and `verify`; the tests of backups and of the doctor are in tests/operations."""

import re
from pathlib import Path

import pytest

from app.storage.migrations import required_schema_revision
from tests.cli.conftest import Run, error_line
from tests.support.servers import execute_sql, invoke, query_rows


def test_migrate_of_a_current_schema_changes_nothing(run: Run) -> None:
    assert run("migrate").output == f"Already at {required_schema_revision()}.\n"
    assert run("migrate", "--reassess").output.endswith("Reassessed 0 indicators.\n")


def test_migrate_creates_a_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert invoke("migrate", database_url=url).output == f"Migrated from nothing to {required_schema_revision()}.\n"
    assert query_rows(url, "SELECT count(*) FROM report") == [(0,)]


@pytest.mark.parametrize("command", [("migrate",), ("serve",)])
def test_later_schema_is_refused_and_unchanged(command: tuple[str, ...], run: Run, database_url: str, engine: str) -> None:
    execute_sql(database_url, "UPDATE alembic_version SET version_num = '2999_later'")
    line = error_line(run(*command))
    assert "2999_later" in line or (engine, command) == ("postgresql", ("serve",))
    assert query_rows(database_url, "SELECT version_num FROM alembic_version") == [("2999_later",)]


def test_verify_prints_one_line_or_each_problem(run: Run, database_url: str) -> None:
    run("demo")
    verified = run("verify")
    assert (verified.exit_code, verified.output) == (0, "The ledger and every stored indicator are as they were written.\n")
    execute_sql(database_url, "UPDATE report SET credibility = 1 WHERE global_seq = 24")
    altered = run("verify")
    assert altered.exit_code == 1
    assert re.search(r"\b24\b", altered.stdout)
    assert re.fullmatch(r"[1-9]\d* problems? found\.\n", altered.stderr)
