"""Responses of the board: templates in the reader's language, strict headers, problems as pages, assets under their digest."""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

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
from app.domain.kinds.showing import gettext_noop
from app.http.localization import LANGUAGES, Localization, localization_for
from app.http.problems import Problem, invalid_request
from app.http.request_body import read_body
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
ANOTHER_SITE = gettext_noop("This form was sent by another site.")
# An article of 50,000 characters, percent-encoded once for each form that holds it: its own, that of what it lacked, and of the key.
MAX_FORM_BYTES = 3_000_000
MAX_FORM_FIELDS = 500
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


def reject_cross_site(request: Request) -> None:
    """Reject form posts of other sites; otherwise they could act with the reader's session (CSRF)."""
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    same_origin = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not (same_origin if fetch_site is None else fetch_site in ("same-origin", "none")):
        raise Problem(403, ANOTHER_SITE)


async def read_form(request: Request) -> dict[str, list[str]]:
    """Return the form of a request, or the one that a sign-in page kept, without the key and without a token; raise 413 over the limits."""
    state = request_state(request.scope)
    if "form" not in state:
        parse = partial(parse_qs, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
        try:
            form = parse((await read_body(request, MAX_FORM_BYTES)).decode("utf-8", "replace"))
            state["form"] = parse(form["kept"][0]) | {"token": [""]} if "kept" in form else form
        except ValueError:
            raise Problem(413, f"A form has at most {MAX_FORM_FIELDS} fields.") from None
    return state["form"]


def sign_in_page(request: Request, locale: Localization, status: int = 200, **shown: Any) -> Response:
    """Render the form for a key, and why it is shown; `kept` is a form that was not sent, for the page `to`."""
    insecure = request.scope["scheme"] == "http" and request.url.hostname not in ("localhost", "127.0.0.1", "::1")
    context: dict[str, Any] = {"ended": False, "first": False, "to": "", "kept": "", "insecure": insecure} | shown
    page = render_page(request, "sign_in.html", locale, status, **context)
    # The key of the response cache has neither scheme nor host.
    request_state(request.scope)["cacheable"] = False
    return page


async def _ask_for_key(request: Request) -> Response:
    """Lead to the sign-in page, which tells why it is shown; a form is answered with that page at once, so that what was typed is kept."""
    why, path = "ended" if session_cookie(request.scope["scheme"]) in request.cookies else "first", request.scope["path"]
    if request.method == "POST":
        reject_cross_site(request)
        kept = urlencode({name: values for name, values in (await read_form(request)).items() if name != "token"}, doseq=True)
        locale = localization_for(request.query_params.get("lang"))
        return await draw(partial(sign_in_page, request, locale, 401, to=path, kept=kept, **{why: True}))
    to = f"&to={path}" if DESK_PATH.fullmatch(path) else ""
    return RedirectResponse(f"{root_path(request)}/sign-in?{why}=true{to}", 303)


class PageRoute(APIRoute):
    """A route that answers problems with pages; an expired or revoked key leads to the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the route's handler."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                try:
                    return await handle(request)
                except Problem as raised:
                    if raised.status != 401:
                        raise
                    return end_session(await _ask_for_key(request), request)
            except Problem as raised:
                problem = raised
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
