"""`lifeline place import` and `lifeline source add`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from app.cli.exchange import Sheet, Write, author_for, opened, print_result, progress
from app.cli.output import fail, in_transaction, load_settings, run, stderr, stdout
from app.exchange.imports.gazetteer import Gazetteer
from app.exchange.imports.gazetteer_plan import GazetteerResult
from app.http.problems import field_problems
from app.reference.schemas import SourceIn
from app.reference.service import add_source
from app.storage.database import Database

commands = typer.Typer()
place_commands = typer.Typer(help="Import places.", no_args_is_help=True)
source_commands = typer.Typer(help="Add sources.", no_args_is_help=True)
commands.add_typer(place_commands, name="place")
commands.add_typer(source_commands, name="source")


@place_commands.command("import")
def import_places(
    path: Annotated[Path, typer.Argument(help="A table of administrative units in the style of COD-AB: .csv, .xlsx, .ods or .geojson.")],
    write: Write = False,
    update: Annotated[bool, typer.Option("--update", help="Change places that are known where the file differs.")] = False,
    sheet: Sheet = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166-1 alpha-3 code of units without one.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the names, such as ar. By default English if the table has it.")] = None,
    timezone: Annotated[str | None, typer.Option(help="IANA time zone of all new units, else that of the unit above.")] = None,
) -> None:
    """Import a gazetteer: each unit becomes a place with its P-code, inside the unit above. Nothing is written if a row is invalid.

    A known place that differs is a problem, unless --update changes it. Units without a name are left out.
    Importing a file again adds nothing, so repeat an import that was interrupted.
    """
    result = GazetteerResult()

    async def work() -> GazetteerResult:
        async with Database(load_settings()) as database:
            with opened(path) as (file, format_):
                gazetteer = Gazetteer(file, format_, database, country, language, timezone, sheet=sheet, update=update)
                with progress("check") as advance:
                    checked = await replace(gazetteer, on_progress=advance).check()
                if not write or checked.problem_count:
                    return checked
                with progress("write", checked.created + checked.existing, unit="places") as advance:
                    await replace(gazetteer, on_progress=advance).write(result)
                return result

    try:
        print_result(run(work()), _print_places)
    finally:
        if result.created and not result.written:
            stderr.print(f"Interrupted after {result.created} places were added: import the file again to add the others.")


def _print_places(result: GazetteerResult) -> None:
    counts = ", ".join(f"{count} of level {level}" for level, count in sorted(result.added.items())) or "none"
    if result.written:
        added, existing, changed = "added", "existed already", "changed"
    else:
        added, existing, changed = "to add", "exist already", "would be changed"
    if result.unread_columns:
        stdout.print(f"Ignored columns: {', '.join(result.unread_columns)}.", markup=False)
    for change in result.changes:
        stdout.print(f"{change} ({changed})", markup=False)
    parts = [f"{result.rows} rows: places {added}: {counts}; {result.existing} {existing}"]
    parts += [f"{len(result.changes)} of them {changed}"] if result.changes else []
    parts += [f"{result.left_out} left out"] if result.left_out else []
    stdout.print(f"{'; '.join(parts)}.{'' if result.written else ' Nothing was written.'}")


@source_commands.command("add")
def add(
    slug: Annotated[str, typer.Argument(help="Short name for URLs and files: 1 to 64 of a-z, 0-9 and -.")],
    name: Annotated[str, typer.Option(help="Name to display.")],
    type_: Annotated[str, typer.Option("--type", help="un, government, armed_actor, ngo, monitor, media, local_council or witness.")],
    reliability: Annotated[str, typer.Option(help="Reliability on the Admiralty scale: A to E; F cannot be judged.")] = "F",
    party: Annotated[
        bool | None, typer.Option("--party/--no-party", help="Whether it is a party to the conflict; by default an armed actor is.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="Name that replaces name and slug below the clearance amber.")] = None,
    org: Annotated[str | None, typer.Option(help="Organisation whose keys alone report for it.")] = None,
) -> None:
    """Add a source, as `POST /v1/sources` does."""
    fields = {"slug": slug, "name": name, "type": type_, "reliability": reliability, "party_to_conflict": party, "alias": alias}
    try:
        source = SourceIn.model_validate(fields | {"organisation": org})
    except ValidationError as error:
        raise fail("\n".join(f"{each.pointer.strip('/')}: {each.detail}" for each in field_problems(error))) from None
    in_transaction(lambda session: add_source(session, author_for("import"), source))
    stdout.print(f"Added the source {slug}.")
