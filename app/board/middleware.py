"""Rewrites requests for the board before the response cache: the session cookie becomes `Authorization`, the language a parameter.

The response cache then keeps a page like a response of the API, by its URL, the clearance and the ledger. Under `/v1` the cookie has no
effect: a caller there sends a key.
"""

from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.board.localization import LANGUAGES, choose_language
from app.board.sessions import LANGUAGE_COOKIE, Sessions, parse_cookies

BOARD_STREAM = "/stream"
API_STREAM = "/v1/stream"
LANGUAGE_MAX_AGE_SECONDS = 31_536_000


class BoardMiddleware:
    """Rewrites the board's requests, and passes all others on as they are."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rewrite, and pass on."""
        if scope["type"] == "http":
            scope, send = rewrite_board_request(scope, send, self._sessions)
        await self._app(scope, receive, send)


def rewrite_board_request(scope: Scope, send: Send, sessions: Sessions) -> tuple[Scope, Send]:
    """Return the scope and the send function for a request, changed where it asks for the board."""
    path: str = scope["path"]
    if path == BOARD_STREAM:
        return _add_key(dict(scope, path=API_STREAM, raw_path=API_STREAM.encode()), sessions), send
    if path in ("/", "/sign-in") or path.startswith("/places/"):
        scope, send = _add_language(scope, send, remember=True)
        return _add_key(scope, sessions), send
    if path == "/guide" or path.startswith("/guide/"):
        return _add_language(scope, send, remember=True)
    if path.startswith("/embed/"):
        return _add_language(scope, send, remember=False)
    return scope, send


def _add_key(scope: Scope, sessions: Sessions) -> Scope:
    if scope["method"] not in ("GET", "HEAD") or any(name == b"authorization" for name, _ in scope["headers"]):
        return scope
    key = sessions.key_of(scope)
    if key is None:
        return scope
    return dict(scope, headers=[*scope["headers"], (b"authorization", f"Bearer {key}".encode())])


def _add_language(scope: Scope, send: Send, *, remember: bool) -> tuple[Scope, Send]:
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    requested = next((value for name, value in query if name == "lang"), None)
    remembered = parse_cookies(scope["headers"]).get(LANGUAGE_COOKIE) if remember else None
    accept_language = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-language"), "")
    language = choose_language(requested, remembered, accept_language)
    if requested != language:
        rest = [(name, value) for name, value in query if name != "lang"]
        scope = dict(scope, query_string=urlencode([*rest, ("lang", language)]).encode())
    if not remember or requested not in LANGUAGES or remembered == requested:
        return scope, send

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            # The response cache may hold this list: change a copy.
            message = dict(message, headers=list(message["headers"]))
            cookie = f"{LANGUAGE_COOKIE}={language}; Path=/; Max-Age={LANGUAGE_MAX_AGE_SECONDS}; SameSite=Lax; HttpOnly"
            MutableHeaders(raw=message["headers"]).append("set-cookie", cookie)
        await send(message)

    return scope, send_with_cookie
