"""The hash of an entry does not confirm a guess of what it says."""

import random

import httpx

from app.domain.tlp import Label
from app.ledger.hash_chain import canonical_json, chain_hash
from tests.ledger.helpers import all_changes
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import FULL, MakeClient, mostly_sqlite

GUESSES = 1_000_000 if FULL else 5_000
UNHASHED = ("seq", "hash", "documents", "documents_complete")


@mostly_sqlite
async def test_raised_statement_is_not_found_by_guessing(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    """A reader keeps the hashes, knows all but the figure and tries every figure, and learns nothing."""
    reader = await make_client(clearance=Label.GREEN)
    await post(client, **report(value={"people": 1}))
    raised = await post(client, **report(value={"people": 4711}, source="monitor"))
    *_, before, known = await all_changes(reader)
    body = {name: each for name, each in known.items() if name not in UNHASHED}
    await post(client, f"/v1/reports/{raised['id']}/label", sensitivity="red", reason="it shows who hides")
    *_, hidden, tombstone = await all_changes(reader)
    assert (hidden["type"], hidden["salt"], hidden["hash"]) == ("withheld", None, known["hash"])

    def found(people: int, salt: str | None) -> bool:
        value = body["report"]["value"] | {"people": people}
        guess = body | {"salt": salt, "report": body["report"] | {"value": value}}
        return chain_hash(before["hash"], canonical_json(guess)) == hidden["hash"]

    assert found(4711, known["salt"]), "the guesses are made as the hash is"
    chance = random.Random(1)
    for number in range(GUESSES):
        salts = [None, before["salt"], tombstone["salt"], chance.randbytes(16).hex()]
        people = 4711 if number % 2 else number
        assert not any(found(people, salt) for salt in salts[number % 4 :][:1])


async def test_each_entry_has_a_salt_of_its_own(client: httpx.AsyncClient, reference: Reference) -> None:
    answer = await client.post("/v1/reports", json=[report(value={"people": people}) for people in range(20)])
    assert answer.status_code == 207
    salts = {each["salt"] for each in await all_changes(client)}
    assert len(salts) == SEEDED + 20
    assert all(len(bytes.fromhex(each)) == 16 for each in salts)
