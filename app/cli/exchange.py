"""`lifeline import`, `lifeline place import` and `lifeline pull`."""

import tempfile
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.access.principal import Principal, Scope
from app.cli.output import fail, load_settings, run, stderr, stdout
from app.client import AsyncLifeline, LifelineError
from app.domain.tlp import TOP, Label
from app.exchange.imports.cells import UnreadableFile
from app.exchange.imports.file_readers import format_of_path
from app.exchange.imports.full_import import FullImport, FullImportResult, is_full_export
from app.exchange.imports.gazetteer import Gazetteer, GazetteerResult
from app.exchange.imports.hapi import HapiClient, write_statements
from app.exchange.imports.results import RowProblem
from app.exchange.imports.statements import ImportResult, StatementImport
from app.exchange.replication.apply import ApplyResult
from app.exchange.replication.follower import Follower, ReplicationError, reset_cursor
from app.http.content_negotiation import Format
from app.storage.database import Database

MOST_LINES = 200


def author_for(organisation: str) -> Principal:
    """Whoever runs the command may write anything, in the name of any organisation."""
    return Principal(level=TOP, organisation=organisation, scopes=frozenset({Scope.REPORT.value, Scope.CURATE.value}))


def bar() -> Progress:
    """A progress bar on standard error."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    return Progress(*columns, console=stderr, transient=True)


def import_command(
    path: Annotated[Path, typer.Argument(help="A .csv, .xlsx, .json or .ndjson file; or one that `lifeline export` wrote.")],
    write: Annotated[bool, typer.Option("--write", help="Write it. Without this, only say what would be written.")] = False,
    only_good: Annotated[bool, typer.Option("--only-good", help="Record the rows that are right, rather than nothing.")] = False,
    org: Annotated[str, typer.Option(help="The organisation that reports; a full export names its own.")] = "import",
    kind: Annotated[str | None, typer.Option(help="The kind of rows that do not say.")] = None,
    place: Annotated[str | None, typer.Option(help="The place of rows that do not say: slug, scheme:code or exact name.")] = None,
    source: Annotated[str | None, typer.Option(help="The source of rows that do not say.")] = None,
    stated_at: Annotated[str | None, typer.Option(help="When rows that do not say were stated.")] = None,
    sensitivity: Annotated[Label | None, typer.Option(help="The label of rows that do not say.")] = None,
) -> None:
    """Take in a file of statements, or a full export. A dry run unless --write: it says what would be written, and what is wrong where.

    The same file twice adds nothing; what was cut off is run again. Exit code 1 when a row is wrong.
    """
    given = {"kind": kind, "place": place, "source": source, "stated_at": stated_at, "sensitivity": sensitivity}
    defaults = {name: str(value) for name, value in given.items() if value is not None}

    async def work() -> ImportResult | FullImportResult:
        settings = load_settings()
        database = Database(settings)
        try:
            with path.open("rb") as file, bar() as progress:
                format_ = format_of_path(path)
                task = progress.add_task("check", total=None)

                def advance(count: int) -> None:
                    progress.advance(task, count)

                reader: FullImport | StatementImport
                if is_full_export(file, format_):
                    reader = FullImport(file, database, author_for, settings, on_progress=advance)
                else:
                    reader = StatementImport(file, format_, database, author_for(org), settings, defaults, advance)
                looked = None
                if not write or isinstance(reader, FullImport) or not only_good:
                    looked = await reader.dry_run()
                    if not write or looked.problem_count:
                        return looked
                task = progress.add_task("write", total=None if looked is None else looked.rows)
                return await reader.write()
        finally:
            await database.close()

    try:
        if not path.is_file():
            raise fail(f"There is no file {path}.")
        done = run(work())
    except UnreadableFile as error:
        raise fail(str(error)) from None
    _say(done)
    if done.problem_count:
        raise typer.Exit(1)


def _say(done: ImportResult | FullImportResult) -> None:
    say_problems(done.problems, done.problem_count)
    if isinstance(done, FullImportResult):
        counts = ", ".join(f"{count} {name}" for name, count in sorted(done.added.items())) or "nothing"
        for name, count in done.unknown.items():
            stdout.print(f"{count} entries of {name}, which this version does not know, are passed over.")
        if done.conflicts:
            stdout.print(f"{done.conflicts} amendments do not fit what stands here, and were left.")
        if done.written:
            stdout.print(f"Wrote {counts}; {done.existing} were here already.")
        elif done.problem_count:
            stdout.print("Nothing was written.")
        else:
            stdout.print(f"A full export as {done.clearance} sees it: {counts}. Nothing was written: add --write.")
        return
    if done.unread_columns:
        stdout.print(f"Not read: {', '.join(done.unread_columns)}.")
    if not done.written and done.shown:
        table = Table("kind", "place", "source", "stated at", "value", box=None)
        for each in done.shown:
            value = ", ".join(f"{name} {value}" for name, value in each["value"].items() if value is not None)
            table.add_row(each["kind"], each["place"], each["source"], each["stated_at"], value)
        stdout.print(table)
        if done.created + done.existing > len(done.shown):
            stdout.print(f"... and {done.created + done.existing - len(done.shown)} more.")
    doing = "recorded" if done.written else "would be recorded"
    stdout.print(f"{done.rows} rows: {done.created} {doing}, {done.existing} recorded before, {done.refused} refused.")
    if not done.written:
        stdout.print("Nothing was written: add --write" + (", and --only-good for the rows that are right." if done.refused else "."))


def say_problems(problems: list[RowProblem], count: int) -> None:
    """A line for each problem: the cell, the column, what is wrong."""
    for each in problems[:MOST_LINES]:
        column = f" ({each.column})" if each.cell is not None else ""
        stdout.print(f"{each.location}{column}: {each.detail}", markup=False)
    if count > MOST_LINES:
        stdout.print(f"... and {count - MOST_LINES} more problems.")


places = typer.Typer(help="Places.", no_args_is_help=True)
pull = typer.Typer(help="Take in what other services have.", no_args_is_help=True)


@places.command("import")
def import_places(
    path: Annotated[Path, typer.Argument(help="A COD-AB style table of administrative units: .csv, .xlsx or .geojson.")],
    write: Annotated[bool, typer.Option("--write", help="Write it. Without this, only say what would be written.")] = False,
    country: Annotated[str | None, typer.Option(help="ISO 3166-1 alpha-3 of units whose rows do not say.")] = None,
    language: Annotated[str, typer.Option(help="Language of the names, where there are several.")] = "en",
) -> None:
    """Take in a gazetteer: each unit as a place with its P-code, inside the unit above. All of it, or nothing when a row is wrong."""

    async def work() -> GazetteerResult:
        database = Database(load_settings())
        try:
            with path.open("rb") as file, bar() as progress:
                task = progress.add_task("places", total=None)
                gazetteer = Gazetteer(
                    file,
                    format_of_path(path),
                    database,
                    country=country,
                    language=language,
                    on_progress=lambda count: progress.advance(task, count),
                )
                return await gazetteer.load(write=write)
        finally:
            await database.close()

    try:
        if not path.is_file():
            raise fail(f"There is no file {path}.")
        placed = run(work())
    except UnreadableFile as error:
        raise fail(str(error)) from None
    say_problems(placed.problems, placed.problem_count)
    counts = ", ".join(f"{count} of level {level}" for level, count in sorted(placed.added.items())) or "none"
    if placed.written:
        stdout.print(f"{placed.rows} rows: places added: {counts}; {placed.existing} were here already.")
        return
    stdout.print(f"{placed.rows} rows: places to add: {counts}; {placed.existing} are here already. Nothing was written.")
    if placed.problem_count:
        raise typer.Exit(1)


Key = Annotated[str | None, typer.Option(envvar="LIFELINE_UPSTREAM_KEY", help="A key of that service; better in the environment.")]


@pull.command("lifeline")
def pull_lifeline(
    url: Annotated[str, typer.Argument(help="Address of the other Lifeline, such as https://lifeline.example.org.")],
    key: Key = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on for ever, as changes come.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Go through it from the beginning; what is here is known again.")] = False,
) -> None:
    """Follow another Lifeline: its statements, corrections, retractions, outcomes and grades, with their identifiers.

    Goes on where it stopped, whatever cut it off. Two that follow each other send nothing round.
    """

    async def work() -> ApplyResult:
        settings = load_settings()
        database = Database(settings)
        total = ApplyResult()
        try:
            async with AsyncLifeline(url, key, attempts=None if follow else 8) as client:
                if restart:
                    await reset_cursor(database, url)
                follower = Follower(url, client, database, author_for, settings)
                async for applied in follower.follow(25 if follow else None):
                    total.add(applied)
                    if follow and (applied.added or applied.existing):
                        stdout.print(_counts(applied))
        finally:
            await database.close()
        return total

    try:
        stdout.print(_counts(run(work())))
    except ReplicationError as error:
        raise fail(str(error)) from None
    except LifelineError as error:
        raise fail(f"{url} answers: {error}") from None
    except httpx.HTTPError as error:
        raise fail(f"{url} cannot be reached: {error or type(error).__name__}") from None


def _counts(applied: ApplyResult) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(applied.added.items())) or "nothing new"
    more = [f"{applied.existing} here already"] if applied.existing else []
    more += [f"{count} of {name} passed over, not known to this version" for name, count in sorted(applied.unknown.items())]
    more += [f"{applied.conflicts} left, amended otherwise here"] if applied.conflicts else []
    return "; ".join([f"Applied {counts}", *more]) + "."


@pull.command("hapi")
def pull_hapi(
    url: Annotated[str, typer.Argument(help="The endpoint with its parameters: https://.../affected-people/humanitarian-needs?...")],
    source: Annotated[str, typer.Option(help="Slug of the source whose figures these are.")],
    write: Annotated[bool, typer.Option("--write", help="Write it. Without this, only say what would be written.")] = False,
    org: Annotated[str, typer.Option(help="The organisation that reports.")] = "import",
) -> None:
    """Read how many people are in need from an HDX HAPI style endpoint, theme humanitarian-needs, all sectors and people together."""

    async def work() -> tuple[ImportResult, int]:
        settings = load_settings()
        database = Database(settings)
        try:
            with tempfile.TemporaryFile() as file, bar() as progress:
                async with HapiClient(url) as client:
                    _, passed = await write_statements(client, source, file)
                task = progress.add_task("rows", total=None)
                reader = StatementImport(
                    file, Format.NDJSON, database, author_for(org), settings, on_progress=lambda count: progress.advance(task, count)
                )
                looked = await reader.dry_run()
                return (await reader.write() if write and not looked.problem_count else looked), passed
        finally:
            await database.close()

    try:
        done, passed = run(work())
    except LifelineError as error:
        raise fail(f"{url} answers: {error}") from None
    except (httpx.HTTPError, KeyError, TypeError) as error:
        raise fail(f"{url} cannot be read as HDX HAPI: {error or type(error).__name__}") from None
    _say(done)
    if passed:
        stdout.print(f"{passed} rows say something else than how many people are in need in all.")
    if done.problem_count:
        raise typer.Exit(1)


def install(cli: typer.Typer) -> None:
    """Give the command its ways in."""
    cli.command("import")(import_command)
    cli.add_typer(places, name="place")
    cli.add_typer(pull, name="pull")
