"""The `lifeline` command in its own process or this one, an application with other settings, and SQL behind the service's back.

`tests.support.processes` has running servers.
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
from sqlalchemy import Row, select
from sqlmodel import col
from typer.testing import CliRunner

from app.access.keys import create_key
from app.access.principal import Scope
from app.assessment.models import IndicatorProjection, StaleRecord
from app.cli import cli
from app.domain.tlp import Label
from app.main import create_app
from app.settings import Settings, get_settings
from app.storage.database import Database
from app.telemetry.logging import configure_logging
from tests.support.processes import environment


def lifeline(*arguments: str, seconds: float | None = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `lifeline` as a process with settings such as `database_url=...` until it ends."""
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=seconds, check=False)


def invoke(*arguments: str, command: typer.Typer = cli, **settings: str) -> Result:
    """Run `lifeline` in this process, which saves the seconds of a start."""
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(command, arguments, env={f"LIFELINE_{name.upper()}": value for name, value in settings.items()})
    finally:
        get_settings.cache_clear()
        # The application logs to the runner's standard error, which is closed by now.
        configure_logging()


@cache
def _another_app() -> FastAPI:
    # Building one takes longer than most tests.
    return create_app(Settings())


# Reading the environment for each field takes longer than opening a database.
_DEFAULTS = Settings()


def settings_on(url: str, **more: Any) -> Settings:
    """Return settings for a database, with defaults for the rest."""
    return _DEFAULTS.model_copy(update={"database_url": url, **more})


@asynccontextmanager
async def client_for(settings: Settings, secret: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of a second application with these settings; one such application at a time."""
    app = _another_app()
    app.state.settings = settings
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with LifespanManager(app), httpx.AsyncClient(transport=transport, base_url="http://lifeline.test", headers=headers) as client:
        yield client


def wait_if_window_ends_within(seconds: int) -> None:
    """Wait for the next minute if less than `seconds` are left, because rate limit windows begin with the clock's minutes."""
    left = 60 - time.time() % 60
    if left < seconds:
        time.sleep(left)


async def wait_until_following(database: Database) -> None:
    """Wait until the process is notified of commits, which on PostgreSQL takes a moment after the start."""
    async with asyncio.timeout(10):
        while database.commit_notifier.version() is None:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.01)


async def wait_for_metric(client: httpx.AsyncClient, line: str) -> None:
    """Wait until `/metrics` of a server in another process has this line; the client's key is an administrator's."""
    async with asyncio.timeout(20):
        while f"\n{line}\n" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def wait_until_assessed(database: Database, seconds: float = 20) -> None:
    """Wait until the background has assessed what is stale, and has made the steps again that changes moved."""
    left = [
        select(col(StaleRecord.record_id)),
        select(col(IndicatorProjection.kept_until)).where(col(IndicatorProjection.kept_until).is_not(None)),
    ]
    async with asyncio.timeout(seconds):
        while True:
            async with database.read_latest() as connection:
                if all([(await connection.execute(each.limit(1))).first() is None for each in left]):
                    return
            await asyncio.sleep(0.02)


async def execute_sql_async(url: str, *statements: str) -> None:
    """Run statements on a database in one transaction, without the service."""
    database = Database(settings_on(url))
    try:
        async with database.writer.begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
    finally:
        await database.close()


def execute_sql(url: str, *statements: str) -> None:
    """Do the same in a synchronous test."""
    asyncio.run(execute_sql_async(url, *statements))


def query_rows(url: str, query: str) -> list[Row[Any]]:
    """Return the rows of a query, without the service."""

    async def ask() -> list[Row[Any]]:
        database = Database(settings_on(url))
        try:
            async with database.reader.connect() as connection:
                return list((await connection.exec_driver_sql(query)).all())
        finally:
            await database.close()

    return asyncio.run(ask())


async def new_key(url: str, *scopes: Scope, clearance: Label = Label.RED, organisation: str = "test", person: str | None = None) -> str:
    """Create a key, by default with every scope, and return its secret."""
    database = Database(settings_on(url))
    try:
        async with database.write() as session:
            _, secret = await create_key(
                session, name="test", organisation=organisation, person=person, scopes=scopes or tuple(Scope), clearance=clearance
            )
        return secret
    finally:
        await database.close()


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by relative path, without compiled Python."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
