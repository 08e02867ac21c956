"""The schema of a database: where it stands, and how it gets to head."""

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
    """Alembic's configuration; with a connection, its commands run on that."""
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@lru_cache
def required_schema_revision() -> str | None:
    """The revision that this version of the code needs."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def read_schema_revision(connection: Connection) -> str | None:
    """The revision that a database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection, revision: str) -> None:
    command.upgrade(alembic_config(connection), revision)


async def _migrate(settings: Settings, revision: str) -> tuple[str | None, str | None]:
    database = Database(settings)
    try:
        async with database.writer.begin() as connection:
            before = await connection.run_sync(read_schema_revision)
            if revision == "head" and before == required_schema_revision():
                return before, before
            await connection.run_sync(_upgrade, revision)
            return before, await connection.run_sync(read_schema_revision)
    finally:
        await database.close()


def migrate(settings: Settings, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the database to a revision in one transaction; answers the revisions before and after."""
    return asyncio.run(_migrate(settings, revision))


async def _current(settings: Settings) -> str | None:
    database = Database(settings)
    try:
        async with database.reader.connect() as connection:
            return await connection.run_sync(read_schema_revision)
    finally:
        await database.close()


def schema_revision(settings: Settings) -> str | None:
    """The revision that the configured database is at."""
    return asyncio.run(_current(settings))
