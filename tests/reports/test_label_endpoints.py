"""Changes of labels: raising takes effect at once and leaves a tombstone, lowering takes two keys and gives a new entry."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.access.keys import rotate_key
from app.access.principal import Scope
from app.domain.tlp import Label
from app.storage.database import Database
from tests.ledger.helpers import all_changes, assert_verified
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only

SECRET = "where they hide"


async def post(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    response = await client.post("/v1/reports", json=report(provenance={"quote": SECRET}, **more))
    assert response.status_code == 201, response.text
    recorded: dict[str, Any] = response.json()
    return recorded


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def change_label(client: httpx.AsyncClient, recorded: dict[str, Any], label: str) -> httpx.Response:
    return await client.post(f"/v1/reports/{recorded['id']}/label", json={"sensitivity": label, "reason": "a reason to keep"})


async def lower_label(first: httpx.AsyncClient, second: httpx.AsyncClient, recorded: dict[str, Any], label: str) -> dict[str, Any]:
    proposal = await change_label(first, recorded, label)
    assert proposal.status_code == 202, proposal.text
    done = await second.post(proposal.json()["links"]["confirmation"])
    assert done.status_code == 201, done.text
    change: dict[str, Any] = done.json()
    return change


@pytest.fixture
async def second(make_client: MakeClient) -> httpx.AsyncClient:
    """Return a client with another key of every scope."""
    return await make_client(clearance=Label.RED, organisation="another")


async def grade(client: httpx.AsyncClient, source: str, reliability: str) -> None:
    answer = await client.post(f"/v1/sources/{source}/grades", json={"reliability": reliability, "reason": "a reason"})
    assert answer.status_code == 201, answer.text


async def now(client: httpx.AsyncClient) -> str:
    """Return the time of the last entry."""
    head: str = (await client.get("/v1/ledger/head")).json()["recorded_at"]
    return head


@mostly_sqlite
async def test_grade_shows_no_reader_a_source_that_a_label_hides(
    client: httpx.AsyncClient, second: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Any
) -> None:
    """A grade before or after a label is raised moves nothing below it, then and in the past; of a lowered one, only a later grade does."""
    recorded = await post(client, value={"people": 2})
    await post(client, source="envoy", value={"people": 1})
    hidden = await post(client, source="monitor", value={"people": 3}, sensitivity="red")
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    paths = [path.replace("{indicator}", recorded["indicator"]) for path in PATHS if "changes" not in path]

    async def seen(known_at: str | None = None) -> list[Any]:
        at = {"known_at": known_at} if known_at else {}
        bodies = [(await reader.get(path, params=at)).json() for path in paths if not (at and "known_at" in path)]
        # The head of the ledger moves, because grades are public.
        return [{name: value for name, value in body.items() if name != "revision" or "items" not in body} for body in bodies]

    await grade(client, "agency", "A")
    graded = await now(client)
    assert (await change_label(client, recorded, "amber")).status_code == 201
    revision = (await client.get(f"/v1/indicators/{recorded['indicator']}")).json()["revision"]
    before, before_then = await seen(), await seen(graded)
    await grade(client, "agency", "C")
    await grade(client, "monitor", "A")
    assert (await seen(), await seen(graded)) == (before, before_then)
    then = await reader.get(f"/v1/indicators/{recorded['indicator']}", params={"known_at": graded})
    assert then.json()["revision"] == SEEDED + 2
    assert [change["documents"] for change in await all_changes(reader) if change["type"] == "grade"] == [[], [], []]
    documents = [change["documents"] for change in await all_changes(client) if change["type"] == "grade"]
    assert [len(each) for each in documents] == [1, 1, 1]
    assert (await client.get(f"/v1/indicators/{recorded['indicator']}")).json()["revision"] > revision

    await lower_label(client, second, hidden, "clear")
    assert (await seen(graded)) == before_then
    lowered = await seen()
    assert [len(each["documents"]) for each in await all_changes(reader) if each["type"] == "grade"] == [0, 0, 0]
    await grade(client, "monitor", "B")
    assert (await seen()) != lowered
    assert (await all_changes(reader))[-1]["documents"][0]["revision"] == SEEDED + 8
    # A reader who saw it before its label was raised has its past back.
    await lower_label(client, second, recorded, "green")
    assert [len(each["documents"]) for each in await all_changes(reader) if each["type"] == "grade"] == [1, 1, 0, 1]
    await assert_verified(settings.database_url)


PATHS = (
    "/v1/indicators", "/v1/trapped-populations", "/v1/indicators/{indicator}", "/v1/indicators/{indicator}?known_at=2999-01-01",
    "/v1/indicators?known_at=2999-01-01", "/v1/indicators/{indicator}/history", "/v1/situations", "/v1/situations/oldtown",
    "/v1/situations/oldtown?known_at=2999-01-01", "/v1/reports", "/v1/reports?known_at=2999-01-01", "/v1/changes", "/v1/warnings",
)  # fmt: skip


async def test_raised_label_removes_the_report_from_every_response(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Any
) -> None:
    """Earlier entries, time travel and history included; a tombstone without content remains."""
    other = await post(client, source="envoy", value={"people": 1})
    recorded = await post(client)
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    before = [item["hash"] for item in await all_changes(reader)]
    assert SECRET in (await reader.get(f"/v1/reports/{recorded['id']}")).text

    raised = await change_label(client, recorded, "red")
    assert (raised.status_code, raised.json()["sensitivity"], raised.json()["before"]) == (201, "red", "clear")
    assert (await reader.get(f"/v1/reports/{recorded['id']}")).status_code == 404
    for path in PATHS:
        response = await reader.get(path.replace("{indicator}", recorded["indicator"]))
        assert response.status_code == 200, path
        assert recorded["id"] not in response.text or "changes" in path, path
        assert "a reason to keep" not in response.text, path
        assert response.text.count(SECRET) <= response.text.count(other["id"]), path
    changes = await all_changes(reader)
    assert [item["seq"] for item in changes[SEEDED:]] == [SEEDED + 1, SEEDED + 2, SEEDED + 3]
    assert [item["hash"] for item in changes[: SEEDED + 2]] == before
    withheld, tombstone = changes[SEEDED + 1], changes[SEEDED + 2]
    assert (withheld["type"], withheld["documents"]) == ("withheld", [])
    assert all(withheld[name] is None for name in ("report_id", "indicator", "source", "report", "reason", "detail"))
    assert withheld["redacted"] == ["report_id", "indicator", "report", "salt"]
    assert (withheld["salt"], len(tombstone["salt"])) == (None, 32)
    assert (tombstone["type"], tombstone["report_id"], tombstone["report"]) == ("tombstone", recorded["id"], None)
    assert (tombstone["reason"], tombstone["detail"], tombstone["recorded_by"]) == (None, None, "")
    (document,) = tombstone["documents"]
    assert (document["value"]["people"], document["revision"]) == (1, SEEDED + 3)
    all_entries = await all_changes(client)
    assert (all_entries[SEEDED + 2]["type"], all_entries[SEEDED + 2]["detail"]) == ("label", {"sensitivity": "red", "before": "clear"})
    assert (await client.get(f"/v1/reports/{recorded['id']}")).json()["sensitivity"] == "red"
    await assert_verified(settings.database_url)


async def test_lowered_label_takes_two_keys_and_gives_a_new_entry(
    client: httpx.AsyncClient, second: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Any
) -> None:
    recorded = await post(client, sensitivity="red")
    await post(client, source="envoy", value={"people": 1})
    reader = await make_client(Scope.READ, clearance=Label.AMBER)
    known_before = (await client.get("/v1/ledger/head")).json()["recorded_at"]
    proposal = await change_label(client, recorded, "green")
    assert (proposal.status_code, proposal.json()["before"]) == (202, "red")
    assert [item["id"] for item in (await second.get("/v1/label-proposals")).json()["items"]] == [proposal.json()["id"]]
    assert (await reader.get(f"/v1/reports/{recorded['id']}")).status_code == 404
    confirmation = proposal.json()["links"]["confirmation"]
    own = await client.post(confirmation)
    assert (own.status_code, own.json()["type"]) == (403, "urn:lifeline:problem:same-key")
    low = await make_client(Scope.READ, Scope.CURATE, clearance=Label.AMBER)
    assert (await low.get("/v1/label-proposals")).json()["items"] == []
    assert (await low.post(confirmation)).status_code == 404
    assert (await second.post(confirmation)).status_code == 201
    assert (await second.post(confirmation)).status_code == 409
    assert (await second.get("/v1/label-proposals")).json()["items"] == []

    first, new = (await all_changes(reader))[SEEDED:]
    assert (first["seq"], new["seq"], new["type"], new["report_id"]) == (SEEDED + 1, SEEDED + 2, "report", recorded["id"])
    assert (new["report"]["sensitivity"], new["reason"], new["detail"]) == ("green", None, None)
    assert [change["type"] for change in (await all_changes(client))[SEEDED:]] == ["report", "report", "proposal", "label"]
    seen = (await reader.get(f"/v1/reports/{recorded['id']}")).json()
    assert (seen["seq"], seen["sensitivity"]) == (SEEDED + 2, "green")
    (item,) = (await reader.get("/v1/trapped-populations")).json()["items"]
    assert (item["assessment"]["reports"], item["revision"]) == (2, SEEDED + 2)
    # At that time the ledger of this reader did not contain the report.
    past = (await reader.get("/v1/trapped-populations", params={"known_at": known_before})).json()["items"]
    assert [each["assessment"]["reports"] for each in past] == [1]
    assert [each["id"] for each in (await reader.get("/v1/reports", params={"known_at": known_before})).json()["items"]] != [recorded["id"]]
    await assert_verified(settings.database_url)


@sqlite_only
async def test_lowered_label_takes_the_keys_of_two_persons(make_client: MakeClient, database: Database, reference: Reference) -> None:
    """A person can use each key whose secret that person has seen."""
    everything = {"name": "k", "organisation": "test", "scopes": [*Scope], "clearance": "red"}
    admins = {person: await make_client(clearance=Label.RED, person=person) for person in ("Ana", "ana ", "\uff21na", "Ben", None)}
    ana = admins["Ana"]

    async def made_by(admin: httpx.AsyncClient, person: str | None) -> httpx.AsyncClient:
        created = (await admin.post("/v1/keys", json=everything | {"person": person})).json()
        return httpx.AsyncClient(transport=admin._transport, base_url=admin.base_url, headers=bearer(created["secret"]))

    invented, second, nameless = [await made_by(ana, person) for person in ("Cem", "Dua", None)]
    indirect, unknown = await made_by(invented, "Eli"), await made_by(admins[None], "Fay")
    # Ana rotates Gil's key, and Gil still has the previous secret.
    gil = await make_client(clearance=Label.RED, person="Gil")
    identifier = (await gil.get("/v1/me")).json()["id"]
    secret = (await ana.post(f"/v1/keys/{identifier}/rotation", json={})).json()["secret"]
    taken = httpx.AsyncClient(transport=ana._transport, base_url=ana.base_url, headers=bearer(secret))

    same, no, two = (403, "same-person"), (403, "no-person"), (201, None)
    cases = [
        (ana, ana, (403, "same-key")), (ana, admins["ana "], same), (ana, admins["\uff21na"], same), (ana, invented, same),
        (invented, ana, same), (invented, second, same), (indirect, ana, same), (ana, nameless, no), (nameless, ana, no),
        (admins[None], ana, no), (ana, admins[None], no), (ana, unknown, no), (ana, taken, same), (gil, ana, same),
        (ana, admins["Ben"], two), (admins["Ben"], invented, two),
    ]  # fmt: skip
    recorded = await post(ana, sensitivity="red")
    for at, (first, other, expected) in enumerate(cases):
        if expected == two:
            recorded = await post(ana, sensitivity="red", value={"people": at})
        proposal = (await change_label(first, recorded, "clear")).json()
        done = await other.post(proposal["links"]["confirmation"])
        assert (done.status_code, (done.json()["type"] or "").partition("problem:")[2] or None) == expected, (at, done.text)

    # On the command line no caller sees the new secret, and without an overlap no other stays valid.
    async with database.write() as session:
        rotated = await rotate_key(session, UUID(identifier), timedelta())
    assert rotated is not None
    gil.headers.update(bearer(rotated[1]))
    recorded = await post(ana, sensitivity="red", value={"people": 99})
    await lower_label(ana, gil, recorded, "clear")


@sqlite_only
async def test_lowered_report_is_unknown_before_it_was_stated(
    client: httpx.AsyncClient, second: httpx.AsyncClient, reference: Reference
) -> None:
    recorded = await post(client, sensitivity="amber")
    await lower_label(client, second, recorded, "clear")
    path = f"/v1/indicators/{recorded['indicator']}"
    for as_of, expected in (("2016-07-27", 404), ("2016-07-28", 200)):
        answer = await client.get(path, params={"as_of": as_of, "known_at": await now(client)})
        assert answer.status_code == expected, answer.text
    assert (await client.get(f"{path}/history", params={"as_of": "2016-07-27"})).json()["items"] == []


@mostly_sqlite
async def test_label_that_is_raised_twice_and_lowered_gives_new_entries(
    client: httpx.AsyncClient, second: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Any
) -> None:
    recorded = await post(client, sensitivity="green")
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    assert (await change_label(client, recorded, "amber")).status_code == 201
    assert (await change_label(client, recorded, "red")).status_code == 201
    change = await lower_label(client, second, recorded, "clear")
    assert (change["sensitivity"], change["before"], change["seq"]) == ("clear", "red", SEEDED + 5)
    assert [change["type"] for change in (await all_changes(reader))[SEEDED:]] == ["report", "tombstone", "report"]
    assert [change["type"] for change in (await all_changes(await make_client(Scope.READ, clearance=Label.CLEAR)))[SEEDED:]] == ["report"]
    assert (await reader.get(f"/v1/reports/{recorded['id']}")).json()["sensitivity"] == "clear"
    (item,) = (await reader.get("/v1/indicators")).json()["items"]
    assert (item["assessment"]["reports"], item["sensitivity"], item["revision"]) == (1, "clear", SEEDED + 3)
    await assert_verified(settings.database_url)


@mostly_sqlite
async def test_raised_correction_does_not_restore_the_original(
    client: httpx.AsyncClient, second: httpx.AsyncClient, make_client: MakeClient, reference: Reference, settings: Any
) -> None:
    """Readers who saw the correction still see the original superseded; a lowered correction supersedes it for its new readers."""
    reader = await make_client(Scope.READ, clearance=Label.GREEN)
    old = await post(client)
    correction = report(value={"people": 2}, reason="misread", sensitivity="clear")
    new = (await client.post(f"/v1/reports/{old['id']}/correction", json=correction)).json()
    assert (await change_label(client, new, "red")).status_code == 201
    assert (await reader.get(f"/v1/reports/{old['id']}")).json()["status"] == "superseded"
    assert (await reader.get("/v1/reports?status=standing")).json()["items"] == []
    assert (await reader.get("/v1/indicators")).json()["items"] == []
    (item,) = (await reader.get("/v1/indicators?include_empty=true")).json()["items"]
    assert (item["value"], item["provenance"]) == (None, None)
    assert (await reader.get("/v1/indicators?known_at=2999-01-01&include_empty=true")).json()["items"] == [item]

    other = await post(client, source="envoy")
    hidden = (
        await client.post(f"/v1/reports/{other['id']}/correction", json=correction | {"source": "envoy", "sensitivity": "red"})
    ).json()
    assert (await reader.get(f"/v1/reports/{other['id']}")).json()["status"] == "standing"
    await lower_label(client, second, hidden, "green")
    assert (await reader.get(f"/v1/reports/{other['id']}")).json()["status"] == "superseded"
    last = (await all_changes(reader))[-1]
    assert (last["type"], last["detail"]) == ("correction", {"supersedes": other["id"]})
    (item,) = (await reader.get("/v1/indicators")).json()["items"]
    assert item["provenance"]["report"] == hidden["id"]
    await assert_verified(settings.database_url)


@mostly_sqlite
async def test_label_that_cannot_change_gets_409_404_403_or_422(
    client: httpx.AsyncClient, second: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    recorded = await post(client, sensitivity="amber")
    same = await change_label(client, recorded, "amber")
    assert (same.status_code, same.json()["type"]) == (409, "urn:lifeline:problem:same-label")
    low = await make_client(Scope.READ, Scope.CURATE, clearance=Label.GREEN)
    assert (await change_label(low, recorded, "red")).status_code == 404
    assert (await change_label(low, {"id": str(uuid4())}, "red")).status_code == 404
    assert (await change_label(await make_client(Scope.READ, Scope.REPORT, clearance=Label.RED), recorded, "red")).status_code == 403
    wrong = await client.post(f"/v1/reports/{recorded['id']}/label", json={"sensitivity": "purple", "reason": "", "more": 1})
    assert sorted(each["pointer"] for each in wrong.json()["errors"]) == ["/more", "/reason", "/sensitivity"]
    proposal = (await change_label(client, recorded, "clear")).json()
    again = await change_label(client, recorded, "clear")
    assert (again.status_code, again.json()) == (200, proposal), "an equal proposal is not recorded twice"
    assert (await change_label(second, recorded, "clear")).status_code == 202
    assert len((await client.get("/v1/label-proposals")).json()["items"]) == 2
    assert (await client.post(f"/v1/reports/{recorded['id']}/retraction", json={"reason": "withdrawn"})).status_code == 201
    # Otherwise the report would stand for readers who did not see the retraction.
    assert (await second.post(proposal["links"]["confirmation"])).status_code == 409
    assert (await change_label(client, recorded, "green")).status_code == 409
    assert (await change_label(client, recorded, "red")).status_code == 201
    assert (await second.post(proposal["links"]["confirmation"])).json()["type"] == "urn:lifeline:problem:lapsed"
