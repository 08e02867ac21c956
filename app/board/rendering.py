"""Pages as they leave: templates in the reader's language, strict headers, problems as pages, files by their digest."""

import hashlib
from collections.abc import Callable, Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.board.cards import BAR_DAYS, BAR_WIDTH
from app.board.code_labels import word
from app.board.drawing.plots import PLOT_BOX
from app.board.localization import DEFAULT, LANGUAGES, Tongue, tongue
from app.board.sessions import cookie_name
from app.http.problems import Problem

HERE = Path(__file__).parent
STATIC = HERE / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in MEDIA_TYPES}
DIGEST = hashlib.sha256(b"\0".join(FILES.values())).hexdigest()[:16]

# Everything from here, nothing inline, no plug-ins, no other site's forms.
POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors {framed_by}"


def page_headers(*, framed: bool = False) -> dict[str, str]:
    """The headers of a page; `framed` is whether other sites may show it in a frame."""
    headers = {
        "Content-Security-Policy": POLICY.format(framed_by="*" if framed else "'none'"),
        "X-Content-Type-Options": "nosniff",
        # Not `no-referrer`, with which browsers send no origin along with a form.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "public, no-cache" if framed else "private, no-cache",
        "Vary": "Accept-Language" if framed else "Cookie, Accept-Language",
    }
    return headers if framed else {**headers, "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin"}


@lru_cache
def _environment(language: str) -> Environment:
    speaks = tongue(language)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(speaks.messages, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(day=speaks.day, moment=speaks.moment, number=speaks.number, word=lambda code: word(speaks, code))
    environment.globals.update(languages=LANGUAGES, digest=DIGEST, bar_days=BAR_DAYS, bar_width=BAR_WIDTH, plot_box=PLOT_BOX, tongue=speaks)
    return environment


def render(request: Request, template: str, speaks: Tongue, **context: Any) -> str:
    """A template in a language. `root` is the prefix of every link, where a proxy serves Lifeline below a path."""
    root = request.scope.get("root_path", "").rstrip("/")
    return _environment(speaks.language).get_template(template).render(root=root, lang=speaks.language, dir=speaks.direction, **context)


def page(request: Request, template: str, speaks: Tongue, *, cacheable: bool = True, framed: bool = False, **context: Any) -> Response:
    """A page. `keep` says that it depends on nothing but its address, the clearance, the day and what is in the database."""
    request.state.keep_answer = cacheable
    return Response(render(request, template, speaks, **context), headers=page_headers(framed=framed), media_type="text/html")


def spoken(language: str) -> Tongue:
    """How a language says things, English for one that the board does not have."""
    return tongue(language if language in LANGUAGES else DEFAULT)


def language_of(request: Request) -> Tongue:
    """The language of a request, which `app.board.middleware` put into its query."""
    return spoken(request.query_params.get("lang", DEFAULT))


def without_session(response: Response, request: Request) -> Response:
    """The response, which also ends the reader's session."""
    response.delete_cookie(
        cookie_name(request.scope["scheme"]), path="/", secure=request.scope["scheme"] == "https", httponly=True, samesite="strict"
    )
    return response


class PageRoute(APIRoute):
    """A route whose problems are pages for people. A key that has ended leads to signing in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with problems as pages."""
        handle = super().get_route_handler()

        async def with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                if problem.status == 401:
                    root = request.scope.get("root_path", "").rstrip("/")
                    return without_session(RedirectResponse(f"{root}/sign-in?ended=true", 303), request)
                details = [f"{each.pointer.removeprefix('?')}: {each.detail}" for each in problem.errors]
                return _problem_page(request, problem.status, details)
            except RequestValidationError as error:
                return _problem_page(request, 422, [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()])

        return with_pages


def _problem_page(request: Request, status: int, details: list[str]) -> Response:
    # A site that shows a card in a frame is told there what is wrong.
    framed = request.scope["path"].startswith("/embed/")
    body = render(request, "problem.html", language_of(request), status=status, details=details, head=None, framed=framed)
    return Response(body, status, {**page_headers(framed=framed), "Cache-Control": "no-store"}, media_type="text/html")
