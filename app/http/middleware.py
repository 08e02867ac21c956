"""Before anything else looks at a request: is it too long, does its sender ask too often. Pure ASGI."""

from typing import Any

import orjson
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import MEDIA_TYPE, Problem
from app.http.rate_limit import Headers, RateLimiter
from app.settings import Settings

# What an orchestrator asks is not counted: it would take a service for dead that others keep busy.
NOT_COUNTED = "/health/"


class Gate:
    """Turns away requests that are too long or too many, and tells the others how many are left."""

    def __init__(self, app: ASGIApp, limits: RateLimiter, *, most_bytes: int) -> None:
        self._app = app
        self._limits = limits
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn away, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if len(path) + len(scope["query_string"]) > self._most_bytes:
            problem = Problem(414, f"The path and its query may have {self._most_bytes} bytes together.")
            headers = [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store")]
            await _answer(send, problem.status, headers, orjson.dumps(problem.body()))
            return
        if self._limits.disabled or path.startswith(NOT_COUNTED):
            await self._app(scope, receive, send)
            return
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        client = scope.get("client")
        taken = self._limits.hit(self._limits.known_key(sent[0]) if len(sent) == 1 else None, client[0] if client else "")
        if taken is None:
            await self._app(scope, receive, send)
        elif taken.allowed:
            await self._app(scope, receive, _with_headers(send, taken.headers))
        else:
            await _answer(send, *taken.refusal(path))


def build_middleware(app: ASGIApp, limits: RateLimiter, settings: Settings) -> ASGIApp:
    """The gate before an application, and before that the answers to browsers on pages of other origins, where any may read."""
    gate = Gate(app, limits, most_bytes=settings.max_url_bytes)
    if not settings.cors_origins:
        return gate

    async def owned(scope: Scope, receive: Receive, send: Send) -> None:
        # The middleware writes into the messages that it passes on, and some of them are kept.
        await gate(scope, receive, _with_headers(send, []))

    return CORSMiddleware(
        owned,
        allow_origins=settings.cors_origins,
        allow_methods=["GET", "HEAD", "POST", "DELETE"],
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
        ],
    )


def _with_headers(send: Send, headers: Headers) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            # A 304 has to be small, and the policy came with the answer that the reader holds.
            more = [each for each in headers if each[0] != b"ratelimit-policy"] if message["status"] == 304 else headers
            # The message may be one that is kept: it is not this request's to change.
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return told


async def _answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": [*headers, length, *SECURITY]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_POLICY = b"content-security-policy"
# For pages that bring no stricter or wider one of their own.
_PAGES = (
    _POLICY,
    b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'",
)


class SecurityHeadersMiddleware:
    """Puts into every answer what a browser is to refrain from. Pure ASGI; beneath what keeps answers, so that it costs nothing there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add to the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Headers = list(message["headers"])
                given = dict(headers)
                more = SECURITY if _POLICY not in given else SECURITY[:-1]
                if _POLICY not in given and given.get(b"content-type", b"").startswith(b"text/html"):
                    more = [*SECURITY[:-1], _PAGES]
                message = {**message, "headers": [*headers, *more]}
            await send(message)

        await self._app(scope, receive, secured)
