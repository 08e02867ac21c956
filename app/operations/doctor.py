"""What an operator would look at first, looked at: configuration, database, schema, disk, clock, the end of the ledger, the replica."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import DateTime, func, select, text

from app.domain.times import utc_now
from app.domain.tlp import Label
from app.ledger.models import LedgerEntry, LedgerHead
from app.ledger.verify import check_head
from app.settings import Settings
from app.storage.database import Database
from app.storage.database_errors import database_problem
from app.storage.migrations import revision_at_head, revision_in
from app.storage.replica import UNAVAILABLE, Replica
from app.storage.sqlite_integrity import damage_in, path_of
from app.storage.types import table_of

LEAST_BYTES = 100 * 1024 * 1024
MOST_SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, whether it is well, and what was seen."""

    what: str
    well: bool
    seen: str


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Look at one thing after another; what needs the database is left out where that does not answer."""
    yield _configuration(settings)
    damage = damage_in(settings.database_url)
    if damage is not None:
        yield Finding("database", well=False, seen=f"damaged: {damage}")
        return
    path = path_of(settings.database_url)
    if path is not None and not path.exists():
        yield Finding("database", well=False, seen=f"there is no file {path}")
        return
    if path is not None:
        yield _disk(path)
    database = Database(settings)
    try:
        async with database.writer.connect() as connection:
            yield Finding("database", well=True, seen=f"{database.dialect} answers and can be written to")
            found = await connection.run_sync(revision_in)
            at_head = found == revision_at_head()
            seen = f"at {found}" if at_head else f"at {found}, not {revision_at_head()}: run `lifeline migrate`"
            yield Finding("schema", well=at_head, seen=seen)
            if not at_head:
                return
            skew = 0.0
            if database.dialect == "postgresql":
                theirs: datetime = (await connection.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()
                skew = abs((utc_now() - theirs).total_seconds())
            last: datetime = (await connection.execute(select(table_of(LedgerHead).c.recorded_at))).scalar_one()
            ahead = (last - utc_now()).total_seconds()
            seen = f"the last entry is {ahead:.0f} s ahead of it" if ahead > 0 else f"behind no entry, {skew:.1f} s from the database's"
            yield Finding("clock", well=ahead <= 0 and skew <= MOST_SKEW_SECONDS, seen=seen)
            problem = await check_head(connection)
            number = (await connection.execute(select(func.count()).select_from(table_of(LedgerEntry)))).scalar_one()
            yield Finding("ledger", well=problem is None, seen=problem or f"{number} entries, and the head is that of the last")
            if database.replica is not None:
                yield await _replica(database.replica, number)
    except Exception as error:
        if (told := database_problem(error)) is None:
            raise
        yield Finding("database", well=False, seen=told.detail)
    finally:
        await database.close()


async def _replica(replica: Replica, number: int) -> Finding:
    try:
        async with replica.engine.connect() as connection:
            found = (await connection.execute(text("SELECT global_seq, pg_is_in_recovery() AS follows FROM ledger_head"))).one()
    except UNAVAILABLE as error:
        told = database_problem(error)
        return Finding("replica", well=False, seen=f"{told.detail if told else 'It does not answer.'} The primary answers what it would.")
    if not found.follows:
        return Finding("replica", well=False, seen="what LIFELINE_READ_DATABASE_URL names follows no primary")
    return Finding("replica", well=True, seen=f"answers, {max(0, number - found.global_seq)} entries behind")


def _configuration(settings: Settings) -> Finding:
    open_to_all = settings.public_clearance is not Label.CLEAR
    seen = f"everybody sees what is {settings.public_clearance.value} (LIFELINE_PUBLIC_CLEARANCE)" if open_to_all else "valid"
    return Finding("configuration", well=not open_to_all, seen=seen)


def _disk(path: Path) -> Finding:
    folder = path.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding("disk", well=False, seen=f"cannot be written to: {error.strerror}")
    free = shutil.disk_usage(folder).free
    # A migration, and a log that cannot be folded in while somebody reads, take as much again as the file has.
    needed = max(LEAST_BYTES, path.stat().st_size)
    return Finding("disk", well=free >= needed, seen=f"{free // 1_000_000} MB free, {needed // 1_000_000} MB are to be")
