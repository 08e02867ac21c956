"""Load made-up reports into the configured database: `python -m tests.benchmarks.load_command`."""

from time import monotonic
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.cli.output import database_errors, fail, load_settings, run, stderr, stdout
from app.storage.database import Database
from app.storage.migrations import migrate
from tests.benchmarks.bulk import NotEmpty, load

load_command = typer.Typer()


@load_command.command()
def main(
    reports: Annotated[int, typer.Option(min=1, help="Reports to make.")] = 10_000,
    indicators: Annotated[int | None, typer.Option(min=1, help="Indicators to speak of: a 25th of the reports unless given.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same world.")] = 2016,
) -> None:
    """Load made-up reports into the configured database, which must be empty, as fast as it accepts them."""
    settings = load_settings()
    with database_errors():
        migrate(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]} /s"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=stderr) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of, rate="")
            elapsed = bar.tasks[tasks[what]].elapsed
            bar.update(tasks[what], completed=done, rate=f"{done / elapsed:,.0f}" if elapsed else "")

        async def work() -> int:
            database = Database(settings)
            try:
                async with database.write() as session:
                    many = indicators or max(1, reports // 25)
                    return await load(session, settings, reports=reports, indicators=many, seed=seed, progress=progress)
            finally:
                await database.close()

        started = monotonic()
        try:
            entries = run(work())
        except NotEmpty:
            raise fail("The database is not empty: made-up reports go into one of their own.") from None
    spent = monotonic() - started
    stdout.print(
        f"Loaded {reports:,} reports, {entries:,} entries of the ledger, in {spent:,.1f} s: {reports / spent:,.0f} reports a second."
    )


if __name__ == "__main__":
    load_command()
