"""The `lifeline` command, as a process of its own or in this one, an application with other settings, and SQL past the service, by hand.

Servers that run are in `tests.support.processes`.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import typer
from asgi_lifespan import LifespanManager
from click.testing import Result
from fastapi import FastAPI
from sqlalchemy import Row
from typer.testing import CliRunner

from app.access.keys import create_key
from app.access.principal import Scope
from app.cli import cli
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings, get_settings
from app.storage.database import Database
from app.telemetry.logging import configure_logging
from tests.support.processes import environment


def lifeline(*arguments: str, seconds: float | None = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `lifeline` as a process with settings such as `database_url=...`, to its end."""
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=seconds, check=False)


def invoke(*arguments: str, command: typer.Typer = cli, **settings: str) -> Result:
    """Run `lifeline` in this process, which is some seconds faster: all but the start is the same."""
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(command, arguments, env={f"LIFELINE_{name.upper()}": value for name, value in settings.items()})
    finally:
        get_settings.cache_clear()
        # An application that it built writes its logs to a standard error that is closed by now.
        configure_logging()


@cache
def _another_app() -> FastAPI:
    # To build one takes longer than most tests.
    return create_app(Settings())


# To read the environment for each field takes longer than to open a database.
_DEFAULTS = Settings()


def settings_on(url: str, **more: Any) -> Settings:
    """Settings on a database, and others as they are."""
    return _DEFAULTS.model_copy(update={"database_url": url, **more})


@asynccontextmanager
async def client_for(settings: Settings, secret: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with these settings, beside the one under test; of one such application at a time."""
    app = _another_app()
    app.state.settings = settings
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with LifespanManager(app), httpx.AsyncClient(transport=transport, base_url="http://lifeline.test", headers=headers) as client:
        yield client


def wait_if_window_ends_within(seconds: int) -> None:
    """Windows begin with the clock's minutes: not to begin in one and end in the next."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left)


async def wait_until_following(database: Database) -> None:
    """Until the process follows its database, which it does not from the first moment on PostgreSQL."""
    async with asyncio.timeout(10):
        while database.commit_notifier.version() is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def execute_sql_async(url: str, *statements: str) -> None:
    """Run statements on a database as somebody does who goes round the service, in one transaction."""
    database = Database(settings_on(url))
    try:
        async with database.writer.begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
    finally:
        await database.close()


def execute_sql(url: str, *statements: str) -> None:
    """The same, for tests that are not async."""
    asyncio.run(execute_sql_async(url, *statements))


def query_rows(url: str, query: str) -> list[Row[Any]]:
    """What a query answers, past the service."""

    async def ask() -> list[Row[Any]]:
        database = Database(settings_on(url))
        try:
            async with database.reader.connect() as connection:
                return list((await connection.exec_driver_sql(query)).all())
        finally:
            await database.close()

    return asyncio.run(ask())


async def new_key(url: str, *scopes: Scope, clearance: Label = Label.RED, organisation: str = "test") -> str:
    """The secret of a new key, with every scope unless told otherwise, for a server that runs elsewhere."""
    database = Database(settings_on(url))
    try:
        async with database.write() as session:
            _, secret = await create_key(
                session, name="test", organisation=organisation, scopes=scopes or tuple(Scope), clearance=clearance
            )
        return secret
    finally:
        await database.close()


def read_tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder by relative path, but for what Python compiled."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
