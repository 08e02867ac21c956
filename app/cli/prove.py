"""`lifeline prove`: a statement with its proof, as files and as a page to print."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import orjson
import segno
import typer
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from app.cli.output import fail, load_settings, run, stdout
from app.domain.times import rfc3339
from app.domain.tlp import LABELS, MAX_LEVEL, Label
from app.ledger.checkpoints import CheckpointSigner, verifier_keys
from app.ledger.notes import SignedNote, VerifierKey
from app.ledger.partners import read_partners
from app.ledger.policy import Policy, VerifiedProof, verify_proof
from app.ledger.proofs import find_statement, inclusion_proof, read_entries
from app.storage.database import Database
from app.storage.private_files import replace_by_private_file

# A code of this many bytes is read from paper, six of them are on a page.
MAX_CODE_BYTES = 1300
MAX_CODES = 6

commands = typer.Typer()


@commands.command()
def prove(
    report: Annotated[UUID, typer.Argument(metavar="ID", help="Identifier of the report.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    clearance: Annotated[Label | None, typer.Option(help="Prove it in the ledger of this label, by default that of the report.")] = None,
) -> None:
    """Write a statement, its proof, the policy to verify it by, and a page that prints on one sheet of A4 with QR codes."""
    level, proof, entry, policy = run(_read(report, clearance))
    verified = verify_proof(proof, entry, Policy.parse(policy))
    files = {f"{report}.tlog-proof": proof, f"{report}.tlog-entry": entry, "policy.txt": policy.encode()}
    page = _render(LABELS[level], verified, policy, files)
    try:
        output.mkdir(exist_ok=True)
        for name, content in (files | {f"{report}.html": page.encode()}).items():
            with replace_by_private_file(output / name) as file:
                file.write(content)
    except OSError as error:
        raise fail(f"{error.filename} cannot be written: {error.strerror}.") from None
    where = f"entry {verified.index + 1} of {verified.checkpoint.size} in {verified.checkpoint.origin}"
    stdout.print(f"Proved: {where}. Print {output / f'{report}.html'}.", markup=False)


async def _read(report: UUID, clearance: Label | None) -> tuple[int, bytes, bytes, str]:
    """Return the level of the ledger that proves a report, the proof, the entry, and a policy that needs all who cosigned."""
    settings = load_settings()
    async with Database(settings) as database:
        async with database.read_latest() as connection:
            level, index = await find_statement(connection, report, MAX_LEVEL, None if clearance is None else clearance.level)
            (entry,) = await read_entries(connection, level, index, 1)
        if not entry:
            raise fail(f"A part of the entry was withheld from {LABELS[level]}: prove it in a stricter ledger with --clearance.")
        signed = await CheckpointSigner(settings).cosigned(database, level, index + 1)
        async with database.read_latest() as connection:
            proof = await inclusion_proof(connection, level, index, signed.checkpoint.size, signed.note)
            keys = {each["name"]: VerifierKey.parse(each["cosigner_vkey"]) for each in await read_partners(connection)}
    note = SignedNote.parse(signed.note)
    names = [name for name, key in keys.items() if note.signed_at(key) is not None]
    lines = [f"log {verifier_keys(settings, level)['vkey']}", *(f"witness {name} {keys[name]}" for name in names)]
    lines += [f"group partners all {' '.join(names)}", "quorum partners"] if names else ["quorum none"]
    return level, proof, entry, "".join(f"{line}\n" for line in lines)


def _render(label: Label, verified: VerifiedProof, policy: str, files: dict[str, bytes]) -> str:
    entry = next(content for name, content in files.items() if name.endswith(".tlog-entry"))
    codes = [each for name, content in files.items() for each in _codes(name, content.decode())]
    if complete := len(codes) <= MAX_CODES:
        shown: Sequence[tuple[str, Markup]] = codes
    else:
        shown = [each for name, content in files.items() if content is not entry for each in _codes(name, content.decode())][:MAX_CODES]
    trusted = Policy.parse(policy)
    times = {name: rfc3339(datetime.fromtimestamp(time, UTC)) for name, time in verified.cosigned.items()}
    environment = Environment(loader=PackageLoader("app.cli"), autoescape=True)
    body = orjson.loads(entry)
    return environment.get_template("proof.html").render(
        label=label.value,
        entry=body,
        report=body["report"],
        index=verified.index,
        checkpoint=verified.checkpoint,
        root=b64encode(verified.checkpoint.root).decode(),
        vkey=trusted.logs[0],
        witnesses=[(name, trusted.witnesses[name], time) for name, time in times.items()],
        codes=shown,
        complete=complete,
    )


def _codes(name: str, content: str) -> Iterator[tuple[str, Markup]]:
    """Yield the QR codes of a file, each with its caption."""
    parts = [""]
    for character in content:
        if len((parts[-1] + character).encode()) > MAX_CODE_BYTES:
            parts.append("")
        parts[-1] += character
    for number, part in enumerate(parts, 1):
        drawn = segno.make(part, error="l", mode="byte", encoding="utf-8", micro=False).svg_inline(border=4, omitsize=True)
        yield name + (f", part {number} of {len(parts)}" if len(parts) > 1 else ""), Markup(drawn)  # noqa: S704 - drawn here
