"""`lifeline bundle write` and `bundle read`: exchange ledgers with a partner without a link."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pyrage
import typer

from app.cli.exchange import Write, applied_counts, author_for
from app.cli.ledger import signing_errors
from app.cli.output import fail, load_settings, run, stderr, stdout
from app.exchange.replication.apply import EntryApplier
from app.exchange.replication.bundle_transfer import BundleReader, BundleResult, write_bundle
from app.exchange.replication.bundles import ForkFound, InvalidBundle
from app.ledger.partners import read_partners
from app.ledger.signing_key import LedgerKey
from app.storage.database import Database
from app.storage.private_files import replace_by_private_file

commands = typer.Typer()
bundle_commands = typer.Typer(help="Exchange ledgers with a partner without a link.", no_args_is_help=True)
commands.add_typer(bundle_commands, name="bundle")


@contextmanager
def _bundle_errors(file: Path) -> Iterator[None]:
    try:
        with signing_errors():
            yield
    except InvalidBundle as error:
        raise fail(f"{file}: {error}.") from None
    except ForkFound as fork:
        for each in fork.checkpoints:
            stderr.print(each, markup=False)
        raise fail(f"{file}: its ledger has two histories: these two checkpoints convict its operator. Nothing was written.") from None


@bundle_commands.command("write")
def bundle_write(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    partner: Annotated[str, typer.Option("--for", metavar="PARTNER", help="Name of the partner, from `lifeline witness list`.")],
    since: Annotated[
        Path | None, typer.Option(metavar="CHECKPOINTFILE", help="A checkpoint that the partner has; without it, everything is written.")
    ] = None,
) -> None:
    """Write the ledger that a partner is cleared for, with its proof; encrypted to the partner above the label clear."""
    settings = load_settings()

    async def work() -> int:
        async with Database(settings) as database:
            async with database.read_latest() as connection:
                found = [each for each in await read_partners(connection) if each["name"] == partner]
            if not found or (key := LedgerKey.load(settings)) is None:
                raise fail(
                    f"There is no partner {partner}: see `lifeline witness list`." if not found else "Run `lifeline ledger init` first."
                )
            with replace_by_private_file(part) as output:
                return await write_bundle(database, key, settings, found[0], since.read_bytes() if since else None, output)

    part = file.with_name(f"{file.name}.part")
    try:
        with _bundle_errors(file):
            count = run(work())
            part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    stdout.print(f"Wrote {count} entries to {file}.", markup=False)


@bundle_commands.command("read")
def bundle_read(
    file: Annotated[Path, typer.Argument(help="A file of `lifeline bundle write` of a partner.")],
    write: Write = False,
    identity: Annotated[
        Path | None, typer.Option(help="File with your age identity; by default the one beside the key that signs.")
    ] = None,
) -> None:
    """Verify a partner's bundle, and with --write apply it. Reading it again adds nothing; a torn file is read as far as it is whole."""
    settings = load_settings()

    async def work() -> BundleResult:
        key = LedgerKey.load(settings)
        named = identity or (key.identity_file if key and key.identity_file.is_file() else None)
        lines = named.read_text("utf-8").splitlines() if named else []
        try:
            identities = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
        except pyrage.IdentityError:
            raise fail(f"{named} holds no age identity.") from None
        async with Database(settings) as database:
            with file.open("rb") as opened:
                reader = BundleReader(database, settings, key, EntryApplier(author_for, settings), identities)
                return await reader.read(opened, write=write)

    with _bundle_errors(file):
        result = run(work())
    whole = f", up to {result.checkpoint.size}" if result.complete else ""
    stdout.print(f"{result.entries} entries of {result.checkpoint.origin} verified{whole}.", markup=False)
    stdout.print(applied_counts(result.applied) if write else "Nothing was written: add --write.")
    if result.cosignatures:
        stdout.print(f"The partner has cosigned {result.cosignatures} checkpoints of this service.")
    if not result.complete:
        raise fail("The file is torn: what comes after these entries is missing. Ask for it again.")
