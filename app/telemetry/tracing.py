"""Traces by OpenTelemetry, where `OTEL_EXPORTER_OTLP_ENDPOINT` says where they go: a span for each request and for each of its statements.

The environment of OpenTelemetry sets the rest: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS` and so on. FastAPI
makes the spans of requests; like the access log they hold the route's template, never the path or the query. Those of statements hold the
SQL, never its parameters, and no text of an error, which might repeat them. Answers from memory have no span, since one costs more than the
answer does.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.http.state import request_state
from app.telemetry.access_log import UNLOGGED_PATHS, route_template

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# What is not sent by then, when the process ends, is lost: a collector that is gone holds nobody up.
FLUSH_SECONDS = 2.0

log = structlog.get_logger(__name__)


def configured_provider() -> "TracerProvider | None":
    """What makes spans and sends them, by OTLP over HTTP; None unless it is configured and its packages are there."""
    off = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        from app.telemetry.span_export import create_provider  # noqa: PLC0415 - its packages are an extra
    except ImportError:
        log.warning("trace_export_failed", reason="The packages are not there: install lifeline[otel].")
        return None
    return create_provider()


def telemetry_config(made: "TracerProvider | None") -> TelemetryConfig:
    """What FastAPI is told: spans of requests alone, but for those that the orchestrator sends; nothing where there is no provider."""
    config: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if made is not None:
        config |= {"tracing": True, "tracer_provider": made, "exclude": lambda scope: scope.get("path", "").startswith(UNLOGGED_PATHS)}
    return config


class OperationNameMiddleware:
    """Puts the request's identifier and its route into its span. Pure ASGI, beneath FastAPI's own layer, which begins the span."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the span, and pass on."""
        span = trace.get_current_span()
        if not span.is_recording():
            await self._app(scope, receive, send)
            return
        if (identifier := request_state(scope).get("request_id")) is not None:
            span.set_attribute("lifeline.request_id", identifier.decode("latin-1"))

        async def routed(message: Message) -> None:
            # FastAPI does not hear of routes that are found in the table.
            if message["type"] == "http.response.start" and (route := route_template(scope)) != "none":
                span.set_attribute("http.route", route)
                span.update_name(f"{scope['method']} {route}")
            await send(message)

        await self._app(scope, receive, routed)


def install(app: FastAPI, made: "TracerProvider | None") -> None:
    """Name the spans of an application's requests."""
    if made is not None:
        app.add_middleware(OperationNameMiddleware)


def trace_statements(engines: Sequence[AsyncEngine], made: "TracerProvider | None") -> None:
    """A span for each statement that a request asks these engines, named and described as OpenTelemetry's conventions for databases say.

    Not by OpenTelemetry's package for SQLAlchemy: it is not for version 2.1, and changes the library for the whole process.
    """
    if made is None:
        return
    tracer = made.get_tracer("lifeline", __version__)

    def before(connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        # What the service does of its own accord, once a second, is nobody's trace.
        if context is None or not trace.get_current_span().is_recording():
            return
        operation = statement.lstrip().partition(" ")[0].upper()
        attributes = {"db.system.name": connection.dialect.name, "db.operation.name": operation, "db.query.text": statement}
        context.span = tracer.start_span(operation, kind=trace.SpanKind.CLIENT, attributes=attributes)

    def after(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if (span := getattr(context, "span", None)) is not None:
            span.end()

    def failed(error: ExceptionContext) -> None:
        if (span := getattr(error.execution_context, "span", None)) is not None:
            span.set_attribute("error.type", type(error.original_exception).__qualname__)
            span.set_status(trace.StatusCode.ERROR)
            span.end()

    for engine in (each.sync_engine for each in engines):
        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        event.listen(engine, "handle_error", failed)


async def flush(made: "TracerProvider | None") -> None:
    """Send what waits, within two seconds."""
    if made is None:
        return
    sending = threading.Thread(target=made.force_flush, name="flushing traces", daemon=True)
    sending.start()
    await asyncio.to_thread(sending.join, FLUSH_SECONDS)
