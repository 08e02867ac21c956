"""`lifeline witness add`, `list` and `remove`: the partners that prove this ledger, and whose ledgers this service proves."""

import asyncio
import re
from typing import Annotated

import pyrage
import typer
from rich.table import Table
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.cli.ledger import signing_errors
from app.cli.output import fail, in_transaction, load_settings, stdout
from app.domain.times import rfc3339
from app.domain.tlp import LABELS, Label
from app.ledger.models import Cosignature, Partner
from app.ledger.notes import COSIGNATURE, SIGNATURE, InvalidNote, VerifierKey
from app.ledger.partners import log_keys, read_log_keys, read_partners
from app.ledger.signing_key import LedgerKey
from app.webhooks.ssrf_guard import ForbiddenTarget, check_target

RESOLVE_SECONDS = 5.0

commands = typer.Typer()
witness_commands = typer.Typer(help="Name the partners that cosign checkpoints.", no_args_is_help=True)
commands.add_typer(witness_commands, name="witness")


@witness_commands.command("add")
def witness_add(
    name: Annotated[str, typer.Argument(help="Name of the partner: a-z, 0-9 and -.")],
    log: Annotated[str, typer.Option(metavar="VKEY", help="Key of the partner's log; of a Lifeline that of any label stands for all.")],
    cosigner: Annotated[str, typer.Option(metavar="VKEY", help="Key of the partner's cosignatures.")],
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of its witness, without /add-checkpoint: https://lifeline.example.net/v1/witness. "
            "Leave it out for a partner that gets bundles alone."
        ),
    ] = None,
    clearance: Annotated[
        Label, typer.Option(help="Send the partner the trees up to this label: sizes and hashes, no entries.")
    ] = Label.CLEAR,
    age: Annotated[str | None, typer.Option(metavar="RECIPIENT", help="The age recipient that bundles are encrypted to.")] = None,
) -> None:
    """Cosign the checkpoints of a partner's log, and send it those of this ledger to cosign."""
    settings = load_settings()
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", name) or name == "none":
        raise fail(f"The name of a partner consists of a-z, 0-9 and -, at most 64 characters, and is not none: not {name}.")
    _check_key("--log", log, SIGNATURE)
    _check_key("--cosigner", cosigner, COSIGNATURE)
    try:
        if url is not None:
            asyncio.run(check_target(url, allow_private=settings.webhook_allow_private, seconds=RESOLVE_SECONDS))
        if age is not None:
            pyrage.x25519.Recipient.from_str(age)
    except ForbiddenTarget as forbidden:
        raise fail(f"--url {forbidden}.") from None
    except pyrage.RecipientError:
        raise fail("--age must be an age recipient, which begins with age1.") from None

    async def add(session: AsyncSession) -> LedgerKey:
        with signing_errors():
            own = LedgerKey.load(settings)
        if own is None:
            raise fail("LIFELINE_ORIGIN and LIFELINE_SIGNING_KEY_FILE are not set: run `lifeline ledger init` first.")
        connection = await session.connection()
        partners = await read_partners(connection)
        if name in [each["name"] for each in partners]:
            raise fail(f"There is a partner {name}: remove it first, or choose another name.")
        taken = {str(own.cosigner.verifier(COSIGNATURE)), *(each["cosigner_vkey"] for each in partners)}
        logs = {own.signer(level).name for level in range(len(LABELS))} | (await read_log_keys(connection)).keys()
        if cosigner in taken or logs & log_keys(log).keys():
            raise fail("--log and --cosigner must be of the partner alone: one of them is of this service or of another partner.")
        row = Partner(name=name, log_vkey=log, cosigner_vkey=cosigner, url=url, clearance=clearance.level, age_recipient=age)
        session.add(row)
        return own

    own = in_transaction(add, settings)
    sent = "once a minute it is sent those that grew" if url else "yours go to it in bundles"
    stdout.print(f"Added {name}. From now on its checkpoints are cosigned, and {sent}.", markup=False)
    stdout.print("The partner adds this service, with its address if it has one:", markup=False)
    keys = f"--log {own.signer(clearance.level).verifier()} --cosigner {own.cosigner.verifier(COSIGNATURE)}"
    stdout.print(f"lifeline witness add NAME {keys}{' --url https://.../v1/witness' if url else ''}", markup=False)


def _check_key(option: str, vkey: str, algorithm: int) -> None:
    try:
        key = VerifierKey.parse(vkey)
        if key.algorithm != algorithm:
            raise InvalidNote("it is of another sort: a log has one key, its cosignatures have another")
    except InvalidNote as error:
        raise fail(f"{option} must be a key of the partner's `lifeline ledger init`: {error}.") from None


@witness_commands.command("list")
def witness_list() -> None:
    """List the partners, and what each has cosigned last."""

    async def read(session: AsyncSession) -> list[tuple[str, ...]]:
        connection = await session.connection()
        cosigned: dict[str, list[str]] = {}
        rows = select(col(Cosignature.partner), col(Cosignature.clearance), col(Cosignature.size), col(Cosignature.cosigned_at))
        for partner, level, size, at in await connection.execute(rows.order_by(col(Cosignature.clearance))):
            cosigned.setdefault(partner, []).append(f"{size} of {LABELS[level]} at {rfc3339(at)}")
        return [
            (each["name"], LABELS[each["clearance"]], each["url"] or "bundles", "\n".join(cosigned.get(each["name"], ["nothing"])))
            for each in await read_partners(connection)
        ]

    table = Table("name", "clearance", "address", "has cosigned", box=None)
    for row in in_transaction(read):
        table.add_row(*row)
    stdout.print(table)


@witness_commands.command("remove")
def witness_remove(name: Annotated[str, typer.Argument(help="Name of the partner.")]) -> None:
    """Forget a partner: its checkpoints are not cosigned any more, and its cosignatures are left out."""

    async def remove(session: AsyncSession) -> None:
        await session.execute(delete(Cosignature).where(col(Cosignature.partner) == name))
        if not (await session.execute(delete(Partner).where(col(Partner.name) == name).returning(col(Partner.name)))).all():
            raise fail(f"There is no partner {name}.")

    in_transaction(remove)
    stdout.print(f"Removed {name}.", markup=False)
