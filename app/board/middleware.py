"""Before routing: a reader's cookies become what answers are kept by, the key in `Authorization` and the language in the query.

So a page of the board is a function of its address, the clearance and the ledger, like any answer of the API, and is kept in the
same way. The cookie counts for the board's pages and its stream alone; under `/v1` there is no authority but a key that was sent.
"""

from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Scope, Send

from app.board.localization import LANGUAGES, choose_language
from app.board.sessions import LANGUAGE_COOKIE, Sessions, cookies

STREAM = "/stream"
_PUBLIC_STREAM = "/v1/stream"


def for_reader(scope: Scope, send: Send, sessions: Sessions) -> tuple[Scope, Send]:
    """A request over HTTP and the way to answer it, as the board's reader: untouched unless the board's pages or stream are asked for."""
    path: str = scope["path"]
    if path == STREAM:
        scope = dict(scope, path=_PUBLIC_STREAM, raw_path=_PUBLIC_STREAM.encode())
        return _with_key(scope, sessions), send
    if path == "/" or path.startswith("/places/") or path == "/sign-in":
        scope, send = _with_language(scope, send, remember=True)
        return _with_key(scope, sessions), send
    if path.startswith("/embed/"):
        return _with_language(scope, send, remember=False)
    return scope, send


def _with_key(scope: Scope, sessions: Sessions) -> Scope:
    if scope["method"] not in ("GET", "HEAD") or any(name == b"authorization" for name, _ in scope["headers"]):
        return scope
    key = sessions.key_of(scope)
    if key is None:
        return scope
    return dict(scope, headers=[*scope["headers"], (b"authorization", f"Bearer {key}".encode())])


def _with_language(scope: Scope, send: Send, *, remember: bool) -> tuple[Scope, Send]:
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    asked = next((value for name, value in query if name == "lang"), None)
    remembered = cookies(scope["headers"]).get(LANGUAGE_COOKIE) if remember else None
    accepted = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept-language"), "")
    language = choose_language(asked, remembered, accepted)
    if asked != language:
        rest = [(name, value) for name, value in query if name != "lang"]
        scope = dict(scope, query_string=urlencode([*rest, ("lang", language)]).encode())
    if not remember or asked not in LANGUAGES or remembered == asked:
        return scope, send

    async def remembering(message: Message) -> None:
        if message["type"] == "http.response.start":
            # A list that was kept is not to grow.
            message = dict(message, headers=list(message["headers"]))
            cookie = f"{LANGUAGE_COOKIE}={language}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly"
            MutableHeaders(raw=message["headers"]).append("set-cookie", cookie)
        await send(message)

    return scope, remembering
