"""Errors of the database: 503 while it is away, locked or restarted, 500 for a bug, and no half-written record."""

import asyncio
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from app.domain.tlp import Label
from app.settings import Settings
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeKey
from tests.support.locks import locked_ledger
from tests.support.problems import assert_problem
from tests.support.processes import free_port
from tests.support.servers import client_for, execute_sql_async


async def assert_unavailable(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> None:
    answer = await client.request(method, path, **more)
    assert_problem(answer, 503, path)
    assert int(answer.headers["retry-after"]) > 0


async def test_request_with_missing_table_gets_500_and_writes_nothing(
    client: httpx.AsyncClient, reference: Reference, database_url: str
) -> None:
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    await execute_sql_async(database_url, "ALTER TABLE indicator_projection RENAME TO gone")
    assert_problem(await client.get("/v1/trapped-populations"), 500, "/v1/trapped-populations")
    assert_problem(await client.post("/v1/reports", json=report(source="envoy")), 500, "/v1/reports")
    await execute_sql_async(database_url, "ALTER TABLE gone RENAME TO indicator_projection")
    assert (await client.get("/v1/reports?limit=9")).json()["revision"] == SEEDED + 1
    assert len((await client.get("/v1/changes?limit=99")).json()["items"]) == SEEDED + 1
    answer = await client.post("/v1/reports", json=report(source="envoy"))
    assert (answer.status_code, answer.json()["seq"]) == (201, SEEDED + 2)


async def test_requests_without_postgresql_get_503_and_the_rest_works() -> None:
    url = f"postgresql://lifeline:s3cret@127.0.0.1:{free_port()}/lifeline"
    async with client_for(Settings(database_url=url, database_lock_timeout_seconds=2), "ll_any") as client:
        for path in ("/v1/indicators", "/v1/situations/oldtown", "/v1/changes", "/v1/places", f"/v1/reports/{uuid4()}"):
            await assert_unavailable(client, "GET", path)
        await assert_unavailable(client, "POST", "/v1/reports", json=report())
        del client.headers["Authorization"]
        await assert_unavailable(client, "GET", "/v1/indicators")
        assert_problem(await client.get("/health/ready"), 503, "/health/ready")
        for path in ("/health/live", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200


async def test_requests_without_sqlite_file_get_503(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/no/such/folder/lifeline.db"
    async with client_for(Settings(database_url=url, database_lock_timeout_seconds=2), "ll_any") as client:
        await assert_unavailable(client, "GET", "/v1/indicators")
        await assert_unavailable(client, "POST", "/v1/reports", json=report())
        assert_problem(await client.get("/health/ready"), 503, "/health/ready")
        assert (await client.get("/health/live")).status_code == 200


async def test_write_behind_a_held_lock_gets_503_and_then_succeeds(settings: Settings, reference: Reference, make_key: MakeKey) -> None:
    """The write gives up after the timeout while reads go on; once the lock is free it succeeds, once."""
    secret = await make_key(clearance=Label.RED)
    async with client_for(settings.model_copy(update={"database_lock_timeout_seconds": 0.5}), secret) as client:
        async with locked_ledger(settings.database_url):
            await assert_unavailable(client, "POST", "/v1/reports", json=report())
            await assert_unavailable(client, "POST", "/v1/places", json={"slug": "new", "name": "New"})
            assert (await client.get("/v1/indicators")).json()["items"] == []
        assert (await client.post("/v1/reports", json=report())).status_code == 201
        assert (await client.get("/v1/reports")).json()["revision"] == SEEDED + 1
        assert (await client.get("/v1/places/new")).status_code == 404


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_restarted_postgresql_costs_a_few_503_at_most(client: httpx.AsyncClient, reference: Reference, database_url: str) -> None:
    name = urlsplit(database_url).path.removeprefix("/") or database_url.rsplit("/", 1)[1].split("?", maxsplit=1)[0]
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    await asyncio.gather(*(client.get("/v1/indicators", params={"limit": limit}) for limit in range(1, 6)))
    await execute_sql_async(database_url, cut)
    statuses = []
    for limit in range(10, 20):
        answer = await client.get("/v1/indicators", params={"limit": limit})
        statuses.append(answer.status_code)
        if answer.status_code != 200:
            assert_problem(answer, 503, "/v1/indicators")
    assert statuses[-1] == 200, statuses
    await execute_sql_async(database_url, cut)
    answers = [await client.post("/v1/reports", json=report(), headers={"Idempotency-Key": "k"}) for _ in range(6)]
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert answers[-1].status_code == 201
    assert (await client.get("/v1/reports", params={"limit": 5})).json()["revision"] == SEEDED + 1
