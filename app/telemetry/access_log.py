"""One line of JSON for each request that reaches the application, and the request's identifier in its answer.

A line holds the route's template, never the path, the query or the body: it tells nothing of a record or a key's secret. Answers that
are kept are served without a line, since a line costs more than the answer does; they are counted at `/metrics`.
"""

import re
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid7

from app.http.responses import REVISION_HEADER
from app.http.state import request_state

VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# The orchestrator asks every few seconds.
UNLOGGED_PATHS = ("/health/", "/metrics")
REVISION = REVISION_HEADER.lower().encode()

log = structlog.get_logger("access")


class AccessLogMiddleware:
    """Gives requests their identifier, and tells of them once they are answered."""

    def __init__(self, app: ASGIApp, *, write: bool) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and write the line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        state = request_state(scope)
        identifier = state["request_id"] = _sent(scope) or str(uuid7()).encode()
        status, revision = 500, None

        async def sending(message: Message) -> None:
            nonlocal status, revision
            if message["type"] == "http.response.start":
                status = message["status"]
                # What the reader of the answer has seen: of a write, the ledger after it.
                revision = next((int(value) for name, value in message["headers"] if name == REVISION), None)
                state["route_template"] = route_template(scope)
                message = {**message, "headers": [*message["headers"], (b"x-request-id", identifier)]}
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            if self._write and not scope["path"].startswith(UNLOGGED_PATHS):
                self._log_request(scope, identifier.decode(), status, revision, time.perf_counter() - started)

    def _log_request(self, scope: Scope, identifier: str, status: int, revision: int | None, seconds: float) -> None:
        caller = request_state(scope).get("caller")
        log.info(
            "request",
            request_id=identifier,
            key_id=str(caller.key_id) if caller else None,
            method=scope["method"],
            route=route_template(scope),
            status=status,
            duration_ms=round(seconds * 1000, 2),
            revision=revision,
        )


def route_template(scope: Scope) -> str:
    """The template of the route that was taken, such as `/v1/places/{slug}`; `none` where there was none."""
    # The route of an included router knows its own part alone; what FastAPI made of both stands beside it.
    context = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    path: str = getattr(context, "path", None) or "none"
    return path


def _sent(scope: Scope) -> bytes | None:
    found = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return bytes(found[0]) if len(found) == 1 and VALID_REQUEST_ID.fullmatch(found[0]) else None
