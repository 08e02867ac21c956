"""What every command of `lifeline` prints with, and how one ends that cannot do its work."""

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from alembic.util import CommandError
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from app.settings import Settings, get_settings

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

T = TypeVar("T")


@contextmanager
def database_errors(hint: str = "") -> Iterator[None]:
    """Stop with one line where the database cannot be used."""
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error)
        raise fail(f"The database cannot be used: {reason}.{hint}") from None
    except CommandError as error:
        raise fail(f"The schema of the database is not one that this version knows: {error}") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work to its end."""
    with database_errors(" Is `lifeline migrate` done?"):
        return asyncio.run(work)


def fail(message: str) -> typer.Exit:
    """Say what is wrong; what it answers, raised, ends the command with 1."""
    stderr.print(message)
    return typer.Exit(1)


def load_settings(*, with_replica: bool = False) -> Settings:
    """The settings of this process; stops with one line where they are not valid.

    Without the replica, unless asked for: a command would not know whether it has what was written.
    """
    try:
        settings = get_settings()
        return settings if with_replica else settings.model_copy(update={"read_database_url": None})
    except ValidationError as error:
        wrong = "; ".join(f"LIFELINE_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors())
        raise fail(f"The settings are not valid: {wrong}") from None
    except SettingsError as error:
        raise fail(f"The settings are not valid: {error}: it has to be JSON.") from None
