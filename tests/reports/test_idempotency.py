"""An Idempotency-Key makes any POST safe to send again: written once, answered the same, never another's."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, sqlite_only
from tests.support.openapi import DOCUMENT

HEADER = "Idempotency-Key"

# Every POST by its path in the OpenAPI document: a body that is right, and another.
POSTS: dict[str, tuple[Any, Any]] = {
    "/v1/reports": (report(source="envoy"), report(source="envoy", value={"people": 1})),
    "/v1/reports/{id}/correction": (report(value={"people": 5}, reason="misread"), report(value={"people": 6}, reason="misread")),
    "/v1/reports/{id}/retraction": ({"reason": "withdrawn"}, {"reason": "withdrawn by the source"}),
    "/v1/indicators/{id}/outcome": ({"outcome": "averted", "reason": "a convoy"}, {"outcome": "materialised", "reason": "no convoy"}),
    "/v1/reports/{id}/label": ({"sensitivity": "red", "reason": "names"}, {"sensitivity": "amber", "reason": "names"}),
    "/v1/sources/{slug}/grades": ({"reliability": "C", "reason": "was wrong"}, {"reliability": "D", "reason": "was wrong"}),
    "/v1/places": ({"slug": "new", "name": "New"}, {"slug": "newer", "name": "New"}),
    "/v1/sources": ({"slug": "new", "name": "New", "type": "ngo"}, {"slug": "newer", "name": "New", "type": "ngo"}),
    "/v1/routes": ({"slug": "new", "name": "New", "mode": "road"}, {"slug": "newer", "name": "New", "mode": "road"}),
}
# It has no body, and needs a webhook with a log: see the tests of webhooks, and the one below.
REDELIVERY = "/v1/webhooks/{id}/deliveries/{delivery}/redelivery"
# Likewise: it needs the proposal of another key, see the tests of labels.
CONFIRMATION = "/v1/label-proposals/{id}/confirmation"
# Their first answer holds a secret and a repeated one does not: see the tests of keys and of webhooks.
SECRET = {"/v1/keys", "/v1/keys/{id}/rotation", "/v1/webhooks"}
# It takes files, and writes only when told to: see the tests of what comes in.
IMPORTS = "/v1/imports"
# A list is a body of its own kind.
CASES = [*POSTS.items(), ("/v1/reports", ([report(source="envoy"), report(place="nowhere")], [report(source="envoy")]))]


@pytest.fixture
async def stage(client: httpx.AsyncClient, reference: Reference) -> dict[str, str]:
    """A report on a warning, to amend: its identifier and that of its indicator."""
    made = (await client.post("/v1/reports", json=report("supply_runout"))).json()
    return {"report": made["id"], "indicator": made["indicator"]}


def fill(path: str, body: Any, stage: dict[str, str]) -> tuple[str, Any]:
    """The path and body of a case, about the report on stage."""
    if path.endswith("/outcome"):
        body = body | {"report": stage["report"]}
        return path.replace("{id}", stage["indicator"]), body
    return path.replace("{id}", stage["report"]).replace("{slug}", "agency"), body


async def everything(client: httpx.AsyncClient) -> list[Any]:
    """What the service holds, as its lists show it."""
    paths = ("/v1/reports", "/v1/changes", "/v1/ledger/head", "/v1/indicators", "/v1/places", "/v1/sources", "/v1/routes", "/v1/webhooks")
    return [(await client.get(path)).json() for path in paths]


def test_every_post_stands_in_the_table() -> None:
    operations = DOCUMENT["paths"]
    posts = {path for path, methods in operations.items() if "post" in methods}
    assert posts == {*POSTS, *SECRET, REDELIVERY, CONFIRMATION, IMPORTS}, (
        "a POST that is not in this table is not known to be safe to send again"
    )
    for path in posts:
        assert HEADER in {parameter["name"] for parameter in operations[path]["post"]["parameters"]}, path


@pytest.mark.parametrize(
    ("path", "bodies"), CASES, ids=[f"{path}{' list' if isinstance(bodies[0], list) else ''}" for path, bodies in CASES]
)
async def test_sent_again_it_is_answered_byte_for_byte_and_written_once(
    client: httpx.AsyncClient, stage: dict[str, str], path: str, bodies: tuple[Any, Any]
) -> None:
    """The same key and body: the first answer to the byte. The same key and another body: 422. Nothing more is written by either."""
    _, other = fill(path, bodies[1], stage)
    path, body = fill(path, bodies[0], stage)
    first = await client.post(path, json=body, headers={HEADER: "once"})
    assert first.status_code in (201, 207), first.text
    assert "idempotency-replayed" not in first.headers
    held = await everything(client)
    for _ in range(2):
        again = await client.post(path, json=body, headers={HEADER: "once"})
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers.get("location") == first.headers.get("location")
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["idempotency-replayed"] == "true"
    refused = await client.post(path, json=other, headers={HEADER: "once"})
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    assert HEADER in refused.json()["detail"]
    assert await everything(client) == held


async def test_the_first_answer_is_given_whatever_came_after(client: httpx.AsyncClient, reference: Reference) -> None:
    first = await client.post("/v1/reports", json=report(), headers={HEADER: "k"})
    await client.post(f"/v1/reports/{first.json()['id']}/retraction", json={"reason": "withdrawn"})
    again = await client.post("/v1/reports", json=report(), headers={HEADER: "k"})
    assert (again.status_code, again.content) == (201, first.content)


async def test_another_address_or_query_is_another_request(client: httpx.AsyncClient, reference: Reference) -> None:
    body = {"slug": "new", "name": "New"}
    assert (await client.post("/v1/places", json=body, headers={HEADER: "k"})).status_code == 201
    assert (await client.post("/v1/sources", json=body | {"type": "ngo"}, headers={HEADER: "k"})).status_code == 422
    several = [report()]
    assert (await client.post("/v1/reports", json=several, headers={HEADER: "l"})).status_code == 207
    assert (await client.post("/v1/reports?atomic=true", json=several, headers={HEADER: "l"})).status_code == 422


async def test_holders_of_different_keys_do_not_collide(client: httpx.AsyncClient, make_client: MakeClient, reference: Reference) -> None:
    """The same Idempotency-Key under another Lifeline key is another one, in the same organisation too: nobody gets another's answer."""
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


async def test_a_post_without_a_body_takes_a_key_too(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.post(REDELIVERY.format(id=uuid4(), delivery=uuid4()), headers={HEADER: "k"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_what_failed_is_not_remembered(client: httpx.AsyncClient, reference: Reference) -> None:
    """A refused request wrote nothing, so its Idempotency-Key is still good for the request put right."""
    assert (await client.post("/v1/reports", json=report(place="nowhere"), headers={HEADER: "k"})).status_code == 422
    assert (await client.post("/v1/reports", json=report(), headers={HEADER: "k"})).status_code == 201


async def test_a_scope_that_is_lacking_is_lacking_for_the_repeated_request_too(make_client: MakeClient, reference: Reference) -> None:
    reader = await make_client(Scope.READ)
    for _ in range(2):
        assert (await reader.post("/v1/reports", json=report(), headers={HEADER: "k"})).status_code == 403


@sqlite_only
@pytest.mark.parametrize("token", ["", "a" * 256])
async def test_a_key_of_no_use_is_refused(client: httpx.AsyncClient, reference: Reference, token: str) -> None:
    answer = await client.post("/v1/reports", json=report(), headers={HEADER: token})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert (await client.get("/v1/reports")).json()["revision"] == 0
    longest = await client.post("/v1/reports", json=report(), headers={HEADER: "a" * 255})
    assert longest.status_code == 201


async def test_at_the_same_time_it_is_written_once(client: httpx.AsyncClient, reference: Reference) -> None:
    """Eight requests with one key at once: eight equal answers, one report."""
    answers = await asyncio.gather(*(client.post("/v1/reports", json=report(), headers={HEADER: "k"}) for _ in range(8)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (await client.get("/v1/reports")).json()["revision"] == 1


async def test_at_the_same_time_with_different_bodies_one_wins(client: httpx.AsyncClient, reference: Reference) -> None:
    bodies = [json.dumps(report(value={"people": people})) for people in range(6)]
    headers = {HEADER: "k", "Content-Type": "application/json"}
    answers = await asyncio.gather(*(client.post("/v1/reports", content=body, headers=headers) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, *[422] * 5]
    assert (await client.get("/v1/reports")).json()["revision"] == 1


async def test_at_the_same_time_without_a_key_the_statement_is_recognised(client: httpx.AsyncClient, reference: Reference) -> None:
    answers = await asyncio.gather(*(client.post("/v1/reports", json=report()) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 5, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await client.get("/v1/reports")).json()["revision"] == 1
