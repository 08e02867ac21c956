"""`lifeline import`, `export` and `pull`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Annotated, TypeVar

import httpx
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.access.principal import Principal, Scope
from app.cli.output import fail, load_settings, run, stderr, stdout
from app.client import AsyncLifeline, LifelineError
from app.domain.tlp import MAX_LEVEL, Label
from app.exchange.exports.full_export import SUFFIX, write_full_export
from app.exchange.imports.file_readers import format_of_path
from app.exchange.imports.full_import import FullImport, is_full_export
from app.exchange.imports.hapi import THEME, HapiClient, is_theme, write_statements
from app.exchange.imports.results import FileResult, ImportContent, ImportOut
from app.exchange.imports.statements import StatementImport
from app.exchange.imports.tables import UnreadableFile
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.follower import Follower, ReplicationError, reset_cursor
from app.exchange.replication.results import ApplyResult
from app.http.content_negotiation import Format
from app.storage.database import Database

MAX_PRINTED_PROBLEMS = 200

commands = typer.Typer()
pull_commands = typer.Typer(help="Fetch data from other services.", no_args_is_help=True)
commands.add_typer(pull_commands, name="pull")

Result = TypeVar("Result", bound=FileResult)
Sheet = Annotated[str | None, typer.Option(help="Sheet of a workbook to read; by default all that are not hidden.")]
Write = Annotated[bool, typer.Option("--write", help="Write the data. Without it, print what would be written.")]
OnlyGood = Annotated[bool, typer.Option("--only-good", help="Record the valid rows although others are invalid.")]
Organisation = Annotated[str, typer.Option(help="Organisation that reports; a full export names its own.")]


def author_for(organisation: str) -> Principal:
    """Return the principal that a command writes as: an operator may write in the name of any organisation."""
    return Principal(level=MAX_LEVEL, organisation=organisation, scopes=frozenset({Scope.REPORT.value, Scope.CURATE.value}))


@contextmanager
def progress(task: str, total: int | None = None, *, unit: str = "rows") -> Iterator[Callable[[int], None]]:
    """Show a progress bar, and yield the function that advances it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} " + unit), TimeElapsedColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task_id = bar.add_task(task, total=total)
        yield lambda count: bar.advance(task_id, count)


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], Format]]:
    """Open a file of a known format; exit with one line if it cannot be read."""
    if not path.is_file():
        raise fail(f"There is no file {path}.")
    try:
        with path.open("rb") as file:
            yield file, format_of_path(path)
    except UnreadableFile as error:
        raise fail(str(error)) from None


@contextmanager
def _upstream_errors(url: str, problem: str, *errors: type[Exception]) -> Iterator[None]:
    """Exit with one line if another service cannot be read; `errors` are those that mean the `problem`."""
    try:
        yield
    except ReplicationError as error:
        raise fail(str(error)) from None
    except LifelineError as error:
        raise fail(f"{url} answers: {error}") from None
    except errors as error:
        raise fail(f"{url} {problem}: {str(error) or type(error).__name__}") from None


@commands.command()
def export(
    path: Annotated[Path, typer.Argument(help="The file to write, such as everything.ndjson.")],
    clearance: Annotated[Label, typer.Option(help="Export what this clearance may see.")] = Label.RED,
) -> None:
    """Write places, sources, routes and the ledger to a file from which another Lifeline makes the same assessments."""
    if path.suffix != SUFFIX:
        raise fail(f"A full export is NDJSON: give a file name that ends in {SUFFIX}, not {path.name}.")

    async def work() -> int:
        async with Database(load_settings()) as database:
            with progress("export", unit="records") as advance:
                return await write_full_export(database, path, clearance, advance)

    stdout.print(f"Wrote {run(work())} records to {path}.")


@commands.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(help="A .csv, .xlsx, .ods, .json or .ndjson file of statements, or a file of `lifeline export`.")],
    write: Write = False,
    only_good: OnlyGood = False,
    org: Organisation = "import",
    sheet: Sheet = None,
    kind: Annotated[str | None, typer.Option(help="Kind, in a file without it.")] = None,
    place: Annotated[str | None, typer.Option(help="Place, in a file without it: slug, scheme:code or exact name.")] = None,
    source: Annotated[str | None, typer.Option(help="Source, in a file without it.")] = None,
    stated_at: Annotated[str | None, typer.Option(help="Time of the statement, in a file without it.")] = None,
    sensitivity: Annotated[Label | None, typer.Option(help="Label, in a file without it.")] = None,
) -> None:
    """Import a file of statements or a full export. Without --write, check it and print what would be written.

    Importing a file again adds nothing, so repeat an import that was interrupted. Exit code 1 if a row is invalid.
    """
    given = {"kind": kind, "place": place, "source": source, "stated_at": stated_at, "sensitivity": sensitivity}
    defaults = {name: str(value) for name, value in given.items() if value is not None}

    async def work() -> ImportOut:
        settings = load_settings()
        async with Database(settings) as database:
            with opened(path) as (file, format_):
                if is_full_export(file, format_):
                    return await _import(FullImport(file, database, EntryApplier(author_for, settings), settings), write=write)
                statements = StatementImport(file, format_, database, author_for(org), settings, defaults, sheet=sheet)
                return await _import(statements, write=write, only_good=only_good)

    result = run(work())
    print_result(result, _print_full_import if result.holds is ImportContent.EXPORT else partial(_print_import, write=write))


async def _import(importer: FullImport | StatementImport, *, write: bool, only_good: bool = False) -> ImportOut:
    """Check a file, and write it if no row has a problem; with `only_good` write the valid rows without a check before."""
    total = None
    if not write or not only_good:
        with progress("check") as advance:
            checked = await replace(importer, on_progress=advance).dry_run()
        if not write or checked.problem_count:
            return checked
        total = checked.rows
    with progress("write", total) as advance:
        return await replace(importer, on_progress=advance).write()


def print_result(result: Result, summarise: Callable[[Result], None]) -> None:
    """Print the problems, what was not read and a summary; exit code 1 if there are problems."""
    for each in result.problems[:MAX_PRINTED_PROBLEMS]:
        column = f" ({each.column})" if each.cell is not None else ""
        stdout.print(f"{each.location}{column}: {each.detail}", markup=False)
    if result.problem_count > MAX_PRINTED_PROBLEMS:
        stdout.print(f"... and {result.problem_count - MAX_PRINTED_PROBLEMS} more problems.")
    for note in result.notes:
        stdout.print(note, markup=False)
    summarise(result)
    if result.problem_count:
        raise typer.Exit(1)


def _print_full_import(result: ImportOut) -> None:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(result.added.items())) or "nothing"
    for name, count in result.unknown.items():
        stdout.print(f"{count} entries of the type {name} skipped: this version does not know it.")
    if result.conflicts:
        stdout.print(f"{result.conflicts} amendments skipped: the reports were amended differently here.")
    if result.written:
        stdout.print(f"Wrote {counts}; {result.existing} existed already.")
    elif result.problem_count:
        stdout.print("Nothing was written.")
    else:
        stdout.print(f"A full export for the clearance {result.clearance}: {counts}. Nothing was written: add --write.")


def _print_import(result: ImportOut, *, write: bool) -> None:
    if result.unread_columns:
        stdout.print(f"Ignored columns: {', '.join(result.unread_columns)}.")
    if not result.written and result.shown:
        table = Table("kind", "place", "source", "stated at", "value", box=None)
        for each in result.shown:
            value = ", ".join(f"{name} {value}" for name, value in each["value"].items() if value is not None)
            table.add_row(each["kind"], each["place"], each["source"], each["stated_at"], value)
        stdout.print(table)
        if (more := result.created + result.existing - len(result.shown)) > 0:
            stdout.print(f"... and {more} more.")
    created = "recorded" if result.written else "would be recorded"
    stdout.print(f"{result.rows} rows: {result.created} {created}, {result.existing} recorded already, {result.refused} rejected.")
    if not result.written and write:
        stdout.print("Nothing was written: correct the rejected rows, or add --only-good to record the others.")
    elif not result.written:
        stdout.print("Nothing was written: add --write" + (", and --only-good to record the valid rows." if result.refused else "."))


@pull_commands.command("lifeline")
def pull_lifeline(
    url: Annotated[str, typer.Argument(help="Address of the other Lifeline, such as https://lifeline.example.org.")],
    key: Annotated[str | None, typer.Option(envvar="LIFELINE_UPSTREAM_KEY", help="Key of the other Lifeline.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Keep running, and apply changes as they come.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Start at the beginning; entries that exist are not added again.")] = False,
) -> None:
    """Replicate another Lifeline: its reports, corrections, retractions, outcomes and grades, with their identifiers.

    An interrupted pull continues where it stopped. Two Lifelines can pull from each other.
    """

    async def work() -> ApplyResult:
        settings = load_settings()
        total = ApplyResult()
        async with Database(settings) as database, AsyncLifeline(url, key, attempts=None if follow else 8) as client:
            if restart:
                await reset_cursor(database, url)
            follower = Follower(url, client, database, author_for, settings)
            async for applied in follower.follow(25 if follow else None):
                total.add(applied)
                if follow and (applied.added or applied.existing):
                    stdout.print(applied_counts(applied))
        return total

    with _upstream_errors(url, "cannot be reached", httpx.HTTPError):
        stdout.print(applied_counts(run(work())))


def applied_counts(applied: ApplyResult) -> str:
    """Return what was applied, in words."""
    counts = [", ".join(f"{count} {name}" for name, count in sorted(applied.added.items())) or "nothing new"]
    if applied.existing:
        counts.append(f"{applied.existing} existed already")
    counts += [f"{count} {name} skipped, unknown to this version" for name, count in sorted(applied.unknown.items())]
    if applied.conflicts:
        counts.append(f"{applied.conflicts} skipped, amended differently here")
    return f"Applied {'; '.join(counts)}."


@pull_commands.command("hapi")
def pull_hapi(
    url: Annotated[str, typer.Argument(help="URL with its parameters: https://.../affected-people/humanitarian-needs?...")],
    source: Annotated[str, typer.Option(help="Slug of the source that states the figures.")],
    write: Write = False,
    only_good: OnlyGood = False,
    org: Organisation = "import",
) -> None:
    """Import the number of people in need from an HDX HAPI endpoint (humanitarian-needs, totals of all sectors and groups)."""
    if not is_theme(url):
        raise fail(f"Only the theme {THEME} of HDX HAPI is read: give the address https://.../affected-people/{THEME}?...")

    if {"limit", "offset"} & httpx.URL(url).params.keys():
        raise fail("All pages are read: leave limit and offset out of the address.")

    async def work() -> tuple[ImportOut, int]:
        settings = load_settings()
        async with Database(settings) as database:
            with tempfile.TemporaryFile() as file:
                async with HapiClient(url) as client:
                    skipped = await write_statements(client, source, file)
                statements = StatementImport(file, Format.NDJSON, database, author_for(org), settings)
                return await _import(statements, write=write, only_good=only_good), skipped

    with _upstream_errors(url, "cannot be read as HDX HAPI", httpx.HTTPError, KeyError, TypeError):
        result, skipped = run(work())
    if skipped:
        stdout.print(f"{skipped} rows skipped: they are not totals of people in need.")
    print_result(result, partial(_print_import, write=write))
