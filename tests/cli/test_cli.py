"""The `lifeline` command: what each of its commands does and prints, and one clear line where it cannot."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from fastapi import FastAPI

import app
from app.cli import cli
from app.settings import get_settings
from app.storage.migrations import required_schema_revision
from tests.benchmarks.load_command import load_command
from tests.support.processes import ROOT, serve
from tests.support.servers import execute_sql, invoke, query_rows, wait_if_window_ends_within

pytestmark = pytest.mark.starts_early

KEY = r"ll_[A-Za-z0-9_-]{32,}"
Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str) -> Run:
    """Runs `lifeline` on the test's database."""
    return lambda *arguments: invoke(*arguments, database_url=database_url)


def refused(result: Result) -> str:
    """The one line that a refused command writes to standard error; nothing else, and no traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_the_commands_and_their_help() -> None:
    listed = invoke().output
    for name in ("serve", "migrate", "demo", "verify", "key", "openapi"):
        assert re.search(rf"^\W*{name}\s+\w", listed, re.MULTILINE), name
        assert invoke(name, "--help").exit_code == 0
    assert invoke("--version").output.strip() == app.__version__
    assert cli.info.name == "lifeline"
    assert invoke("no-such-command").exit_code == 2


def test_migrate(new_database: Callable[[], str], run: Run) -> None:
    assert run("migrate").output == f"Already at {required_schema_revision()}.\n"
    assert run("migrate", "--reassess").output.endswith("Reassessed 0 indicators.\n")


def test_migrate_makes_a_new_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert invoke("migrate", database_url=url).output == f"Migrated from nothing to {required_schema_revision()}.\n"
    assert query_rows(url, "SELECT count(*) FROM report") == [(0,)]


def test_demo_loads_once_and_prints_a_key_each_time(run: Run, database_url: str) -> None:
    first, second = run("demo").output, run("demo").output
    assert "Loaded Aleppo, July to October 2016." in first
    assert "The database has reports already: nothing was loaded." in second
    keys = [re.findall(KEY, each) for each in (first, second)]
    assert [len(each) for each in keys] == [1, 1]
    assert keys[0] != keys[1]
    # The same key with another secret, so that they do not pile up.
    assert query_rows(database_url, "SELECT count(*) FROM api_key WHERE name = 'demo'") == [(1,)]
    # With the one that is restricted, of which a lower label is proposed.
    assert query_rows(database_url, "SELECT count(*) FROM report") == [(17,)]
    assert "Reassessed 8 indicators." in run("migrate", "--reassess").output


def test_demo_gives_nobody_a_key_to_other_statements(run: Run, database_url: str) -> None:
    assert invoke("--reports", "20", command=load_command, database_url=database_url).exit_code == 0
    told = run("demo").output
    assert "nothing was loaded" in told
    assert not re.findall(KEY, told)
    assert query_rows(database_url, "SELECT count(*) FROM api_key") == [(0,)]


def test_verify_says_so_or_names_what_was_altered(run: Run, database_url: str) -> None:
    run("demo")
    fine = run("verify")
    assert (fine.exit_code, fine.output) == (0, "The ledger and every stored indicator are as they were written.\n")
    execute_sql(database_url, "UPDATE report SET credibility = 1 WHERE global_seq = 7")
    broken = run("verify")
    assert broken.exit_code == 1
    assert re.search(r"\b7\b", broken.stdout)
    assert re.fullmatch(r"[1-9]\d* problems? found\.\n", broken.stderr)


def _create(run: Run, *more: str) -> Result:
    return run("key", "create", "--name", "field desk", "--org", "my-ngo", "--scope", "read", "--scope", "report", *more)


def test_key_create_prints_the_secret_once_and_list_never(run: Run, database_url: str) -> None:
    made = _create(run, "--clearance", "amber", "--expires", "2099-12-31")
    assert made.exit_code == 0
    secret = made.stdout.removesuffix("\n")
    assert re.fullmatch(KEY, secret)
    listed = run("key", "list").output
    assert secret not in listed
    for shown in ("field desk", "my-ngo", "read report", "amber", "2099-12-31T23:59:59+00:00"):
        assert shown in listed.splitlines()[-1]
    # Only a hash is stored.
    stored = [str(value) for row in query_rows(database_url, "SELECT * FROM api_key") for value in row]
    assert not [value for value in stored if secret in value]


def test_key_revoke(run: Run, database_url: str) -> None:
    _create(run)
    line = run("key", "list").output.splitlines()[-1]
    identifier = line.split()[0]
    assert run("key", "revoke", identifier).output == f"Revoked {identifier}.\n"
    assert re.search(rf"{identifier}.*\d{{4}}-\d\d-\d\dT", run("key", "list").output)
    unknown = "01900000-0000-7000-8000-000000000000"
    assert refused(run("key", "revoke", unknown)) == f"There is no key {unknown}."
    assert refused(run("key", "revoke", "nonsense")) == "There is no key nonsense."


@pytest.mark.parametrize("expires", ["31.12.2099", "2099-02-30", "soon"])
def test_a_key_that_expires_on_no_date_is_not_made(run: Run, expires: str) -> None:
    assert "2026-12-31" in refused(_create(run, "--expires", expires))
    assert "my-ngo" not in run("key", "list").output


@pytest.mark.parametrize(("option", "value"), [("--scope", "everything"), ("--clearance", "secret")])
def test_unknown_scopes_and_clearances_are_not_taken(run: Run, option: str, value: str) -> None:
    wrong = _create(run, option, value)
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert value in wrong.stderr


def test_openapi_writes_the_document(tmp_path: Path, built_app: FastAPI) -> None:
    path = tmp_path / "new folder" / "v1.json"
    assert invoke("openapi", str(path)).exit_code == 0
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(built_app.openapi()))


COMMANDS: list[tuple[str, ...]] = [("serve",), ("migrate",), ("demo",), ("verify",), ("key", "list")]


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_database_each_command_says_so(command: tuple[str, ...]) -> None:
    line = refused(invoke(*command, database_url="postgresql://nobody:a-password@127.0.0.1:1/none"))
    assert line.startswith("The database cannot be used: ")
    assert "a-password" not in line


@pytest.mark.parametrize("command", COMMANDS[2:])
def test_on_a_database_without_a_schema_it_names_migrate(command: tuple[str, ...], tmp_path: Path) -> None:
    assert "Run `lifeline migrate` if that has not been done." in refused(
        invoke(*command, database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    )


@pytest.mark.parametrize("command", [("migrate",), ("serve",)])
def test_a_schema_of_a_later_version_is_left_alone(command: tuple[str, ...], run: Run, database_url: str, engine: str) -> None:
    execute_sql(database_url, "UPDATE alembic_version SET version_num = '2999_later'")
    line = refused(run(*command))
    assert "2999_later" in line or (engine, command) == ("postgresql", ("serve",))
    assert query_rows(database_url, "SELECT version_num FROM alembic_version") == [("2999_later",)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("database_url", "mysql://localhost/x"), ("database_pool_size", "many"), ("public_clearance", "secret"), ("horizon_days", "thirty")],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_settings_that_are_not_valid_are_named(command: tuple[str, ...], setting: str, value: str) -> None:
    settings: dict[str, Any] = {"database_url": "sqlite://", setting: value}
    line = refused(invoke(*command, **settings))
    assert line.startswith("The settings are invalid: ")
    assert setting in line.lower()
    get_settings.cache_clear()


def test_serve_demo_prints_addresses_and_a_key_for_workers_that_count_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'demo.db'}"
    # Python starts anew for the command and for each worker, as it does for whoever types this.
    with serve(tmp_path, "--demo", "--workers", "2", code=ROOT, database_url=url, rate_limit_anonymous="30/minute") as server:
        printed = server.output.read_text()
        addresses = re.findall(r"http://localhost:\d+(/\S+)", printed)
        assert addresses == ["/v1/indicators", "/docs"]
        headers = {"Authorization": f"Bearer {server.key}"}
        while server.output.read_text().count("Application startup complete") < 2:
            time.sleep(0.05)
        wait_if_window_ends_within(10)
        # The first request of a key counts for its address.
        added = httpx.post(f"{server.url}/v1/places", headers=headers, json={"slug": "somewhere", "name": "Somewhere"})
        assert added.status_code == 201
        # Each request on a connection of its own, so that both get some: their answers add up to the limit, no more.
        answers = [httpx.get(f"{server.url}{addresses[number % 2]}") for number in range(45)]
        statuses = [each.status_code for each in answers]
    assert (statuses.count(200), statuses.count(429)) == (29, 16)
