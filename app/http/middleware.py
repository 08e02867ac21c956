"""Middleware before routing: length of URLs, rate limits, CORS, security headers; and the application that it runs in."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import Problem, RawHeaders, send_problem
from app.http.rate_limit import RateLimiter
from app.http.state import AppState

# Probes are never limited; otherwise an orchestrator would restart a service that is only busy.
UNLIMITED_PREFIX = "/health/"

SECURITY_HEADERS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_CONTENT_POLICY = b"content-security-policy"
# For HTML without a policy of its own.
_HTML_CONTENT_POLICY = (
    _CONTENT_POLICY,
    b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'",
)


class Application(FastAPI):
    """FastAPI behind middleware that is built at each start, when the database is known."""

    state: AppState  # type: ignore[assignment]
    middleware_before_routing: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the middleware, and the events of starting and ending to FastAPI."""
        app = self.middleware_before_routing if scope["type"] == "http" else None
        await (app or self.call_fastapi)(scope, receive, send)

    async def call_fastapi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to FastAPI, without the middleware before routing."""
        await super().__call__(scope, receive, send)


class LimitsMiddleware:
    """Answers 414 where path and query are longer than `max_url_bytes` together, and 429 to clients that ask too often."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, *, max_url_bytes: int) -> None:
        self._app = app
        self._limiter = limiter
        self._max_url_bytes = max_url_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if len(path) + len(scope["query_string"]) > self._max_url_bytes:
            problem = Problem(414, f"The path and its query must not exceed {self._max_url_bytes} bytes together.")
            await send_problem(send, problem, headers=SECURITY_HEADERS)
            return
        if not path.startswith(UNLIMITED_PREFIX):
            decision = self._limiter.charge(scope, self._limiter.caller_of(scope), 1)
            if decision is not None and not decision.allowed:
                await send_problem(send, decision.problem(), instance=path, headers=SECURITY_HEADERS)
                return
        await self._app(scope, receive, send)


def cors_middleware(app: ASGIApp, origins: list[str]) -> ASGIApp:
    """Return an application that lets web pages of these origins read its responses."""

    async def with_own_messages(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_own(message: Message) -> None:
            # CORSMiddleware changes a message in place, and some are in the response cache.
            await send(dict(message))

        await app(scope, receive, send_own)

    return CORSMiddleware(
        with_own_messages,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Lifeline-Revision"],
        expose_headers=[
            "ETag",
            "Link",
            "Location",
            "Retry-After",
            "RateLimit",
            "RateLimit-Policy",
            "Idempotency-Replayed",
            "Lifeline-Revision",
            "X-Request-Id",
        ],
    )


class SecurityHeadersMiddleware:
    """Adds the security headers of browsers; inside the response cache, so that a cached response has them already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: RawHeaders = list(message["headers"])
                present = dict(headers)
                is_html = present.get(b"content-type", b"").startswith(b"text/html")
                added = [*SECURITY_HEADERS[:-1], _HTML_CONTENT_POLICY] if is_html else SECURITY_HEADERS
                # A second header of a name would override the first: browsers take the last Referrer-Policy.
                message = {**message, "headers": [*headers, *(each for each in added if each[0] not in present)]}
            await send(message)

        await self._app(scope, receive, send_secured)
