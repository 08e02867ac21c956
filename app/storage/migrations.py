"""The revision of the database schema, and its migration by Alembic."""

import asyncio
from functools import lru_cache
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from alembic import command
from app.settings import Settings
from app.storage.database import Database
from app.storage.private_files import create_private_file
from app.storage.sqlite_file import sqlite_path


def _scripts() -> Path:
    installed = Path(__file__).parent.parent / "alembic"
    return installed if installed.is_dir() else Path(__file__).parent.parent.parent / "alembic"


def alembic_config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration; with a connection, Alembic's commands run on it."""
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@lru_cache
def known_revisions() -> list[str]:
    """Return the revisions that this version knows, newest first."""
    return [each.revision for each in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


def required_schema_revision() -> str:
    """Return the revision that this version of the code needs."""
    return known_revisions()[0]


def read_schema_revision(connection: Connection) -> str | None:
    """Return the revision of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


class SchemaError(Exception):
    """The reason why this version cannot use the schema of a database, and what to do."""


def schema_problem(found: str | None, *, earlier: bool = False) -> str | None:
    """Return why this version cannot use a schema, and what to do; with `earlier`, none and those before its own are fine."""
    if found is not None and found not in known_revisions():
        return f"This version does not know the schema of the database, {found}: install the version of Lifeline that made it."
    if earlier or found == required_schema_revision():
        return None
    if found is None:
        return "The database has no schema yet: run `lifeline migrate` first."
    return f"The schema is {found}, this version needs {required_schema_revision()}: run `lifeline migrate` first."


def require_schema(settings: Settings, *, earlier: bool = False) -> str | None:
    """Return the revision of the configured database; raise SchemaError if `schema_problem` has one, an error of the driver without it."""
    found = asyncio.run(_schema_revision(settings))
    if (problem := schema_problem(found, earlier=earlier)) is not None:
        raise SchemaError(problem)
    return found


def schema_revision(settings: Settings) -> str | None:
    """Return the revision of the configured database; None for an empty one, and for a SQLite file that is missing."""
    path = sqlite_path(settings.database_url)
    return asyncio.run(_schema_revision(settings)) if path is None or path.exists() else None


async def _schema_revision(settings: Settings) -> str | None:
    async with Database(settings) as database, database.reader.connect() as connection:
        return await connection.run_sync(read_schema_revision)


def migrate(settings: Settings, revision: str | None = None) -> tuple[str | None, str | None]:
    """Upgrade the configured database in one transaction; return the revisions before and after.

    `revision` is by default the required one. A missing SQLite file is created. Raises SchemaError for a schema of a later version.
    """
    if (path := sqlite_path(settings.database_url)) is not None:
        create_private_file(path)
    return asyncio.run(_migrate(settings, revision or required_schema_revision()))


async def _migrate(settings: Settings, revision: str) -> tuple[str | None, str | None]:
    async with Database(settings) as database, database.writer.begin() as connection:
        before = await connection.run_sync(read_schema_revision)
        if (problem := schema_problem(before, earlier=True)) is not None:
            raise SchemaError(problem)
        if before != revision:
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), revision))
        return before, await connection.run_sync(read_schema_revision)
