"""Proofs of reports, and tiles: complete, of the right clearance, and without what was withheld since."""

import json
import math
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind
from app.domain.tlp import Label
from app.ledger.hash_chain import canonical_json
from app.ledger.notes import Checkpoint, SignedNote, VerifierKey
from app.ledger.proofs import MAX_ENTRY_BYTES
from app.ledger.tree import leaf_hash, root_from_inclusion, root_of, tree_root
from app.settings import Settings
from tests.ledger.helpers import all_changes, signing_settings
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with a key."""
    return signing_settings(settings, tmp_path)


async def proved(client: httpx.AsyncClient, report_id: str, what: str = "reports", **params: str) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the checkpoint that a report is proved by and its entry, after verifying that it is."""
    proof, entry = [await client.get(f"/v1/{what}/{report_id}.{name}", params=params) for name in ("tlog-proof", "tlog-entry")]
    assert (proof.status_code, entry.status_code) == (200, 200), (proof.text, entry.text)
    head, _, note = proof.text.partition("\n\n")
    version, index, *path = head.split("\n")
    assert version == "c2sp.org/tlog-proof@v1"
    signed = SignedNote.parse(note.encode())
    checkpoint = Checkpoint.parse(signed.text)
    clearance = checkpoint.origin.rpartition("/")[2]
    reference = (await client.get("/v1/ledger/checkpoint", params={"clearance": clearance})).text
    assert note == reference, "the checkpoint is verbatim"
    number = int(index.removeprefix("index "))
    root = root_from_inclusion(leaf_hash(entry.content), number, checkpoint.size, [b64decode(each) for each in path])
    assert root == checkpoint.root
    return checkpoint, entry.json()


def entries_of(tile: bytes) -> list[bytes]:
    """Return the entries of a tile."""
    found = []
    while tile:
        length = int.from_bytes(tile[:2], "big")
        found.append(tile[2 : 2 + length])
        tile = tile[2 + length :]
    return found


@sqlite_only
async def test_judgement_is_proved_until_a_report_it_relies_on_is_hidden(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    said = await post(client, **report())
    sent = {
        "value": {"concept": "trapped", "people": 5},
        "likelihood": "likely",
        "confidence": "low",
        "reasons": "x",
        "sensitivity": "green",
    }
    judged = await post(client, f"/v1/indicators/{said['indicator']}/judgements", **sent | {"reports": [said["id"]]})
    checkpoint, entry = await proved(client, judged["id"], "judgements")
    assert (checkpoint.origin.rpartition("/")[2], entry["detail"]["judgement"]["id"]) == ("green", judged["id"])
    checkpoint, _ = await proved(client, judged["id"], "judgements", clearance="red")
    assert checkpoint.origin.endswith("/red")
    green, public = await make_client(clearance=Label.GREEN), await make_client(clearance=Label.CLEAR)
    await proved(green, judged["id"], "judgements")
    await post(client, f"/v1/reports/{said['id']}/label", sensitivity="red", reason="names")
    for reader in (green, public):
        for ending in ("tlog-proof", "tlog-entry"):
            assert (await reader.get(f"/v1/judgements/{judged['id']}.{ending}")).status_code == 404
    await proved(client, judged["id"], "judgements", clearance="red")


@mostly_sqlite
async def test_report_is_proved_in_the_ledger_of_its_label(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """A stricter one can be asked for; reports and ledgers above the reader are not found or refused."""
    made = {}
    for label in (Label.CLEAR, Label.AMBER, Label.CLEAR, Label.RED, Label.GREEN):
        made[label] = await post(client, **report(value={"people": len(made) * 10 + label.level}, sensitivity=label.value))
    vkey = VerifierKey.parse((await anonymous.get("/v1/ledger/head")).json()["vkey"])
    checkpoint, entry = await proved(anonymous, made[Label.CLEAR]["id"])
    assert (checkpoint.origin, checkpoint.size) == (vkey.name, SEEDED + 2)
    assert entry["report"]["value"] == made[Label.CLEAR]["value"]
    for label, each in made.items():
        assert (await proved(client, each["id"]))[0].origin == f"ledger.example.org/aid/{label}"
    assert (await proved(client, made[Label.GREEN]["id"], clearance="red"))[0].size == SEEDED + 5
    for client_, clearance, name, status in (
        (client, "clear", Label.GREEN, 404),
        (anonymous, "red", Label.CLEAR, 403),
        (anonymous, None, Label.GREEN, 404),
    ):
        for ending in ("tlog-proof", "tlog-entry"):
            answer = await client_.get(f"/v1/reports/{made[name]['id']}.{ending}", params={"clearance": clearance} if clearance else {})
            assert answer.status_code == status, (clearance, name)
    assert (await client.get("/v1/reports/nothing.tlog-proof")).status_code == 422


@mostly_sqlite
async def test_proofs_of_more_entries_than_a_tile_has_verify(client: httpx.AsyncClient, reference: Reference) -> None:
    bodies = [report(value={"people": number}) for number in range(300)]
    items = (await client.post("/v1/reports", json=bodies)).json()["items"]
    for at in (0, 1, 127, 255, 256, 299):
        checkpoint, entry = await proved(client, items[at]["id"])
        assert (checkpoint.size, entry["report"]["value"]["people"]) == (SEEDED + 300, at)
    hashes = (await client.get("/v1/ledger/tile/0/000")).content
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    assert (await client.get("/v1/ledger/tile/1/000.p/1")).content == root_of([leaves])
    entries = entries_of((await client.get("/v1/ledger/tile/entries/000")).content)
    assert [leaf_hash(each) for each in entries] == leaves
    left = SEEDED + 300 - 256
    rest = await client.get(f"/v1/ledger/tile/entries/001.p/{left}")
    assert [json.loads(each)["report"]["value"]["people"] for each in entries_of(rest.content)] == list(range(300 - left, 300))
    assert len((await client.get(f"/v1/ledger/tile/0/001.p/{left}")).content) == left * 32


@sqlite_only
@pytest.mark.parametrize(
    "path",
    [
        "0/000",
        f"0/000.p/{SEEDED + 3}",
        "0/001",
        "1/000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/x000/000",
        "0/0",
        "0/1000",
        "0/x001/x234",
        "0/",
        "entries/000",
        f"entries/000.p/{SEEDED + 3}",
        "0/x999/x999/x999/x999/999",
        "7/x999/x999/x999/x999/999",
        "0/x999/x999/x999/x999/x999/999",
    ],
)
async def test_tile_that_does_not_exist_is_404(client: httpx.AsyncClient, reference: Reference, path: str) -> None:
    await client.post("/v1/reports", json=[report(value={"people": number}) for number in range(2)])
    assert (await client.get(f"/v1/ledger/tile/0/000.p/{SEEDED + 2}")).status_code == 200
    assert (await client.get(f"/v1/ledger/tile/{path}")).status_code == 404


@sqlite_only
async def test_hash_tiles_are_immutable_and_entry_tiles_are_not(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    await post(client, **report())
    kept = {each: (await each.get("/v1/ledger/tile/0/000.p/1")).headers["cache-control"] for each in (client, anonymous)}
    assert list(kept.values()) == ["private, max-age=86400, immutable", "public, max-age=86400, immutable"]
    entries = await anonymous.get("/v1/ledger/tile/entries/000.p/1")
    assert (entries.headers["cache-control"], bool(entries.headers["etag"])) == ("public, no-cache", True)


async def test_withheld_entry_keeps_its_leaf_and_loses_its_content(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """Also one that only names what was raised: the report that it relays."""
    raised = await post(client, **report())
    relaying = await post(client, **report(source="outlet", provenance={"relays": raised["id"]}))
    width = SEEDED + 2
    before = [(await anonymous.get(f"/v1/ledger/tile/{name}/000.p/{width}")).content for name in ("0", "entries")]
    assert [leaf_hash(each) for each in entries_of(before[1])] == [before[0][at : at + 32] for at in range(0, width * 32, 32)]
    await post(client, f"/v1/reports/{raised['id']}/label", sensitivity="red", reason="names")
    assert (await anonymous.get(f"/v1/ledger/tile/0/000.p/{width}")).content == before[0]
    entries = entries_of((await anonymous.get(f"/v1/ledger/tile/entries/000.p/{width + 1}")).content)
    assert entries[SEEDED:width] == [b"", b""]
    assert json.loads(entries[width])["type"] == "tombstone"
    for ending in ("tlog-proof", "tlog-entry"):
        assert (await anonymous.get(f"/v1/reports/{raised['id']}.{ending}")).status_code == 404
    assert (await anonymous.get(f"/v1/reports/{relaying['id']}.tlog-entry")).status_code == 404
    assert (await anonymous.get(f"/v1/reports/{relaying['id']}.tlog-proof")).status_code == 200
    # A reader with the clearance for both proves both.
    assert (await proved(client, raised["id"]))[1]["report"]["id"] == raised["id"]
    assert (await proved(client, relaying["id"], clearance="red"))[1]["report"]["provenance"]["relays"] == raised["id"]


@sqlite_only
async def test_entry_that_is_too_long_for_a_tile_keeps_its_leaf(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """A client rebuilds the tree with the hash in its place, and reads the entry in the list of changes."""
    turns = [2 * math.pi * at / 2500 for at in range(2500)]
    ring = [[round(37 + math.cos(turn), 12), round(36 + math.sin(turn), 12)] for turn in turns]
    await post(client, "/v1/places", slug="wide", name="Wide", geometry={"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    size = SEEDED + 1
    hashes = (await anonymous.get(f"/v1/ledger/tile/0/000.p/{size}")).content
    entries = entries_of((await anonymous.get(f"/v1/ledger/tile/entries/000.p/{size}")).content)
    assert [not each for each in entries] == [False] * SEEDED + [True]
    leaves = [leaf_hash(each) if each else hashes[at * 32 : at * 32 + 32] for at, each in enumerate(entries)]
    checkpoint = Checkpoint.parse(SignedNote.parse((await anonymous.get("/v1/ledger/checkpoint")).content).text)
    assert (checkpoint.size, checkpoint.root) == (size, tree_root(leaves))
    last = (await all_changes(anonymous))[-1]
    added = ("seq", "hash", "redacted", "documents", "documents_complete")
    entry = canonical_json({name: value for name, value in last.items() if name not in added})
    assert (len(entry) > MAX_ENTRY_BYTES, leaf_hash(entry)) == (True, leaves[-1])


@mostly_sqlite
async def test_lowered_and_protected_statements_are_proved_as_they_are_served(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    second = await make_client(clearance=Label.RED)
    nurse = {"slug": "nurse", "name": "A nurse", "type": "witness", "alias": "A health worker", "organisation": "test"}
    assert (await client.post("/v1/sources", json=nurse)).status_code == 201
    hidden = await post(client, **report(source="nurse", sensitivity="red"))
    await post(client, **report(value={"people": 1}))
    change = {"sensitivity": "clear", "reason": "safe"}
    proposal = await client.post(f"/v1/reports/{hidden['id']}/label", json=change)
    assert proposal.status_code == 202, proposal.text
    confirmed = await second.post(proposal.json()["links"]["confirmation"])
    assert confirmed.is_success, confirmed.text
    checkpoint, entry = await proved(anonymous, hidden["id"])
    assert (checkpoint.size, entry["type"]) == (SEEDED + 3, "report")
    assert "nurse" not in json.dumps(entry)
    assert (await proved(client, hidden["id"], clearance="red"))[1]["report"]["source"] == "nurse"


def longest(kind: Kind[Any]) -> dict[str, Any]:
    """Return the fields of a value that take free text, at their full length, in characters that JSON writes in six bytes."""
    properties = kind.value_model.model_json_schema()["properties"]
    texts = {name: [each, *each.get("anyOf", [])] for name, each in properties.items()}
    lengths = {name: max((each.get("maxLength", 0) for each in some if "pattern" not in each), default=0) for name, some in texts.items()}
    return {name: "\x01" * length for name, length in lengths.items() if length > 100}


@sqlite_only
async def test_longest_statement_that_is_accepted_fits_into_an_entry(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """An entry is at most 65,535 bytes long in tiles; the limits of the fields keep every statement below."""
    sender, long = await make_client(organisation="\x01" * 200), "\x01" * 2000
    aliases = [await reference.add("sources", slug=f"{number:a>64}", name="A", type="media", reliability="C") for number in range(20)]
    provenance = {
        "url": f"https://{long[8:]}",
        "title": long[:500],
        "quote": long,
        "licence": long[:200],
        "via": [each["slug"] for each in aliases],
    }
    assert {name for kind in KINDS.values() for name in longest(kind)} >= {"relative_text", "conditional_on"}
    for kind in KINDS.values():
        first = await post(sender, **report(kind.name, longest(kind), provenance=provenance))
        corrected = await post(
            sender, f"/v1/reports/{first['id']}/correction", **report(kind.name, longest(kind), provenance=provenance, reason=long)
        )
        entry = await client.get(f"/v1/reports/{corrected['id']}.tlog-entry?clearance=red")
        assert 40_000 < len(entry.content) < 65_535
        seq = corrected["seq"]
        tile = await client.get(f"/v1/ledger/tile/entries/000.p/{seq}")
        assert entries_of(tile.content)[seq - 1] == entry.content
        assert b"" not in entries_of(tile.content)
