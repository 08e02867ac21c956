"""Responses of the board: templates in the reader's language, strict headers, problems as pages, assets under their digest."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.board.api_messages import English, translate
from app.board.cards import BAR_DAYS, BAR_PIXELS
from app.board.code_labels import label_for
from app.board.drawing.plots import PLOT_BOX
from app.board.sessions import session_cookie
from app.http.localization import LANGUAGES, Localization, localization_for
from app.http.problems import Problem, invalid_request
from app.http.state import request_state

HERE = Path(__file__).parent
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
# Media type and content by name.
ASSETS = {
    path.name: (MEDIA_TYPES[path.suffix], path.read_bytes()) for path in sorted((HERE / "static").iterdir()) if path.suffix in MEDIA_TYPES
}
DIGEST = hashlib.sha256(b"\0".join(content for _, content in ASSETS.values())).hexdigest()[:16]
# Pages that signing in may lead to.
DESK_PATH = re.compile("/desk(/[A-Za-z0-9_-]+)*")
NOT_STORED = {"Cache-Control": "no-store"}
# Allow nothing inline, no plug-ins, and no resource or form target of another site.
CONTENT_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors "
_OVERRIDES = re.compile("[\u202a-\u202e]")

# One thread, because several would leave little time to the event loop.
_DRAWING = ThreadPoolExecutor(1, "drawing")
P = ParamSpec("P")
T = TypeVar("T")


async def draw(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that computes for long in a thread, so that the event loop gets its turns."""
    return await asyncio.get_running_loop().run_in_executor(_DRAWING, partial(function, *args, **kwargs))


class Exact(str):
    """Text for a field of a form, which is sent back unchanged."""

    __slots__ = ()


def _visible(value: Any) -> Any:
    """Return text to show with the characters that turn its direction made visible, since with them it may seem to say something else."""
    return _OVERRIDES.sub("\ufffd", value) if isinstance(value, str) and not isinstance(value, (Exact, Markup)) else value


@lru_cache
def _environment(language: str) -> Environment:
    locale = localization_for(language)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(locale.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(
        day=locale.day, date_time=locale.date_time, number=locale.number, label=lambda code, kind="": label_for(code, locale, kind)
    )
    environment.filters["exact"] = Exact
    environment.tests["english"] = lambda text: isinstance(text, English)
    environment.globals.update(locale=locale, plural=locale.plural, languages=LANGUAGES, digest=DIGEST)
    environment.globals.update(bar_days=BAR_DAYS, bar_pixels=BAR_PIXELS, plot_box=PLOT_BOX)
    return environment


def root_path(request: Request) -> str:
    """Return the path below which a proxy serves Lifeline, the prefix of every link."""
    return str(request.scope.get("root_path", "")).rstrip("/")


# `app.board.middleware` puts the language of a page into its query.
LocalizationDep = Annotated[Localization, Depends(localization_for)]


def render_page(request: Request, template: str, locale: Localization, status: int = 200, framed: bool = False, **context: Any) -> Response:
    """Render a page, which depends on its URL, the clearance, the day and the database alone; other sites may frame a `framed` one."""
    request_state(request.scope)["cacheable"] = status == 200
    headers = {
        "Content-Security-Policy": CONTENT_POLICY + ("*" if framed else "'none'"),
        # With `no-referrer` browsers send no `Origin` with a form.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store" if status != 200 else "public, no-cache" if framed else "private, no-cache",
        "Vary": "Accept-Language" if framed else "Cookie, Accept-Language",
    }
    if not framed:
        headers |= {"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin"}
    page = {"root": root_path(request), "lang": locale.language, "dir": locale.direction, "status": status, "framed": framed}
    body = _environment(locale.language).get_template(template).render({"head": None, "as_of": None} | page | context)
    return Response(body, status, headers, media_type="text/html")


def end_session(response: Response, request: Request) -> Response:
    """Delete the reader's session cookie."""
    scheme = request.scope["scheme"]
    response.delete_cookie(session_cookie(scheme), path="/", secure=scheme == "https", httponly=True, samesite="strict")
    return response


def _why(request: Request) -> str:
    """Return the query that tells the sign-in page why it is shown, that a form was not recorded, and which page of the desk comes next."""
    why = "ended=true" if session_cookie(request.scope["scheme"]) in request.cookies else "first=true"
    if request.method == "POST":
        return f"{why}&unsent=true"
    return f"{why}&to={request.scope['path']}" if DESK_PATH.fullmatch(request.scope["path"]) else why


class PageRoute(APIRoute):
    """A route that answers problems with pages; an expired or revoked key leads to the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as raised:
                problem = raised
                if problem.status == 401:
                    return end_session(RedirectResponse(f"{root_path(request)}/sign-in?{_why(request)}", 303), request)
                kept = {name: value for name, value in problem.headers.items() if name in ("Connection", "Retry-After")}
            except RequestValidationError as error:
                problem, kept = invalid_request(error), {}
            # A site that frames a card shows the problem in the frame.
            framed = request.scope["path"].startswith("/embed/")
            locale, status = localization_for(request.query_params.get("lang")), problem.status
            said = [(each.pointer.removeprefix("?"), translate(each.detail, locale)) for each in problem.errors]
            details = [type(each)(f"{name}: {each}") for name, each in said]
            details = details or ([translate(problem.detail, locale)] if status in (403, 409) and problem.detail else [])
            page = render_page(request, "problem.html", locale, status, framed=framed, details=details)
            page.headers.update(kept)
            return page

        return handle_with_pages
