"""The `lifeline` command."""

from typing import Annotated

import typer

from app import __version__
from app.cli import audit, bundle, database, exchange, keys, ledger, prove, reference, serve, witness
from app.cli.output import stdout

cli = typer.Typer(name="lifeline", help="Sourced reports on besieged places, assessed together.", no_args_is_help=True)
for module in (serve, database, ledger, prove, witness, keys, audit, reference, exchange, bundle):
    cli.add_typer(module.commands)


@cli.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        stdout.print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command."""
    cli()
