"""The lifeline command."""

import json
import os
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from app import __version__
from app.access.keys import create_key, key_old_hashes, list_keys, rotate_key
from app.access.principal import Scope
from app.assessment.verify import reassess_all, verify_all
from app.cli import exchange
from app.cli.keys import audit, keys
from app.cli.output import load_settings as _settings
from app.cli.output import database_errors as _database_errors
from app.cli.output import stderr, stdout
from app.cli.output import run as _run
from app.cli.output import fail as _stop
from app.demo.aleppo import load_aleppo
from app.demo.desk import add_desk
from app.domain.tlp import Label
from app.exchange.exports.full_export import SUFFIX, write_full_export
from app.http.header_timeout import HeaderTimeoutProtocol
from app.http.rate_limit import share_counters
from app.main import create_app
from app.operations.backup import LedgerPosition, BackupError, create_backup, restore_backup
from app.operations.doctor import CheckResult, run_checks
from app.settings import Settings
from app.storage.database import Database
from app.storage.migrations import schema_revision, migrate, required_schema_revision
from app.storage.sqlite_integrity import find_corruption
from app.telemetry.logging import LOGGING

DEMO = "demo"

cli = typer.Typer(name="lifeline", help="Sourced statements about places cut off, read together.", no_args_is_help=True)
cli.add_typer(keys, name="key")
cli.add_typer(audit, name="audit")
exchange.install(cli)


@cli.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        stdout.print(__version__)
        raise typer.Exit


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve.")] = 1,
    demo: Annotated[bool, typer.Option("--demo", help="Load Aleppo 2016 into an empty database, and print a key.")] = False,
) -> None:
    """Serve the API. SQLite is migrated first; PostgreSQL behind head is refused."""
    settings = _settings()
    if damage := find_corruption(settings.database_url):
        raise _stop(f"The database is damaged: {damage}. `lifeline verify` says more; restore a backup.")
    with _database_errors():
        if settings.database_url.startswith("sqlite"):
            migrate(settings)
        elif schema_revision(settings) != required_schema_revision():
            raise _stop("The schema of the database is not the one that this version needs. Run `lifeline migrate` first.")
    address = f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1') else host}:{port}"  # noqa: S104 - compared, not listened on
    if demo:
        _demo(settings)
        stdout.print(f"Board        {address}/", f"Indicators   {address}/v1/indicators", f"Swagger UI   {address}/docs", sep="\n")
    # One secret for all the processes that are about to start, so that each knows the others' readers.
    if not settings.session_secret.get_secret_value():
        os.environ["LIFELINE_SESSION_SECRET"] = secrets.token_urlsafe(32)
    _key_old_hashes(settings)
    with share_counters(workers):
        uvicorn.run(
            "app.main:served_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_config=LOGGING,
            server_header=False,
            http=HeaderTimeoutProtocol,
            ws="none",
            timeout_graceful_shutdown=30,
            # A worker that is still importing answers nobody: on a busy machine five seconds would kill each before it has begun.
            timeout_worker_healthcheck=60,
        )


def _key_old_hashes(settings: Settings) -> None:
    async def work() -> int:
        database = Database(settings)
        try:
            async with database.write() as session:
                return await key_old_hashes(session)
        finally:
            await database.close()

    if count := _run(work()):
        stdout.print(f"Keyed the hashes of {count} keys; their secrets go on holding.")


def _demo(settings: Settings) -> None:
    loaded, secret = _run(_load_demo(settings))
    stdout.print("Loaded Aleppo, July to October 2016." if loaded else "The database has statements already: nothing was loaded.")
    if secret:
        stdout.print(f"A key with every scope, which sees up to amber: [bold]{secret}[/bold]")


async def _load_demo(settings: Settings) -> tuple[bool, str | None]:
    database = Database(settings)
    try:
        async with database.write() as session:
            loaded = await load_aleppo(session, settings)
            if loaded:
                key, secret = await create_key(session, name=DEMO, organisation=DEMO, scopes=tuple(Scope), clearance=Label.AMBER)
                await add_desk(session, key, settings)
                return True, secret
            # Nobody is given a key to statements that are not the demo's; and one of before is not left behind with its new secret.
            held = [each for each in await list_keys(session) if each.name == each.organisation == DEMO and each.revoked_at is None]
            rotated = await rotate_key(session, held[0].id, timedelta()) if held else None
            return False, rotated[1] if rotated else None
    finally:
        await database.close()


@cli.command("demo")
def load_demo() -> None:
    """Load Aleppo 2016 into the configured database when it is empty, and print a key."""
    _demo(_settings())


@cli.command("migrate")
def migrate_command(
    read_anew: Annotated[bool, typer.Option("--reread", help="Read every indicator anew, as after a change of the horizons.")] = False,
) -> None:
    """Bring the schema of the configured database to the one that this version needs."""
    settings = _settings()
    with _database_errors():
        before, after = migrate(settings)
    stdout.print(f"Already at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")
    if read_anew:
        stdout.print(f"Read {_run(_reread(settings))} indicators anew.")


async def _reread(settings: Settings) -> int:
    database = Database(settings)
    try:
        async with database.write() as session:
            return await reassess_all(session, settings)
    finally:
        await database.close()


@cli.command()
def verify() -> None:
    """Prove that the ledger and every reading are as they were written. Exit code 1 and a line for each that is not."""

    async def work() -> int:
        settings = _settings()
        database = Database(settings)
        problems = 0
        try:
            async with database.write() as session:
                async for problem in verify_all(await session.connection(), settings):
                    stdout.print(problem)
                    problems += 1
        finally:
            await database.close()
        return problems

    problems = _run(work())
    if problems:
        raise _stop(f"{problems} problem{'s' if problems > 1 else ''} found.")
    stdout.print("The ledger and every reading are as they were written.")


@cli.command()
def doctor() -> None:
    """Look at configuration, database, schema, disk, clock, ledger and replica. Exit code 1 where something is not well."""

    async def work() -> list[CheckResult]:
        return [finding async for finding in run_checks(_settings(with_replica=True))]

    findings = _run(work())
    for finding in findings:
        stdout.print(f"{'well' if finding.ok else 'NOT WELL':<10}{finding.name:<15}{finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@cli.command()
def backup(file: Annotated[Path, typer.Argument(help="A new file; it will hold everything, so keep it as safe as the database.")]) -> None:
    """Write one state of the database to a file, while it is in use, and prove it."""
    stdout.print(f"Backed up to {file}. {_kept(lambda settings: create_backup(settings, file))}")


@cli.command("restore")
def restore_command(file: Annotated[Path, typer.Argument(help="What `lifeline backup` wrote, of this or an earlier version.")]) -> None:
    """Fill the configured, empty database from a backup that is proved first. Stop the service before."""
    stdout.print(f"Restored from {file}. {_kept(lambda settings: restore_backup(settings, file))}")


def _kept(work: Callable[[Settings], LedgerPosition]) -> str:
    settings = _settings()
    try:
        with _database_errors():
            ending = work(settings)
    except BackupError as refused:
        for problem in refused.problems:
            stdout.print(problem)
        raise _stop(str(refused)) from None
    at = ending.recorded_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"The ledger and every reading verify. The last change is {ending.global_seq}, of {at}, with the hash {ending.hash}."


@cli.command()
def openapi(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("openapi/v1.json")) -> None:
    """Write the OpenAPI document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    stdout.print(f"Wrote {path}")


@cli.command("export")
def export_command(
    path: Annotated[Path, typer.Argument(help="The file to write, such as everything.ndjson.")],
    clearance: Annotated[Label, typer.Option(help="Only what this clearance may see, as it sees it.")] = Label.RED,
) -> None:
    """Write everything to a file: places, sources, routes and the ledger, enough for another Lifeline to give the same readings."""
    if path.suffix != SUFFIX:
        raise _stop(f"A full export is NDJSON: give a file name that ends in {SUFFIX}, not {path.name}.")

    async def work() -> int:
        database = Database(_settings())
        try:
            with Progress(TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn(), console=stderr, transient=True) as progress:
                task = progress.add_task("export", total=None)
                return await write_full_export(database, path, clearance, lambda count: progress.advance(task, count))
        finally:
            await database.close()

    stdout.print(f"Wrote {_run(work())} records to {path}.")


def main() -> None:
    """The entry point."""
    cli()
