"""The access log: a line of JSON for each request, with the route's template but no path, query or body, so that it reveals no record.

Responses from the cache are not logged, because a line costs more than the response; metrics count them.
"""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.responses import REVISION_HEADER
from app.http.state import request_state

# An orchestrator and Prometheus request these every few seconds.
UNLOGGED_PATHS = ("/health/", "/metrics")
_REVISION = REVISION_HEADER.lower().encode()

log = structlog.get_logger("access")


class AccessLogMiddleware:
    """Logs each request when its response has started or failed. `write` False disables the log."""

    def __init__(self, app: ASGIApp, *, write: bool) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, then log the request."""
        started = time.perf_counter()
        state = request_state(scope)
        status, revision = 500, None

        async def send_noted(message: Message) -> None:
            nonlocal status, revision
            if message["type"] == "http.response.start":
                status = message["status"]
                revision = next((int(value) for name, value in message["headers"] if name == _REVISION), None)
                state["route_template"] = route_template(scope)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if self._write and not scope["path"].startswith(UNLOGGED_PATHS):
                self._log_request(scope, status, revision, time.perf_counter() - started)

    def _log_request(self, scope: Scope, status: int, revision: int | None, seconds: float) -> None:
        caller, request_id = request_state(scope).get("caller"), request_state(scope).get("request_id")
        log.info(
            "request",
            request_id=request_id.decode() if request_id else None,
            key_id=str(caller.key_id) if caller else None,
            method=scope["method"],
            route=route_template(scope),
            status=status,
            duration_ms=round(seconds * 1000, 2),
            revision=revision,
        )


def route_template(scope: Scope) -> str:
    """Return the template of the request's route, such as `/v1/places/{slug}`; `none` without a route."""
    # The route of an included router knows only its own part of the path; FastAPI's context knows the whole.
    context = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path: str = getattr(context, "path", None) or "none"
    return path
