"""The outermost middleware: what each response has, one form of a key, and 400 for a head that two servers could read differently."""

import re
from base64 import b64decode
from collections import defaultdict
from functools import lru_cache, partial

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.domain.identifiers import uuid7_text
from app.http.middleware import SECURITY_HEADERS
from app.http.problems import Problem, RawHeaders, send_problem
from app.http.rate_limit import RateLimiter
from app.http.repeats import Repeat
from app.http.response_cache import CacheHit
from app.http.state import headers_of, request_state

VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# RFC 9112, 3.2: uri-host [ ":" port ].
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]{0,5})?")
# Of the requests of pages, which the board and Swagger UI make.
BROWSER_HEADERS = frozenset({b"sec-fetch-mode", b"origin", b"referer"})
_is_host = lru_cache(maxsize=256)(_HOST.fullmatch)


class EdgeMiddleware:
    """Gives each response an `X-Request-Id`, the client's if it is sound, else a new one, and the `RateLimit` headers."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter
        # Number of responses by route, method and class of status, cached ones included.
        self.responses: defaultdict[tuple[str, str, str], int] = defaultdict(int)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400, or call the application."""
        sent = headers_of(scope)
        state = request_state(scope)
        state["request_id"], state["server_send"] = _request_id(sent), send
        inner = _with_bearer_key(scope, sent)

        async def send_completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                # The session of a cookie ends otherwise than a key.
                if (hit := state.get("cache_hit")) is not None and b"cookie" not in sent:
                    state["repeat"] = Repeat(status, message["headers"], hit.body, partial(self._again, inner, sent, status, hit))
                # A new message, because the response cache may send the same one to others.
                headers = [*message["headers"], *self._last_headers(scope, sent, status)]
                message = {"type": "http.response.start", "status": status, "headers": headers}
            await send(message)

        if (ambiguity := _ambiguity(scope, sent)) is None:
            await self._app(inner, receive, send_completed)
        else:
            # Later bytes on the connection may be a part of such a head or the next request.
            problem = Problem(400, ambiguity, kind="ambiguous", headers={"Connection": "close"})
            await send_problem(send_completed, problem, headers=SECURITY_HEADERS, head_only=scope["method"] == "HEAD")

    def _last_headers(self, scope: Scope, sent: dict[bytes, bytes], status: int) -> RawHeaders:
        """Count a response, and return the headers that no other has."""
        state = request_state(scope)
        self.responses[state.get("route_template", "none"), scope["method"], f"{status // 100}xx"] += 1
        headers = [(b"x-request-id", state["request_id"])]
        if (decision := state.get("rate_limit")) is not None:
            headers += decision.headers(status)
        # Excel and Power BI send a key once Basic is offered; a browser would ask for it in a dialogue of its own.
        if status == 401 and not sent.keys() & BROWSER_HEADERS:
            headers.append((b"www-authenticate", b'Basic realm="lifeline", charset="UTF-8"'))
        return headers

    def _again(self, scope: Scope, sent: dict[bytes, bytes], status: int, hit: CacheHit) -> RawHeaders | None:
        """Do for a request that comes again what the middleware does for it; return None, and do nothing, where that must see it."""
        state = request_state(scope)
        if not hit.holds():
            return None
        if "rate_limit" in state:
            decision = self._limiter.charge(scope, self._limiter.caller_of(scope), 1)
            if decision is not None and not decision.allowed:
                return None
        hit.count()
        state["request_id"] = _request_id(sent)
        return self._last_headers(scope, sent, status)


def _request_id(sent: dict[bytes, bytes]) -> bytes:
    """Return the client's identifier of a request if it is sound, else a new one."""
    request_id = sent.get(b"x-request-id")
    return request_id if request_id is not None and VALID_REQUEST_ID.fullmatch(request_id) else uuid7_text().encode()


def _with_bearer_key(scope: Scope, sent: dict[bytes, bytes]) -> Scope:
    """Return the scope with the password of HTTP Basic as the key, so that limits, cache and audit log see one form of a key.

    A browser sends the password that it remembers with a form of any other site, too; so a write with another `Origin` needs `Bearer`.
    """
    scheme, _, credentials = sent.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"basic":
        return scope
    is_foreign = b"origin" in sent and sent[b"origin"].partition(b"://")[2] != sent.get(b"host")
    if is_foreign and scope["method"] not in ("GET", "HEAD"):
        return scope
    try:
        key = b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return scope
    headers = [each for each in scope["headers"] if each[0] != b"authorization"]
    return dict(scope, headers=[*headers, (b"authorization", b"Bearer " + key)]) if key else scope


def _ambiguity(scope: Scope, sent: dict[bytes, bytes]) -> str | None:
    """Return what is ambiguous in the head of a request; a proxy may have read it otherwise (request smuggling)."""
    # A header in two lines has a comma here.
    host, length = sent.get(b"host"), sent.get(b"content-length", b"")
    if scope["http_version"] == "1.1" if host is None else not _is_host(host):
        return "Send one Host header, with a host and optionally a port."
    if b"," in sent.get(b"authorization", b"") and [name for name, _ in scope["headers"]].count(b"authorization") > 1:
        return "Send at most one Authorization header."
    coding = sent.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or length or scope["http_version"] != "1.1"):
        return "Transfer-Encoding must be `chunked` alone, without Content-Length, and not in HTTP/1.0."
    return "Send one Content-Length header." if b"," in length else None
