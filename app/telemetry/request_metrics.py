"""Requests counted and timed by route, for Prometheus."""

from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator.middleware import PrometheusInstrumentatorMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp

from app.http.route_index import RouteIndex


class RequestMetricsMiddleware(PrometheusInstrumentatorMiddleware):
    """The library's middleware, which asks every route in turn for its template, where the table knows none."""

    def __init__(self, app: ASGIApp, *, registry: CollectorRegistry, table: RouteIndex) -> None:
        super().__init__(app, registry=registry)
        self._table = table

    def _get_handler(self, request: Request) -> tuple[str, bool]:
        template = self._table.template(request.scope)
        return super()._get_handler(request) if template is None else (template, True)
