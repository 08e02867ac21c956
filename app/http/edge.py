"""The outermost middleware: an identifier and a count for each response, and 400 for a head that two servers could read differently."""

import re
from collections import defaultdict
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.identifiers import uuid7_text
from app.http.middleware import SECURITY_HEADERS
from app.http.problems import Problem, send_problem
from app.http.state import request_state

VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# RFC 9112, 3.2: uri-host [ ":" port ].
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]{0,5})?")


class EdgeMiddleware:
    """Gives each response an `X-Request-Id`: the client's if it is sound, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # Number of responses by route, method and class of status, cached ones included.
        self.responses: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, or call the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent_id, ambiguity = _read_head(scope["headers"], scope["http_version"])
        state = request_state(scope)
        state["request_id"] = request_id = sent_id or uuid7_text().encode()
        state["server_send"] = send
        header = (b"x-request-id", request_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.responses[state.get("route_template", "none"), scope["method"], f"{message['status'] // 100}xx"] += 1
                # A new message, because the response cache may send the same one to others.
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        if ambiguity is None:
            await self._app(scope, receive, send_with_id)
        else:
            # Later bytes on the connection may be a part of such a head or the next request.
            problem = Problem(400, ambiguity, kind="ambiguous", headers={"Connection": "close"})
            await send_problem(send_with_id, problem, headers=SECURITY_HEADERS, head_only=scope["method"] == "HEAD")


def _read_head(headers: Iterable[tuple[bytes, bytes]], http_version: str) -> tuple[bytes | None, str | None]:
    """Return the client's sound identifier, and what is ambiguous in the head; a proxy may have read it otherwise (request smuggling)."""
    ids: list[bytes] = []
    hosts: list[bytes] = []
    codings: list[bytes] = []
    credentials = lengths = 0
    for name, value in headers:
        if name == b"x-request-id":
            ids.append(value)
        elif name == b"host":
            hosts.append(value)
        elif name == b"authorization":
            credentials += 1
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"content-length":
            lengths += 1
    sent_id = ids[0] if len(ids) == 1 and VALID_REQUEST_ID.fullmatch(ids[0]) else None
    if len(hosts) > 1 or (not hosts and http_version == "1.1") or not all(map(_HOST.fullmatch, hosts)):
        return sent_id, "Send one Host header, with a host and optionally a port."
    if credentials > 1:
        return sent_id, "Send at most one Authorization header."
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked" or lengths or http_version != "1.1"):
        return sent_id, "Transfer-Encoding must be `chunked` alone, without Content-Length, and not in HTTP/1.0."
    return sent_id, "Send one Content-Length header." if lengths > 1 else None
