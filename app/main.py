"""The application: wiring only."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends
from starlette.types import ASGIApp

from app import __version__
from app.access.audit import MIN_AUDITED_LEVEL, read_auditing
from app.access.keys import key_lookups
from app.access.oidc import configured_issuer
from app.access.principal import Principal
from app.assessment.stale import assessing_stale
from app.board.endpoints import router as board
from app.board.middleware import BoardMiddleware
from app.board.sessions import Sessions
from app.changes.service import ChangeFeed
from app.drafts.service import deleting_expired
from app.exchange.exports.streaming import stream_list
from app.exchange.ogc.endpoints import router as ogc
from app.http import middleware, openapi, problems, swagger_ui
from app.http.edge import EdgeMiddleware
from app.http.load_shedding import LoadSheddingMiddleware
from app.http.middleware import Application
from app.http.query_params import reject_unknown_parameters
from app.http.rate_limit import RateLimiter
from app.http.request_cost import RequestCostMiddleware
from app.http.response_cache import ResponseCacheMiddleware
from app.http.route_index import RouteIndex
from app.http.shutdown import on_shutdown_signal
from app.http.state import AppState
from app.ledger.checkpoints import CheckpointSigner
from app.operations.health import router as health
from app.reference.suggestions import unknown_filters
from app.reports.group import write_groups
from app.routers import DESCRIPTION, TAGS, router
from app.settings import Settings, get_settings
from app.storage import database_errors
from app.storage.database import Database
from app.telemetry import tracing
from app.telemetry.access_log import AccessLogMiddleware
from app.telemetry.logging import configure_logging
from app.telemetry.metrics import DatabaseMetrics, ProcessMetrics, RequestMetricsMiddleware, metrics_registry
from app.webhooks.cosigning import cosigning
from app.webhooks.dispatcher import dispatching
from app.webhooks.endpoints import events as webhook_events


def create_app(settings: Settings | None = None) -> Application:
    """Return the ASGI application, with settings from the environment unless given."""
    configure_logging()
    tracer_provider = tracing.configured_provider()
    app = Application(
        title="Lifeline",
        summary="Who is trapped, when supplies run out, which routes are closed: each statement with its source and what contradicts it.",
        description=DESCRIPTION,
        version=__version__,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # A redirect would lead to the `Host` that the client sent.
        redirect_slashes=False,
        lifespan=lifespan,
        webhooks=webhook_events,
        dependencies=[Depends(reject_unknown_parameters)],
        generate_unique_id_function=lambda route: route.name,
        telemetry=tracing.telemetry_config(tracer_provider),
    )
    app.state = AppState()
    app.state.settings = settings or get_settings()
    app.state.exporter = stream_list
    app.state.unknown_filters = unknown_filters
    app.state.tracer_provider = tracer_provider
    app.state.database_metrics = DatabaseMetrics(app.state)
    app.state.metrics = metrics_registry(ProcessMetrics(app.state), app.state.database_metrics)
    for each in (router, ogc, health, board):
        app.include_router(each)
    route_index = RouteIndex(app.routes)
    app.router.routes.insert(0, route_index)
    app.add_middleware(RequestMetricsMiddleware, registry=app.state.metrics, route_index=route_index)
    if tracer_provider is not None:
        app.add_middleware(tracing.OperationNameMiddleware)
    for module in (problems, database_errors, openapi, swagger_ui):
        module.install(app)
    return app


@asynccontextmanager
async def lifespan(app: Application) -> AsyncIterator[None]:
    """Run what the application needs between its start and its end; tests start one application again, with other settings."""
    state, settings = app.state, app.state.settings
    state.database = database = Database(settings)
    tracing.trace_statements(database.engines, state.tracer_provider)
    await database.commit_notifier.start()
    state.change_feed = ChangeFeed(database)
    state.checkpoint_signer = CheckpointSigner(settings)
    state.key_lookups = key_lookups(database)
    state.write_groups = write_groups(database, settings)
    state.issuer = configured_issuer(settings)
    state.sessions = Sessions(settings, database)
    state.rate_limiter = RateLimiter(settings.rate_limit, settings.rate_limit_anonymous, settings.rate_limit_failures)
    async with read_auditing(database) as state.read_audit:
        app.middleware_before_routing = build_middleware(app)
        with on_shutdown_signal(database.commit_notifier.release_waiters):
            cosigned = cosigning(database, settings, state.checkpoint_signer)
            dispatched, tidied = dispatching(database, settings), deleting_expired(database, settings)
            async with dispatched, cosigned, assessing_stale(database, settings), tidied:
                yield
    await state.change_feed.close()
    await database.close()
    await tracing.flush(state.tracer_provider)


def build_middleware(app: Application) -> ASGIApp:
    """Return the middleware before routing; the last one built sees a request first."""
    state, settings = app.state, app.state.settings
    state.load_shedding = LoadSheddingMiddleware(
        app.call_fastapi,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_open_streams=settings.max_open_streams,
        caller_of=state.rate_limiter.caller_of,
        body_timeout_seconds=settings.body_timeout_seconds,
    )
    # Half of the connections, so that other reads find one.
    request_cost = RequestCostMiddleware(state.load_shedding, state.rate_limiter, max_running=max(1, settings.database_pool_size // 2))
    state.response_cache = ResponseCacheMiddleware(
        AccessLogMiddleware(middleware.SecurityHeadersMiddleware(request_cost), write=settings.access_log),
        state.database.commit_notifier.head,
        public_caller=Principal(level=settings.public_clearance.level),
        max_bytes=settings.response_cache_bytes,
        on_hit=lambda caller, scope: state.read_audit.record(caller.actor, scope),
        audit_from_level=MIN_AUDITED_LEVEL,
    )
    outermost: ASGIApp = middleware.LimitsMiddleware(state.response_cache, state.rate_limiter, max_url_bytes=settings.max_url_bytes)
    if settings.cors_origins:
        outermost = middleware.cors_middleware(outermost, settings.cors_origins)
    state.edge = EdgeMiddleware(BoardMiddleware(outermost, state.sessions), state.rate_limiter)
    return state.edge


def served_app() -> Application:
    """Return the application for a process that only serves it."""
    app = create_app()
    # The objects of the start are never freed; unless frozen, each full collection would stop all requests for 0.2 s to look at them.
    gc.collect()
    gc.freeze()
    return app
