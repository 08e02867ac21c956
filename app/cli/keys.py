"""`lifeline key` and `lifeline audit`."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from app.access.audit import fetch_audit, create_read_audit_table
from app.access.keys import create_key, list_keys, revoke_key, rotate_key
from app.access.principal import Scope
from app.cli.output import load_settings, stdout, run, fail
from app.domain.tlp import LABELS, Label
from app.http.problems import Problem
from app.storage.database import Database

keys = typer.Typer(help="Keys: who may report, and see how much.", no_args_is_help=True)
audit = typer.Typer(help="The audit log: who did what.", no_args_is_help=True)


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
        raise fail("--expires takes a date such as 2026-12-31.") from None

    async def work() -> str:
        database = Database(load_settings())
        try:
            async with database.write() as session:
                _, secret = await create_key(session, name=name, organisation=org, scopes=scope, clearance=clearance, expires_at=until)
            return secret
        finally:
            await database.close()

    print(run(work()))  # noqa: T201 - the bare secret, for scripts


@keys.command("list")
def key_list() -> None:
    """List the keys, without their secrets."""

    async def work() -> list[Any]:
        database = Database(load_settings())
        try:
            async with database.write() as session:
                return await list_keys(session)
        finally:
            await database.close()

    table = Table("id", "name", "organisation", "scopes", "clearance", "expires", "revoked", box=None)
    for key in run(work()):
        dates = [each.isoformat(timespec="seconds") if each else "" for each in (key.expires_at, key.revoked_at)]
        table.add_row(str(key.id), key.name, key.organisation, " ".join(key.scopes), LABELS[key.clearance].value, *dates)
    # A key is a line, whole, however narrow the terminal is: its identifier is what `revoke` takes.
    Console(highlight=False, width=1000).print(table)


@keys.command("revoke")
def key_revoke(id: Annotated[str, typer.Argument(help="Identifier of the key, from `lifeline key list`.")]) -> None:  # noqa: A002
    """Revoke a key, from now on, everywhere."""

    async def work() -> bool:
        database = Database(load_settings())
        try:
            async with database.write() as session:
                return await revoke_key(session, UUID(id)) is not None
        finally:
            await database.close()

    try:
        found = run(work())
    except ValueError:
        found = False
    if not found:
        raise fail(f"There is no key {id}.")
    stdout.print(f"Revoked {id}.")


@keys.command("rotate")
def key_rotate(
    id: Annotated[str, typer.Argument(help="Identifier of the key, from `lifeline key list`.")],  # noqa: A002
    overlap: Annotated[int, typer.Option(min=0, max=720, help="Hours for which the secret before holds too.")] = 24,
) -> None:
    """Give a key a new secret and print it, this once; the one before holds for the overlap too."""

    async def work() -> str | None:
        database = Database(load_settings())
        try:
            async with database.write() as session:
                rotated = await rotate_key(session, UUID(id), timedelta(hours=overlap))
            return None if rotated is None else rotated[1]
        finally:
            await database.close()

    try:
        secret = run(work())
    except ValueError:
        secret = None
    except Problem as problem:
        raise fail(problem.detail) from None
    if secret is None:
        raise fail(f"There is no key {id}.")
    print(secret)  # noqa: T201 - the bare secret, for scripts


@audit.command("export")
def audit_export(path: Annotated[Path | None, typer.Argument(help="Where to write it; to standard output unless given.")] = None) -> None:
    """Write the audit log, oldest entry first, a JSON object a line."""

    async def work() -> list[str]:
        database = Database(load_settings())
        try:
            if database.dialect == "sqlite":
                await create_read_audit_table(database.audit)
            lines: list[str] = []
            after = None
            while True:
                items, after = await fetch_audit(database, [], after=after, limit=1000)
                lines += [json.dumps(item, ensure_ascii=False) for item in items]
                if after is None:
                    return lines
        finally:
            await database.close()

    lines = run(work())
    if path is None:
        print(*lines, sep="\n")  # noqa: T201 - lines for other programs
    else:
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        stdout.print(f"Wrote {len(lines)} entries to {path}")
