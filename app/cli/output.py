"""Output, errors, settings and the event loop of every command."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from pydantic_settings import SettingsError
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.explain import explain_database_error
from app.http.problems import Problem
from app.settings import Settings, get_settings
from app.storage.database import Database
from app.storage.database_errors import DATABASE_ERRORS
from app.storage.migrations import SchemaError, migrate, require_schema

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

T = TypeVar("T")


def fail(message: str) -> typer.Exit:
    """Print a message to standard error, and return the exception to raise for exit code 1."""
    stderr.print(message)
    return typer.Exit(1)


@contextmanager
def database_errors() -> Iterator[None]:
    """Exit with one line if the database cannot be used."""
    try:
        yield
    except SchemaError as error:
        raise fail(str(error)) from None
    except Problem as problem:
        raise fail(problem.detail) from None
    except DATABASE_ERRORS as error:
        raise fail(explain_database_error(error, load_settings().database_url)) from None


def run(coroutine: Coroutine[Any, Any, T], *, schema: bool = True) -> T:
    """Run a coroutine to its end; exit with one line if the database cannot be used or, with `schema`, has not that of this version."""
    try:
        with database_errors():
            if schema:
                require_schema(load_settings())
            return asyncio.run(coroutine)
    finally:
        coroutine.close()


def migrate_sqlite(settings: Settings) -> None:
    """Migrate a SQLite database, as `serve` does; PostgreSQL only by `lifeline migrate`, because other machines use it, too."""
    if settings.database_url.startswith("sqlite"):
        migrate(settings)


def in_transaction(work: Callable[[AsyncSession], Awaitable[T]], settings: Settings | None = None) -> T:
    """Run work in a write transaction of the configured database."""
    settings = settings or load_settings()

    async def transact() -> T:
        async with Database(settings) as database, database.write() as session:
            return await work(session)

    return run(transact())


def load_settings(*, with_replica: bool = False) -> Settings:
    """Return the settings, by default without the replica, which may lack what was just written; exit with one line if invalid."""
    try:
        settings = get_settings()
        return settings if with_replica else settings.model_copy(update={"read_database_url": None})
    except SettingsError as error:
        raise fail(f"The settings are invalid: {error}.") from None
