"""Backups: one state of the whole database as a SQLite file, from either engine and for either, proved before it counts.

The file holds everything, what is restricted and the hashes of keys included, so only its owner may read it.
"""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, delete, func, insert, inspect, literal, select, text, tuple_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from app.access import models as access
from app.assessment import models as indicators
from app.assessment.verify import verify_all
from app.ledger import models as ledger
from app.operations.backup_checksum import verify_checksum, write_checksum
from app.reference import models as reference
from app.settings import Settings
from app.storage.database import Database, audit_database_url
from app.storage.migrations import schema_revision, migrate, required_schema_revision
from app.storage.sqlite_integrity import sqlite_path
from app.storage.types import table_of
from app.webhooks import models as webhooks

MODELS = (access, indicators, ledger, reference, webhooks)
PAGE_ROWS = 1000
MAX_PROBLEMS = 20
# One row each, which that of the backup takes the place of.
SINGLE_ROW_TABLES = ("ledger_head", "server_secret")


class BackupError(Exception):
    """There is no backup, or nothing was restored: why, and what is wrong with the ledger where that is why."""

    def __init__(self, reason: str, problems: list[str] | None = None) -> None:
        super().__init__(reason)
        self.problems = problems or []


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """The last change that a backup holds: its number, its hash as the highest clearance sees it, and when it was recorded."""

    global_seq: int
    hash: str | None
    recorded_at: datetime


def create_backup(settings: Settings, path: Path) -> LedgerPosition:
    """Write one state of the configured database to a new file, while others read and write; it is there whole or not at all.

    Raises `NotBackedUp` where the file exists, the schema is not at head, or the copy does not verify.
    """
    if path.exists():
        raise BackupError(f"{path} exists already.")
    if not path.parent.is_dir():
        raise BackupError(f"There is no folder {path.parent}.")
    if (found := schema_revision(settings)) != required_schema_revision():
        raise BackupError(f"The schema is at {found}, this version needs {required_schema_revision()}: run `lifeline migrate` first.")
    with tempfile.TemporaryDirectory(prefix=".lifeline-backup-", dir=path.parent) as folder:
        staged = Path(folder) / "staged.db"
        copied = _settings_for(settings, staged)
        if settings.database_url.startswith("sqlite"):
            with _sqlite(_file(settings)) as origin, _sqlite(staged, make=True) as copy:
                origin.backup(copy)
                _add_reads(settings, copy)
        else:
            migrate(copied)
            asyncio.run(_copy_out(settings, copied))
        ending = asyncio.run(_verify(copied, "The database does not verify, so this is no backup of it"))
        with _sqlite(staged) as copy:
            write_checksum(copy)
        _finalise_file(staged)
        staged.chmod(0o600)
        try:
            # Unlike a rename this never takes the place of what is there.
            path.hardlink_to(staged)
        except FileExistsError:
            raise BackupError(f"{path} exists already.") from None
    _sync(path.parent)
    return ending


def restore_backup(settings: Settings, path: Path) -> LedgerPosition:
    """Fill the configured, empty database from a backup, of this or an earlier version; all of it or nothing.

    Raises `NotBackedUp` where the file is not a backup, does not verify, or the database has something in it.
    """
    if not path.is_file():
        raise BackupError(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="lifeline-restore-") as folder:
        staged = Path(folder) / "staged.db"
        shutil.copyfile(path, staged)
        _refuse_damage(staged, path)
        copied = _settings_for(settings, staged)
        try:
            if schema_revision(copied) is None:
                raise BackupError(f"{path} is not a backup.")
            migrate(copied)
        except DBAPIError:
            raise BackupError(f"{path} is not a backup.") from None
        ending = asyncio.run(_verify(copied, f"{path} does not verify, so nothing was restored"))
        _finalise_file(staged)
        migrate(settings)
        if settings.database_url.startswith("sqlite"):
            asyncio.run(_refuse_unless_empty_now(settings))
            with _sqlite(staged) as origin, _sqlite(_file(settings)) as target:
                origin.backup(target)
        else:
            asyncio.run(_copy_in(copied, settings))
    return ending


def _refuse_damage(staged: Path, path: Path) -> None:
    try:
        with _sqlite(staged) as connection:
            damage = verify_checksum(connection)
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{path} is not a backup, or is damaged: {error}.") from None
    if damage is not None:
        raise BackupError(f"{path} is damaged, so nothing was restored: {damage}.")


def _settings_for(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"database_url": f"sqlite:///{path}", "read_database_url": None})


def _file(settings: Settings) -> Path:
    path = sqlite_path(settings.database_url)
    assert path is not None
    return path


@contextmanager
def _sqlite(path: Path, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={'rwc' if make else 'rw'}", uri=True, timeout=30)) as connection:
        yield connection


def _add_reads(settings: Settings, copy: sqlite3.Connection) -> None:
    """Put the audit log of reads, which SQLite has in a file of its own, to the copy's other entries, where PostgreSQL has them too."""
    path = sqlite_path(audit_database_url(settings.database_url))
    if path is None or not path.is_file():
        return
    copy.execute("ATTACH ? AS reads", (f"{path.absolute().as_uri()}?mode=rw",))
    columns = ", ".join(f'"{row[1]}"' for row in copy.execute("PRAGMA reads.table_info(audit_entry)"))
    if columns:
        # What was restored once is in both.
        copy.execute(f"INSERT OR IGNORE INTO audit_entry ({columns}) SELECT {columns} FROM reads.audit_entry")  # noqa: S608 - its own names
    copy.commit()
    copy.execute("DETACH reads")


def _finalise_file(path: Path) -> None:
    """Make a SQLite file one file, on disk."""
    with _sqlite(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _verify(settings: Settings, refusal: str) -> LedgerPosition:
    database = Database(settings)
    try:
        async with database.writer.connect() as connection:
            problems = [problem async for problem in verify_all(connection, settings.horizons)]
            if problems:
                raise BackupError(f"{refusal}.", problems[:MAX_PROBLEMS])
            head = table_of(ledger.LedgerHead).c
            return LedgerPosition(*(await connection.execute(select(head.global_seq, head.hash_red, head.recorded_at))).one())
    finally:
        await database.close()


async def _copy_out(settings: Settings, copied: Settings) -> None:
    """Every row of PostgreSQL as one snapshot has it, into a SQLite file that has the schema."""
    # Not from a replica, which may be behind what was acknowledged.
    origin, copy = Database(settings.model_copy(update={"read_database_url": None})), Database(copied)
    try:
        async with (
            origin.writer.connect() as bare,
            copy.writer.connect() as target,
        ):
            source = await bare.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            # Rows may name rows that come later.
            await target.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
            await _copy(source, target)
            await target.commit()
    finally:
        await origin.close()
        await copy.close()


async def _copy_in(copied: Settings, settings: Settings) -> None:
    """Every row of a SQLite file into an empty PostgreSQL, in one transaction that is proved before it commits."""
    copy, target = Database(copied), Database(settings)
    try:
        async with copy.snapshot() as source, target.write() as session:
            connection = await session.connection()
            await _refuse_unless_empty(connection)
            turns = (await connection.execute(select(table_of(ledger.LedgerHead).c.commit_count))).scalar_one()
            await _defer_foreign_keys(connection, "DEFERRABLE INITIALLY DEFERRED")
            await _copy(source, connection)
            # Other processes tell by this count that there was a commit.
            await connection.execute(update(table_of(ledger.LedgerHead)).values(commit_count=turns))
            await connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            await _defer_foreign_keys(connection, "NOT DEFERRABLE")
            if problems := [problem async for problem in verify_all(connection, settings.horizons)]:
                raise BackupError("What was written does not verify, so it was taken back.", problems[:MAX_PROBLEMS])
    finally:
        await copy.close()
        await target.close()


async def _copy(source: AsyncConnection, target: AsyncConnection) -> None:
    there = set(await target.run_sync(lambda connection: inspect(connection).get_table_names()))
    if there - {"alembic_version"} != set(SQLModel.metadata.tables):
        raise RuntimeError("the tables of the models are not those of the migrations")
    for table in SQLModel.metadata.tables.values():
        # What migrations made.
        if table.name in SINGLE_ROW_TABLES:
            await target.execute(delete(table))
        async for some in _pages(source, table):
            await target.execute(insert(table), some)


async def _pages(source: AsyncConnection, table: Table) -> AsyncIterator[list[dict[str, Any]]]:
    keys = list(table.primary_key)
    first = select(table).order_by(*keys).limit(PAGE_ROWS)
    page = first
    while rows := [dict(row) for row in (await source.execute(page)).mappings()]:
        yield rows
        page = first.where(tuple_(*keys) > tuple_(*(literal(rows[-1][key.name], key.type) for key in keys)))


async def _defer_foreign_keys(connection: AsyncConnection, when: str) -> None:
    for table in SQLModel.metadata.tables.values():
        for constraint in table.foreign_key_constraints:
            await connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ALTER CONSTRAINT "{_name(connection, constraint)}" {when}')


def _name(connection: AsyncConnection, constraint: Any) -> str:
    name: str = connection.dialect.identifier_preparer.format_constraint(constraint) or ""
    return name.strip('"')


async def _refuse_unless_empty_now(settings: Settings) -> None:
    database = Database(settings)
    try:
        async with database.writer.connect() as connection:
            await _refuse_unless_empty(connection)
    finally:
        await database.close()


async def _refuse_unless_empty(connection: AsyncConnection) -> None:
    for table in SQLModel.metadata.tables.values():
        rows = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
        if table.name not in SINGLE_ROW_TABLES and rows:
            raise BackupError(f"The database is not empty: there are {rows} rows in {table.name}.")
