"""The lifeline command."""

import json
import os
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
import uvicorn
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app import __version__
from app.access.audit import list_audit, prepare
from app.access.limits import shared_counters
from app.access.service import Scope, create_key, key_old_hashes, list_keys, revoke_key, rotate_key
from app.backup import Ending, NotBackedUp, back_up, restore
from app.console import configured as _settings
from app.console import database_errors as _database_errors
from app.console import err, out
from app.console import run as _run
from app.console import stop as _stop
from app.db import Database
from app.demo.aleppo import load_aleppo
from app.demo.commands import benchmarks
from app.doctor import Finding, examine
from app.errors import Problem
from app.exchange import commands
from app.exchange.whole import WRITERS, export_file
from app.indicators.verify import reread, verify_all
from app.labels import LABELS, Label
from app.main import create_app
from app.migrations import current, migrate, revision_at_head
from app.settings import Settings
from app.slow_clients import PatientProtocol
from app.sqlite_file import damage_in

cli = typer.Typer(name="lifeline", help="Sourced statements about places cut off, read together.", no_args_is_help=True)
keys = typer.Typer(help="Keys: who may report, and see how much.", no_args_is_help=True)
cli.add_typer(keys, name="key")
audit = typer.Typer(help="The audit log: who did what.", no_args_is_help=True)
cli.add_typer(audit, name="audit")
commands.install(cli)
cli.add_typer(benchmarks, name="bench")


@cli.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        out.print(__version__)
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
    if damage := damage_in(settings.database_url):
        raise _stop(f"The database is damaged: {damage}. `lifeline verify` says more; restore a backup.")
    with _database_errors():
        if settings.database_url.startswith("sqlite"):
            migrate(settings)
        elif current(settings) != revision_at_head():
            raise _stop("The schema of the database is not the one that this version needs. Run `lifeline migrate` first.")
    address = f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1') else host}:{port}"  # noqa: S104 - compared, not listened on
    if demo:
        _demo(settings)
        out.print(f"Board        {address}/", f"Indicators   {address}/v1/indicators", f"Swagger UI   {address}/docs", sep="\n")
    # One secret for all the processes that are about to start, so that each knows the others' readers.
    if not settings.session_secret.get_secret_value():
        os.environ["LIFELINE_SESSION_SECRET"] = secrets.token_urlsafe(32)
    _key_old_hashes(settings)
    with shared_counters(workers):
        uvicorn.run(
            "app.main:create_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            server_header=False,
            http=PatientProtocol,
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
        out.print(f"Keyed the hashes of {count} keys; their secrets go on holding.")


def _demo(settings: Settings) -> None:
    loaded, secret = _run(_load_demo(settings))
    out.print("Loaded Aleppo, July to October 2016." if loaded else "The database has statements already: nothing was loaded.")
    if secret:
        out.print(f"A key that may read (up to amber), report and curate: [bold]{secret}[/bold]")


async def _load_demo(settings: Settings) -> tuple[bool, str]:
    database = Database(settings)
    try:
        async with database.write() as session:
            loaded = await load_aleppo(session, settings)
            scopes = (Scope.READ, Scope.REPORT, Scope.CURATE)
            _, secret = await create_key(session, name="demo", organisation="demo", scopes=scopes, clearance=Label.AMBER)
        return loaded, secret
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
    out.print(f"Already at {after}." if before == after else f"Migrated from {before or 'nothing'} to {after}.")
    if read_anew:
        out.print(f"Read {_run(_reread(settings))} indicators anew.")


async def _reread(settings: Settings) -> int:
    database = Database(settings)
    try:
        async with database.write() as session:
            return await reread(session, settings)
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
                    out.print(problem)
                    problems += 1
        finally:
            await database.close()
        return problems

    problems = _run(work())
    if problems:
        raise _stop(f"{problems} problem{'s' if problems > 1 else ''} found.")
    out.print("The ledger and every reading are as they were written.")


@cli.command()
def doctor() -> None:
    """Look at configuration, database, schema, disk, clock and the end of the ledger. Exit code 1 where something is not well."""

    async def work() -> list[Finding]:
        return [finding async for finding in examine(_settings())]

    findings = _run(work())
    for finding in findings:
        out.print(f"{'well' if finding.well else 'NOT WELL':<10}{finding.what:<15}{finding.seen}")
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


@cli.command()
def backup(file: Annotated[Path, typer.Argument(help="A new file; it will hold everything, so keep it as safe as the database.")]) -> None:
    """Write one state of the database to a file, while it is in use, and prove it."""
    out.print(f"Backed up to {file}. {_kept(lambda settings: back_up(settings, file))}")


@cli.command("restore")
def restore_command(file: Annotated[Path, typer.Argument(help="What `lifeline backup` wrote, of this or an earlier version.")]) -> None:
    """Fill the configured, empty database from a backup that is proved first. Stop the service before."""
    out.print(f"Restored from {file}. {_kept(lambda settings: restore(settings, file))}")


def _kept(work: Callable[[Settings], Ending]) -> str:
    settings = _settings()
    try:
        with _database_errors():
            ending = work(settings)
    except NotBackedUp as refused:
        for problem in refused.problems:
            out.print(problem)
        raise _stop(str(refused)) from None
    at = ending.recorded_at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"The ledger and every reading verify. The last change is {ending.number}, of {at}, with the hash {ending.hash}."


@cli.command()
def openapi(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("openapi/v1.json")) -> None:
    """Write the OpenAPI document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    out.print(f"Wrote {path}")


@cli.command("export")
def export_command(
    path: Annotated[Path, typer.Argument(help="Where to write it; the ending says how: .ndjson, .csv or .xlsx.")],
    clearance: Annotated[Label, typer.Option(help="Only what this clearance may see, as it sees it.")] = Label.RED,
) -> None:
    """Write everything to a file: places, sources, routes and the ledger, enough for another Lifeline to give the same readings."""
    if path.suffix not in WRITERS:
        raise _stop(f"The file has to end in one of {', '.join(WRITERS)}.")

    async def work() -> int:
        database = Database(_settings())
        try:
            with Progress(TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn(), console=err, transient=True) as progress:
                task = progress.add_task("export", total=None)
                return await export_file(database, path, clearance, lambda count: progress.advance(task, count))
        finally:
            await database.close()

    out.print(f"Wrote {_run(work())} records to {path}.")


@keys.command("create")
def key_create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    org: Annotated[str, typer.Option(help="The organisation that it speaks for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be given several times.")],
    clearance: Annotated[Label, typer.Option(help="The highest label that it may read.")] = Label.GREEN,
    expires: Annotated[str | None, typer.Option(help="Last day on which it is valid, such as 2026-12-31 (UTC).")] = None,
) -> None:
    """Make a key and print its secret, this once."""
    try:
        until = None if expires is None else datetime.combine(date.fromisoformat(expires), time.max, UTC)
    except ValueError:
        raise _stop("--expires takes a date such as 2026-12-31.") from None

    async def work() -> str:
        database = Database(_settings())
        try:
            async with database.write() as session:
                _, secret = await create_key(session, name=name, organisation=org, scopes=scope, clearance=clearance, expires_at=until)
            return secret
        finally:
            await database.close()

    print(_run(work()))  # noqa: T201 - the bare secret, for scripts


@keys.command("list")
def key_list() -> None:
    """List the keys, without their secrets."""

    async def work() -> list[Any]:
        database = Database(_settings())
        try:
            async with database.write() as session:
                return await list_keys(session)
        finally:
            await database.close()

    table = Table("id", "name", "organisation", "scopes", "clearance", "expires", "revoked", box=None)
    for key in _run(work()):
        dates = [each.isoformat(timespec="seconds") if each else "" for each in (key.expires_at, key.revoked_at)]
        table.add_row(str(key.id), key.name, key.organisation, " ".join(key.scopes), LABELS[key.clearance].value, *dates)
    # A key is a line, whole, however narrow the terminal is: its identifier is what `revoke` takes.
    Console(highlight=False, width=1000).print(table)


@keys.command("revoke")
def key_revoke(id: Annotated[str, typer.Argument(help="Identifier of the key, from `lifeline key list`.")]) -> None:  # noqa: A002
    """Revoke a key, from now on, everywhere."""

    async def work() -> bool:
        database = Database(_settings())
        try:
            async with database.write() as session:
                return await revoke_key(session, UUID(id)) is not None
        finally:
            await database.close()

    try:
        found = _run(work())
    except ValueError:
        found = False
    if not found:
        raise _stop(f"There is no key {id}.")
    out.print(f"Revoked {id}.")


@keys.command("rotate")
def key_rotate(
    id: Annotated[str, typer.Argument(help="Identifier of the key, from `lifeline key list`.")],  # noqa: A002
    overlap: Annotated[int, typer.Option(min=0, max=720, help="Hours for which the secret before holds too.")] = 24,
) -> None:
    """Give a key a new secret and print it, this once; the one before holds for the overlap too."""

    async def work() -> str | None:
        database = Database(_settings())
        try:
            async with database.write() as session:
                rotated = await rotate_key(session, UUID(id), timedelta(hours=overlap))
            return None if rotated is None else rotated[1]
        finally:
            await database.close()

    try:
        secret = _run(work())
    except ValueError:
        secret = None
    except Problem as problem:
        raise _stop(problem.detail) from None
    if secret is None:
        raise _stop(f"There is no key {id}.")
    print(secret)  # noqa: T201 - the bare secret, for scripts


@audit.command("export")
def audit_export(path: Annotated[Path | None, typer.Argument(help="Where to write it; to standard output unless given.")] = None) -> None:
    """Write the audit log, oldest entry first, a JSON object a line."""

    async def work() -> list[str]:
        database = Database(_settings())
        try:
            if database.dialect == "sqlite":
                await prepare(database.audit)
            lines: list[str] = []
            after = None
            while True:
                items, after = await list_audit(database, [], after=after, limit=1000)
                lines += [json.dumps(item, ensure_ascii=False) for item in items]
                if after is None:
                    return lines
        finally:
            await database.close()

    lines = _run(work())
    if path is None:
        print(*lines, sep="\n")  # noqa: T201 - lines for other programs
    else:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        out.print(f"Wrote {len(lines)} entries to {path}")


def main() -> None:
    """The entry point."""
    cli()


if __name__ == "__main__":
    main()
