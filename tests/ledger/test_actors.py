"""The ledger says which key acted, and which two lowered a label; `lifeline verify` names what was altered of it."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.ledger.helpers import all_changes, rewrite
from tests.support.factories import Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.support.servers import invoke

# A key that acted is told from `amber` on.
CLEARED = (Label.AMBER, Label.AMBER_STRICT, Label.RED)
OF_LABEL = r"entry \d+ \(label, report [0-9a-f-]{36}\): no proposal of another key permits the lower label"
OF_PROPOSAL = r"entry \d+ \(proposal, report [0-9a-f-]{36}\): the proposal that it records was altered or removed"
OPEN, CONFIRMED = "confirmed_by_key_id IS NULL", "confirmed_by_key_id IS NOT NULL"
LABELLED = "UPDATE ledger_entry SET detail = '%s' WHERE type = 'label'"
# Statements of SQL by what they alter, each with the pattern of the problem to be reported; the chains are hashed again after them.
REWRITTEN: dict[str, tuple[list[str], str]] = {
    "who sent what": (
        ["UPDATE ledger_entry SET key_id = NULL WHERE type = 'correction'"],
        r"entry \d+: the key that recorded it was altered",
    ),
    "who sent what, with its hash": (
        [
            "UPDATE ledger_entry SET key_id = NULL, actor_hash = (SELECT actor_hash FROM ledger_entry WHERE type = 'label') "
            "WHERE type = 'correction'"
        ],
        r"entry \d+: the key that recorded it was altered",
    ),
    "all proposals deleted": (["DELETE FROM label_proposal"], OF_PROPOSAL),
    "an open proposal deleted": ([f"DELETE FROM label_proposal WHERE {OPEN}"], OF_PROPOSAL),
    "a proposal deleted with its entry": (
        [
            f"DELETE FROM ledger_entry WHERE global_seq = (SELECT global_seq FROM label_proposal WHERE {CONFIRMED})",
            f"DELETE FROM label_proposal WHERE {CONFIRMED}",
        ],
        OF_LABEL,
    ),
    "the same, and not named by the label": (
        [
            f"DELETE FROM ledger_entry WHERE global_seq = (SELECT global_seq FROM label_proposal WHERE {CONFIRMED})",
            f"DELETE FROM label_proposal WHERE {CONFIRMED}",
            LABELLED % '{"sensitivity": "green", "before": "red"}',
        ],
        OF_LABEL,
    ),
    "the persons behind a proposal": (["UPDATE label_proposal SET persons = '[\"another\"]'"], OF_PROPOSAL),
    "who proposed": ([f"UPDATE label_proposal SET proposed_by_key_id = confirmed_by_key_id WHERE {CONFIRMED}"], OF_PROPOSAL),
    "the proposed label": ([f"UPDATE label_proposal SET proposed_level = 0 WHERE {OPEN}"], OF_PROPOSAL),
    "the reason of a proposal": ([f"UPDATE label_proposal SET reason = 'none' WHERE {OPEN}"], OF_PROPOSAL),
    "who confirmed": (["UPDATE label_proposal SET confirmed_by_key_id = proposed_by_key_id"], OF_LABEL),
    "an invented confirmation": (
        [f"UPDATE label_proposal SET confirmed_by_key_id = proposed_by_key_id WHERE {OPEN}"],
        r"proposal [0-9a-f-]{36}: no entry confirms it",
    ),
    "an invented proposal": (
        [f"UPDATE label_proposal SET global_seq = 99, id = (SELECT report_id FROM label_proposal WHERE {OPEN}) WHERE {OPEN}"],
        r"proposal [0-9a-f-]{36}: no entry records it",
    ),
}


async def verify(settings: Settings, **more: str) -> tuple[int, list[str]]:
    result = await asyncio.to_thread(invoke, "verify", database_url=settings.database_url, **more)
    return result.exit_code, result.output.splitlines()


@pytest.fixture
async def lowered(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> dict[str, Any]:
    """Record a report whose label two persons lower, and a correction that waits for the second; return the answer to the correction."""
    second = await make_client(clearance=Label.RED, organisation="another")
    first, other = await post(client, **report(sensitivity="red")), await post(client, **report(sensitivity="red", source="envoy"))
    proposed = await client.post(f"/v1/reports/{first['id']}/label", json={"sensitivity": "green", "reason": "published"})
    assert (await second.post(proposed.json()["links"]["confirmation"])).status_code == 201
    return await post(client, f"/v1/reports/{other['id']}/correction", **report(source="envoy", sensitivity="amber", reason="misread"))


@mostly_sqlite
async def test_correction_with_a_lower_label_names_its_proposal(
    client: httpx.AsyncClient, make_client: MakeClient, lowered: dict[str, Any]
) -> None:
    (proposal,) = (await client.get("/v1/label-proposals")).json()["items"]
    assert lowered["label_proposal"] == proposal
    assert (proposal["report"], proposal["sensitivity"], proposal["before"]) == (lowered["id"], "amber", "red")
    second = await make_client(clearance=Label.RED, organisation="another")
    await post(second, f"/v1/reports/{lowered['id']}/retraction", reason="withdrawn")
    again = report(source="envoy", sensitivity="clear")
    (item,) = (await client.post("/v1/reports", json=[again])).json()["items"]
    assert item["label_proposal"]["report"] == item["id"]
    assert "label_proposal" not in await post(client, **report(value={"people": 5}))


async def test_proposal_is_an_entry_for_those_who_may_know_of_it(
    client: httpx.AsyncClient, make_client: MakeClient, lowered: dict[str, Any]
) -> None:
    first, second = [each for each in await all_changes(client) if each["type"] == "proposal"]
    assert (first["detail"]["sensitivity"], first["detail"]["before"], first["reason"]) == ("green", "red", "published")
    (label,) = [each for each in await all_changes(client) if each["type"] == "label"]
    assert label["detail"]["proposal"] == first["detail"]["proposal"]
    assert second["detail"]["proposal"] == lowered["label_proposal"]["id"]
    low = await make_client(Scope.READ, clearance=Label.AMBER_STRICT)
    assert {each["type"] for each in await all_changes(low)} & {"proposal", "label", "correction"} == set()


@mostly_sqlite
async def test_reason_of_a_proposal_is_withheld_with_what_it_corrects(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    low = await make_client(Scope.READ, Scope.CURATE, clearance=Label.GREEN)
    old = await post(client, **report(sensitivity="green"))
    await post(client, f"/v1/reports/{old['id']}/correction", **report(value={"people": 2}, reason="she hid them"))
    assert "she hid them" in (await low.get("/v1/changes")).text
    await post(client, f"/v1/reports/{old['id']}/label", sensitivity="red", reason="names")
    for path in ("/v1/changes", "/v1/label-proposals", "/v1/reports"):
        assert "she hid them" not in (await low.get(path)).text
    assert "she hid them" in (await client.get("/v1/label-proposals")).text


@mostly_sqlite
async def test_actor_is_told_from_amber_by_a_hash_for_each_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    another = await make_client(clearance=Label.RED)
    for number, sender in enumerate((client, another, client)):
        await post(sender, **report(value={"people": number}, source=("agency", "envoy", "monitor")[number]))
    raised = await post(client, **report(value={"people": 7}, source="outlet", sensitivity="amber"))
    await post(client, f"/v1/reports/{raised['id']}/label", sensitivity="red", reason="names")
    told = set()
    for label in Label:
        changes = [each for each in await all_changes(await make_client(Scope.READ, clearance=label)) if each["type"] != "place"]
        if label not in CLEARED:
            assert all("actor" not in each for each in changes)
            continue
        one, other, again = [each["actor"] for each in changes if each["type"] == "report"][:3]
        assert one == again != other
        assert re.fullmatch("[0-9a-f]{64}", one)
        told |= {one, other}
        withheld = [each for each in changes if each["type"] in ("withheld", "tombstone")]
        assert len(withheld) == (2 if label != Label.RED else 0)
        assert {each["actor"] for each in withheld} <= {None}
    assert len(told) == 2 * len(CLEARED), "readers of two clearances cannot compare what they see"


@pytest.mark.parametrize("what", REWRITTEN)
@sqlite_only
async def test_verify_names_what_was_rewritten_of_who_acted(settings: Settings, lowered: dict[str, Any], what: str) -> None:
    """The same statements run on both databases in the test below."""
    statements, pattern = REWRITTEN[what]
    await rewrite(settings.database_url, *statements)
    code, problems = await verify(settings)
    assert code == 1
    assert any(re.fullmatch(pattern, each) for each in problems), problems


async def test_verify_names_removed_proposals_and_unknown_actors(settings: Settings, lowered: dict[str, Any]) -> None:
    assert (await verify(settings))[0] == 0
    await rewrite(settings.database_url, *REWRITTEN["who sent what"][0], *REWRITTEN["all proposals deleted"][0])
    code, problems = await verify(settings)
    assert code == 1
    for what in ("who sent what", "all proposals deleted"):
        assert any(re.fullmatch(REWRITTEN[what][1], each) for each in problems), problems


@mostly_sqlite
async def test_verify_with_another_secret_says_so_in_one_line(settings: Settings, database: Database, lowered: dict[str, Any]) -> None:
    code, problems = await verify(settings, key_hash_secret="another secret than before")
    assert code == 1
    assert re.fullmatch(r"entries 1 to \d+: LIFELINE_KEY_HASH_SECRET was changed, or the keys .* were altered", problems[0])
    assert all(each.endswith("was altered, or LIFELINE_KEY_HASH_SECRET was changed") for each in problems[1:-1])
    assert len(problems) < 5
    async with database.reader.connect() as connection:
        assert [each async for each in verify_all(connection, settings.horizons)] == [], "a backup is verified without the secret"
