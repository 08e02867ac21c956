"""Rewrites requests for the board, so that the response cache keeps a page like a response of the API."""

from urllib.parse import parse_qsl, urlencode

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.board.localization import LANGUAGES, choose_language
from app.board.sessions import LANGUAGE_COOKIE, Sessions

BOARD_STREAM = "/stream"
API_STREAM = "/v1/stream"
LANGUAGE_MAX_AGE_SECONDS = 31_536_000


class BoardMiddleware:
    """Turns the session cookie into `Authorization` and the language into a parameter; other requests, as for `/v1`, stay as sent."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite the request where it asks for the board, and call the application."""
        path = scope["path"] if scope["type"] == "http" else ""
        has_key = path in (BOARD_STREAM, "/", "/sign-in") or path.startswith("/places/")
        if path == BOARD_STREAM:
            scope = dict(scope, path=API_STREAM, raw_path=API_STREAM.encode())
        elif has_key or path == "/guide" or path.startswith(("/guide/", "/embed/")):
            scope, send = _add_language(scope, send, remember=not path.startswith("/embed/"))
        await self._app(self._add_key(scope) if has_key else scope, receive, send)

    def _add_key(self, scope: Scope) -> Scope:
        if scope["method"] not in ("GET", "HEAD") or "authorization" in HTTPConnection(scope).headers:
            return scope
        key = self._sessions.key_of(scope)
        return dict(scope, headers=[*scope["headers"], (b"authorization", f"Bearer {key}".encode())]) if key else scope


def _add_language(scope: Scope, send: Send, *, remember: bool) -> tuple[Scope, Send]:
    connection = HTTPConnection(scope)
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    requested = next((value for name, value in query if name == "lang"), None)
    remembered = connection.cookies.get(LANGUAGE_COOKIE) if remember else None
    language = choose_language(requested, remembered, connection.headers.get("accept-language", ""))
    if requested != language:
        rest = [(name, value) for name, value in query if name != "lang"]
        scope = dict(scope, query_string=urlencode([*rest, ("lang", language)]).encode())
    if not remember or requested not in LANGUAGES or remembered == requested:
        return scope, send

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Make a new list, because the response cache may hold this one.
            cookie = f"{LANGUAGE_COOKIE}={language}; Path=/; Max-Age={LANGUAGE_MAX_AGE_SECONDS}; SameSite=Lax; HttpOnly"
            message = dict(message, headers=[*message["headers"], (b"set-cookie", cookie.encode())])
        await send(message)

    return scope, send_with_cookie
