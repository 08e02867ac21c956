"""Responses of the board: templates in the reader's language, strict headers, problems as pages, assets under their digest."""

import hashlib
from collections.abc import Callable, Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.board.cards import BAR_DAYS, BAR_PIXELS
from app.board.code_labels import label_for
from app.board.drawing.plots import PLOT_BOX
from app.board.localization import LANGUAGES, Localization, localization_for
from app.board.sessions import session_cookie
from app.http.problems import Problem
from app.http.state import request_state

HERE = Path(__file__).parent
STATIC = HERE / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASSETS = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in MEDIA_TYPES}
DIGEST = hashlib.sha256(b"\0".join(ASSETS.values())).hexdigest()[:16]
# Allow nothing inline, no plug-ins, and no resource or form target of another site.
CONTENT_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors "


def page_headers(*, framed: bool = False) -> dict[str, str]:
    """Return the headers of a page; other sites may show a `framed` page in a frame."""
    headers = {
        "Content-Security-Policy": CONTENT_POLICY + ("*" if framed else "'none'"),
        "X-Content-Type-Options": "nosniff",
        # With `no-referrer` browsers send no `Origin` with a form.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "public, no-cache" if framed else "private, no-cache",
        "Vary": "Accept-Language" if framed else "Cookie, Accept-Language",
    }
    return headers if framed else {**headers, "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin"}


@lru_cache
def _environment(language: str) -> Environment:
    locale = localization_for(language)
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(locale.translations, newstyle=True)  # type: ignore[attr-defined]
    environment.filters.update(day=locale.day, number=locale.number, label=lambda code, kind="": label_for(code, locale, kind))
    environment.globals.update(
        languages=LANGUAGES, digest=DIGEST, bar_days=BAR_DAYS, bar_width=BAR_PIXELS, plot_box=PLOT_BOX, locale=locale
    )
    return environment


def root_path(request: Request) -> str:
    """Return the path below which a proxy serves Lifeline, the prefix of every link."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def get_localization(
    lang: Annotated[str | None, Query(max_length=20, description=f"Language: {', '.join(LANGUAGES)}.")] = None,
) -> Localization:
    """Return the localization of a page; `app.board.middleware` has put its language into the query."""
    return localization_for(lang)


LocalizationDep = Annotated[Localization, Depends(get_localization)]


def render(request: Request, template: str, locale: Localization, **context: Any) -> str:
    """Render a template in a language."""
    texts = {"root": root_path(request), "lang": locale.language, "dir": locale.direction}
    return _environment(locale.language).get_template(template).render(**texts, **context)


def page_response(
    request: Request, template: str, locale: Localization, *, cacheable: bool = True, framed: bool = False, **context: Any
) -> Response:
    """Return a page. A `cacheable` page depends on its URL, the clearance, the day and the database alone."""
    request_state(request.scope)["cacheable"] = cacheable
    return Response(render(request, template, locale, **context), headers=page_headers(framed=framed), media_type="text/html")


def uncached_page(request: Request, status: int, template: str, locale: Localization, *, framed: bool = False, **context: Any) -> Response:
    """Return a page that answers an error, which no cache may store."""
    headers = {**page_headers(framed=framed), "Cache-Control": "no-store"}
    body = render(request, template, locale, status=status, framed=framed, **context)
    return Response(body, status, headers, media_type="text/html")


def end_session(response: Response, request: Request) -> Response:
    """Delete the reader's session cookie."""
    scheme = request.scope["scheme"]
    response.delete_cookie(session_cookie(scheme), path="/", secure=scheme == "https", httponly=True, samesite="strict")
    return response


class PageRoute(APIRoute):
    """A route that answers problems with pages; an expired or revoked key leads to the sign-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler, with problems as pages."""
        handle = super().get_route_handler()

        async def handle_with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as problem:
                if problem.status == 401:
                    return end_session(RedirectResponse(f"{root_path(request)}/sign-in?ended=true", 303), request)
                details = [f"{each.pointer.removeprefix('?')}: {each.detail}" for each in problem.errors]
                return _problem_page(request, problem.status, details)
            except RequestValidationError as error:
                return _problem_page(request, 422, [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()])

        return handle_with_pages


def _problem_page(request: Request, status: int, details: list[str]) -> Response:
    # A site that frames a card shows the problem in the frame.
    framed = request.scope["path"].startswith("/embed/")
    locale = localization_for(request.query_params.get("lang"))
    return uncached_page(request, status, "problem.html", locale, framed=framed, details=details, head=None)
