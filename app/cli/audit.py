"""`lifeline audit`."""

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer

from app.access.audit_pruning import NotExported, export_audit, prune_audit
from app.cli.output import fail, load_settings, run, stdout
from app.domain.times import utc_now
from app.storage.database import Database
from app.storage.private_files import replace_by_private_file

commands = typer.Typer()
audit_commands = typer.Typer(help="Export and prune the audit log.", no_args_is_help=True)
commands.add_typer(audit_commands, name="audit")


@audit_commands.command("export")
def audit_export(path: Annotated[Path | None, typer.Argument(help="The file to write; standard output if omitted.")] = None) -> None:
    """Write the audit log as NDJSON, oldest entry first."""

    async def work() -> int:
        count = 0
        opened = nullcontext(typer.get_binary_stream("stdout")) if path is None else replace_by_private_file(path)
        async with Database(load_settings()) as database:
            with opened as file:
                async for entry in export_audit(database):
                    file.write(orjson.dumps(entry) + b"\n")
                    count += 1
        return count

    count = run(work())
    if path is not None:
        stdout.print(f"Wrote {count} entries to {path}.")


@audit_commands.command("prune")
def audit_prune(path: Annotated[Path, typer.Argument(help="A file of `lifeline audit export` that has every entry to delete.")]) -> None:
    """Delete the entries that are older than LIFELINE_AUDIT_DAYS; nothing if the file lacks one of them."""
    settings = load_settings()
    before = utc_now() - timedelta(days=settings.audit_days)

    async def work() -> int:
        async with Database(settings) as database:
            with path.open("rb") as exported:
                return await prune_audit(database, exported, before)

    try:
        count = run(work())
    except (NotExported, orjson.JSONDecodeError) as error:
        raise fail(f"Nothing was deleted: {error}. Run `lifeline audit export {path}`, and prune again.") from None
    stdout.print(f"Deleted {count} entries that are older than {settings.audit_days} days.")
