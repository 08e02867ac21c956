"""Rewrites requests for the board, so that the response cache keeps a page like a response of the API."""

from functools import partial
from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.board.sessions import LANGUAGE_COOKIE, SEEN_COOKIE, Sessions
from app.http.localization import LANGUAGES, choose_language
from app.http.middleware import SECURITY_HEADERS
from app.http.problems import send_problem
from app.http.state import request_state
from app.storage.database_errors import classify_database_error

BOARD_STREAM = "/stream"
API_STREAM = "/v1/stream"
DESK = "/desk"
LANGUAGE_MAX_AGE_SECONDS = 31_536_000


class BoardMiddleware:
    """Turns the session cookie into `Authorization` and the language into a parameter; other requests, as for `/v1`, stay as sent."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the request where it asks for the board, and call the application."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        has_key = path in (BOARD_STREAM, "/", "/sign-in", DESK) or path.startswith(("/places/", f"{DESK}/"))
        if path == BOARD_STREAM:
            scope = dict(scope, path=API_STREAM, raw_path=API_STREAM.encode())
        elif has_key or path == "/guide" or path.startswith(("/guide/", "/embed/")):
            scope, send = _add_language(scope, send, remember=not path.startswith("/embed/"))
        if path.startswith("/places/"):
            scope = _with_parameter(scope, "seen", HTTPConnection(scope).cookies.get(SEEN_COOKIE))
        try:
            scope = await self._add_key(scope) if has_key else scope
        except Exception as error:
            # Here FastAPI does not see it.
            if (problem := classify_database_error(error)) is None:
                raise
            await send_problem(send, problem, headers=SECURITY_HEADERS)
            return
        await self._app(scope, receive, send)

    async def _add_key(self, scope: Scope) -> Scope:
        # The forms of the desk carry a token of the session, which their handlers check first.
        reads = scope["method"] in ("GET", "HEAD") or scope["path"].startswith(f"{DESK}/")
        if not reads or "authorization" in HTTPConnection(scope).headers:
            return scope
        found = self._sessions.read(scope)
        if found is None or await self._sessions.is_ended(found[1]):
            return scope
        # A stream outlasts the look into the cookie.
        request_state(scope)["session_ended"] = partial(self._sessions.is_ended, found[1])
        return dict(scope, headers=[*scope["headers"], (b"authorization", f"Bearer {found[0]}".encode())])


def _with_parameter(scope: Scope, name: str, value: str | None) -> Scope:
    """Return a request whose query has a parameter with this value, or without it for None, because the response cache reads the query."""
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rest = [each for each in query if each[0] != name]
    if value is None and len(rest) == len(query):
        return scope
    return dict(scope, query_string=urlencode([*rest, *([(name, value)] if value is not None else [])]).encode())


def _add_language(scope: Scope, send: Send, *, remember: bool) -> tuple[Scope, Send]:
    connection = HTTPConnection(scope)
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    requested = next((value for name, value in query if name == "lang"), None)
    remembered = connection.cookies.get(LANGUAGE_COOKIE) if remember else None
    language = choose_language(requested, remembered, connection.headers.get("accept-language", ""))
    if requested != language:
        scope = _with_parameter(scope, "lang", language)
    if not remember or requested not in LANGUAGES or remembered == requested:
        return scope, send

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Make a new list, because the response cache may hold this one.
            cookie = f"{LANGUAGE_COOKIE}={language}; Path=/; Max-Age={LANGUAGE_MAX_AGE_SECONDS}; SameSite=Lax; HttpOnly"
            message = dict(message, headers=[*message["headers"], (b"set-cookie", cookie.encode())])
        await send(message)

    return scope, send_with_cookie
