"""Signed checkpoints: of each clearance, never of two histories, also after a restored backup, a lost file or a killed process."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import LABELS, Label
from app.ledger import nodes
from app.ledger.notes import Checkpoint, SignedNote, VerifierKey
from app.ledger.signing_key import LedgerKey
from app.settings import Settings
from app.storage.database import Database
from tests.ledger.helpers import rewrite, signing_settings
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.servers import client_for, invoke, new_key

CHECKPOINT = "/v1/ledger/checkpoint"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a key."""
    return signing_settings(settings, tmp_path)


@pytest.fixture
def key_file(settings: Settings) -> Path:
    """Return the file of the key."""
    return Path(settings.signing_key_file or "")


@pytest.fixture
def signed(key_file: Path) -> Path:
    """Return the file of what was signed last."""
    return key_file.with_name(f"{key_file.name}.signed")


def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    more = {"origin": settings.origin or "", "signing_key_file": settings.signing_key_file or ""}
    result = invoke(*arguments, database_url=settings.database_url, **{name: value for name, value in more.items() if value})
    return result.exit_code, result.output


async def test_checkpoint_is_of_the_tree_of_the_clearance_as_it_is(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, database: Database
) -> None:
    """Nothing is older than the last answer to a write; an empty ledger is signed as well."""
    readers = {label: await make_client(Scope.READ, clearance=label) for label in Label}
    for people in range(3):
        for label, reader in readers.items():
            head = (await reader.get("/v1/ledger/head")).json()
            note = SignedNote.parse((await reader.get(CHECKPOINT)).content)
            checkpoint = Checkpoint.parse(note.text)
            assert note.signed_at(VerifierKey.parse(head["vkey"])) == 0
            assert checkpoint.origin == head["origin"] == f"ledger.example.org/aid/{label}"
            assert (checkpoint.size, head["cosigner_vkey"].partition("+")[0]) == (head["seq"], "ledger.example.org/aid")
            async with database.read() as connection:
                assert checkpoint.root == await nodes.read_root(connection, label.level, (0, head["seq"]))
        for label in Label:
            await post(client, **report(value={"people": people * 5 + label.level}, sensitivity=label.value))


@mostly_sqlite
async def test_checkpoint_of_a_lower_clearance_is_the_same_for_all(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    await post(client, **report())
    amber = await make_client(Scope.READ, clearance=Label.AMBER)
    lowest = await anonymous.get(CHECKPOINT)
    assert lowest.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await amber.get(CHECKPOINT, params={"clearance": "clear"})).content == lowest.content
    refused = await amber.get(CHECKPOINT, params={"clearance": "red"})
    assert (refused.status_code, refused.json()["detail"]) == (403, "The key is not cleared for red.")
    assert (await amber.get(CHECKPOINT, params={"clearance": "blue"})).status_code == 422


# Changes by an intruder or by a restored backup, with the words of the refusal; every chain and tree is hashed again.
REWRITTEN = {
    "a value": (['UPDATE report SET value = \'{"concept": "trapped", "people": 7}\' WHERE global_seq = 13'], "are not those"),
    "who sent it": (["UPDATE report SET recorded_by = 'another'", "UPDATE ledger_entry SET recorded_by = 'another'"], "are not those"),
    "the order": (
        [
            "UPDATE ledger_entry SET global_seq = -1 WHERE global_seq = 13",
            "UPDATE ledger_entry SET global_seq = 13 WHERE global_seq = 14",
            "UPDATE ledger_entry SET global_seq = 14 WHERE global_seq = -1",
        ],
        "are not those",
    ),
    "the last entry": (
        [
            "DELETE FROM indicator_projection",
            "DELETE FROM ledger_entry WHERE global_seq = 15",
            "DELETE FROM indicator_step",
            "DELETE FROM report_text",
            "DELETE FROM report WHERE global_seq = 15",
        ],
        "has 14 entries, but 15 were signed",
    ),
}


@mostly_sqlite
@pytest.mark.parametrize("what", REWRITTEN)
async def test_rewritten_ledger_is_not_signed_and_goes_on(
    client: httpx.AsyncClient, settings: Settings, reference: Reference, what: str
) -> None:
    """`/health/ready` is 200 and names it; `doctor`, `verify` and a metric do, reads and writes go on; a new origin signs."""
    for people in range(3):
        await post(client, **report(value={"people": people}, source=("envoy", "monitor", "outlet")[people]))
    assert (await client.get(CHECKPOINT)).status_code == (await client.get(f"{CHECKPOINT}?clearance=clear")).status_code == 200
    assert (await client.get("/health/ready")).json() == {"status": "ok", "checkpoints": "signed"}
    statements, said = REWRITTEN[what]
    await rewrite(settings.database_url, *statements)
    secret = await new_key(settings.database_url)
    async with client_for(settings, secret) as after:
        refused = await after.get(f"{CHECKPOINT}?clearance=clear")
        assert (refused.status_code, said in refused.json()["detail"], "fork" in refused.json()["detail"]) == (503, True, True)
        ready = await after.get("/health/ready")
        assert (ready.status_code, ready.json()["checkpoints"]) == (200, "refused")
        assert "lifeline_checkpoints_refused 2.0\n" in (await after.get("/metrics")).text
        # One more entry does not hide that one is missing.
        await post(after, **report(value={"people": 9}, source="army"))
        if what != "the last entry":
            assert (await after.get(CHECKPOINT)).status_code == 503
        assert (await after.get("/v1/reports")).status_code == 200
    doctor, verify = [await asyncio.to_thread(run, settings, name) for name in ("doctor", "verify")]
    assert (doctor[0], verify[0]) == (1, 1)
    assert re.search(r"FAILED\s+checkpoints", doctor[1])
    assert "of the ledger of clear are not those that were signed" in verify[1]
    new = "ledger.example.org/aid-2"
    assert (await asyncio.to_thread(run, settings, "ledger", "fork", "--origin", settings.origin or ""))[0] == 1
    code, output = await asyncio.to_thread(run, settings, "ledger", "fork", "--origin", new)
    assert (code, f"LIFELINE_ORIGIN={new}" in output) == (0, True), output
    async with client_for(settings, secret) as old:
        assert (await old.get(CHECKPOINT)).status_code == 503
    async with client_for(settings.model_copy(update={"origin": new}), secret) as forked:
        assert Checkpoint.parse((await forked.get(CHECKPOINT)).text).origin == f"{new}/red"
        assert (await forked.get("/health/ready")).json()["checkpoints"] == "signed"
        # A cache may have another tile of the history before under this address.
        tile = await forked.get("/v1/ledger/tile/0/000.p/1")
        assert (tile.status_code, tile.headers["cache-control"]) == (200, "private, no-cache")


@sqlite_only
async def test_nothing_is_signed_without_what_was_signed_before(
    client: httpx.AsyncClient, reference: Reference, settings: Settings, key_file: Path, signed: Path
) -> None:
    assert (await client.get(CHECKPOINT)).status_code == 200
    kept = await asyncio.to_thread(signed.read_bytes)
    await post(client, **report())
    for damage in (lambda: signed.write_bytes(kept[:20]), lambda: signed.write_text("{}"), lambda: signed.write_text("[]"), signed.unlink):
        await asyncio.to_thread(damage)
        refused = await client.get(CHECKPOINT)
        assert refused.status_code == 503
        assert "lifeline ledger fork" in refused.json()["detail"]
        assert str(key_file.parent) not in refused.text
        assert (await client.get("/health/ready")).json()["checkpoints"] == "refused"
    code, output = await asyncio.to_thread(run, settings, "ledger", "fork", "--origin", settings.origin or "")
    assert (code, "is the name of the history so far" in output) == (1, True)
    assert (await asyncio.to_thread(run, settings, "ledger", "fork", "--origin", "ledger.example.org/aid-2"))[0] == 0
    assert (await client.get(CHECKPOINT)).status_code == 503
    await asyncio.to_thread(signed.write_bytes, kept)
    assert (await client.get(CHECKPOINT)).status_code == 200
    assert {each.stat().st_mode & 0o777 for each in (signed, key_file)} == {0o600}
    await asyncio.to_thread(key_file.chmod, 0o644)
    assert "others than the owner may use" in (await asyncio.to_thread(run, settings, "doctor"))[1]
    await asyncio.to_thread(key_file.write_text, "no key")
    await post(client, **report(value={"people": 1}))
    assert (await client.get(CHECKPOINT)).status_code == 503
    assert (await client.get("/v1/ledger/head")).json()["vkey"] is None


async def test_concurrent_requests_and_writes_sign_one_history(client: httpx.AsyncClient, reference: Reference, settings: Settings) -> None:
    """Readers of an older head than the one that was signed last are not taken for a rewritten ledger."""

    async def write(people: int) -> int:
        return (await client.post("/v1/reports", json=report(value={"people": people}))).status_code

    async def read() -> int:
        return (await client.get(CHECKPOINT)).status_code

    answers = await asyncio.gather(*(each for number in range(10) for each in (write(number), read(), read())))
    assert set(answers) == {200, 201}
    assert Checkpoint.parse((await client.get(CHECKPOINT)).text).size == SEEDED + 10


@sqlite_only
async def test_service_without_a_key_signs_nothing(settings: Settings, reference: Reference) -> None:
    async with client_for(settings.model_copy(update={"origin": None, "signing_key_file": None})) as client:
        assert (await client.get(CHECKPOINT)).status_code == 404
        assert (await client.get("/health/ready")).json() == {"status": "ok", "checkpoints": "off"}
        assert {(await client.get("/v1/ledger/head")).json()[name] for name in ("origin", "vkey", "cosigner_vkey")} == {None}


@sqlite_only
def test_ledger_init_makes_a_private_key_once(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys" / "signing.key"
    arguments = ("ledger", "init", "--origin", "ledger.example.org/aid", "--key-file", str(file))
    assert (missing := invoke(*arguments)).exit_code == 1
    assert "No such file or directory" in missing.output
    file.parent.mkdir()
    made = invoke(*arguments)
    assert (made.exit_code, file.stat().st_mode & 0o777) == (0, 0o600)
    assert made.output.splitlines()[1:3] == ["LIFELINE_ORIGIN=ledger.example.org/aid", f"LIFELINE_SIGNING_KEY_FILE={file}"]
    keys = [VerifierKey.parse(line.split()[1]) for line in made.output.splitlines()[4:10]]
    assert made.output.splitlines()[10].split()[1].startswith("age1")
    assert file.with_name("signing.key.age").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in keys] == [f"ledger.example.org/aid/{label}" for label in LABELS] + ["ledger.example.org/aid"]
    assert (len({each.public for each in keys[:5]}), keys[5].public == keys[0].public) == (1, False)
    content = file.read_bytes()
    again = invoke(*arguments)
    assert (again.exit_code, "File exists" in again.output, file.read_bytes()) == (1, True, content)
    for wrong in ("aid", "Ledger.example.org", "https://ledger.example.org", "ledger.example.org/a b", "ledger.example.org+1"):
        assert "must be a name that is yours alone" in invoke("ledger", "init", "--origin", wrong, "--key-file", str(file)).output


def test_killed_signer_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    """A second process goes on from it at once: the lock dies with its holder."""
    key = LedgerKey.create("ledger.example.org/aid", tmp_path / "signing.key")
    code = """
import sys
from pathlib import Path
from app.ledger.signing_key import LedgerKey
key = LedgerKey("ledger.example.org/aid", b"", Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    with key.lock():
        key.remember(number % 5, b"%d" % number * 1000)
    number += 1
    print(number, flush=True)
"""
    following = 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", code, str(key.file), str(following)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(7):
                writer.stdout.readline()
            writer.kill()
        with key.lock():
            notes = [key.last_signed(level) or b"" for level in range(5)]
        numbers = [int(each[: len(each) // 1000]) for each in notes]
        assert [b"%d" % number * 1000 for number in numbers] == notes
        # Each was written after the one before it, so no older one is left.
        assert max(numbers) - min(numbers) == 4
        following = max(numbers) + 1
