"""`lifeline ledger init`, `lifeline ledger fork` and `lifeline verify-proof`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pyrage
import typer
from pydantic import TypeAdapter, ValidationError

from app.cli.output import fail, load_settings, stdout
from app.domain.setting_types import LogOrigin
from app.domain.times import rfc3339
from app.domain.tlp import LABELS
from app.ledger.notes import COSIGNATURE
from app.ledger.policy import Policy, verify_proof
from app.ledger.signing_key import LedgerKey, SigningError
from app.storage.private_files import replace_by_private_file

# Of a file from elsewhere, which may be of any size.
MAX_PROOF_BYTES = 1_000_000

commands = typer.Typer()
ledger_commands = typer.Typer(help="Sign checkpoints of the ledger.", no_args_is_help=True)
commands.add_typer(ledger_commands, name="ledger")

Origin = Annotated[str, typer.Option(help="Name of the ledger in its checkpoints, such as ledger.example.org/aid: yours alone.")]


@ledger_commands.command("init")
def ledger_init(
    origin: Origin,
    key_file: Annotated[Path, typer.Option(help="A new file for the key, in a folder of its own, outside the database and its backups.")],
) -> None:
    """Make the key that signs checkpoints, and print what to set and what others verify with."""
    _check_origin(origin)
    with signing_errors():
        key = LedgerKey.create(origin, key_file.absolute())
        identity = pyrage.x25519.Identity.generate()
        with replace_by_private_file(key.identity_file) as file:
            file.write(f"# public key: {identity.to_public()}\n{identity}\n".encode())
        _print_key(key)
        stdout.print(f"{'age':<15}{identity.to_public()}", markup=False)


@ledger_commands.command("fork")
def ledger_fork(origin: Annotated[str, typer.Option(help="A name that has never signed; partners have to know it.")]) -> None:
    """Begin a new history where the ledger does not continue what was signed, as after a restored backup."""
    settings = load_settings()
    _check_origin(origin)
    if origin == settings.origin:
        raise fail(f"{origin} is the name of the history so far: a new one needs a name that was never used.")
    with signing_errors():
        key = LedgerKey.load(settings) and LedgerKey.load(settings.model_copy(update={"origin": origin}))
        if key is None:
            raise fail("LIFELINE_ORIGIN and LIFELINE_SIGNING_KEY_FILE are not set: nothing was signed, so there is nothing to fork.")
        key.begin(forked=True)
        _print_key(key)


@commands.command("verify-proof")
def verify_proof_file(
    proof: Annotated[Path, typer.Argument(help="A proof, from /v1/reports/{id}.tlog-proof.")],
    policy: Annotated[Path, typer.Option(metavar="FILE", help="The keys to trust: lines `log VKEY`, `witness NAME VKEY`, `quorum none`.")],
    entry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The entry that it is of; by default the file beside it that ends with .tlog-entry.")
    ] = None,
) -> None:
    """Verify that an entry is in a ledger, without a database or a network; exit code 1 and the reason if not."""
    try:
        entry = entry or proof.with_suffix(".tlog-entry")
        found = verify_proof(_read(proof), _read(entry), Policy.parse(_read(policy).decode()))
    except OSError as error:
        raise fail(f"{error.filename} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise fail(f"Not proved: {error}.") from None
    stdout.print(f"Proved: entry {found.index + 1} of {found.checkpoint.size} in {found.checkpoint.origin}.", markup=False)
    for name, time in found.cosigned.items():
        stdout.print(f"Cosigned by {name} at {rfc3339(datetime.fromtimestamp(time, UTC))}.", markup=False)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_PROOF_BYTES + 1)
    if len(content) > MAX_PROOF_BYTES:
        raise ValueError(f"{path} has more than {MAX_PROOF_BYTES:,} bytes, which no proof, entry or policy has")
    return content


def _check_origin(origin: str) -> None:
    try:
        TypeAdapter(LogOrigin).validate_python(origin)
    except ValidationError as error:
        raise fail(f"--origin {error.errors()[0]['msg'].removeprefix('Value error, ')}, not {origin}.") from None


@contextmanager
def signing_errors() -> Iterator[None]:
    """Exit with one line if the files of the key cannot be used."""
    try:
        yield
    except SigningError as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"{error.filename} cannot be written: {error.strerror}.") from None


def _print_key(key: LedgerKey) -> None:
    stdout.print("Set, and start the service again:", f"LIFELINE_ORIGIN={key.origin}", f"LIFELINE_SIGNING_KEY_FILE={key.file}", sep="\n")
    stdout.print("Give to those who verify, up to the clearance of each:")
    for level, label in enumerate(LABELS):
        stdout.print(f"{label.value:<15}{key.signer(level).verifier()}", markup=False)
    stdout.print(f"{'cosigner':<15}{key.cosigner.verifier(COSIGNATURE)}", markup=False)
