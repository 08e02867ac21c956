"""What a request leaves in the log and at `/metrics`: enough to run the service by, and nothing of a record or a secret."""

import asyncio
import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.tlp import Label
from app.telemetry.logging import stdlib_formatter
from tests.operations.test_health import metrics
from tests.support.factories import Reference, report
from tests.support.fixtures import sqlite_only
from tests.support.processes import serve
from tests.support.servers import execute_sql, new_key


def lines(printed: str) -> list[dict[str, Any]]:
    """The access log, of what was written to standard error."""
    found = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == "request"]


async def test_a_line_for_each_request_without_secrets_and_none_for_health(
    client: httpx.AsyncClient, reference: Reference, access_log: io.StringIO
) -> None:
    said = report(sensitivity="red", provenance={"quote": "a quote that nobody may see"})
    made = await client.post("/v1/reports", json=said, headers={"X-Request-ID": "from-a-proxy.1"})
    assert made.headers["x-request-id"] == "from-a-proxy.1"
    listed = await client.get("/v1/indicators?place=oldtown")
    for path in (f"/v1/reports/{made.json()['id']}", "/v1/places/a-secret-place", "/a-secret-path"):
        await client.get(path)
    await client.get("/health/live")
    printed = access_log.getvalue()
    told = lines(printed)
    assert [(line["method"], line["route"], line["status"]) for line in told] == [
        ("POST", "/v1/reports", 201),
        ("GET", "/v1/indicators", 200),
        ("GET", "/v1/reports/{id}", 200),
        ("GET", "/v1/places/{slug}", 404),
        ("GET", "none", 404),
    ]
    assert told[0]["request_id"] == "from-a-proxy.1"
    assert told[1]["request_id"] == listed.headers["x-request-id"]
    # Of a write, the ledger after it.
    assert [line["revision"] for line in told[:3]] == [listed.json()["revision"]] * 3 == [1] * 3
    assert re.fullmatch(r"[0-9a-f-]{36}", told[0]["key_id"])
    assert all(line["duration_ms"] > 0 and line["level"] == "info" and line["timestamp"].endswith("Z") for line in told)
    key = client.headers["authorization"].removeprefix("Bearer ")
    for secret in (key, "nobody may see", "oldtown", "a-secret", made.json()["id"], made.json()["indicator"]):
        assert secret not in printed


REFUSE = {
    "sqlite": ["CREATE TRIGGER refuse BEFORE INSERT ON report BEGIN SELECT RAISE(ABORT, 'refused'); END"],
    "postgresql": ["ALTER TABLE report ADD CONSTRAINT refuse CHECK (length(quote) = 0)"],
}


def test_an_error_of_ours_is_told_by_its_place_without_what_it_quotes(seeded_database_url: str, engine: str, tmp_path: Path) -> None:
    key = asyncio.run(new_key(seeded_database_url, clearance=Label.RED))
    execute_sql(seeded_database_url, *REFUSE[engine])
    said = report(sensitivity="red", provenance={"quote": "a quote that nobody may see"})
    with serve(tmp_path, database_url=seeded_database_url) as server:
        answer = httpx.post(f"{server.url}/v1/reports", json=said, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert answer.status_code == 500, answer.text
    printed = server.output.read_text()
    # Of the server too: every line is one.
    told = [json.loads(line) for line in printed.splitlines()]
    (ours,) = [line for line in told if line["event"] == "unhandled_error"]
    assert ours["request_id"] == answer.headers["x-request-id"]
    assert "app/reports" in ours["exception"]
    assert "IntegrityError" in ours["exception"]
    assert "uvicorn.error" in {line.get("logger") for line in told}
    for secret in (key, "nobody may see"):
        assert secret not in printed


def test_what_a_library_logs_is_the_same_line_without_the_words_of_an_error() -> None:
    # Put together, since the lines of the code are told.
    secret = " ".join(("nobody", "may", "see"))
    try:
        try:
            raise ExceptionGroup(secret, [KeyError(secret)])
        except ExceptionGroup as group:
            raise ValueError(secret) from group
    except ValueError:
        record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "it broke in %s\nand on", ("here",), sys.exc_info())
    (line,) = stdlib_formatter().format(record).splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["logger"]) == ("it broke in here\nand on", "error", "uvicorn.error")
    assert told["timestamp"].endswith("Z")
    for sort in ("ExceptionGroup", "KeyError", "ValueError", Path(__file__).name):
        assert sort in told["exception"]
    assert secret not in line


@sqlite_only
@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, 'a"b', "<script>"])
async def test_an_identifier_that_is_not_sane_is_replaced(anonymous: httpx.AsyncClient, sent: str) -> None:
    answer = await anonymous.get("/v1/indicators", headers={"X-Request-ID": sent})
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", answer.headers["x-request-id"])


@sqlite_only
async def test_each_request_has_an_identifier_of_its_own_and_what_is_kept_has_none(anonymous: httpx.AsyncClient) -> None:
    first = await anonymous.get("/v1/indicators", headers={"X-Request-ID": "mine"})
    again = await anonymous.get("/v1/indicators", headers={"X-Request-ID": "yours"})
    assert first.headers["x-request-id"] == "mine"
    assert again.headers["etag"] == first.headers["etag"]
    assert "x-request-id" not in again.headers
    missing = [(await anonymous.get("/v1/places/none")).headers["x-request-id"] for _ in range(2)]
    assert missing[0] != missing[1]


def value(found: Any, name: str, **labels: str) -> float:
    """The value of one sample."""
    samples = [sample for family in found.values() for sample in family.samples]
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


async def test_metrics_count_what_is_kept_and_tell_of_the_public_ledger_alone(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, reference: Reference
) -> None:
    for sensitivity, source in (("clear", "envoy"), ("red", "agency")):
        assert (await client.post("/v1/reports", json=report(sensitivity=sensitivity, source=source))).status_code == 201
    before = await metrics(client)
    answer = await anonymous.get("/v1/indicators")
    for _ in range(3):
        await anonymous.get("/v1/indicators")
    held = await anonymous.get("/v1/indicators", headers={"If-None-Match": answer.headers["etag"]})
    assert held.status_code == 304
    found = await metrics(client)
    kept = {"handler": "/v1/indicators", "method": "GET"}
    assert value(found, "lifeline_response_cache_hits_total", **kept, status="2xx") == 3
    assert value(found, "lifeline_response_cache_hits_total", **kept, status="3xx") == 1
    passed = {"handler": "/v1/indicators", "method": "GET", "status": "2xx"}
    assert value(found, "http_requests_total", **passed) == value(before, "http_requests_total", **passed) + 1
    assert value(found, "lifeline_response_cache_bytes") > 0
    assert value(found, "lifeline_database_up") == 1
    # What was said in 2016 is past its time; the statement that only the highest clearance sees is in neither number.
    assert value(found, "lifeline_ledger_seq") == 1
    assert value(found, "lifeline_stale_indicators") == 1
    assert value(found, "lifeline_webhook_deliveries_pending") == 0
    assert value(found, "lifeline_requests_shed_total") == 0
