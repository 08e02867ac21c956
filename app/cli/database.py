"""`lifeline migrate`, `verify`, `doctor`, `backup` and `restore`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.assessment.verify import reassess_all
from app.cli.output import database_errors, fail, in_transaction, load_settings, run, stdout
from app.domain.times import rfc3339
from app.operations.backup import BackupError, LedgerPosition, create_backup, restore_backup
from app.operations.doctor import CheckResult, run_checks
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.migrations import migrate

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
        stdout.print(f"Reassessed {count} indicators.")


@commands.command()
def verify() -> None:
    """Verify that the ledger and every stored indicator are as they were written; exit code 1 and one line for each problem."""
    settings = load_settings()

    async def work(session: AsyncSession) -> int:
        problems = 0
        async for problem in verify_all(await session.connection(), settings.horizons):
            stdout.print(problem)
            problems += 1
        return problems

    if problems := in_transaction(work, settings):
        raise fail(f"{problems} problem{'s' if problems > 1 else ''} found.")
    stdout.print("The ledger and every stored indicator are as they were written.")


@commands.command()
def doctor() -> None:
    """Print each setting and its origin, then check settings, database, schema, disk, clock, ledger, replica; exit code 1 if one fails."""
    settings = load_settings(with_replica=True)
    for name, value, origin in settings.shown():
        stdout.print(f"{origin:<15}{name}={value}", markup=False)
    results = run(_run_checks(settings), schema=False)
    for result in results:
        stdout.print(f"{'ok' if result.ok else 'FAILED':<8}{result.name:<15}{result.detail}")
    if not all(result.ok for result in results):
        raise typer.Exit(1)


async def _run_checks(settings: Settings) -> list[CheckResult]:
    return [result async for result in run_checks(settings)]


@commands.command()
def backup(
    file: Annotated[
        Path, typer.Argument(help="A new file. It holds everything, restricted reports included: protect it like the database.")
    ],
) -> None:
    """Write the database, while it is in use, to one file and verify it."""
    stdout.print(f"Backed up to {file}. {_backup_or_restore(lambda settings: create_backup(settings, file))}")


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
