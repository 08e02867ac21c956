"""Metrics of the response cache and of the public ledger, and the Grafana dashboard that shows them."""

import asyncio
import json
import re
from importlib.resources import files
from pathlib import Path

import httpx

from app.access.principal import Scope
from app.domain.tlp import Label
from tests.support.factories import SEEDED, Reference, report
from tests.support.fixtures import MakeClient, mostly_sqlite
from tests.support.servers import invoke
from tests.support.telemetry import metric_value, scrape


@mostly_sqlite
async def test_metrics_count_cache_hits_and_public_entries_only(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    for sensitivity, source in (("clear", "envoy"), ("red", "agency")):
        assert (await client.post("/v1/reports", json=report(sensitivity=sensitivity, source=source))).status_code == 201
    before = await scrape(client)
    answer = await anonymous.get("/v1/indicators")
    for _ in range(3):
        await anonymous.get("/v1/indicators")
    unchanged = await anonymous.get("/v1/indicators", headers={"If-None-Match": answer.headers["etag"]})
    assert unchanged.status_code == 304
    found = await scrape(client)
    route = {"handler": "/v1/indicators", "method": "GET"}
    assert metric_value(found, "lifeline_response_cache_hits_total", **route, status="2xx") == 3
    assert metric_value(found, "lifeline_response_cache_hits_total", **route, status="3xx") == 1
    misses = metric_value(before, "http_requests_total", **route, status="2xx")
    assert metric_value(found, "http_requests_total", **route, status="2xx") == misses + 1
    requests = {status: metric_value(before, "lifeline_requests_total", **route, status=status) for status in ("2xx", "3xx")}
    assert metric_value(found, "lifeline_requests_total", **route, status="2xx") == requests["2xx"] + 4
    assert metric_value(found, "lifeline_requests_total", **route, status="3xx") == requests["3xx"] + 1
    assert metric_value(found, "lifeline_response_cache_bytes") > 0
    assert metric_value(found, "lifeline_database_up") == 1
    # The public report of 2016 makes its indicator stale; the report at `red` is in neither number.
    assert metric_value(found, "lifeline_ledger_seq") == SEEDED + 1
    assert metric_value(found, "lifeline_stale_indicators") == 1
    assert metric_value(found, "lifeline_webhook_deliveries_pending") == 0
    assert metric_value(found, "lifeline_requests_shed_total") == 0


async def test_gauges_of_the_database_are_for_admins_alone(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, make_client: MakeClient, database_url: str, tmp_path: Path
) -> None:
    names = ("lifeline_database_bytes", "lifeline_audit_entries", "lifeline_backup_age_seconds", "lifeline_verify_age_seconds")
    assert not re.findall(r"^lifeline_(?:backup|verify)_age_seconds", (await client.get("/metrics")).text, re.MULTILINE)
    for command in (("backup", str(tmp_path / "copy.lifeline")), ("verify",)):
        result = await asyncio.to_thread(invoke, *command, database_url=database_url)
        assert result.exit_code == 0, result.output
    entries = len((await client.get("/v1/audit", params={"limit": 1000})).json()["items"])
    found = await scrape(client)
    size, counted, backed_up, verified = (metric_value(found, name) for name in names)
    assert size > 100_000
    assert counted >= entries > 0
    assert 0 <= verified <= backed_up < 120
    # After an admin has asked, others still do not see the values.
    reader = await make_client(Scope.READ, clearance=Label.RED)
    for each in (anonymous, reader):
        text = (await each.get("/metrics")).text
        assert "lifeline_ledger_seq" in text
        assert not [name for name in names if name in text]


@mostly_sqlite
async def test_every_metric_of_the_dashboard_is_served(client: httpx.AsyncClient, reference: Reference) -> None:
    await client.post("/v1/reports", json=report())
    dashboard = json.loads((files("app.telemetry") / "grafana.json").read_text(encoding="utf-8"))
    queries = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    queried = set(re.findall(r"\b(?:http|lifeline|process)_\w+", queries))
    text = (await client.get("/metrics")).text
    # A metric without samples still has its type.
    served = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    missing = {name for name in queried if name not in served and name.removesuffix("_bucket") not in served}
    assert queried
    assert not missing
