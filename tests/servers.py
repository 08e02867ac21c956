"""The `lifeline` command, as a process of its own or in this one, and SQL past the service, by hand.

Servers that run are in `tests.processes`.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import Result
from sqlalchemy import Row
from typer.testing import CliRunner

from app.access.service import Scope, create_key
from app.cli import cli
from app.db import Database
from app.labels import Label
from app.settings import Settings, get_settings
from tests.processes import environment


def lifeline(*arguments: str, seconds: float | None = 60, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `lifeline` as a process with settings such as `database_url=...`, to its end."""
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=seconds, check=False)


def invoke(*arguments: str, **settings: str) -> Result:
    """Run `lifeline` in this process, which is some seconds faster: all but the start is the same."""
    get_settings.cache_clear()
    try:
        return CliRunner().invoke(cli, arguments, env={f"LIFELINE_{name.upper()}": value for name, value in settings.items()})
    finally:
        get_settings.cache_clear()


async def execute_by_hand(url: str, *statements: str) -> None:
    """Run statements on a database as somebody does who goes round the service, in one transaction."""
    database = Database(Settings(database_url=url))
    try:
        async with database.writer.begin() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
    finally:
        await database.close()


def by_hand(url: str, *statements: str) -> None:
    """The same, for tests that are not async."""
    asyncio.run(execute_by_hand(url, *statements))


def rows(url: str, query: str) -> list[Row[Any]]:
    """What a query answers, past the service."""

    async def ask() -> list[Row[Any]]:
        database = Database(Settings(database_url=url))
        try:
            async with database.reader.connect() as connection:
                return list((await connection.exec_driver_sql(query)).all())
        finally:
            await database.close()

    return asyncio.run(ask())


async def new_key(url: str, *scopes: Scope, clearance: Label = Label.RED, organisation: str = "test") -> str:
    """The secret of a new key, with every scope unless told otherwise, for a server that runs elsewhere."""
    database = Database(Settings(database_url=url))
    try:
        async with database.write() as session:
            _, secret = await create_key(
                session, name="test", organisation=organisation, scopes=scopes or tuple(Scope), clearance=clearance
            )
        return secret
    finally:
        await database.close()


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder by relative path, but for what Python compiled."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
