"""Reports that arrive while a transaction holds the ledger share the next one; each is answered as if it had come alone."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI

from app.access.idempotency import WriteGroups
from app.access.principal import Scope
from app.domain.tlp import Label
from app.operations.verify import verify_all
from app.settings import Settings
from app.storage.database import Database
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient
from tests.support.locks import locked_ledger
from tests.support.servers import execute_sql_async

IDEMPOTENCY = "Idempotency-Key"


async def in_one_group(app: FastAPI, *posts: Any) -> list[asyncio.Task[httpx.Response]]:
    """Send requests in this order while another writer has the ledger, so that they queue; return them before they are answered."""
    groups: WriteGroups = app.state.write_groups
    waiting: list[asyncio.Task[httpx.Response]] = []
    for post in posts:
        waiting.append(asyncio.create_task(post))
        async with asyncio.timeout(60):
            while len(groups) < len(waiting):  # noqa: ASYNC110 - a queue without an event
                await asyncio.sleep(0.001)
    return waiting


async def test_group_of_callers_answers_each_as_if_it_came_alone(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, make_client: MakeClient, database: Database, settings: Settings
) -> None:
    low = await make_client(Scope.READ, Scope.REPORT, clearance=Label.GREEN, organisation="low")
    source = {"slug": "dr-samir", "name": "Dr Samir", "type": "witness", "alias": "A doctor", "reliability": "B"}
    assert (await client.post("/v1/sources", json=source)).status_code == 201
    alias = next(each["slug"] for each in (await low.get("/v1/sources")).json()["items"] if each["slug"].startswith("protected-"))
    key = {IDEMPOTENCY: "once"}
    hidden = report(value={"people": 7}, sensitivity="red")
    posts = [
        client.post("/v1/reports", json=report(value={"people": 1})),
        low.post("/v1/reports", json=report(place="nowhere")),
        low.post("/v1/reports", json=report(value={"people": 1})),
        client.post("/v1/reports", json=report(value={"people": 2}), headers=key),
        client.post("/v1/reports", json=report(value={"people": 2}), headers=key),
        client.post("/v1/reports", json=report(value={"people": 3}), headers=key),
        low.post("/v1/reports", json=report(value={"people": 4}), headers=key),
        client.post("/v1/reports", json=report(source="dr-samir")),
        low.post("/v1/reports", json=report(source="dr-samir", value={"people": 5})),
        low.post("/v1/reports", json=report(source=alias, value={"people": 6})),
        client.post("/v1/reports", json=hidden),
        low.post("/v1/reports", json=hidden | {"sensitivity": "clear"}),
        low.post("/v1/reports", json=[report(value={"people": 8}), report(value={"people": -1})]),
        low.post("/v1/reports?atomic=true", json=[report(value={"people": 9}), report(value={"people": -1})]),
        low.post("/v1/reports", json=report("supply_runout")),
    ]
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *posts)
    answers = await asyncio.gather(*waiting)
    assert [each.status_code for each in answers] == [201, 422, 200, 201, 201, 422, 201, 201, 422, 201, 201, 201, 207, 422, 201]
    assert [error["pointer"] for error in answers[1].json()["errors"]] == ["/place"]
    # The statement of another caller of the same group, its Idempotency-Key, and the name that only high clearances may use.
    assert answers[2].json()["id"] == answers[0].json()["id"]
    assert answers[4].content == answers[3].content
    assert (answers[4].headers["Idempotency-Replayed"], answers[3].headers.get("Idempotency-Replayed")) == ("true", None)
    assert answers[5].json()["type"].endswith(":idempotency")
    assert [error["pointer"] for error in answers[8].json()["errors"]] == ["/source"]
    assert (answers[7].json()["source"], answers[9].json()["source"]) == ("dr-samir", alias)
    assert [item["status"] for item in answers[12].json()["items"]] == [201, 422]
    # A caller that does not see the red report gets one of its own in the same transaction, and numbers that do not count it.
    assert answers[11].json()["id"] != answers[10].json()["id"]
    seen = [answers[at].json() for at in (0, 6, 9, 11)] + [answers[12].json()["items"][0], answers[14].json()]
    numbers = [each["seq"] for each in (await low.get("/v1/reports?limit=1000")).json()["items"]]
    assert numbers == list(range(SEEDED + 2, SEEDED + 2 + len(numbers)))
    assert [each["seq"] for each in seen] == sorted(each["seq"] for each in seen)
    assert {int(each.headers["Lifeline-Revision"]) for each in (answers[6], answers[9], answers[14])} == {numbers[-1]}
    # One transaction had all but those that depend on another of it.
    times = [answers[at].json()["recorded_at"] for at in (0, 3, 6, 7, 9, 10, 11, 14)]
    assert len(set(times)) == 1
    async with database.read() as connection:
        assert [problem async for problem in verify_all(connection, settings.horizons)] == []


POISON = {
    "sqlite": "CREATE TRIGGER poison BEFORE INSERT ON report WHEN NEW.title = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END",
    "postgresql": "ALTER TABLE report ADD CONSTRAINT poison CHECK (title <> 'poison')",
}


async def test_group_with_one_that_the_database_refuses_records_the_others(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, settings: Settings, engine: str
) -> None:
    await execute_sql_async(settings.database_url, POISON[engine])
    bodies = [report(value={"people": each}, provenance={"title": "poison" if each == 3 else "fine"}) for each in range(1, 6)]
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *(client.post("/v1/reports", json=each) for each in bodies))
    answers = await asyncio.gather(*waiting)
    assert [each.status_code for each in answers] == [201, 201, 500, 201, 201]
    assert [each.json()["seq"] for each in answers if each.status_code == 201] == list(range(SEEDED + 1, SEEDED + 5))
    stored = (await client.get("/v1/reports")).json()["items"]
    assert [each["value"]["people"] for each in stored] == [1, 2, 4, 5]


async def test_group_whose_callers_hang_up_records_the_others(
    app: FastAPI, client: httpx.AsyncClient, reference: Reference, settings: Settings
) -> None:
    async with locked_ledger(settings.database_url):
        waiting = await in_one_group(app, *(client.post("/v1/reports", json=report(value={"people": each})) for each in range(1, 6)))
        # The first caller of the group, and one in its midst.
        for gone in (waiting[0], waiting[2]):
            gone.cancel()
        await asyncio.wait([waiting[0], waiting[2]])
    answers = await asyncio.gather(*(waiting[at] for at in (1, 3, 4)))
    assert [each.status_code for each in answers] == [201, 201, 201]
    assert [each["value"]["people"] for each in (await client.get("/v1/reports")).json()["items"]] == [2, 4, 5]


async def test_unknown_key_among_known_ones_is_refused_alone(
    client: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    other, wrong = await make_client(), {"Authorization": "Bearer ll_unknown"}
    requests = [client.post("/v1/reports", json=report()), other.get("/v1/places"), other.get("/v1/places", headers=wrong)]
    assert [each.status_code for each in await asyncio.gather(*requests, client.get("/v1/keys"))] == [201, 200, 401, 200]
