"""OpenTelemetry traces: a span for each request and for each of its statements, if OTEL_EXPORTER_OTLP_ENDPOINT is set.

They contain the route's template and the SQL, but no path, query, parameter or error message, which may repeat restricted values.
Responses from the cache have no span, which would cost more than the response.
"""

import asyncio
import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog
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

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
# At shutdown, spans that are not sent within this time are lost, so that a collector that is down does not delay the exit.
FLUSH_SECONDS = 2.0

log = structlog.get_logger(__name__)


def configured_provider() -> "TracerProvider | None":
    """Return the provider that exports spans by OTLP over HTTP; None unless it is configured and its packages are installed."""
    off = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if off or not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return None
    try:
        from app.telemetry.span_export import create_provider  # noqa: PLC0415 - its packages are an extra
    except ImportError:
        log.warning("trace_export_failed", reason="OpenTelemetry is not installed: install lifeline[otel].")
        return None
    return create_provider()


def telemetry_config(provider: "TracerProvider | None") -> TelemetryConfig:
    """Return FastAPI's configuration: spans of requests except health checks, or nothing without a provider."""
    config: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if provider is not None:
        config |= {"tracing": True, "tracer_provider": provider}
        config["exclude"] = lambda scope: scope.get("path", "").startswith(UNLOGGED_PATHS)
    return config


class OperationNameMiddleware:
    """Sets request id and route of a request's span. It runs inside FastAPI's own middleware, which starts the span."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the attributes of the current span, and call the application."""
        span = trace.get_current_span()
        if not span.is_recording():
            await self._app(scope, receive, send)
            return
        if (request_id := request_state(scope).get("request_id")) is not None:
            span.set_attribute("lifeline.request_id", request_id.decode("latin-1"))

        async def send_named(message: Message) -> None:
            # FastAPI does not know routes that the route index found.
            if message["type"] == "http.response.start" and (route := route_template(scope)) != "none":
                span.set_attribute("http.route", route)
                span.update_name(f"{scope['method']} {route}")
            await send(message)

        await self._app(scope, receive, send_named)


def trace_statements(engines: Sequence[AsyncEngine], provider: "TracerProvider | None") -> None:
    """Create a span for each statement of a request, by OpenTelemetry's semantic conventions for databases."""
    # OpenTelemetry's instrumentation of SQLAlchemy does not support version 2.1, and patches it for the whole process.
    if provider is None:
        return
    tracer = provider.get_tracer("lifeline", __version__)

    def before(connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        # Statements of background tasks belong to no trace.
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


async def flush(provider: "TracerProvider | None") -> None:
    """Send the remaining spans, for at most FLUSH_SECONDS."""
    if provider is None:
        return
    thread = threading.Thread(target=provider.force_flush, name="flush traces", daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, FLUSH_SECONDS)
