"""Reads from a real replica that lags: no response is older than what the client has already seen."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from sqlalchemy import event

from app.domain.tlp import Label
from app.exchange.exports import streaming
from app.settings import Settings
from app.storage import replica
from app.storage.database import Database
from app.storage.migrations import migrate
from tests.support.factories import report, seed
from tests.support.replication import Pair, replicated
from tests.support.servers import invoke, new_key
from tests.support.telemetry import metric_value, scrape

pytestmark = pytest.mark.starts_early

LIST = "/v1/indicators"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Return a primary with reference data, and its replica."""
    with replicated() as servers:
        migrate(Settings(database_url=servers.url(servers.primary)))
        asyncio.run(seed(servers.url(servers.primary)))
        asyncio.run(servers.catch_up())
        yield servers


@pytest.fixture
async def service(built_app: FastAPI, pair: Pair) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client with every scope of an application that reads from the replica."""
    primary, standby = pair.url(pair.primary), pair.url(pair.replica)
    built_app.state.settings = Settings(database_url=primary, read_database_url=standby, database_pool_size=3, replica_wait_seconds=0.3)
    headers = {"Authorization": f"Bearer {await new_key(primary, clearance=Label.RED)}"}
    async with (
        LifespanManager(built_app, startup_timeout=30),
        httpx.AsyncClient(transport=httpx.ASGITransport(built_app), base_url="http://lifeline.test", headers=headers) as client,
    ):
        yield client
        await pair.resume_replay()


@pytest.fixture
def on_replica(service: httpx.AsyncClient, built_app: FastAPI) -> list[str]:
    """Return the list of statements that the replica executes, without those that check whether it has caught up."""
    database: Database = built_app.state.database
    assert database.replica is not None
    statements: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM ledger_head" not in statement or "indicator_projection" in statement:
            statements.append(statement)

    event.listen(database.replica.engine.sync_engine, "before_cursor_execute", record)
    return statements


async def post(client: httpx.AsyncClient, day: int) -> int:
    """Post a report, and return the revision after it."""
    answer = await client.post("/v1/reports", json=report(stated_at=f"2016-08-{day:02}", value={"people": day}))
    assert answer.status_code == 201, answer.text
    return int(answer.headers["lifeline-revision"])


def test_verify_on_a_replica_reads_from_it(pair: Pair) -> None:
    for servers in ((pair.replica,), (pair.replica, pair.primary)):
        verified = invoke("verify", database_url=pair.url(*servers))
        assert verified.exit_code == 0, verified.output


async def test_response_is_never_older_than_the_revision_sent_back(service: httpx.AsyncClient, pair: Pair, on_replica: list[str]) -> None:
    first = await post(service, 1)
    seen = {"Lifeline-Revision": str(first)}
    caught_up = await service.get(LIST, headers=seen)
    assert (caught_up.json()["revision"], caught_up.headers["lifeline-revision"]) == (first, str(first))

    await pair.pause_replay()
    second = await post(service, 2)
    assert second == first + 1
    on_replica.clear()
    before = await service.get(LIST, params={"limit": 2})
    assert before.json()["revision"] == first, "the replica answers a client that has seen nothing"
    assert on_replica
    on_replica.clear()
    after = await service.get(LIST, params={"limit": 2}, headers={"Lifeline-Revision": str(second)})
    assert (after.json()["revision"], after.headers["lifeline-revision"]) == (second, str(second))
    assert after.json()["items"] != before.json()["items"]
    assert not on_replica, "the primary answers if the replica does not catch up"
    one = after.json()["items"][0]["links"]["self"]
    detail = await service.get(one, headers={"Lifeline-Revision": str(second)})
    assert (detail.json()["revision"], detail.headers["lifeline-revision"]) == (second, str(second))


async def test_response_of_a_lagging_replica_is_not_cached(service: httpx.AsyncClient, pair: Pair) -> None:
    first = await post(service, 3)
    assert (await service.get(LIST, headers={"Lifeline-Revision": str(first)})).json()["revision"] == first
    await pair.pause_replay()
    second = await post(service, 4)
    for _ in range(2):
        assert (await service.get(LIST)).json()["revision"] == first
    behind = await lag(service)
    assert 0 < behind < (await lag(service)), "the lag must grow until the replica has the entry"
    await pair.resume_replay()
    for _ in range(500):
        if (await service.get(LIST)).json()["revision"] == second:
            assert await lag(service) == 0
            return
        await asyncio.sleep(0.02)
    pytest.fail("the replica has caught up, but does not answer")


async def lag(client: httpx.AsyncClient) -> float:
    """Return the lag in seconds from `/metrics` of a replica that answers."""
    found = await scrape(client)
    assert metric_value(found, "lifeline_replica_up") == 1
    return metric_value(found, "lifeline_replica_lag_seconds")


async def test_lag_is_for_admins_only_and_missing_for_a_silent_replica(
    service: httpx.AsyncClient, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await lag(service) == 0
    transport = httpx.ASGITransport(built_app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as anonymous:
        seen = (await anonymous.get("/metrics")).text
    assert "lifeline_replica_up" in seen
    assert "lifeline_replica_lag" not in seen
    database: Database = built_app.state.database
    assert database.replica is not None
    async with AsyncExitStack() as exit_stack:
        # All connections are checked out, as if the replica did not answer.
        for _ in range(3):
            await exit_stack.enter_async_context(database.replica.engine.connect())
        monkeypatch.setattr(replica, "PROBE_TIMEOUT_SECONDS", 0.05)
        found = await scrape(service)
    assert metric_value(found, "lifeline_replica_up") == 0
    assert not found["lifeline_replica_lag_seconds"].samples
    assert metric_value(found, "lifeline_database_up") == 1


async def test_cursor_is_never_answered_from_an_older_state(service: httpx.AsyncClient, pair: Pair) -> None:
    await post(service, 5)
    await pair.pause_replay()
    newest = await post(service, 6)
    page = (await service.get("/v1/reports", params={"limit": 1}, headers={"Lifeline-Revision": str(newest)})).json()
    assert page["revision"] == newest
    following = (await service.get("/v1/reports", params={"limit": 1, "cursor": page["next"]})).json()
    assert following["revision"] == newest, "the next page must not be older than the page before"
    changes = (await service.get("/v1/changes", params={"limit": 1000})).json()
    assert changes["revision"] == newest, "a follower must not miss a change"
    waiting = asyncio.create_task(service.get("/v1/changes", params={"after": changes["next"], "wait": 20}))
    await asyncio.sleep(0.05)
    newer = await post(service, 7)
    page = (await waiting).json()
    assert [item["seq"] for item in page["items"]] == [newer]


async def test_no_page_of_an_export_is_older_than_the_first(
    service: httpx.AsyncClient, pair: Pair, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Database = built_app.state.database
    lagging = database.replica
    assert lagging is not None
    await pair.pause_replay()
    newest = await post(service, 9)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 1)
    # The primary answers the first page, because the replica is unreachable; then the replica is back, and lags.
    monkeypatch.setattr(lagging, "_failing_until", float("inf"))
    back = partial(setattr, lagging, "_failing_until", 0.0)
    event.listen(database.reader.sync_engine, "after_cursor_execute", lambda _c, _u, sql, *_: back() if "FROM report" in sql else None)
    lines = (await service.get("/v1/reports.ndjson")).text.splitlines()
    assert max(json.loads(line)["seq"] for line in lines) == newest


async def test_ogc_features_are_never_older_than_the_revision_sent_back(service: httpx.AsyncClient, pair: Pair) -> None:
    await pair.pause_replay()
    newest = await post(service, 10)
    items = "/ogc/collections/places_point/items"
    page = await service.get(items, params={"limit": 1}, headers={"Lifeline-Revision": str(newest)})
    assert int(page.headers["lifeline-revision"]) == newest
    (following,) = (link["href"] for link in page.json()["links"] if link["rel"] == "next")
    assert int((await service.get(following)).headers["lifeline-revision"]) == newest
    one = f"{items}/{page.json()['features'][0]['id']}"
    assert int((await service.get(one, headers={"Lifeline-Revision": str(newest)})).headers["lifeline-revision"]) == newest


async def test_keys_are_read_from_the_primary(service: httpx.AsyncClient, pair: Pair) -> None:
    # A key is not an entry of the ledger, so no revision tells whether a replica has it.
    await pair.pause_replay()
    made = await service.post("/v1/keys", json={"name": "desk", "organisation": "ours", "scopes": ["read"]})
    assert made.status_code == 201, made.text
    shown = await service.get(f"/v1/keys/{made.json()['id']}")
    assert (shown.status_code, shown.headers["lifeline-revision"]) == (200, made.headers["lifeline-revision"])
    assert made.json()["id"] in (await service.get("/v1/keys", params={"limit": 1000})).text


def test_doctor_checks_the_replica(pair: Pair) -> None:
    primary = pair.url(pair.primary)
    healthy = invoke("doctor", database_url=primary, read_database_url=pair.url(pair.replica))
    assert healthy.exit_code == 0, healthy.output
    assert "answers, 0 entries behind" in healthy.stdout
    primary_only = invoke("doctor", database_url=primary, read_database_url=primary)
    assert primary_only.exit_code == 1
    assert "does not name a replica" in primary_only.stdout
    unreachable = invoke("doctor", database_url=primary, read_database_url="postgresql://postgres@127.0.0.1:1/lifeline")
    assert unreachable.exit_code == 1
    assert "The primary answers all reads." in unreachable.stdout


async def test_revoked_key_is_refused_although_the_replica_lags(service: httpx.AsyncClient, pair: Pair, built_app: FastAPI) -> None:
    await pair.pause_replay()
    database: Database = built_app.state.database
    async with database.write() as session:
        await (await session.connection()).exec_driver_sql("UPDATE api_key SET revoked_at = now()")
    assert (await service.get(LIST)).status_code == 401


async def test_unknown_revision_is_answered_by_the_primary(service: httpx.AsyncClient) -> None:
    newest = await post(service, 8)
    for made_up in ("9" * 18, "9" * 40, "-1", "what"):
        answer = await service.get(LIST, headers={"Lifeline-Revision": made_up})
        assert (answer.status_code, answer.json()["revision"]) == (200, newest)
