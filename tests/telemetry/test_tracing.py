"""Traces, as a collector on 127.0.0.1 gets them by OTLP: what was asked, of which database, and nothing of what was said or sought."""

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import structlog
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.main import create_app
from app.settings import Settings
from app.telemetry import tracing
from tests.support.factories import report
from tests.support.servers import new_key, wait_until_following

PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """Takes what is sent to `/v1/traces`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.got: list[bytes] = []

    def spans(self) -> list[dict[str, Any]]:
        """What came since the last time: each span with its attributes, and the service's name."""
        got, self.got = self.got, []
        found = []
        for body in got:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource)
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
                    found.append({"name": span.name, "status": span.status.code, "service": service, **ids, **_attributes(span)})
        return found


def _attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        self.server.got.append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A collector, listening."""
    with Collector() as made:
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def traced_app(collector: Collector) -> FastAPI:
    """The application, built where traces are configured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
        patch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        return create_app(Settings())


@pytest.fixture
async def traced(traced_app: FastAPI, seeded_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, with a key."""
    traced_app.state.settings = Settings(database_url=seeded_database_url, database_pool_size=3)
    headers = {"Authorization": f"Bearer {await new_key(seeded_database_url)}"}
    transport = httpx.ASGITransport(traced_app, raise_app_exceptions=False)
    async with (
        LifespanManager(traced_app),
        httpx.AsyncClient(transport=transport, base_url="http://lifeline.test", headers=headers) as client,
    ):
        yield client


async def sent(app: FastAPI, collector: Collector) -> list[dict[str, Any]]:
    """The spans of all that was asked so far."""
    await asyncio.to_thread(app.state.tracer_provider.force_flush)
    return collector.spans()


async def test_a_request_and_its_statements_are_one_trace_without_what_was_said(
    traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str
) -> None:
    said = report(sensitivity="red", provenance={"quote": "a quote that nobody may see"})
    headers = {"X-Request-ID": "from-a-proxy.1", "traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
    made = await traced.post("/v1/reports", json=said, headers=headers)
    assert made.status_code == 201
    await traced.get("/v1/indicators?place=oldtown&limit=7")
    await traced.get("/v1/places/a-secret-place")
    await traced.get("/health/ready")
    spans = await sent(traced_app, collector)
    requests = [span for span in spans if "http.request.method" in span]
    assert [(span["name"], span["http.route"], span["http.response.status_code"]) for span in requests] == [
        ("POST /v1/reports", "/v1/reports", 201),
        ("GET /v1/indicators", "/v1/indicators", 200),
        ("GET /v1/places/{slug}", "/v1/places/{slug}", 404),
    ]
    posted = requests[0]
    assert (posted["trace"], posted["parent"], posted["lifeline.request_id"]) == (PARENT, "00f067aa0ba902b7", "from-a-proxy.1")
    assert posted["service"]["service.name"] == "lifeline"
    statements = [span for span in spans if span["parent"] == posted["id"]]
    assert {span["db.system.name"] for span in statements} == {engine}
    assert any(span["name"] == "INSERT" and span["db.query.text"].startswith("INSERT INTO report ") for span in statements)
    assert {span["trace"] for span in statements} == {PARENT}
    # Each statement is of a request: none of what the service does of its own accord.
    assert {span["parent"] for span in spans if "db.query.text" in span} <= {span["id"] for span in requests}
    key = traced.headers["authorization"].removeprefix("Bearer ")
    everything = str(spans)
    for secret in (key, "nobody may see", "oldtown", "limit=7", "a-secret", made.json()["id"], made.json()["indicator"]):
        assert secret not in everything


async def test_a_statement_that_fails_is_told_by_its_sort_alone(
    traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str
) -> None:
    database = traced_app.state.database
    tear = "DROP TABLE source_grade" if engine == "sqlite" else "DROP TABLE source_grade CASCADE"
    async with database.writer.begin() as connection:
        await connection.exec_driver_sql(tear)
    answer = await traced.get("/v1/sources/un-secret")
    assert answer.status_code == 500
    failed = [span for span in await sent(traced_app, collector) if span["status"] == 2]
    assert {span["name"] for span in failed} == {"SELECT", "GET /v1/sources/{slug}"}
    assert all(span["error.type"] for span in failed)
    assert "un-secret" not in str(failed)
    assert "no such table" not in str(failed)


async def test_an_answer_from_memory_has_no_span(traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str) -> None:
    await wait_until_following(traced_app.state.database)
    for _ in range(3):
        assert (await traced.get("/v1/sources")).status_code == 200
    assert len([span for span in await sent(traced_app, collector) if "http.route" in span]) == 1


def test_without_an_endpoint_nothing_is_traced(built_app: FastAPI) -> None:
    assert built_app.state.tracer_provider is None


@pytest.mark.parametrize("setting", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
def test_what_opentelemetry_is_told_to_leave_it_leaves(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **setting}.items():
        monkeypatch.setenv(name, value)
    assert tracing.configured_provider() is None


def test_without_the_packages_it_says_so_and_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "app.telemetry.span_export", None)
    with structlog.testing.capture_logs() as told:
        assert tracing.configured_provider() is None
    assert [(line["event"], "lifeline[otel]" in line["reason"]) for line in told] == [("trace_export_failed", True)]


async def test_a_collector_that_does_not_answer_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.05)
        made = tracing.configured_provider()
        assert made is not None
        made.get_tracer("test").start_span("one").end()
        await tracing.flush(made)
        assert any(thread.name == "flush traces" and thread.daemon for thread in threading.enumerate())
