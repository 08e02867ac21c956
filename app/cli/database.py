"""`lifeline migrate`, `verify`, `doctor`, `backup` and `restore`."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from app.access.audit_chain import verify_audit
from app.access.keys import hashing_key_of
from app.assessment.verify import reassess_all
from app.cli.output import database_errors, fail, in_transaction, load_settings, run, stdout
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.checkpoints import find_signing_problems
from app.operations.backup import BackupError, LedgerPosition, create_backup, restore_backup
from app.operations.doctor import CheckResult, run_checks
from app.operations.runs import BACKUP, REASSESS, VERIFY, record_run
from app.operations.verify import (
    HEADS,
    KnownHead,
    UnreadableHead,
    find_missing_heads,
    load_heads,
    open_database,
    open_snapshot,
    read_heads,
    verify_all,
)
from app.settings import Settings
from app.storage.migrations import migrate
from app.storage.private_files import replace_by_private_file

commands = typer.Typer()


@commands.command("migrate")
def migrate_schema(
    reassess: Annotated[bool, typer.Option("--reassess", help="Assess every indicator again, as after a change of the horizons.")] = False,
) -> None:
    """Upgrade the schema of the configured database to that of this version."""
    settings = load_settings()
    with database_errors():
        before, after = migrate(settings)
    stdout.print(f"Already at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")
    if reassess:
        count = in_transaction(lambda session: reassess_all(session, settings.horizons), settings)
        asyncio.run(record_run(settings, REASSESS))
        stdout.print(f"Reassessed {count} indicators.")


@commands.command()
def verify(
    since: Annotated[
        Path | None,
        typer.Option(metavar="CHECKPOINT", help="Verify only what came after this file of an earlier --checkpoint, or after such a head."),
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A head that an auditor kept, from /v1/ledger/head: it must be in the history of this ledger."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the heads that were verified to this file, for a later --since or --head.")
    ] = None,
) -> None:
    """Verify that the ledger and every stored indicator are as they were written; exit code 1 and one line for each problem.

    The service goes on writing meanwhile.
    """
    settings = load_settings()
    try:
        with database_errors():
            verified = read_heads(since) if since is not None else []
            kept = [each for path in head or () for each in read_heads(path)]
    except UnreadableHead as error:
        raise fail(str(error)) from None

    async def work() -> tuple[int, list[KnownHead]]:
        problems = 0
        async with open_database(settings) as (database, connection):
            hashing_key = await hashing_key_of(database, connection)
            for found in (
                find_missing_heads(connection, kept),
                verify_all(connection, settings.horizons, verified, hashing_key),
                verify_audit(database, hashing_key),
            ):
                async for problem in found:
                    stdout.print(problem, markup=False)
                    problems += 1
            heads = await load_heads(connection)
        for problem in await find_signing_problems(settings, range(len(LABELS)), lambda: open_snapshot(settings)):
            stdout.print(problem, markup=False)
            problems += 1
        return problems, heads

    problems, heads = run(work(), schema=False)
    if problems:
        raise fail(f"{problems} problem{'s' if problems > 1 else ''} found.")
    if checkpoint is not None:
        with database_errors(), replace_by_private_file(checkpoint) as file:
            file.write(HEADS.dump_json(heads) + b"\n")
    asyncio.run(record_run(settings, VERIFY))
    stdout.print("The ledger and every stored indicator are as they were written.")


@commands.command()
def doctor() -> None:
    """Print each setting and its origin, then check settings, database, schema, disk, clock, ledger, replica; exit code 1 if one fails."""
    settings = load_settings(with_replica=True)
    for name, value, origin in settings.shown():
        stdout.print(f"{origin:<15}{name}={value}", markup=False)

    async def check() -> list[CheckResult]:
        return [result async for result in run_checks(settings)]

    results = run(check(), schema=False)
    for result in results:
        stdout.print(f"{'ok' if result.ok else 'FAILED':<8}{result.name:<15}{result.detail}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)


@commands.command()
def backup(
    file: Annotated[
        Path, typer.Argument(help="A new file. It holds everything, restricted reports included: protect it like the database.")
    ],
) -> None:
    """Write the database, while it is in use, to one file and verify it."""
    stdout.print(f"Backed up to {file}. {_backup_or_restore(lambda settings: create_backup(settings, file))}")
    asyncio.run(record_run(load_settings(), BACKUP))


@commands.command()
def restore(file: Annotated[Path, typer.Argument(help="A file of `lifeline backup`, of this or an earlier version.")]) -> None:
    """Verify a backup and restore it into the configured, empty database. Stop the service first."""
    stdout.print(f"Restored from {file}. {_backup_or_restore(lambda settings: restore_backup(settings, file))}")


def _backup_or_restore(work: Callable[[Settings], LedgerPosition]) -> str:
    settings = load_settings()
    try:
        with database_errors():
            last = work(settings)
    except BackupError as error:
        for problem in error.problems:
            stdout.print(problem)
        raise fail(str(error)) from None
    return f"It verifies. The last ledger entry is {last.global_seq}, recorded {rfc3339(last.recorded_at)}, with the hash {last.hash}."
