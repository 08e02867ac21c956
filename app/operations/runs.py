"""Remember when `lifeline backup` and `lifeline verify` last ended well, for the metrics, and when all was last reassessed."""

from contextlib import suppress

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.times import utc_now
from app.operations.backup_checksum import CHECKSUM_TABLE
from app.operations.models import OperationRun
from app.settings import Settings
from app.storage.database import Database
from app.storage.database_errors import DATABASE_ERRORS

BACKUP = "backup"
VERIFY = "verify"
# Alerts are not judged again then, so `verify` compares only later ones.
REASSESS = "reassess"
# The note is not worth that the command waits for a long write.
MAX_WAIT_SECONDS = 2.0


async def record_run(settings: Settings, name: str) -> None:
    """Note that a command has just ended well, unless the database is a backup or cannot be written to at once."""
    settings = settings.model_copy(update={"database_lock_timeout_seconds": min(MAX_WAIT_SECONDS, settings.database_lock_timeout_seconds)})
    with suppress(*DATABASE_ERRORS):
        async with Database(settings) as database:
            async with database.reader.connect() as connection:
                # A change would break the checksum of a backup.
                if await connection.run_sync(lambda sync: inspect(sync).has_table(CHECKSUM_TABLE)):
                    return
            async with AsyncSession(database.writer) as session, session.begin():
                await session.merge(OperationRun(name=name, finished_at=utc_now()))
