"""Traces as an OTLP collector receives them: requests and statements, without restricted values."""

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
from tests.support.fixtures import mostly_sqlite
from tests.support.servers import new_key, wait_until_following

PARENT = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(ThreadingHTTPServer):
    """An OTLP collector, which stores what is posted to `/v1/traces`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[bytes] = []

    def spans(self) -> list[dict[str, Any]]:
        """Return and forget the received spans, each with its attributes and those of its service."""
        received, self.received = self.received, []
        found = []
        for body in received:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource)
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    ids = {"trace": span.trace_id.hex(), "id": span.span_id.hex(), "parent": span.parent_span_id.hex()}
                    found.append({"name": span.name, "status": span.status.code, "service": service, **ids, **_attributes(span)})
        return found


def _attributes(message: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in message.attributes}


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/x-protobuf")
        self.server.received.append(body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Do not log requests."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Return a running collector."""
    with Collector() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope="module")
def traced_app(collector: Collector) -> FastAPI:
    """Return an application that sends its traces to the collector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
        patch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        return create_app(Settings())


@pytest.fixture
async def traced(traced_app: FastAPI, seeded_database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the traced application, with a key."""
    traced_app.state.settings = Settings(database_url=seeded_database_url, database_pool_size=3)
    headers = {"Authorization": f"Bearer {await new_key(seeded_database_url)}"}
    transport = httpx.ASGITransport(traced_app, raise_app_exceptions=False)
    async with (
        LifespanManager(traced_app),
        httpx.AsyncClient(transport=transport, base_url="http://lifeline.test", headers=headers) as client,
    ):
        yield client


async def exported_spans(app: FastAPI, collector: Collector) -> list[dict[str, Any]]:
    """Return the spans of all requests so far."""
    await asyncio.to_thread(app.state.tracer_provider.force_flush)
    return collector.spans()


async def test_request_and_its_statements_are_one_trace_without_values(
    traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str
) -> None:
    body = report(sensitivity="red", provenance={"quote": "a restricted quote"})
    headers = {"X-Request-ID": "from-a-proxy.1", "traceparent": f"00-{PARENT}-00f067aa0ba902b7-01"}
    made = await traced.post("/v1/reports", json=body, headers=headers)
    assert made.status_code == 201
    await traced.get("/v1/indicators?place=oldtown&limit=7")
    await traced.get("/v1/places/a-secret-place")
    await traced.get("/health/ready")
    spans = await exported_spans(traced_app, collector)
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
    # PostgreSQL gets it together with others.
    name = "INSERT" if engine == "sqlite" else "WITH"
    assert any(span["name"] == name and "INSERT INTO report " in span["db.query.text"] for span in statements)
    assert {span["trace"] for span in statements} == {PARENT}
    # Statements of background tasks have no span.
    assert {span["parent"] for span in spans if "db.query.text" in span} <= {span["id"] for span in requests}
    key = traced.headers["authorization"].removeprefix("Bearer ")
    everything = str(spans)
    for restricted in (key, "restricted quote", "oldtown", "limit=7", "a-secret", made.json()["id"], made.json()["indicator"]):
        assert restricted not in everything


async def test_failed_statement_has_its_error_type_without_message(
    traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str
) -> None:
    database = traced_app.state.database
    drop = "DROP TABLE source_grade" if engine == "sqlite" else "DROP TABLE source_grade CASCADE"
    async with database.writer.begin() as connection:
        await connection.exec_driver_sql(drop)
    answer = await traced.get("/v1/sources/un-secret")
    assert answer.status_code == 500
    failed = [span for span in await exported_spans(traced_app, collector) if span["status"] == 2]
    assert {span["name"] for span in failed} == {"SELECT", "GET /v1/sources/{slug}"}
    assert all(span["error.type"] for span in failed)
    assert "un-secret" not in str(failed)
    assert "no such table" not in str(failed)


@mostly_sqlite
async def test_cached_response_has_no_span(traced: httpx.AsyncClient, traced_app: FastAPI, collector: Collector, engine: str) -> None:
    await wait_until_following(traced_app.state.database)
    for _ in range(3):
        assert (await traced.get("/v1/sources")).status_code == 200
    assert len([span for span in await exported_spans(traced_app, collector) if "http.route" in span]) == 1


def test_provider_without_an_endpoint_is_none(built_app: FastAPI) -> None:
    assert built_app.state.tracer_provider is None


@pytest.mark.parametrize("setting", [{"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_SDK_DISABLED": "true"}])
def test_provider_is_none_if_opentelemetry_is_disabled(setting: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **setting}.items():
        monkeypatch.setenv(name, value)
    assert tracing.configured_provider() is None


def test_provider_without_its_packages_is_none_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "app.telemetry.span_export", None)
    with structlog.testing.capture_logs() as logged:
        assert tracing.configured_provider() is None
    assert [(line["event"], "lifeline[otel]" in line["reason"]) for line in logged] == [("trace_export_failed", True)]


async def test_flush_to_a_silent_collector_returns_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.05)
        provider = tracing.configured_provider()
        assert provider is not None
        provider.get_tracer("test").start_span("one").end()
        await tracing.flush(provider)
        assert any(thread.name == "flush traces" and thread.daemon for thread in threading.enumerate())
