"""Witness of other logs: the answers of C2SP tlog-witness, and never two histories, also after a kill or a restored backup."""

import asyncio
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import pytest
import structlog

from app.ledger.notes import COSIGNATURE, SIGNATURE, Checkpoint, SignedNote, SigningKey, VerifierKey
from app.ledger.signing_key import LedgerKey
from app.ledger.tree import EMPTY_ROOT
from app.ledger.witness import KnownSize, add_checkpoint, signed_lines
from app.settings import Settings
from tests.ledger.helpers import ForeignLog, add_partner, signing_settings
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.support.servers import client_for, invoke

ADD = "/v1/witness/add-checkpoint"
LOG = ForeignLog("log.example.net/relief/clear")
FAR_COSIGNER = str(SigningKey("far.example", b"d" * 32).verifier(COSIGNATURE))
OTHER_COSIGNER = str(SigningKey("log.example.net/relief", b"c" * 32).verifier(COSIGNATURE))


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a key."""
    return signing_settings(settings, tmp_path)


@pytest.fixture
async def witness(client: httpx.AsyncClient, anonymous: httpx.AsyncClient, settings: Settings) -> httpx.AsyncClient:
    """Return a client without a key, of a service that has LOG for a partner."""
    await add_partner(settings.database_url, "relief", LOG.vkey, OTHER_COSIGNER)
    return anonymous


async def send(witness: httpx.AsyncClient, body: bytes) -> tuple[int, str]:
    """Return status and body of the answer; of an error, its media type."""
    answer = await witness.post(ADD, content=body)
    text = answer.headers["content-type"].startswith("text/")
    return answer.status_code, answer.text if text else answer.headers["content-type"]


def is_cosigned(settings: Settings, line: str, note: bytes) -> bool:
    """Return whether a line is a cosignature of a checkpoint."""
    key = LedgerKey.load(settings)
    assert key is not None
    return SignedNote.parse(note + line.encode()).signed_at(key.cosigner.verifier(COSIGNATURE)) is not None


async def test_add_checkpoint_answers_as_the_specification_says(witness: httpx.AsyncClient, settings: Settings) -> None:
    problem = "application/problem+json"
    assert await send(witness, LOG.request(1, 5)) == (409, "0\n")
    status, line = await send(witness, LOG.request(0, 5))
    assert (status, is_cosigned(settings, line, LOG.note(5))) == (200, True)
    unknown, forged = ForeignLog("log.example.net/other"), ForeignLog(LOG.key.name, seed=2)
    spoilt = LOG.request(5, 9)[:-10] + b"AAAAAAA==\n"
    twice = LOG.request(5, 9) + forged.key.sign(str(Checkpoint(LOG.key.name, 9, LOG.root(9)))).encode()
    for body, expected in {
        b"": (400, problem),
        b"old 5\n\nno note": (400, problem),
        b"old 05" + LOG.request(5, 9)[5:]: (400, problem),
        LOG.request(5, 9).replace(b"\n\n", b"\n", 1): (400, problem),
        LOG.request(5, 9, path=[LOG.root(1)] * 64): (400, problem),
        LOG.request(5, 9, path=[b"short"]): (400, problem),
        LOG.request(10, 9): (400, problem),
        unknown.request(0, 9): (404, problem),
        forged.request(5, 9): (403, problem),
        spoilt: (403, problem),
        LOG.request(0, 9): (409, "5\n"),
        LOG.request(4, 9): (409, "5\n"),
        LOG.request(6, 9): (409, "5\n"),
        LOG.request(5, 5, "fork "): (409, "5\n"),
        LOG.request(4, 4): (409, "5\n"),
        LOG.request(5, 9, "fork "): (422, problem),
        LOG.request(5, 9, path=[]): (422, problem),
        LOG.request(5, 9, path=[LOG.root(4), LOG.root(5)]): (422, problem),
        LOG.request(5, 5, path=[LOG.root(5)]): (422, problem),
    }.items():
        with structlog.testing.capture_logs() as logged:
            assert await send(witness, body) == expected, body
        accused = [each for each in logged if each["event"] == "log_has_two_histories"]
        assert bool(accused) is (body == LOG.request(5, 5, "fork ")), "only a second history accuses, not a wrong proof"
        for each in accused:
            notes = [SignedNote.parse(each[name].encode()) for name in ("cosigned", "refused")]
            assert [signed_lines(note, VerifierKey.parse(LOG.vkey)) != "" for note in notes] == [True, True]
    size = await witness.post(ADD, content=LOG.request(4, 9))
    assert size.headers["content-type"] == "text/x.tlog.size"
    for old, new in ((5, 5), (5, 9), (9, 256), (256, 256)):
        status, line = await send(witness, LOG.request(old, new))
        assert (status, is_cosigned(settings, line, LOG.note(new))) == (200, True)
    # A signature of an unknown key is ignored, also one in the name of the log.
    assert (await send(witness, twice.replace(b"old 5", b"old 256")))[0] == 400
    foreign = LOG.request(256, 300) + SigningKey("else.example", b"e" * 32).sign(str(Checkpoint(LOG.key.name, 300, LOG.root(300)))).encode()
    assert (await send(witness, foreign))[0] == 200
    assert (await witness.post(ADD, content=LOG.request(300, 301), headers={"Content-Encoding": "gzip"})).status_code == 415


@sqlite_only
async def test_add_checkpoint_knows_the_empty_tree_and_every_label(witness: httpx.AsyncClient, settings: Settings) -> None:
    """The key of one label of a Lifeline stands for all of them: they are signed with one key."""
    red = ForeignLog("log.example.net/relief/red")
    assert (await send(witness, red.request(0, 0)))[0] == 200
    wrong = b"old 0\n\n" + red.note(0, root=red.root(1))
    assert (await send(witness, wrong))[0] == 422
    assert (await send(witness, red.request(0, 3, path=[EMPTY_ROOT])))[0] == 422
    assert (await send(witness, red.request(0, 3)))[0] == 200
    assert (await send(witness, red.request(0, 0))) == (409, "3\n")
    assert (await send(witness, ForeignLog("log.example.net/relief/blue").request(0, 3)))[0] == 404
    async with client_for(settings.model_copy(update={"origin": None, "signing_key_file": None})) as without_key:
        assert (await send(without_key, red.request(3, 4)))[0] == 404


async def test_only_one_of_two_concurrent_histories_is_cosigned(witness: httpx.AsyncClient) -> None:
    assert (await send(witness, LOG.request(0, 2)))[0] == 200
    # Each continues the two entries, but not the others.
    other = ForeignLog(LOG.key.name)
    other.forks_after = 2
    requests = [log.request(2, size, fork) for size in (3, 4) for log, fork in ((LOG, ""), (other, "a "), (other, "b "))]
    answers = await asyncio.gather(*(send(witness, each) for each in requests))
    assert sorted(status for status, _ in answers) == [200, *[409] * 5]
    assert {body for status, body in answers if status == 409} <= {"3\n", "4\n"}


@sqlite_only
async def test_restored_database_does_not_make_a_witness_forget(witness: httpx.AsyncClient, settings: Settings, tmp_path: Path) -> None:
    """The last cosigned checkpoint is beside the key; without that file nothing is cosigned."""
    assert (await send(witness, LOG.request(0, 5)))[0] == 200
    empty = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/empty.db"})
    assert (await asyncio.to_thread(invoke, "migrate", database_url=empty.database_url)).exit_code == 0
    await add_partner(empty.database_url, "relief", LOG.vkey, OTHER_COSIGNER)
    async with client_for(empty) as restored:
        assert await send(restored, LOG.request(0, 5)) == (409, "5\n")
        assert await send(restored, LOG.request(5, 6, "fork ")) == (422, "application/problem+json")
        signed = Path(f"{settings.signing_key_file}.signed")
        await asyncio.to_thread(signed.unlink)
        assert (await send(restored, LOG.request(5, 6)))[0] == 503


def cosign_until_killed(key: LedgerKey, answered: Connection) -> None:
    """Witness one checkpoint of LOG after another, and send the size of each once it is answered."""
    logs, size = {LOG.key.name: LOG.key.verifier()}, 1
    try:
        add_checkpoint(key, logs, LOG.request(0, 1), 1)
    except KnownSize as known:
        size = known.size
    while True:
        add_checkpoint(key, logs, LOG.request(size, size + 1), 1)
        size += 1
        answered.send(size)


def test_killed_witness_has_stored_all_that_it_answered(tmp_path: Path) -> None:
    key = LedgerKey.create("ledger.example.org/aid", tmp_path / "signing.key")
    context = get_context("forkserver")
    for _ in range(2):
        received, sent = context.Pipe(duplex=False)
        process = context.Process(target=cosign_until_killed, args=(key, sent))
        process.start()
        sent.close()
        answered = [received.recv() for _ in range(5)]
        process.kill()
        with received, suppress(EOFError):
            while True:
                answered.append(received.recv())
        process.join()
        last = max(answered)
        note = key.last_cosigned(LOG.key.name)
        assert note is not None
        stored = Checkpoint.parse(SignedNote.parse(note).text)
        assert stored.size in (last, last + 1)
        assert stored.root == LOG.root(stored.size)


@mostly_sqlite
def test_witness_commands_add_list_and_remove_partners(database_url: str, tmp_path: Path) -> None:
    settings = signing_settings(Settings(database_url=database_url), tmp_path)
    own = LedgerKey.load(settings)
    assert own is not None
    more = {"database_url": database_url, "origin": settings.origin or "", "signing_key_file": settings.signing_key_file or ""}
    recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
    url = "https://93.184.215.14/v1/witness"

    def add(name: str, **options: str) -> tuple[int, str]:
        given = {"log": LOG.vkey, "cosigner": OTHER_COSIGNER, "url": url, "clearance": "amber", "age": recipient} | options
        result = invoke("witness", "add", name, *(part for key, value in given.items() for part in (f"--{key}", value)), **more)
        return result.exit_code, result.output

    code, output = add("relief")
    assert (code, f"--log {own.signer(2).verifier()}" in output) == (0, True), output
    for options, words in (
        ({}, "There is a partner relief"),
        ({"name": "second"}, "of another partner"),
        ({"name": "second", "log": str(own.signer(0).verifier())}, "of this service"),
        ({"name": "second", "log": OTHER_COSIGNER}, "another sort"),
        ({"name": "second", "cosigner": LOG.vkey}, "another sort"),
        ({"name": "second", "log": "nonsense"}, "has the form name+id+key"),
        ({"name": "none"}, "is not none"),
        ({"name": "Second"}, "a-z, 0-9"),
        ({"name": "second", "url": "https://127.0.0.1/"}, "public addresses"),
        ({"name": "second", "url": "ftp://93.184.215.14/"}, "must begin with https://"),
        ({"name": "second", "age": "nonsense"}, "begins with age1"),
    ):
        code, output = add(options.pop("name", "relief"), **options)
        assert (code, words in output) == (1, True), (options, output)
    offline = invoke("witness", "add", "far", "--log", ForeignLog("far.example/clear").vkey, "--cosigner", FAR_COSIGNER, **more)
    assert (offline.exit_code, "in bundles" in offline.output, "--url" in offline.output) == (0, True, False), offline.output
    assert "bundles" in invoke("witness", "list", **more).output
    listed = invoke("witness", "list", **more).output
    assert all(word in listed for word in ("relief", "amber", url, "nothing"))
    assert invoke("witness", "remove", "relief", **more).exit_code == 0
    assert "relief" not in invoke("witness", "list", **more).output
    assert invoke("witness", "remove", "relief", **more).exit_code == 1
    assert "LIFELINE_ORIGIN" in invoke("witness", "add", "x", "--log", LOG.vkey, "--cosigner", OTHER_COSIGNER, "--url", url,
                                       database_url=database_url).output  # fmt: skip
    assert VerifierKey.parse(LOG.vkey).algorithm == SIGNATURE
