"""`lifeline serve`, `demo` and `openapi`."""

import json
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from sqlalchemy.ext.asyncio import AsyncSession

from app.access.keys import create_key, list_keys, rotate_key
from app.access.principal import Scope
from app.cli.output import database_errors, fail, in_transaction, load_settings, migrate_sqlite, stdout
from app.demo.aleppo import load_aleppo
from app.demo.examples import add_examples
from app.domain.tlp import Label
from app.http.header_timeout import HeaderTimeoutProtocol
from app.http.rate_limit import share_counters
from app.http.server import run as run_server
from app.ledger.signing_key import LedgerKey, SigningError
from app.main import create_app
from app.settings import Settings, get_settings
from app.storage.migrations import require_schema, schema_revision
from app.storage.sqlite_file import sqlite_path
from app.storage.sqlite_integrity import find_corruption
from app.telemetry.logging import LOGGING

DEMO = "demo"
DEMO_ORIGIN = "demo.lifeline.example"

commands = typer.Typer()


@commands.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 1,
    demo: Annotated[bool, typer.Option("--demo", help="Load Aleppo 2016 into an empty database, and print a key.")] = False,
) -> None:
    """Serve the API and the board. A SQLite database is migrated first; for PostgreSQL run `lifeline migrate` before."""
    settings = load_settings()
    with database_errors():
        schema_revision(settings)
    if corruption := find_corruption(settings.database_url):
        raise fail(f"The database is damaged: {corruption}. Run `lifeline verify` for details, and restore a backup.")
    with database_errors():
        migrate_sqlite(settings)
        require_schema(settings)
    address = f"http://{'localhost' if host in ('0.0.0.0', '127.0.0.1') else host}:{port}"  # noqa: S104 - compared, not listened on
    if demo:
        _demo(settings)
        _sign_demo(settings)
        stdout.print(f"Board        {address}/", f"Indicators   {address}/v1/indicators", f"Swagger UI   {address}/docs", sep="\n")
    # All worker processes inherit one secret, so that each accepts the sessions of the others.
    if settings.session_secret is None:
        os.environ["LIFELINE_SESSION_SECRET"] = secrets.token_urlsafe(32)
    with share_counters(workers):
        config = uvicorn.Config(
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
            # A worker does not answer while it imports: on a busy machine the default of 5 s would kill each before it has started.
            timeout_worker_healthcheck=60,
        )
        run_server(config)


@commands.command("demo")
def load_demo() -> None:
    """Load Aleppo 2016 into the configured database if it is empty, and print a key."""
    _demo(load_settings())


def _demo(settings: Settings) -> None:
    loaded, secret = in_transaction(lambda session: _load_demo(session, settings), settings)
    stdout.print("Loaded Aleppo, July to December 2016." if loaded else "The database has reports already: nothing was loaded.")
    if secret:
        stdout.print(f"Key with every scope and the clearance amber: [bold]{secret}[/bold]")


def _sign_demo(settings: Settings) -> None:
    """Make a key beside a SQLite database, unless one is configured, and let this process and its workers sign with it."""
    if settings.origin is not None or (path := sqlite_path(settings.database_url)) is None:
        return
    file = path.absolute().with_name(f"{path.name}.signing-key")
    try:
        if not file.exists():
            LedgerKey.create(DEMO_ORIGIN, file)
    except (OSError, SigningError) as error:
        raise fail(f"{file} cannot be made: {error}.") from None
    os.environ |= {"LIFELINE_ORIGIN": DEMO_ORIGIN, "LIFELINE_SIGNING_KEY_FILE": str(file)}
    get_settings.cache_clear()


async def _load_demo(session: AsyncSession, settings: Settings) -> tuple[bool, str | None]:
    """Return whether the demo was loaded, and a secret of the demo's key; None if the database was not filled by the demo."""
    if await load_aleppo(session, settings):
        key, secret = await create_key(session, name=DEMO, organisation=DEMO, person=DEMO, scopes=tuple(Scope), clearance=Label.AMBER)
        await add_examples(session, key, settings)
        return True, secret
    # Rotating the key of an earlier run keeps demo keys from piling up, and gives no access to reports that are not the demo's.
    demo_keys = [each for each in await list_keys(session) if each.name == each.organisation == DEMO and each.revoked_at is None]
    rotated = await rotate_key(session, demo_keys[0].id, timedelta()) if demo_keys else None
    return False, rotated[1] if rotated else None


@commands.command("openapi")
def write_openapi(path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("openapi/v1.json")) -> None:
    """Write the OpenAPI document."""
    document = json.dumps(create_app().openapi(), indent=2, ensure_ascii=False) + "\n"
    with database_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document, encoding="utf-8")
    stdout.print(f"Wrote {path}")
