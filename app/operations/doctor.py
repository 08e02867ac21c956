"""Checks of what an operator would look at first, for `lifeline doctor`."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import DateTime, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.times import utc_now
from app.domain.tlp import LABELS, Label
from app.ledger.checkpoints import find_signing_problems
from app.ledger.models import LedgerEntry, LedgerHead
from app.ledger.verify import check_head
from app.settings import Settings
from app.storage.database import Database
from app.storage.database_errors import DATABASE_ERRORS, classify_database_error
from app.storage.migrations import read_schema_revision, schema_problem
from app.storage.replica import Replica
from app.storage.sqlite_file import audit_database_url, exposed_files, sqlite_path
from app.storage.sqlite_integrity import find_corruption
from app.storage.types import table_of

MIN_FREE_BYTES = 100 * 1024 * 1024
MAX_CLOCK_SKEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    name: str
    ok: bool
    detail: str


async def run_checks(settings: Settings) -> AsyncIterator[CheckResult]:
    """Yield the result of each check; checks that need the database are skipped if it does not answer."""
    ok = settings.public_clearance is Label.CLEAR
    detail = "valid" if ok else f"anonymous clients may read {settings.public_clearance.value} data (LIFELINE_PUBLIC_CLEARANCE)"
    yield CheckResult("configuration", ok=ok, detail=detail)
    if (corruption := find_corruption(settings.database_url)) is not None:
        yield CheckResult("database", ok=False, detail=f"damaged: {corruption}")
        return
    if (path := sqlite_path(settings.database_url)) is not None:
        if not path.exists():
            yield CheckResult("database", ok=False, detail=f"there is no file {path}: run `lifeline migrate`")
            return
        yield _check_disk(path, settings.database_url)
    async with Database(settings) as database:
        try:
            async with database.writer.connect() as connection:
                yield CheckResult("database", ok=True, detail=f"{database.dialect} answers and is writable")
                found = await connection.run_sync(read_schema_revision)
                problem = schema_problem(found)
                yield CheckResult("schema", ok=problem is None, detail=problem or f"at {found}")
                if problem is None:
                    yield await _check_clock(connection)
                    entries = (await connection.execute(select(func.count()).select_from(table_of(LedgerEntry)))).scalar_one()
                    problems = [problem async for problem in check_head(connection)]
                    detail = f"{problems[0]}: run `lifeline verify`" if problems else f"{entries} entries, the head is the last entry"
                    yield CheckResult("ledger", ok=not problems, detail=detail)
                    if settings.signing_key_file is not None:
                        unsigned = await find_signing_problems(settings, range(len(LABELS)), database.read_latest)
                        if exposed_files(key_file := Path(settings.signing_key_file)):
                            unsigned.append(f"others than the owner may use {key_file}: run `chmod 600`")
                        yield CheckResult("checkpoints", ok=not unsigned, detail="; ".join(unsigned) or f"signed as {settings.origin}")
                    if database.replica is not None:
                        yield await _check_replica(database.replica, entries)
        except Exception as error:
            if (problem_document := classify_database_error(error)) is None:
                raise
            yield CheckResult("database", ok=False, detail=problem_document.detail)


def _check_disk(path: Path, url: str) -> CheckResult:
    audit = sqlite_path(audit_database_url(url))
    if exposed := [str(each) for database in (path, audit) if database is not None for each in exposed_files(database)]:
        return CheckResult("disk", ok=False, detail=f"others than the owner may use {' and '.join(exposed)}: run `chmod 600`")
    folder = path.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return CheckResult("disk", ok=False, detail=f"cannot be written to: {error.strerror}")
    free = shutil.disk_usage(folder).free
    # A migration, or a write-ahead log that readers keep from being merged, needs as much space again as the file has.
    needed = max(MIN_FREE_BYTES, path.stat().st_size)
    return CheckResult("disk", ok=free >= needed, detail=f"{free // 1_000_000} MB free, {needed // 1_000_000} MB needed")


async def _check_clock(connection: AsyncConnection) -> CheckResult:
    skew = 0.0
    if connection.dialect.name == "postgresql":
        database_time: datetime = (await connection.execute(select(func.clock_timestamp(type_=DateTime(timezone=True))))).scalar_one()
        skew = abs((utc_now() - database_time).total_seconds())
    last: datetime = (await connection.execute(select(table_of(LedgerHead).c.recorded_at))).scalar_one()
    behind = (last - utc_now()).total_seconds()
    if behind > 0:
        return CheckResult("clock", ok=False, detail=f"{behind:.0f} s behind the last ledger entry")
    return CheckResult("clock", ok=skew <= MAX_CLOCK_SKEW_SECONDS, detail=f"{skew:.1f} s from the database's clock")


async def _check_replica(replica: Replica, entries: int) -> CheckResult:
    try:
        async with replica.engine.connect() as connection:
            row = (await connection.execute(text("SELECT global_seq, pg_is_in_recovery() AS is_standby FROM ledger_head"))).one()
    except DATABASE_ERRORS as error:
        problem = classify_database_error(error)
        detail = f"{problem.detail if problem else 'It does not answer.'} The primary answers all reads."
        return CheckResult("replica", ok=False, detail=detail)
    if not row.is_standby:
        return CheckResult("replica", ok=False, detail="LIFELINE_READ_DATABASE_URL does not name a replica")
    return CheckResult("replica", ok=True, detail=f"answers, {max(0, entries - row.global_seq)} entries behind")
