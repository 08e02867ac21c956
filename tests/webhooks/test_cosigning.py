"""Checkpoints that are sent to partners, and their cosignatures: verified, in checkpoints, proofs and on the board."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from app.domain.tlp import Label
from app.ledger.checkpoints import CheckpointSigner
from app.ledger.notes import SignedNote, SigningKey, VerifierKey
from app.ledger.policy import Policy, verify_proof
from app.ledger.signing_key import LedgerKey
from app.settings import Settings
from app.storage.database import Database
from app.webhooks import cosigning
from app.webhooks.cosigning import CheckpointSender
from tests.ledger.helpers import signing_settings
from tests.support.factories import Reference, post, report
from tests.support.fixtures import mostly_sqlite, sqlite_only
from tests.webhooks.conftest import Receiver, http_response
from tests.webhooks.partner import COSIGNED_AT, PartnerWitness

ORIGIN = "ledger.example.org/aid"
AT = "2026-11-24T09:00:41Z"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a key, which allow a partner on this machine."""
    return signing_settings(settings, tmp_path).model_copy(update={"webhook_allow_private": True})


@pytest.fixture
def partners(receiver: Receiver, settings: Settings, tmp_path: Path) -> list[PartnerWitness]:
    """Return two partners that answer at the receiver."""
    made = [PartnerWitness(receiver, settings, name, tmp_path) for name in ("relief", "watch")]
    receiver.respond = lambda request: next(each for each in made if each.path == request.path).respond(request)
    return made


@pytest.fixture
def sender(client: httpx.AsyncClient, database: Database, settings: Settings) -> CheckpointSender:
    """Return what sends the checkpoints of the service."""
    return CheckpointSender(database, settings, CheckpointSigner(settings))


def cosigners(note: bytes, *partners: PartnerWitness) -> list[str]:
    """Return the names of the partners whose valid cosignatures a checkpoint has."""
    signed = SignedNote.parse(note)
    return [each.name for each in partners if signed.signed_at(each.cosigner) is not None]


@mostly_sqlite
async def test_cosignatures_stand_in_checkpoints_proofs_and_on_the_board(
    client: httpx.AsyncClient,
    anonymous: httpx.AsyncClient,
    reference: Reference,
    sender: CheckpointSender,
    partners: list[PartnerWitness],
) -> None:
    """A proof leads to the checkpoint that most partners have cosigned."""
    one, other = partners
    await one.add()
    recorded = await post(client, **report())
    assert b"cosigned" not in (await anonymous.get("/v1/ledger/checkpoint")).content
    await sender.send_all()
    head = (await anonymous.get("/v1/ledger/head")).json()
    assert (head["partners"], head["proved_at"]) == (1, AT)
    note = (await anonymous.get("/v1/ledger/checkpoint")).content
    assert cosigners(note, one, other) == ["relief"]
    await other.add()
    await post(client, **report(value={"people": 5}))
    assert cosigners((await anonymous.get("/v1/ledger/checkpoint")).content, one, other) == []
    await sender.send_all()
    assert cosigners((await anonymous.get("/v1/ledger/checkpoint")).content, one, other) == ["relief", "watch"]
    await post(client, **report(value={"people": 6}))
    for query, expected in (("", []), ("?cosigned=true", ["relief", "watch"])):
        answer = (await anonymous.get(f"/v1/ledger/checkpoint{query}")).content
        assert cosigners(answer, one, other) == expected
    policy = (
        f"log {head['vkey']}\nwitness relief {one.cosigner}\nwitness watch {other.cosigner}\ngroup both all relief watch\nquorum both\n"
    )
    proof, entry = [(await anonymous.get(f"/v1/reports/{recorded['id']}.tlog-{name}")).content for name in ("proof", "entry")]
    verified = verify_proof(proof, entry, Policy.parse(policy))
    assert (verified.checkpoint.size, set(verified.cosigned.values())) == (head["seq"] + 1, {COSIGNED_AT})
    words = {
        "en": "Public record proved by 2 partners at 24 Nov 2026, 09:00 UTC.",
        "fr": "Registre public prouvé par 2 partenaires le 24 nov. 2026",
        "es": "Registro público probado por 2 socios el 24 nov 2026",
        "ar": "أثبت شريكان السجل العام في",
    }
    for language, text in words.items():
        page = (await anonymous.get(f"/?lang={language}")).text
        assert text in page, (language, page[page.find("<footer") :])


async def test_tree_is_sent_only_when_it_grew_and_only_to_cleared_partners(
    client: httpx.AsyncClient, reference: Reference, sender: CheckpointSender, partners: list[PartnerWitness]
) -> None:
    one, other = partners
    await one.add()
    await other.add(Label.RED.level)
    await sender.send_all()
    start = one.received()[-1].size
    assert [each.size for each in other.received()] == [start] * 5
    one.receiver.requests.clear()
    await post(client, **report())
    await sender.send_all()
    await sender.send_all()
    assert [each.origin for each in one.received()] == [f"{ORIGIN}/clear"]
    assert [each.origin for each in other.received()] == [f"{ORIGIN}/{label}" for label in Label]
    await post(client, **report(sensitivity="amber", value={"people": 1}))
    await sender.send_all()
    assert len(one.received()) == 1
    assert [each.origin for each in other.received()[5:]] == [f"{ORIGIN}/{label}" for label in list(Label)[2:]]
    # With the proof that it continues, 300 entries later too.
    await client.post("/v1/reports", json=[report(value={"people": number}, source="monitor") for number in range(300)])
    await sender.send_all()
    assert (one.received()[-1].size, other.received()[-1].size) == (start + 301, start + 302)
    assert cosigners((await client.get("/v1/ledger/checkpoint")).content, one, other) == ["watch"]


@mostly_sqlite
async def test_partner_that_knows_another_size_is_sent_what_continues_it(
    client: httpx.AsyncClient, reference: Reference, sender: CheckpointSender, partners: list[PartnerWitness], settings: Settings
) -> None:
    """A cosignature that was lost on the way, or a partner that was restored, is asked for again; a longer history is not."""
    one, _ = partners
    await one.add()
    await post(client, **report())
    one.receiver.respond_with(http_response(500))
    await sender.send_all()
    own = LedgerKey.load(settings)
    assert own is not None
    # The first answer is lost after the partner has stored the checkpoint.
    one.receiver.respond = lambda request: (one.respond(request), http_response(502))[1]
    await sender.send_all()
    await post(client, **report(value={"people": 2}))
    one.receiver.respond = one.respond
    await sender.send_all()
    assert cosigners((await client.get("/v1/ledger/checkpoint?clearance=clear")).content, one) == ["relief"]
    one.key.file.with_name("signing.key.signed").write_text('{"relief.example.net/relief": {}}')
    await post(client, **report(value={"people": 3}))
    await sender.send_all()
    assert cosigners((await client.get("/v1/ledger/checkpoint?clearance=clear")).content, one) == ["relief"]
    requests = len(one.receiver.requests)
    await post(client, **report(value={"people": 4}))
    one.receiver.respond = lambda _: http_response(409, body=b"99999\n")
    await sender.send_all()
    assert len(one.receiver.requests) == requests + 1


@sqlite_only
async def test_answer_without_a_valid_cosignature_is_not_stored(
    client: httpx.AsyncClient,
    reference: Reference,
    sender: CheckpointSender,
    partners: list[PartnerWitness],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No other key, no other checkpoint, no address that must not be reached, and no partner that was removed meanwhile."""
    one, _ = partners
    await one.add()
    await post(client, **report())
    text = SignedNote.parse((await client.get("/v1/ledger/checkpoint?clearance=clear")).content).text
    longer = text.replace(f"\n{text.split()[1]}\n", f"\n{int(text.split()[1]) + 1}\n")
    other = SigningKey(one.cosigner.name, b"o" * 32)
    answers = (
        other.cosign(text, 1),
        one.key.cosigner.cosign(longer, 1),
        one.key.signer(0).sign(text),
        "nonsense",
        "",
        one.key.cosigner.cosign(text, 1) * 101,
    )
    for each in answers:
        one.receiver.respond_with(http_response(200, body=each.encode()))
        await sender.send_all()
        assert (await client.get("/v1/ledger/head")).json()["partners"] == 0, each
    one.receiver.respond = one.respond
    count = len(one.receiver.requests)
    await CheckpointSender(sender._database, settings.model_copy(update={"webhook_allow_private": False}), sender._signer).send_all()
    assert len(one.receiver.requests) == count
    await sender.send_all()
    assert (await client.get("/v1/ledger/head")).json()["partners"] == 1


@sqlite_only
async def test_one_process_sends_and_another_takes_over(
    client: httpx.AsyncClient,
    reference: Reference,
    sender: CheckpointSender,
    partners: list[PartnerWitness],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At most once in an interval, also when a process starts again."""
    lock = sender.lead()
    assert lock is not None
    assert sender.lead() is None
    lock.close()
    again = sender.lead()
    assert again is not None
    again.close()
    one, _ = partners
    await one.add()
    await post(client, **report())
    monkeypatch.setattr(cosigning, "INTERVAL_SECONDS", 0.05)
    started = time.monotonic()
    async with (
        cosigning.cosigning(sender._database, settings, sender._signer),
        cosigning.cosigning(sender._database, settings, sender._signer),
    ):
        await asyncio.wait_for(one.receiver.wait_for_requests(1), 20)
    assert time.monotonic() - started >= 0.05
    assert len(one.receiver.requests) == 1
    assert VerifierKey.parse(str(one.cosigner)) == one.cosigner
