"""Typed state of an application (`app.state`) and of one request (`scope["state"]`)."""

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, TypedDict, cast

from fastapi import Request
from starlette.types import Scope, Send

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from prometheus_client.registry import CollectorRegistry

    from app.access.audit import ReadAuditBuffer
    from app.access.idempotency import WriteGroups
    from app.access.keys import KeyLookups
    from app.access.oidc import Issuer
    from app.access.principal import Principal
    from app.board.sessions import Sessions
    from app.changes.service import ChangeFeed
    from app.http.edge import EdgeMiddleware
    from app.http.lists import ListExporter
    from app.http.load_shedding import LoadSheddingMiddleware
    from app.http.problems import FieldProblem
    from app.http.rate_limit import RateLimitDecision, RateLimiter
    from app.http.repeats import Repeat
    from app.http.response_cache import CacheHit, ResponseCacheMiddleware
    from app.ledger.checkpoints import CheckpointSigner
    from app.settings import Settings
    from app.storage.database import Database
    from app.telemetry.metrics import DatabaseMetrics


class AppState:
    """Attributes of `app.state`. `create_app` sets the first group, the start of the application the second."""

    settings: "Settings"
    exporter: "ListExporter"
    unknown_filters: "Callable[[Request, Collection[str]], Awaitable[list[FieldProblem]]]"
    tracer_provider: "TracerProvider | None"
    metrics: "CollectorRegistry"
    database_metrics: "DatabaseMetrics"

    database: "Database"
    change_feed: "ChangeFeed"
    checkpoint_signer: "CheckpointSigner"
    key_lookups: "KeyLookups"
    write_groups: "WriteGroups"
    issuer: "Issuer | None"
    read_audit: "ReadAuditBuffer"
    sessions: "Sessions"
    rate_limiter: "RateLimiter"
    edge: "EdgeMiddleware"
    load_shedding: "LoadSheddingMiddleware"
    response_cache: "ResponseCacheMiddleware"


class RequestState(TypedDict, total=False):
    """Keys of `scope["state"]`, which middleware and endpoints share."""

    # Set by the edge; absent for requests that the board makes to the API.
    request_id: bytes
    # Set where the response cache answers, and by the edge where the server may answer the same bytes so.
    cache_hit: "CacheHit"
    repeat: "Repeat"
    # As of the last charge; absent where nothing is limited.
    rate_limit: "RateLimitDecision"
    # `send` of the server, without the wrappers of middleware.
    server_send: Send
    # Set by the access log, also of a request whose handling fails, and by the response cache.
    route_template: str
    # Set once the credential is known to be valid; absent without one.
    caller: "Principal"
    # Whether the session of the board that the request came with was ended meanwhile; absent without one.
    session_ended: Callable[[], Awaitable[bool]]
    # To be called with the identifier of a key that is found to be valid; raises 503 where no write is let in.
    on_verified: Callable[[bytes], None]
    # Whether the response depends only on what the key of the response cache holds.
    cacheable: bool
    # The body as it was sent; absent until it is read.
    raw_body: bytes
    # The form of a page of the board; absent until it is read.
    form: dict[str, list[str]]


def app_state(request: Request) -> AppState:
    """Return the typed state of the application that a request reached."""
    return cast(AppState, request.app.state)


def request_state(scope: Scope) -> RequestState:
    """Return the typed state of a request, empty at first."""
    # Without `cast`, because each cached response asks several times.
    state: RequestState = scope.setdefault("state", {})
    return state


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers of a request by name; several lines of one are one list (RFC 9110, 5.3)."""
    found = dict(scope["headers"])
    if len(found) < len(scope["headers"]):
        found.clear()
        for name, value in scope["headers"]:
            found[name] = b"%b,%b" % (found[name], value) if name in found else value
    return found
