"""Backups: one consistent state of the whole database as a SQLite file, from either engine and for either, verified before it is used.

The file holds restricted reports and key hashes, so only its owner may read it.
"""

import asyncio
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, DateTime, MetaData, delete, func, insert, inspect, literal, select, text, tuple_, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

from app.ledger.models import LedgerHead
from app.operations.backup_checksum import verify_checksum, write_checksum
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import migrate, require_schema, required_schema_revision, schema_revision
from app.storage.sqlite_file import audit_database_url, sqlite_path
from app.storage.types import UtcDateTime, table_of

PAGE_ROWS = 1000
MAX_PROBLEMS = 20
# Tables whose rows a restore replaces: the one that the migration inserts, and those of the operator's commands.
REPLACED_TABLES = ("ledger_head", "server_secret", "operation_run", "audit_head")


class BackupError(Exception):
    """The reason why nothing was backed up or restored, and the `problems` of a ledger that does not verify."""

    def __init__(self, reason: str, problems: list[str] | None = None) -> None:
        super().__init__(reason)
        self.problems = problems or []


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """The last ledger entry of a backup, with its hash in the ledger of the highest clearance."""

    global_seq: int
    hash: str | None
    recorded_at: datetime


def create_backup(settings: Settings, path: Path) -> LedgerPosition:
    """Write one state of the configured database, while it is in use, to a new file with its schema, which appears complete or not at all.

    Raises BackupError if the database is empty or the copy, migrated to this version, does not verify; SchemaError for a later schema.
    """
    if path.exists():
        raise BackupError(f"{path} exists already: name a new file.")
    if not path.parent.is_dir():
        raise BackupError(f"There is no folder {path.parent}.")
    if (revision := require_schema(settings, earlier=True)) is None:
        raise BackupError("The database is empty: there is nothing to back up.")
    with tempfile.TemporaryDirectory(prefix=".lifeline-backup-", dir=path.parent) as folder:
        staged = Path(folder) / "staged.db"
        copy_settings = _settings_for(settings, staged)
        if settings.database_url.startswith("sqlite"):
            with _connect(_sqlite_file(settings)) as source, _connect(staged, create=True) as copy:
                source.backup(copy)
                _add_read_audit(settings, copy)
        else:
            migrate(copy_settings, revision)
            asyncio.run(_copy_from_postgresql(settings, copy_settings))
        migrated = _settings_for(settings, Path(folder) / "migrated.db") if revision != required_schema_revision() else copy_settings
        if migrated is not copy_settings:
            with _connect(staged) as copy, _connect(_sqlite_file(migrated), create=True) as target:
                copy.backup(target)
            migrate(migrated)
        last = asyncio.run(_verify(migrated, "The database does not verify, so nothing was backed up."))
        with _connect(staged) as copy:
            write_checksum(copy)
        _finalise_file(staged)
        staged.chmod(0o600)
        try:
            # Unlike a rename, a link never replaces an existing file.
            path.hardlink_to(staged)
        except FileExistsError:
            raise BackupError(f"{path} exists already: name a new file.") from None
    _sync(path.parent)
    return last


def restore_backup(settings: Settings, path: Path) -> LedgerPosition:
    """Fill the configured, empty database from a backup of this or an earlier version, completely or not at all.

    Raises BackupError if the file is not a backup or does not verify, or the database is not empty.
    """
    if not path.is_file():
        raise BackupError(f"There is no file {path}.")
    with tempfile.TemporaryDirectory(prefix="lifeline-restore-") as folder:
        staged = Path(folder) / "staged.db"
        shutil.copyfile(path, staged)
        copy_settings = _settings_for(settings, staged)
        try:
            with _connect(staged) as connection:
                damage = verify_checksum(connection)
            if damage is not None:
                raise BackupError(f"{path} is damaged, so nothing was restored: {damage}.")
            if schema_revision(copy_settings) is None:
                raise BackupError(f"{path} is not a backup.")
            migrate(copy_settings)
        except (DBAPIError, sqlite3.DatabaseError) as error:
            raise BackupError(f"{path} is not a backup, or is damaged: {getattr(error, 'orig', error)}.") from None
        last = asyncio.run(_verify(copy_settings, f"{path} does not verify, so nothing was restored."))
        _finalise_file(staged)
        migrate(settings)
        if settings.database_url.startswith("sqlite"):
            asyncio.run(_refuse_filled(settings))
            with _connect(staged) as source, _connect(_sqlite_file(settings)) as target:
                source.backup(target)
        else:
            asyncio.run(_copy_to_postgresql(copy_settings, settings))
    return last


def _settings_for(settings: Settings, path: Path) -> Settings:
    return settings.model_copy(update={"database_url": f"sqlite:///{path}", "read_database_url": None})


def _sqlite_file(settings: Settings) -> Path:
    path = sqlite_path(settings.database_url)
    assert path is not None
    return path


def _connect(path: Path, *, create: bool = False) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}", uri=True, timeout=30))


def _add_read_audit(settings: Settings, copy: sqlite3.Connection) -> None:
    """Copy the audit log of reads from SQLite's second file into the backup, which has one table for both, like PostgreSQL."""
    path = sqlite_path(audit_database_url(settings.database_url))
    if path is None or not path.is_file():
        return
    copy.execute("ATTACH ? AS reads", (f"{path.absolute().as_uri()}?mode=rw",))
    # Without the key by which reads are counted: after a restore, both files may have a row of the same hour.
    columns = ", ".join(f'"{row[1]}"' for row in copy.execute("PRAGMA reads.table_info(audit_entry)") if row[1] != "read_key")
    if columns:
        # An entry that was restored from a backup may be in both files.
        copy.execute(f"INSERT OR IGNORE INTO audit_entry ({columns}) SELECT {columns} FROM reads.audit_entry")  # noqa: S608 - its own names
        copy.execute("INSERT OR REPLACE INTO audit_head SELECT * FROM reads.audit_head")
    copy.commit()
    copy.execute("DETACH reads")


def _finalise_file(path: Path) -> None:
    """Merge the write-ahead log into a SQLite file, and sync the file to disk."""
    with _connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _verify(settings: Settings, refusal: str) -> LedgerPosition:
    async with Database(settings) as database, database.writer.connect() as connection:
        await _refuse_unverified(connection, settings, refusal)
        head = table_of(LedgerHead).c
        return LedgerPosition(*(await connection.execute(select(head.global_seq, head.hash_red, head.recorded_at))).one())


async def _refuse_unverified(connection: AsyncConnection, settings: Settings, refusal: str) -> None:
    if problems := [problem async for problem in verify_all(connection, settings.horizons)]:
        raise BackupError(refusal, problems[:MAX_PROBLEMS])


async def _copy_from_postgresql(settings: Settings, copy_settings: Settings) -> None:
    """Copy every row of one snapshot of PostgreSQL into a SQLite file that has the schema."""
    # Without the replica, which may lack acknowledged writes.
    primary = settings.model_copy(update={"read_database_url": None})
    async with (
        Database(primary) as origin,
        Database(copy_settings) as copy,
        origin.writer.connect() as connection,
        copy.writer.connect() as target,
    ):
        source = await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        # A row may refer to a row that is copied later.
        await target.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        await _copy_tables(source, target, await source.run_sync(_existing_tables))
        await target.commit()


async def _copy_to_postgresql(copy_settings: Settings, settings: Settings) -> None:
    """Copy every row of a SQLite file into an empty PostgreSQL database, in one transaction that is verified before it commits."""
    async with Database(copy_settings) as copy, Database(settings) as database, copy.snapshot() as source, database.write() as session:
        target = await session.connection()
        await _refuse_filled_tables(target)
        head = table_of(LedgerHead)
        commit_count = (await target.execute(select(head.c.commit_count))).scalar_one()
        await _defer_foreign_keys(target, "DEFERRABLE INITIALLY DEFERRED")
        await _copy_tables(source, target, SQLModel.metadata)
        # The count of this database must keep rising, because other processes detect commits by it.
        await target.execute(update(head).values(commit_count=commit_count))
        await target.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        await _defer_foreign_keys(target, "NOT DEFERRABLE")
        await _refuse_unverified(target, settings, "The restored database does not verify, so it was rolled back.")


def _existing_tables(connection: Connection) -> MetaData:
    """Return the tables of a database, which an earlier version may have made, with the column types of the models."""
    found = MetaData()
    found.reflect(connection)
    found.remove(found.tables["alembic_version"])
    for name, table in found.tables.items():
        model = SQLModel.metadata.tables.get(name)
        for column in table.c:
            same = None if model is None else model.c.get(column.name)
            column.type = UtcDateTime() if isinstance(column.type, DateTime) else column.type.as_generic() if same is None else same.type
    return found


async def _copy_tables(source: AsyncConnection, target: AsyncConnection, tables: MetaData) -> None:
    # The metadata is complete, because migrations import every model.
    existing = set(await target.run_sync(lambda connection: inspect(connection).get_table_names()))
    if existing - {"alembic_version"} != set(tables.tables):
        raise RuntimeError("the tables to copy are not those of the migrations")
    for table in tables.tables.values():
        if table.name in REPLACED_TABLES:
            await target.execute(delete(table))
        keys = list(table.primary_key)
        first = page = select(table).order_by(*keys).limit(PAGE_ROWS)
        while rows := [dict(row) for row in (await source.execute(page)).mappings()]:
            await target.execute(insert(table), rows)
            page = first.where(tuple_(*keys) > tuple_(*(literal(rows[-1][key.name], key.type) for key in keys)))


async def _defer_foreign_keys(connection: AsyncConnection, when: str) -> None:
    quote = connection.dialect.identifier_preparer.format_constraint
    for table in SQLModel.metadata.tables.values():
        for constraint in table.foreign_key_constraints:
            await connection.exec_driver_sql(f'ALTER TABLE "{table.name}" ALTER CONSTRAINT {quote(constraint)} {when}')


async def _refuse_filled(settings: Settings) -> None:
    async with Database(settings) as database, database.writer.connect() as connection:
        await _refuse_filled_tables(connection)


async def _refuse_filled_tables(connection: AsyncConnection) -> None:
    for table in SQLModel.metadata.tables.values():
        rows = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
        if table.name not in REPLACED_TABLES and rows:
            raise BackupError(f"The database is not empty: the table {table.name} has {rows} rows.")
