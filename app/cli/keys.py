"""`lifeline key`."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import create_key, list_keys, revoke_key, rotate_key
from app.access.models import ApiKey
from app.access.principal import Scope
from app.cli.output import database_errors, fail, in_transaction, load_settings, migrate_sqlite, run, stdout
from app.domain.times import utc_now
from app.domain.tlp import LABELS, Label
from app.http.problems import Problem
from app.storage.database import Database

commands = typer.Typer()
key_commands = typer.Typer(help="Create, list, rotate and revoke keys.", no_args_is_help=True)
commands.add_typer(key_commands, name="key")

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Identifier of the key, from `lifeline key list`.")]


@key_commands.command("create")
def key_create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    org: Annotated[str, typer.Option(help="Organisation that reports with the key.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key may do; repeat the option for several scopes.")],
    person: Annotated[str | None, typer.Option(help="Person that the key belongs to; lowering a label takes two persons.")] = None,
    clearance: Annotated[Label, typer.Option(help="Highest label that the key may read.")] = Label.GREEN,
    expires: Annotated[str | None, typer.Option(help="Last day on which the key is valid (UTC), such as 2026-12-31.")] = None,
) -> None:
    """Create a key and print its secret, which is shown only once."""
    try:
        expires_at = None if expires is None else datetime.combine(date.fromisoformat(expires), time.max, UTC)
    except ValueError:
        raise fail(f"--expires must be a date such as 2026-12-31, not {expires}.") from None
    if expires_at is not None and expires_at < utc_now():
        raise fail(f"--expires must be today or later, not {expires}.")
    for option, text in (("--name", name), ("--org", org), ("--person", person)):
        if text is not None and not text.strip():
            raise fail(f"{option} must not be empty.")
    with database_errors():
        migrate_sqlite(load_settings())
    _, secret = in_transaction(
        lambda session: create_key(
            session, name=name, organisation=org, person=person, scopes=scope, clearance=clearance, expires_at=expires_at
        )
    )
    print(secret)  # noqa: T201 - the bare secret, for scripts


@key_commands.command("list")
def key_list() -> None:
    """List the keys, without their secrets."""

    async def read() -> Sequence[ApiKey]:
        async with Database(load_settings()) as database, AsyncSession(database.reader) as session:
            return await list_keys(session)

    table = Table("id", "name", "organisation", "person", "scopes", "clearance", "expires", "revoked", box=None)
    for key in run(read()):
        dates = [each.isoformat(timespec="seconds") if each else "" for each in (key.expires_at, key.revoked_at)]
        table.add_row(str(key.id), key.name, key.organisation, key.person or "", " ".join(key.scopes), LABELS[key.clearance].value, *dates)
    # One line for each key, however narrow the terminal: `revoke` takes the whole identifier.
    Console(highlight=False, width=1000).print(table)


@key_commands.command("revoke")
def key_revoke(key_id: KeyId) -> None:
    """Revoke a key at once, in every process."""
    if in_transaction(lambda session: revoke_key(session, _parse_id(key_id))) is None:
        raise _no_such_key(key_id)
    stdout.print(f"Revoked {key_id}.")


@key_commands.command("rotate")
def key_rotate(
    key_id: KeyId,
    overlap: Annotated[int, typer.Option(min=0, max=720, help="Hours for which the previous secret stays valid.")] = 24,
) -> None:
    """Give a key a new secret and print it, which is shown only once; the previous secret stays valid for the overlap."""
    try:
        rotated = in_transaction(lambda session: rotate_key(session, _parse_id(key_id), timedelta(hours=overlap)))
    except Problem as problem:
        raise fail(problem.detail) from None
    if rotated is None:
        raise _no_such_key(key_id)
    print(rotated[1])  # noqa: T201 - the bare secret, for scripts


def _parse_id(key_id: str) -> UUID:
    try:
        return UUID(key_id)
    except ValueError:
        raise _no_such_key(key_id) from None


def _no_such_key(key_id: str) -> typer.Exit:
    return fail(f"There is no key {key_id}.")
