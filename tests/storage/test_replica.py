"""Reading from a real replica that falls behind: it answers who has seen no more, and nobody is answered from before what he has seen."""

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
from tests.operations.test_health import metrics
from tests.support.factories import report, seed
from tests.support.postgres import execute
from tests.support.replication import Pair, replicated
from tests.support.servers import invoke, new_key
from tests.telemetry.test_metrics_and_logs import value

pytestmark = pytest.mark.starts_early

LIST = "/v1/indicators"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A primary and its replica, with reference data."""
    with replicated() as made:
        migrate(Settings(database_url=made.url(made.primary)))
        asyncio.run(seed(made.url(made.primary)))
        yield made


@pytest.fixture
async def service(built_app: FastAPI, pair: Pair) -> AsyncIterator[httpx.AsyncClient]:
    """A client who may do everything, of the application that reads from the replica."""
    primary, standby = pair.url(pair.primary), pair.url(pair.replica)
    built_app.state.settings = Settings(database_url=primary, read_database_url=standby, database_pool_size=3, replica_wait_seconds=0.3)
    headers = {"Authorization": f"Bearer {await new_key(primary, clearance=Label.RED)}"}
    async with (
        LifespanManager(built_app, startup_timeout=30),
        httpx.AsyncClient(transport=httpx.ASGITransport(built_app), base_url="http://lifeline.test", headers=headers) as client,
    ):
        yield client
        await execute(pair.replica, "SELECT pg_wal_replay_resume()")


@pytest.fixture
def on_replica(service: httpx.AsyncClient, built_app: FastAPI) -> list[str]:
    """The statements that the replica is asked, as they come, but for whether it has caught up."""
    database: Database = built_app.state.database
    assert database.replica is not None
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM ledger_head" not in statement or "indicator_projection" in statement:
            found.append(statement)

    event.listen(database.replica.engine.sync_engine, "before_cursor_execute", note)
    return found


async def post(client: httpx.AsyncClient, day: int) -> int:
    """Report something; answers the revision after it."""
    answer = await client.post("/v1/reports", json=report(stated_at=f"2016-08-{day:02}", value={"people": day}))
    assert answer.status_code == 201, answer.text
    return int(answer.headers["lifeline-revision"])


async def test_who_sends_back_what_he_has_seen_is_never_answered_from_before_it(
    service: httpx.AsyncClient, pair: Pair, on_replica: list[str]
) -> None:
    first = await post(service, 1)
    seen = {"Lifeline-Revision": str(first)}
    caught_up = await service.get(LIST, headers=seen)
    assert (caught_up.json()["revision"], caught_up.headers["lifeline-revision"]) == (first, str(first))

    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    second = await post(service, 2)
    assert second == first + 1
    on_replica.clear()
    before = await service.get(LIST, params={"limit": 2})
    assert before.json()["revision"] == first, "whoever has seen nothing is answered by the replica"
    assert on_replica
    on_replica.clear()
    after = await service.get(LIST, params={"limit": 2}, headers={"Lifeline-Revision": str(second)})
    assert (after.json()["revision"], after.headers["lifeline-revision"]) == (second, str(second))
    assert after.json()["items"] != before.json()["items"]
    assert not on_replica, "the primary answers where the replica does not catch up"
    one = after.json()["items"][0]["links"]["self"]
    detail = await service.get(one, headers={"Lifeline-Revision": str(second)})
    assert (detail.json()["revision"], detail.headers["lifeline-revision"]) == (second, str(second))


async def test_what_a_late_replica_says_is_kept_for_nobody(service: httpx.AsyncClient, pair: Pair) -> None:
    first = await post(service, 3)
    assert (await service.get(LIST, headers={"Lifeline-Revision": str(first)})).json()["revision"] == first
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    second = await post(service, 4)
    for _ in range(2):
        assert (await service.get(LIST)).json()["revision"] == first
    behind = await lag(service)
    assert 0 < behind < (await lag(service)), "it grows while the replica has not got the entry"
    await execute(pair.replica, "SELECT pg_wal_replay_resume()")
    for _ in range(500):
        if (await service.get(LIST)).json()["revision"] == second:
            assert await lag(service) == 0
            return
        await asyncio.sleep(0.02)
    pytest.fail("the replica has caught up, and is not asked")


async def lag(client: httpx.AsyncClient) -> float:
    """The replica's lag in seconds, as `/metrics` has it; it answers."""
    found = await metrics(client)
    assert value(found, "lifeline_replica_up") == 1
    return value(found, "lifeline_replica_lag_seconds")


async def test_the_lag_is_not_for_all_and_has_no_value_where_the_replica_is_silent(
    service: httpx.AsyncClient, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await lag(service) == 0
    transport = httpx.ASGITransport(built_app)
    async with httpx.AsyncClient(transport=transport, base_url="http://lifeline.test") as anonymous:
        told = (await anonymous.get("/metrics")).text
    assert "lifeline_replica_up" in told
    assert "lifeline_replica_lag" not in told
    database: Database = built_app.state.database
    assert database.replica is not None
    async with AsyncExitStack() as held:
        # Every connection is taken, as where it hangs.
        for _ in range(3):
            await held.enter_async_context(database.replica.engine.connect())
        monkeypatch.setattr(replica, "PROBE_TIMEOUT_SECONDS", 0.05)
        found = await metrics(service)
    assert value(found, "lifeline_replica_up") == 0
    assert not found["lifeline_replica_lag_seconds"].samples
    assert value(found, "lifeline_database_up") == 1


async def test_cursors_hold_on_a_late_replica(service: httpx.AsyncClient, pair: Pair) -> None:
    await post(service, 5)
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    newest = await post(service, 6)
    page = (await service.get("/v1/reports", params={"limit": 1}, headers={"Lifeline-Revision": str(newest)})).json()
    assert page["revision"] == newest
    following = (await service.get("/v1/reports", params={"limit": 1, "cursor": page["next"]})).json()
    assert following["revision"] == newest, "a cursor is never answered from an older state than the page that gave it"
    changes = (await service.get("/v1/changes", params={"limit": 1000})).json()
    assert changes["revision"] == newest, "what is followed is not missed"
    waiting = asyncio.create_task(service.get("/v1/changes", params={"after": changes["next"], "wait": 20}))
    await asyncio.sleep(0.05)
    newer = await post(service, 7)
    told = (await waiting).json()
    assert [item["seq"] for item in told["items"]] == [newer]


async def test_every_page_of_an_export_is_of_the_state_that_it_names(
    service: httpx.AsyncClient, pair: Pair, built_app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    database: Database = built_app.state.database
    late = database.replica
    assert late is not None
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    newest = await post(service, 9)
    monkeypatch.setattr(streaming, "PAGE_ROWS", 1)
    # The first page comes from the primary, as while the replica is out of reach; from then on there it is again, and late.
    monkeypatch.setattr(late, "_failing_until", float("inf"))
    back = partial(setattr, late, "_failing_until", 0.0)
    event.listen(database.reader.sync_engine, "after_cursor_execute", lambda _c, _u, sql, *_: back() if "FROM report" in sql else None)
    lines = (await service.get("/v1/reports.ndjson")).text.splitlines()
    assert max(json.loads(line)["seq"] for line in lines) == newest


async def test_features_hold_to_what_was_seen(service: httpx.AsyncClient, pair: Pair) -> None:
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    newest = await post(service, 10)
    items = "/ogc/collections/places/items"
    page = await service.get(items, params={"limit": 1}, headers={"Lifeline-Revision": str(newest)})
    assert int(page.headers["lifeline-revision"]) == newest
    (following,) = (link["href"] for link in page.json()["links"] if link["rel"] == "next")
    assert int((await service.get(following)).headers["lifeline-revision"]) == newest
    one = f"{items}/{page.json()['features'][0]['id']}"
    assert int((await service.get(one, headers={"Lifeline-Revision": str(newest)})).headers["lifeline-revision"]) == newest


async def test_keys_and_webhooks_are_shown_as_they_are(service: httpx.AsyncClient, pair: Pair) -> None:
    # They are no entries of the ledger: no revision tells whether a replica has them.
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    made = await service.post("/v1/keys", json={"name": "desk", "organisation": "ours", "scopes": ["read"]})
    assert made.status_code == 201, made.text
    shown = await service.get(f"/v1/keys/{made.json()['id']}")
    assert (shown.status_code, shown.headers["lifeline-revision"]) == (200, made.headers["lifeline-revision"])
    assert made.json()["id"] in (await service.get("/v1/keys", params={"limit": 1000})).text


def test_the_doctor_looks_at_the_replica(pair: Pair) -> None:
    primary = pair.url(pair.primary)
    well = invoke("doctor", database_url=primary, read_database_url=pair.url(pair.replica))
    assert well.exit_code == 0, well.output
    assert "answers, 0 entries behind" in well.stdout
    alone = invoke("doctor", database_url=primary, read_database_url=primary)
    assert alone.exit_code == 1
    assert "does not name a replica" in alone.stdout
    gone = invoke("doctor", database_url=primary, read_database_url="postgresql://postgres@127.0.0.1:1/lifeline")
    assert gone.exit_code == 1
    assert "The primary answers all reads." in gone.stdout


async def test_a_revoked_key_reads_nothing_from_a_late_replica(service: httpx.AsyncClient, pair: Pair, built_app: FastAPI) -> None:
    await execute(pair.replica, "SELECT pg_wal_replay_pause()")
    database: Database = built_app.state.database
    async with database.write() as session:
        await (await session.connection()).exec_driver_sql("UPDATE api_key SET revoked_at = now()")
    assert (await service.get(LIST)).status_code == 401


async def test_a_revision_that_never_was_is_answered_by_the_primary(service: httpx.AsyncClient) -> None:
    newest = await post(service, 8)
    for made_up in ("9" * 18, "9" * 40, "-1", "what"):
        answer = await service.get(LIST, headers={"Lifeline-Revision": made_up})
        assert (answer.status_code, answer.json()["revision"]) == (200, newest)
