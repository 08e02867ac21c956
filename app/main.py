"""The application: wiring only."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import __version__
from app.access.audit import MIN_AUDITED_LEVEL, read_auditing
from app.access.oidc import configured_issuer
from app.access.principal import Actor
from app.board.endpoints import router as board
from app.board.middleware import rewrite_board_request
from app.board.sessions import Sessions
from app.changes.service import ChangeFeed
from app.exchange.exports.streaming import answer_in
from app.exchange.ogc.endpoints import router as ogc
from app.http import problems
from app.http.load_shedding import LoadSheddingMiddleware
from app.http.middleware import SecurityHeadersMiddleware, build_middleware
from app.http.openapi import install_openapi
from app.http.query_params import reject_unknown_parameters
from app.http.rate_limit import RateLimiter
from app.http.response_cache import ResponseCacheMiddleware
from app.http.route_index import RouteIndex
from app.http.shutdown import on_shutdown_signal
from app.http.state import AppState
from app.http.swagger_ui import install_swagger_ui
from app.operations.health import router as health
from app.routers import TAGS, router
from app.settings import Settings, get_settings
from app.storage import database_errors
from app.storage.database import Database
from app.telemetry import tracing
from app.telemetry.access_log import AccessLogMiddleware
from app.telemetry.logging import configure_logging
from app.telemetry.metrics import ProcessMetrics, database_metrics
from app.telemetry.registry import metrics_registry
from app.telemetry.request_metrics import RequestMetricsMiddleware
from app.webhooks.dispatcher import dispatching

DESCRIPTION = """
Sourced statements about places cut off, kept with their provenance and read together into indicators.

- Nothing served is a bare fact: each indicator names its sources, its range, and whether they contradict each other.
- Reading what is `clear` needs no key. To report, press **Authorize** and paste a key (`ll_...`); the demo prints one.
- Times are UTC. Lists are paged by opaque cursors. Every answer has a strong `ETag`; errors are `application/problem+json`.
- Ignore kinds and fields that you do not know: more are added within v1, none is taken away.
"""


class Application(FastAPI):
    """FastAPI beneath the gate and the layer of kept answers, which come before routing."""

    state: AppState  # type: ignore[assignment]
    gate: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Through the gate; answer from what is kept, else from the application."""
        if scope["type"] == "http":
            scope, send = rewrite_board_request(scope, send, self.state.sessions)
        await (self.gate or self.beneath)(scope, receive, send)

    async def beneath(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application itself."""
        await super().__call__(scope, receive, send)


def create_app(settings: Settings | None = None) -> Application:
    """The ASGI application, for the settings given or those of the environment."""
    settings = settings or get_settings()
    configure_logging()
    traces = tracing.configured_provider()

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[None]:
        # Not those of the call: an application may be started again with others.
        settings = app.state.settings
        database = Database(settings)
        tracing.trace_statements(database.engines, traces)
        await database.commit_notifier.start()
        app.state.database = database
        app.state.change_feed = ChangeFeed(database)
        app.state.rate_limiter = RateLimiter(settings.rate_limit, settings.rate_limit_anonymous, settings.rate_limit_failures)
        app.state.issuer = configured_issuer(settings)
        public = settings.public_clearance.level
        admission = LoadSheddingMiddleware(
            app.beneath, max_concurrent_requests=settings.max_concurrent_requests, max_open_streams=settings.max_open_streams
        )
        app.state.load_shedding = admission
        async with read_auditing(database) as reads:
            app.state.read_audit = reads
            app.state.response_cache = ResponseCacheMiddleware(
                AccessLogMiddleware(SecurityHeadersMiddleware(admission), write=settings.access_log),
                database.commit_notifier.version,
                public_level=public,
                max_bytes=settings.response_cache_bytes,
                on_hit=lambda reader, scope: reads.record(reader.caller.actor if reader.caller else Actor(None, None, public), scope),
                audit_from_level=MIN_AUDITED_LEVEL,
            )
            app.state.sessions = Sessions(settings)
            app.gate = build_middleware(app.state.response_cache, app.state.rate_limiter, settings)
            with on_shutdown_signal(database.commit_notifier.release_waiters):
                async with dispatching(database, settings):
                    yield
        await app.state.change_feed.close()
        await database.close()
        await tracing.flush(traces)

    app = Application(
        title="Lifeline",
        summary="Who is trapped, when supplies run out, which routes are shut: who says so, and who contradicts it.",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(reject_unknown_parameters)],
        generate_unique_id_function=lambda route: route.name,
        telemetry=tracing.telemetry_config(traces),
    )
    app.state = AppState()
    app.state.settings = settings
    app.state.exporter = answer_in
    app.state.tracer_provider = traces
    problems.install(app)
    database_errors.install(app)
    app.include_router(router)
    app.include_router(ogc)
    app.include_router(health)
    app.include_router(board)
    app.state.metrics = metrics_registry()
    app.state.metrics.register(ProcessMetrics(app.state))
    app.state.sample_metrics = database_metrics(app.state.metrics)
    table = RouteIndex(app.routes)
    app.router.routes.insert(0, table)
    app.add_middleware(RequestMetricsMiddleware, registry=app.state.metrics, table=table)
    tracing.install(app, traces)
    install_openapi(app)
    install_swagger_ui(app)
    return app


def served_app() -> Application:
    """The application in a process that does nothing but serve it.

    What is there from the start is there for good: left out of garbage collection, which else stops everybody for a fifth of a second
    to look through all of it, whenever one large answer is made.
    """
    app = create_app()
    gc.collect()
    gc.freeze()
    return app
