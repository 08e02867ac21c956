"""Output, errors, settings and the event loop of every command."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from alembic.util import CommandError
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.settings import Settings, get_settings
from app.storage.database import Database

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

T = TypeVar("T")


def fail(message: str) -> typer.Exit:
    """Print a message to standard error, and return the exception to raise for exit code 1."""
    stderr.print(message)
    return typer.Exit(1)


@contextmanager
def database_errors(hint: str = "") -> Iterator[None]:
    """Exit with one line if the database cannot be used."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        raise fail(f"The database cannot be used: {reason}.{hint}") from None
    except CommandError as error:
        raise fail(f"This version does not know the schema of the database: {error}") from None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end; exit with one line if the database cannot be used."""
    with database_errors(" Run `lifeline migrate` if that has not been done."):
        return asyncio.run(coroutine)


def in_transaction(work: Callable[[AsyncSession], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run work in a write transaction of the configured database."""

    async def transact() -> T:
        async with Database(settings or load_settings()) as database, database.write() as session:
            return await work(session)

    return run(transact())


def load_settings(*, with_replica: bool = False) -> Settings:
    """Return the settings, by default without the replica, which may lack what was just written; exit with one line if invalid."""
    try:
        settings = get_settings()
        return settings if with_replica else settings.model_copy(update={"read_database_url": None})
    except ValidationError as error:
        problems = "; ".join(f"LIFELINE_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        raise fail(f"The settings are invalid: {problems}") from None
    except SettingsError as error:
        raise fail(f"The settings are invalid: {error}: the value must be JSON.") from None
