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
def required_schema_revision() -> str | None:
    """Return the revision that this version of the code needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def read_schema_revision(connection: Connection) -> str | None:
    """Return the revision of a database; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def schema_revision(settings: Settings) -> str | None:
    """Return the revision of the configured database; None for an empty one."""
    return asyncio.run(_schema_revision(settings))


async def _schema_revision(settings: Settings) -> str | None:
    async with Database(settings) as database, database.reader.connect() as connection:
        return await connection.run_sync(read_schema_revision)


def migrate(settings: Settings) -> tuple[str | None, str | None]:
    """Upgrade the configured database to the required revision in one transaction; return the revisions before and after."""
    return asyncio.run(_migrate(settings))


async def _migrate(settings: Settings) -> tuple[str | None, str | None]:
    async with Database(settings) as database, database.writer.begin() as connection:
        before = await connection.run_sync(read_schema_revision)
        if before != required_schema_revision():
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
        return before, await connection.run_sync(read_schema_revision)
