"""Counts and latencies of requests by route, for Prometheus."""

from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from app.http.route_index import RouteIndex


class RequestMetricsMiddleware(PrometheusInstrumentatorMiddleware):
    """Looks up the route template in the route index first; the library would match every route in turn."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, route_index: RouteIndex) -> None:
        super().__init__(app, registry=registry)
        self._route_index = route_index

    def _get_handler(self, request: Request) -> tuple[str, bool]:
        template = self._route_index.template(request.scope)
        return super()._get_handler(request) if template is None else (template, True)
