"""`lifeline prove`: files that verify, and a page that prints on one sheet whatever the statement says."""

import asyncio
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from app.ledger.models import Cosignature
from app.ledger.notes import COSIGNATURE, SignedNote, SigningKey
from app.settings import Settings
from app.storage.database import Database
from tests.ledger.helpers import ForeignLog, add_partner, signing_settings
from tests.support.browser import ARGUMENTS, CHROMIUM, needs_chromium
from tests.support.factories import Reference, post, report
from tests.support.fixtures import sqlite_only
from tests.support.servers import invoke

TIME = 1795510841


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a key."""
    return signing_settings(settings, tmp_path)


def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    key = {"origin": settings.origin or "", "signing_key_file": settings.signing_key_file or ""}
    result = invoke(*arguments, database_url=settings.database_url, **key)
    return result.exit_code, result.output


async def add_cosignatures(client: httpx.AsyncClient, settings: Settings, count: int) -> None:
    """Let partners cosign the public ledger."""
    note = (await client.get("/v1/ledger/checkpoint?clearance=clear")).text
    text = SignedNote.parse(note.encode()).text
    for number in range(count):
        key = SigningKey(f"partner{number}.example.net/relief", bytes([number]) * 32)
        log = ForeignLog(f"{key.name}/clear", number + 100).vkey
        await add_partner(settings.database_url, f"partner{number}", log, str(key.verifier(COSIGNATURE)))
        row = Cosignature(
            partner=f"partner{number}", clearance=0, checkpoint=note, size=int(text.split("\n")[1]),
            line=key.cosign(text, TIME), cosigned_at=datetime.fromtimestamp(TIME, UTC),
        )  # fmt: skip
        async with Database(settings) as database, database.write() as session:
            session.add(row)


async def test_prove_writes_files_that_verify(client: httpx.AsyncClient, reference: Reference, settings: Settings, tmp_path: Path) -> None:
    """In the ledger of its label or a stricter one, with the partners that have cosigned; readable by their owner alone."""
    recorded = await post(client, **report())
    restricted = await post(client, **report(value={"people": 3}, sensitivity="red", provenance={"quote": "<b>Nobody & nothing</b>"}))
    await add_cosignatures(client, settings, 2)
    folder = tmp_path / "proof"
    for id_, label, more in ((recorded["id"], "clear", ()), (recorded["id"], "red", ("--clearance", "red")), (restricted["id"], "red", ())):
        code, output = await asyncio.to_thread(run, settings, "prove", id_, "-o", str(folder), *more)
        assert (code, f"in ledger.example.org/aid/{label}" in output) == (0, True), output
        verified = ("verify-proof", str(folder / f"{id_}.tlog-proof"), "--policy", str(folder / "policy.txt"))
        code, output = await asyncio.to_thread(run, settings, *verified)
        assert (code, output.count("Cosigned by partner")) == (0, 2 if label == "clear" else 0), output
        assert ("group partners all partner0 partner1\nquorum partners" in (folder / "policy.txt").read_text()) is (label == "clear")
        page = (folder / f"{id_}.html").read_text()
        assert (page.count("<figure>"), f"TLP:{label.upper()}" in page) == (3, True)
    assert "&lt;b&gt;Nobody &amp; nothing" in page
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}
    for arguments, words in (
        ((restricted["id"], "-o", str(folder), "--clearance", "green"), "no such report"),
        (("01900000-0000-7000-8000-000000000000", "-o", str(folder)), "no such report"),
        ((recorded["id"], "-o", str(folder / "no" / "folder")), "cannot be written"),
    ):
        code, output = await asyncio.to_thread(run, settings, "prove", *arguments)
        assert (code, words in output) == (1, True), output


@sqlite_only
@needs_chromium
async def test_page_of_a_long_statement_prints_on_one_sheet(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, tmp_path: Path
) -> None:
    long = report("supply_runout", {"conditional_on": "if no convoy gets in " * 20}, source="monitor")
    long["provenance"] = {"quote": "لم يبقَ في المدينة طعام. " * 80, "url": f"https://example.org/{'a' * 1500}"}
    recorded = await post(client, **long)
    await add_cosignatures(client, settings, 9)
    assert (await asyncio.to_thread(run, settings, "prove", recorded["id"], "-o", str(tmp_path)))[0] == 0
    page, printed = tmp_path / f"{recorded['id']}.html", tmp_path / "page.pdf"
    assert "too long for a code" in page.read_text()
    command = [str(CHROMIUM), *ARGUMENTS, f"--print-to-pdf={printed}", "--no-pdf-header-footer", page.as_uri()]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)
    assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1
