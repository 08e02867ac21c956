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
from app.storage.database_errors import classify_database_error
from app.storage.migrations import required_schema_revision, read_schema_revision
from app.storage.replica import REPLICA_ERRORS, Replica
from app.storage.sqlite_integrity import find_corruption, sqlite_path
from app.storage.types import table_of

MIN_FREE_BYTES = 100 * 1024 * 1024
MAX_CLOCK_SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, whether it is well, and what was seen."""

    name: str
    ok: bool
    detail: str


async def run_checks(settings: Settings) -> AsyncIterator[CheckResult]:
    """Look at one thing after another; what needs the database is left out where that does not answer."""
    yield _configuration(settings)
    damage = find_corruption(settings.database_url)
    if damage is not None:
        yield CheckResult("database", ok=False, detail=f"damaged: {damage}")
        return
    path = sqlite_path(settings.database_url)
    if path is not None and not path.exists():
        yield CheckResult("database", ok=False, detail=f"there is no file {path}")
        return
    if path is not None:
        yield _disk(path)
    database = Database(settings)
    try:
        async with database.writer.connect() as connection:
            yield CheckResult("database", ok=True, detail=f"{database.dialect} answers and can be written to")
            found = await connection.run_sync(read_schema_revision)
            at_head = found == required_schema_revision()
            seen = f"at {found}" if at_head else f"at {found}, not {required_schema_revision()}: run `lifeline migrate`"
            yield CheckResult("schema", ok=at_head, detail=seen)
            if not at_head:
                return
            skew = 0.0
            if database.dialect == "postgresql":
                theirs: datetime = (await connection.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()
                skew = abs((utc_now() - theirs).total_seconds())
            last: datetime = (await connection.execute(select(table_of(LedgerHead).c.recorded_at))).scalar_one()
            ahead = (last - utc_now()).total_seconds()
            seen = f"the last entry is {ahead:.0f} s ahead of it" if ahead > 0 else f"behind no entry, {skew:.1f} s from the database's"
            yield CheckResult("clock", ok=ahead <= 0 and skew <= MAX_CLOCK_SKEW_SECONDS, detail=seen)
            problem = await check_head(connection)
            number = (await connection.execute(select(func.count()).select_from(table_of(LedgerEntry)))).scalar_one()
            yield CheckResult("ledger", ok=problem is None, detail=problem or f"{number} entries, and the head is that of the last")
            if database.replica is not None:
                yield await _replica(database.replica, number)
    except Exception as error:
        if (told := classify_database_error(error)) is None:
            raise
        yield CheckResult("database", ok=False, detail=told.detail)
    finally:
        await database.close()


async def _replica(replica: Replica, number: int) -> CheckResult:
    try:
        async with replica.engine.connect() as connection:
            found = (await connection.execute(text("SELECT global_seq, pg_is_in_recovery() AS follows FROM ledger_head"))).one()
    except REPLICA_ERRORS as error:
        told = classify_database_error(error)
        return CheckResult(
            "replica", ok=False, detail=f"{told.detail if told else 'It does not answer.'} The primary answers what it would."
        )
    if not found.follows:
        return CheckResult("replica", ok=False, detail="what LIFELINE_READ_DATABASE_URL names follows no primary")
    return CheckResult("replica", ok=True, detail=f"answers, {max(0, number - found.global_seq)} entries behind")


def _configuration(settings: Settings) -> CheckResult:
    open_to_all = settings.public_clearance is not Label.CLEAR
    seen = f"everybody sees what is {settings.public_clearance.value} (LIFELINE_PUBLIC_CLEARANCE)" if open_to_all else "valid"
    return CheckResult("configuration", ok=not open_to_all, detail=seen)


def _disk(path: Path) -> CheckResult:
    folder = path.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return CheckResult("disk", ok=False, detail=f"cannot be written to: {error.strerror}")
    free = shutil.disk_usage(folder).free
    # A migration, and a log that cannot be folded in while somebody reads, take as much again as the file has.
    needed = max(MIN_FREE_BYTES, path.stat().st_size)
    return CheckResult("disk", ok=free >= needed, detail=f"{free // 1_000_000} MB free, {needed // 1_000_000} MB are to be")
