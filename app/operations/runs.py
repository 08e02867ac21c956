"""Remember when `lifeline backup` and `lifeline verify` last ended well, for the metrics."""

from contextlib import suppress

import asyncpg
from sqlalchemy import insert, inspect, update
from sqlalchemy.exc import SQLAlchemyError

from app.domain.times import utc_now
from app.operations.backup_checksum import CHECKSUM_TABLE
from app.operations.models import OperationRun
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of

BACKUP = "backup"
VERIFY = "verify"


async def record_run(settings: Settings, name: str) -> None:
    """Note that a command has just ended well, unless the database is a backup or cannot be written to."""
    table, now = table_of(OperationRun), utc_now()
    with suppress(SQLAlchemyError, asyncpg.PostgresError, OSError):
        async with Database(settings) as database:
            async with database.reader.connect() as connection:
                # A change would break the checksum of a backup.
                if await connection.run_sync(lambda sync: inspect(sync).has_table(CHECKSUM_TABLE)):
                    return
            async with database.writer.begin() as connection:
                updated = await connection.execute(update(table).where(table.c.name == name).values(finished_at=now))
                if not updated.rowcount:
                    await connection.execute(insert(table).values(name=name, finished_at=now))
