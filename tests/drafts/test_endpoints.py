"""Drafts over HTTP: who sees, corrects, confirms and rejects them, and what the report says."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select, update

from app.access.principal import Scope
from app.cli.exchange import author_for
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.drafts import service
from app.drafts.models import Draft
from app.exchange.replication.apply import EntryApplier
from app.settings import Settings
from app.storage.database import Database
from app.storage.types import table_of
from tests.ledger.helpers import assert_verified
from tests.support.factories import SEEDED, Reference, post, report
from tests.support.fixtures import MakeClient, mostly_sqlite, sqlite_only
from tests.webhooks.conftest import until


async def draft(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    return await post(client, "/v1/drafts", **report(**more))


async def ids(client: httpx.AsyncClient, query: str = "") -> list[str]:
    answer = await client.get(f"/v1/drafts{query}")
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


@mostly_sqlite
async def test_confirmed_draft_is_a_report_that_says_who_drafted_and_confirmed(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference, database_url: str
) -> None:
    drafter = await make_client(Scope.READ, Scope.REPORT, organisation="drafting")
    confirmer = await make_client(Scope.READ, Scope.REPORT, organisation="confirming")
    made = await draft(drafter, value={"people": 7})
    assert (made["status"], made["drafted_by"], made["report"]["sensitivity"]) == ("proposed", "drafting", "green")
    assert (await client.get("/v1/changes")).json()["items"][SEEDED:] == []
    answer = await confirmer.post(made["links"]["confirmation"])
    assert answer.status_code == 201, answer.text
    recorded = answer.json()
    assert (recorded["drafted_by"], recorded["recorded_by"], recorded["sensitivity"]) == ("drafting", "confirming", "green")
    assert answer.headers["location"] == recorded["links"]["self"]
    assert (await client.get(recorded["links"]["self"])).json()["drafted_by"] == "drafting"
    (change,) = (await client.get("/v1/changes")).json()["items"][SEEDED:]
    assert change["report"]["drafted_by"] == "drafting"
    await assert_verified(database_url)
    decided = (await drafter.get(made["links"]["self"])).json()
    assert (decided["status"], decided["decided_by"], decided["links"]["report"]) == ("confirmed", "confirming", recorded["links"]["self"])
    for verb, path in (("POST", "confirmation"), ("POST", "rejection"), ("PATCH", "self")):
        again = await confirmer.request(verb, made["links"][path], json={"reason": "no"} if path == "rejection" else {})
        assert (again.status_code, again.json()["detail"]) == (409, "The draft is already confirmed.")


@sqlite_only
async def test_replicated_report_keeps_who_drafted_it(client: httpx.AsyncClient, reference: Reference, database: Database) -> None:
    made = await draft(client, value={"people": 7})
    await client.post(made["links"]["confirmation"])
    (change,) = (await client.get("/v1/changes")).json()["items"][SEEDED:]
    identifier = "01900000-0000-7000-8004-00000000abcd"
    copy = change["report"] | {"id": identifier, "stated_at": "2016-07-02", "drafted_by": "drafting elsewhere"}
    async with database.write() as session:
        await EntryApplier(author_for, Settings()).apply(session, [change | {"report_id": identifier, "report": copy}])
    assert (await client.get(f"/v1/reports/{identifier}")).json()["drafted_by"] == "drafting elsewhere"


@mostly_sqlite
@pytest.mark.parametrize("sent", ["clear", "green", "amber", "red", None])
async def test_draft_has_at_least_the_label_green(client: httpx.AsyncClient, reference: Reference, sent: str | None) -> None:
    made = await draft(client, sensitivity=sent)
    assert made["report"]["sensitivity"] == (sent if sent in ("amber", "red") else "green")
    assert (await client.post(made["links"]["confirmation"])).json()["sensitivity"] == made["report"]["sensitivity"]


async def test_draft_is_seen_only_with_scope_report_and_clearance(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    green, amber = await draft(client), await draft(client, sensitivity="amber", value={"people": 5})
    reporter = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN)
    assert (await ids(reporter), await ids(client)) == ([green["id"]], [green["id"], amber["id"]])
    for verb, path in (("GET", "self"), ("POST", "confirmation"), ("POST", "rejection"), ("PATCH", "self")):
        answer = await reporter.request(verb, amber["links"][path], json={"reason": "no"} if path == "rejection" else {})
        assert answer.status_code == 404, (verb, path, answer.text)
    low = await make_client(Scope.READ, Scope.REPORT, clearance=Label.CLEAR)
    assert await ids(low) == []
    for scopes in ((Scope.READ,), (Scope.READ, Scope.CURATE), (Scope.READ, Scope.ADMIN)):
        other = await make_client(*scopes, clearance=Label.RED)
        for path in ("/v1/drafts", green["links"]["self"]):
            assert (await other.get(path)).status_code == 403
    assert (await anonymous.get("/v1/drafts")).status_code == 401


async def test_draft_leaves_no_trace_for_readers(
    client: httpx.AsyncClient, make_client: MakeClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    """No list, change, count, header or metric of readers differs once drafts were made, corrected, read and rejected."""
    await post(client, **report())
    reader = await make_client(Scope.READ, clearance=Label.RED)
    paths = (
        "/v1/reports",
        "/v1/changes",
        "/v1/indicators?include_empty=true",
        "/v1/situations",
        "/v1/ledger/head",
        "/v1/sources/agency/record",
    )

    async def seen() -> list[Any]:
        answers = [await each.get(path) for each in (reader, anonymous) for path in paths]
        return [
            (each.status_code, sorted(pair for pair in each.headers.multi_items() if pair[0] != "x-request-id"), each.content)
            for each in answers
        ]

    async def counted() -> set[str]:
        lines = (await anonymous.get("/metrics")).text.splitlines()
        return {each.rsplit(" ", 1)[0] for each in lines if "draft" in each}

    before = await seen()
    made = await draft(client, value={"people": 9})
    await client.patch(made["links"]["self"], json={"value": {"people": 8}})
    assert await ids(client) == [made["id"]]
    await client.get(made["links"]["self"])
    await client.post(made["links"]["rejection"], json={"reason": "not said"})
    assert await seen() == before
    assert await counted() == set()
    assert "draft" in (await client.get("/metrics")).text


@mostly_sqlite
async def test_patch_changes_the_members_sent_and_checks_the_whole(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await draft(client, provenance={"quote": "300,000", "via": ["outlet"]})
    path = made["links"]["self"]
    answer = await client.patch(path, json={"value": {"people": 250000, "qualifier": "about"}, "provenance": {"quote": None}})
    assert answer.status_code == 200, answer.text
    changed = answer.json()["report"]
    assert changed["value"] == {"concept": "trapped", "people": 250000, "qualifier": "about"}
    assert (changed["provenance"]["quote"], changed["provenance"]["via"], changed["source"]) == (None, ["outlet"], "agency")
    for patch, pointer in (
        ({"value": {"people": -1}}, "/value/people"),
        ({"place": "nowhere"}, "/place"),
        ({"place": None}, "/place"),
        ([], ""),
    ):
        refused = await client.patch(path, json=patch)
        assert (refused.status_code, [each["pointer"] for each in refused.json()["errors"]]) == (422, [pointer])
    assert (await client.get(path)).json()["report"] == changed
    lower = await client.patch(path, json={"sensitivity": "amber"})
    lower = await client.patch(path, json={"sensitivity": "green"})
    assert lower.json()["report"]["sensitivity"] == "amber"


@mostly_sqlite
@pytest.mark.parametrize(
    "wrong", [{"place": "nowhere"}, {"source": "nobody"}, {"kind": "nothing"}, {"value": {"concept": "x"}}, {"more": 1}]
)
async def test_draft_passes_the_door_of_reports(client: httpx.AsyncClient, reference: Reference, wrong: dict[str, Any]) -> None:
    sent = report() | wrong
    answers = [await client.post(path, json=sent) for path in ("/v1/reports", "/v1/drafts")]
    assert [each.status_code for each in answers] == [422, 422]
    assert answers[0].json()["errors"] == answers[1].json()["errors"]


@mostly_sqlite
async def test_confirming_what_stands_already_answers_with_that_report(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await draft(client)
    recorded = await post(client, **report())
    answer = await client.post(made["links"]["confirmation"])
    assert (answer.status_code, answer.json()["id"], answer.json()["drafted_by"]) == (200, recorded["id"], None)
    assert (await client.get(made["links"]["self"])).json()["links"]["report"] == recorded["links"]["self"]


@mostly_sqlite
async def test_confirmation_sent_again_with_its_key_is_answered_again(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await draft(client)
    answers = [await client.post(made["links"]["confirmation"], headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].content == answers[1].content


@mostly_sqlite
async def test_draft_that_changed_since_it_was_read_is_not_confirmed(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await draft(client, provenance={"quote": "x" * 600})
    path, confirmation = made["links"]["self"], made["links"]["confirmation"]
    read = (await client.get(path)).headers["etag"]
    changed = await client.patch(path, json={"value": {"people": 5}}, headers={"If-Match": read})
    assert changed.status_code == 200, changed.text
    for answer in (
        await client.post(confirmation, headers={"If-Match": read}),
        await client.patch(path, json={}, headers={"If-Match": read}),
    ):
        assert answer.status_code == 412
    now = (await client.get(path)).headers["etag"]
    assert (await client.post(confirmation, headers={"If-Match": now})).status_code == 201


async def test_confirmations_at_once_record_one_report(client: httpx.AsyncClient, reference: Reference) -> None:
    made = await draft(client)
    answers = await asyncio.gather(*(client.post(made["links"]["confirmation"]) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]


@mostly_sqlite
async def test_protected_source_is_shown_by_its_alias_and_kept(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    added = await reference.add("sources", slug="nurse", name="A nurse", type="media", alias="A health worker")
    reporter = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN)
    made = await draft(client, source="nurse", provenance={"via": ["outlet"], "origin": "nurse"})
    shown = (await reporter.get(made["links"]["self"])).json()["report"]
    alias = shown["source"]
    assert (added["slug"], alias.startswith("protected-")) == ("nurse", True)
    assert (shown["provenance"]["via"], shown["provenance"]["origin"]) == (["outlet"], alias)
    assert (await reporter.patch(made["links"]["self"], json={"value": {"people": 4}})).json()["report"]["source"] == alias
    assert (await client.get(made["links"]["self"])).json()["report"]["source"] == "nurse"
    assert (await reporter.post(made["links"]["confirmation"])).json()["source"] == alias


@mostly_sqlite
async def test_source_of_another_organisation_is_confirmed_by_its_own_keys_only(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    await reference.add("sources", slug="own", name="Own", type="media", organisation="ours")
    ours, theirs = [await make_client(Scope.READ, Scope.REPORT, organisation=each) for each in ("ours", "theirs")]
    assert (await theirs.post("/v1/drafts", json=report(source="own"))).status_code == 422
    made = await draft(ours, source="own")
    assert (await theirs.post(made["links"]["confirmation"])).status_code == 422
    assert (await ours.post(made["links"]["confirmation"])).status_code == 201


@mostly_sqlite
async def test_relayed_report_is_hidden_once_its_label_is_raised(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    recorded = await post(client, **report())
    made = await draft(client, source="outlet", provenance={"relays": recorded["id"]})
    reporter = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN)
    assert (await reporter.get(made["links"]["self"])).json()["report"]["provenance"]["relays"] == recorded["id"]
    await client.post(f"{recorded['links']['self']}/label", json={"sensitivity": "red", "reason": "names"})
    assert (await reporter.get(made["links"]["self"])).json()["report"]["provenance"]["relays"] is None


async def test_rejected_draft_keeps_the_reason_and_is_listed_by_status(client: httpx.AsyncClient, reference: Reference) -> None:
    first, second = await draft(client), await draft(client, value={"people": 3})
    rejected = (await client.post(first["links"]["rejection"], json={"reason": "not said"})).json()
    assert (rejected["status"], rejected["reason"], rejected["decided_by"]) == ("rejected", "not said", "test")
    assert (await ids(client, "?status=rejected"), await ids(client, "?status=proposed")) == ([first["id"]], [second["id"]])
    assert (await client.get("/v1/reports")).json()["items"] == []
    page = (await client.get("/v1/drafts?limit=1")).json()
    assert [page["items"][0]["id"], *await ids(client, f"?limit=1&cursor={page['next']}")] == [first["id"], second["id"]]


@mostly_sqlite
async def test_four_eyes_needs_another_person_than_the_last_writer(
    app: FastAPI, settings: Settings, make_client: MakeClient, reference: Reference
) -> None:
    app.state.settings = settings.model_copy(update={"drafts_four_eyes": True})
    one, own_second, other = [await make_client(Scope.READ, Scope.REPORT, person=each) for each in ("Ana", " ANA ", "Ben")]
    nameless = await make_client(Scope.READ, Scope.REPORT, person=None)
    made = await draft(one)
    for client, kind in ((one, "same-person"), (own_second, "same-person"), (nameless, "no-person")):
        answer = await client.post(made["links"]["confirmation"])
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (403, kind)
    # The person that corrects a draft is its writer from then on, because the other one has not seen what was changed.
    await other.patch(made["links"]["self"], json={"value": {"people": 2}})
    assert (await other.post(made["links"]["confirmation"])).status_code == 403
    assert (await one.post(made["links"]["confirmation"])).status_code == 201
    own = await draft(one, value={"people": 5})
    assert (await one.post(own["links"]["rejection"], json={"reason": "my mistake"})).status_code == 200


async def test_expired_draft_is_not_served_and_is_deleted(
    app: FastAPI, settings: Settings, client: httpx.AsyncClient, reference: Reference, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await draft(client)
    assert made["expires_at"][:10] == (utc_now() + timedelta(days=30)).date().isoformat()
    async with database.write() as session:
        await session.execute(update(Draft).values(created_at=utc_now() - timedelta(days=settings.draft_days, seconds=1)))
    assert await ids(client) == []
    for verb, path in (("GET", "self"), ("POST", "confirmation")):
        assert (await client.request(verb, made["links"][path])).status_code == 404
    monkeypatch.setattr(service, "DELETE_EVERY_SECONDS", 0.01)

    async def stored() -> int:
        async with database.read_latest() as connection:
            return int((await connection.execute(select(func.count()).select_from(table_of(Draft)))).scalar_one())

    async def deleted() -> bool:
        return not await stored()

    assert not await deleted()
    async with service.deleting_expired(database, settings), asyncio.timeout(5):
        await until(deleted)


@sqlite_only
async def test_new_draft_deletes_the_expired_ones(
    settings: Settings, client: httpx.AsyncClient, reference: Reference, database: Database
) -> None:
    await draft(client)
    async with database.write() as session:
        await session.execute(update(Draft).values(created_at=utc_now() - timedelta(days=31)))
    await draft(client)
    async with database.read_latest() as connection:
        assert (await connection.execute(select(func.count()).select_from(table_of(Draft)))).scalar_one() == 1
