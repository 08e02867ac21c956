"""A POST with an Idempotency-Key is written once, and a repetition gets the first response."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select, update
from sqlmodel import col

from app.access.models import IdempotencyRecord
from app.access.principal import Scope
from app.domain.times import utc_now
from app.domain.tlp import Label
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import FULL, MakeClient, mostly_sqlite, sqlite_only
from tests.support.openapi import DOCUMENT

HEADER = "Idempotency-Key"

JUDGEMENT = {"value": {"supply": "food", "state": "low"}, "likelihood": "likely", "confidence": "low", "reasons": "seen"}
# By path of the OpenAPI document: a valid body, and another one.
POSTS: dict[str, tuple[Any, Any]] = {
    "/v1/reports": (report(source="envoy"), report(source="envoy", value={"people": 1})),
    "/v1/reports/{id}/correction": (report(value={"people": 5}, reason="misread"), report(value={"people": 6}, reason="misread")),
    "/v1/reports/{id}/retraction": ({"reason": "withdrawn"}, {"reason": "withdrawn by the source"}),
    "/v1/reports/{id}/reinstatement": ({"reason": "said after all"}, {"reason": "said again"}),
    "/v1/indicators/{id}/outcome": ({"outcome": "averted", "reason": "a convoy"}, {"outcome": "materialised", "reason": "no convoy"}),
    "/v1/indicators/{id}/judgements": (JUDGEMENT, JUDGEMENT | {"reasons": "heard"}),
    "/v1/judgements/{id}/correction": (JUDGEMENT | {"reason": "misread"}, JUDGEMENT | {"reason": "misheard"}),
    "/v1/judgements/{id}/retraction": ({"reason": "withdrawn"}, {"reason": "withdrawn by the analyst"}),
    "/v1/reports/{id}/label": ({"sensitivity": "red", "reason": "names"}, {"sensitivity": "amber", "reason": "names"}),
    "/v1/sources/{slug}/grades": ({"reliability": "C", "reason": "was wrong"}, {"reliability": "D", "reason": "was wrong"}),
    "/v1/places": ({"slug": "new", "name": "New"}, {"slug": "newer", "name": "New"}),
    "/v1/sources": ({"slug": "new", "name": "New", "type": "ngo"}, {"slug": "newer", "name": "New", "type": "ngo"}),
    "/v1/routes": ({"slug": "new", "name": "New", "mode": "road"}, {"slug": "newer", "name": "New", "mode": "road"}),
    "/v1/drafts": (report(source="envoy"), report(source="envoy", value={"people": 1})),
    "/v1/drafts/{id}/rejection": ({"reason": "no figure"}, {"reason": "withdrawn by the source"}),
}
# Without a body: see the test below.
DRAFT_CONFIRMATION = "/v1/drafts/{id}/confirmation"
# Write nothing that a repetition would write twice: a reading of an article, a preview, and a cosignature of the same checkpoint.
WRITE_NOTHING_TWICE = {"/v1/drafts/from-text", "/v1/drafts/preview", "/v1/witness/add-checkpoint"}
# Without a body, for a webhook with a delivery log: see tests/webhooks, and the test below.
REDELIVERY = "/v1/webhooks/{id}/deliveries/{delivery}/redelivery"
# Without a body, for the proposal of another key: see the tests of labels.
CONFIRMATION = "/v1/label-proposals/{id}/confirmation"
# The first response has a secret and a repeated one does not: see the tests of keys and of webhooks.
SECRET = {"/v1/keys", "/v1/keys/{id}/rotation", "/v1/webhooks"}
# Takes files and writes only on request: see tests/exchange/imports.
IMPORTS = "/v1/imports"
# A list has its own kind of response.
CASES = [*POSTS.items(), ("/v1/reports", ([report(source="envoy"), report(place="nowhere")], [report(source="envoy")]))]
# Responses are kept in one way for every path, so reports are enough on PostgreSQL.
KEPT = [(engine, each) for engine in ("sqlite", "postgresql") for each in CASES if FULL or engine == "sqlite" or each[0] == "/v1/reports"]


@pytest.fixture
async def recorded(client: httpx.AsyncClient, reference: Reference) -> dict[str, str]:
    """Record a warning, a report that shows its outcome, a draft and a judgement; return their identifiers and that of the indicator."""
    made = (await client.post("/v1/reports", json=report("supply_runout"))).json()
    state = {"supply": "food", "state": "resupplied"}
    seen = (
        await client.post("/v1/reports", json=report("supply_runout", source="envoy", stated_at="2016-08-01") | {"value": state})
    ).json()
    drafted = (await client.post("/v1/drafts", json=report())).json()
    gone = (await client.post("/v1/reports", json=report(value={"people": 7}))).json()["id"]
    await client.post(f"/v1/reports/{gone}/retraction", json={"reason": "withdrawn"})
    judged = (await client.post(f"/v1/indicators/{made['indicator']}/judgements", json=JUDGEMENT)).json()["id"]
    names = {"report": made["id"], "indicator": made["indicator"], "seen": seen["id"], "draft": drafted["id"], "gone": gone}
    return names | {"judgement": judged}


def fill(path: str, body: Any, recorded: dict[str, str]) -> tuple[str, Any]:
    """Return the path and body of a case about the recorded report."""
    if path.endswith("/reinstatement"):
        return path.replace("{id}", recorded["gone"]), body
    if path.endswith("/outcome"):
        body = body | {"report": recorded["seen"]}
        return path.replace("{id}", recorded["indicator"]), body
    name = next((each for each in ("draft", "judgement", "indicator") if path.startswith(f"/v1/{each}s")), "report")
    return path.replace("{id}", recorded[name]).replace("{slug}", "agency"), body


async def all_lists(client: httpx.AsyncClient) -> list[Any]:
    """Return every list of the service."""
    paths = ("/v1/reports", "/v1/changes", "/v1/ledger/head", "/v1/indicators", "/v1/places", "/v1/sources", "/v1/routes")
    paths += ("/v1/webhooks", "/v1/drafts")
    return [(await client.get(path)).json() for path in paths]


def test_every_post_of_the_api_is_covered() -> None:
    operations = DOCUMENT["paths"]
    posts = {path for path, methods in operations.items() if "post" in methods}
    assert posts == {*POSTS, *SECRET, REDELIVERY, CONFIRMATION, DRAFT_CONFIRMATION, IMPORTS, *WRITE_NOTHING_TWICE}, "add the new POST"
    for path in posts:
        taken = HEADER in {parameter["name"] for parameter in operations[path]["post"].get("parameters", ())}
        assert taken == (path not in WRITE_NOTHING_TWICE), path


@pytest.mark.parametrize(
    ("engine", "path", "bodies"),
    [pytest.param(engine, *each, id=f"{engine}-{each[0]}{' list' * isinstance(each[1][0], list)}") for engine, each in KEPT],
    indirect=["engine"],
)
async def test_repeated_post_gets_the_first_response_and_writes_nothing(
    client: httpx.AsyncClient, recorded: dict[str, str], path: str, bodies: tuple[Any, Any]
) -> None:
    """The same key and body get the first response byte for byte; the same key and another body get 422."""
    _, other = fill(path, bodies[1], recorded)
    path, body = fill(path, bodies[0], recorded)
    first = await client.post(path, json=body, headers={HEADER: "once"})
    assert first.status_code == (200 if path.endswith("/rejection") else 207 if isinstance(body, list) else 201), first.text
    assert "idempotency-replayed" not in first.headers
    held = await all_lists(client)
    for _ in range(2):
        again = await client.post(path, json=body, headers={HEADER: "once"})
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers.get("location") == first.headers.get("location")
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["idempotency-replayed"] == "true"
    refused = await client.post(path, json=other, headers={HEADER: "once"})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert HEADER in refused.json()["detail"]
    assert await all_lists(client) == held


@mostly_sqlite
async def test_repeated_post_gets_the_first_response_after_a_later_change(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await client.post("/v1/reports", json=report(), headers={HEADER: "k"})
    await client.post(f"/v1/reports/{first.json()['id']}/retraction", json={"reason": "withdrawn"})
    again = await client.post("/v1/reports", json=report(), headers={HEADER: "k"})
    assert (again.status_code, again.content) == (201, first.content)


@mostly_sqlite
async def test_repeated_key_with_another_path_or_query_gets_422(client: httpx.AsyncClient, reference: Reference) -> None:
    body = {"slug": "new", "name": "New"}
    assert (await client.post("/v1/places", json=body, headers={HEADER: "k"})).status_code == 201
    assert (await client.post("/v1/sources", json=body | {"type": "ngo"}, headers={HEADER: "k"})).status_code == 422
    several = [report()]
    assert (await client.post("/v1/reports", json=several, headers={HEADER: "l"})).status_code == 207
    assert (await client.post("/v1/reports?atomic=true", json=several, headers={HEADER: "l"})).status_code == 422


@mostly_sqlite
async def test_same_idempotency_key_of_another_key_is_independent(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    """An Idempotency-Key belongs to one Lifeline key, so no key of the organisation gets the response of another."""
    answers = [await client.post("/v1/reports", json=report(sensitivity="red"), headers={HEADER: "same"})]
    for organisation, source in (("test", "envoy"), ("another", "monitor")):
        other = await make_client(clearance=Label.GREEN, organisation=organisation)
        answers.append(await other.post("/v1/reports", json=report(source=source), headers={HEADER: "same"}))
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.json()["id"] for answer in answers}) == 3
    hidden = await (await make_client(clearance=Label.GREEN, organisation="a third")).post(
        "/v1/reports", json=report(sensitivity="red"), headers={HEADER: "same"}
    )
    assert hidden.status_code == 201
    assert hidden.json()["id"] != answers[0].json()["id"]


@mostly_sqlite
async def test_post_without_a_body_accepts_an_idempotency_key(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.post(REDELIVERY.format(id=uuid4(), delivery=uuid4()), headers={HEADER: "k"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@mostly_sqlite
async def test_repeated_confirmation_of_a_draft_gets_the_first_response(client: httpx.AsyncClient, recorded: dict[str, str]) -> None:
    path = DRAFT_CONFIRMATION.format(id=recorded["draft"])
    first, again = [await client.post(path, headers={HEADER: "k"}) for _ in range(2)]
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content), first.text
    assert again.headers["idempotency-replayed"] == "true"
    assert (await client.post(path, headers={HEADER: "another"})).status_code == 409


@mostly_sqlite
async def test_failed_request_is_not_stored(client: httpx.AsyncClient, reference: Reference) -> None:
    """A rejected request wrote nothing, so its Idempotency-Key works for the corrected request."""
    assert (await client.post("/v1/reports", json=report(place="nowhere"), headers={HEADER: "k"})).status_code == 422
    assert (await client.post("/v1/reports", json=report(), headers={HEADER: "k"})).status_code == 201


@mostly_sqlite
async def test_repeated_request_without_scope_gets_403_again(make_client: MakeClient, reference: Reference) -> None:
    reader = await make_client(Scope.READ)
    for _ in range(2):
        assert (await reader.post("/v1/reports", json=report(), headers={HEADER: "k"})).status_code == 403


@sqlite_only
@pytest.mark.parametrize("token", ["", "a" * 256])
async def test_idempotency_key_of_invalid_length_gets_422(client: httpx.AsyncClient, reference: Reference, token: str) -> None:
    answer = await client.post("/v1/reports", json=report(), headers={HEADER: token})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED
    longest = await client.post("/v1/reports", json=report(), headers={HEADER: "a" * 255})
    assert longest.status_code == 201


async def test_concurrent_posts_with_one_key_are_written_once(client: httpx.AsyncClient, reference: Reference) -> None:
    """Eight concurrent requests with one key: eight equal responses, one report."""
    answers = await asyncio.gather(*(client.post("/v1/reports", json=report(), headers={HEADER: "k"}) for _ in range(8)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1


async def test_concurrent_posts_with_different_bodies_record_one(client: httpx.AsyncClient, reference: Reference) -> None:
    bodies = [json.dumps(report(value={"people": people})) for people in range(6)]
    headers = {HEADER: "k", "Content-Type": "application/json"}
    answers = await asyncio.gather(*(client.post("/v1/reports", content=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 5]
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1


async def test_concurrent_posts_without_a_key_record_the_statement_once(client: httpx.AsyncClient, reference: Reference) -> None:
    answers = await asyncio.gather(*(client.post("/v1/reports", json=report()) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 5, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1


async def test_idempotency_record_older_than_the_setting_is_forgotten(
    client: httpx.AsyncClient, reference: Reference, database: Database, settings: Settings
) -> None:
    bodies = {name: report(value={"people": people}) for people, name in enumerate(("expired", "recent", "another"), 1)}
    for name in ("expired", "recent"):
        assert (await client.post("/v1/reports", json=bodies[name], headers={HEADER: name})).status_code == 201
    days = timedelta(days=settings.idempotency_days)
    async with database.write() as session:
        for name, age in (("expired", days + timedelta(minutes=1)), ("recent", days - timedelta(minutes=1))):
            this = update(IdempotencyRecord).where(col(IdempotencyRecord.idempotency_key) == name)
            await session.execute(this.values(created_at=utc_now() - age))
    # Any write with a key deletes the records that have expired.
    assert (await client.post("/v1/reports", json=bodies["another"], headers={HEADER: "another"})).status_code == 201
    async with database.read() as connection:
        stored = set((await connection.execute(select(col(IdempotencyRecord.idempotency_key)))).scalars())
    assert stored == {"recent", "another"}
    # The same request is a new one for the service, which knows its statement; another one is accepted, too.
    assert "idempotency-replayed" not in (await client.post("/v1/reports", json=bodies["expired"], headers={HEADER: "expired"})).headers
    assert (await client.post("/v1/reports", json=bodies["recent"], headers={HEADER: "recent"})).headers["idempotency-replayed"] == "true"
