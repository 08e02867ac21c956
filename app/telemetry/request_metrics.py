"""Requests counted and timed by route, for Prometheus."""

from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from app.literal_paths import LiteralPaths


class RequestMetrics(PrometheusInstrumentatorMiddleware):
    """The library's middleware, which asks every route in turn for its template, where the path is not its own template."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, literal: LiteralPaths) -> None:
        super().__init__(app, registry=registry)
        self._literal = literal

    def _get_handler(self, request: Request) -> tuple[str, bool]:
        path = request.scope["path"]
        return (path, True) if self._literal.knows(path) else super()._get_handler(request)
