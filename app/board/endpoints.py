"""The situation board: `/`, `/places/{slug}`, `/embed/{slug}`, signing in and out, and the board's own files."""

import re
from datetime import date
from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.access.dependencies import CallerDep
from app.board.api_client import PublicApi
from app.board.cards import card
from app.board.localization import DEFAULT, LANGUAGES, Tongue
from app.board.overview_page import names_of, overview_page
from app.board.place_page import place_page
from app.board.rendering import DIGEST, FILES, MEDIA_TYPES, PageRoute, page, page_headers, render, spoken, without_session
from app.board.sessions import Sessions, cookie_name
from app.board.time_slider import MOST_STEPS, Timeline
from app.http.problems import Problem, not_found
from app.http.query_params import AsOf

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Language = Annotated[str | None, Query(max_length=20, description=f"The language: {', '.join(LANGUAGES)}.")]
Step = Annotated[int | None, Query(ge=0, le=MOST_STEPS, description="A step of the time slider; leads to its `as_of`.")]
SlugPath = Annotated[str, Path(max_length=100)]
MOST_FORM_BYTES = 4096
_KEY = re.compile(r"[!-~]{1,2500}")


def get_language(lang: Language = None) -> Tongue:
    """The language that a page is in: `app.board.middleware` has put it into the query."""
    return spoken(lang or DEFAULT)


TongueDep = Annotated[Tongue, Depends(get_language)]


def get_slider(
    start: Annotated[date, Query(ge=date(1900, 1, 1), le=date(2200, 1, 1))] = date(1900, 1, 1),
    days: Annotated[int, Query(ge=0, le=MOST_STEPS)] = 0,
) -> Timeline:
    """The slider that a step is of: its form sends its first day and how many it has."""
    return Timeline(start, days)


SliderDep = Annotated[Timeline, Depends(get_slider)]


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _at_step(request: Request, step: int, slider: Timeline) -> Response:
    """The same page as of the day of a step of the slider."""
    as_of = slider.as_of(step)
    query = [(name, value) for name, value in request.query_params.items() if name not in ("step", "start", "days", "as_of", "lang")]
    query += [("as_of", as_of)] if as_of else []
    return RedirectResponse(f"{request.url.path}?{urlencode(query)}".rstrip("?"), 303, {"Cache-Control": "no-store"})


@router.get("/")
async def show_board(
    request: Request,
    caller: CallerDep,
    speaks: TongueDep,
    slider: SliderDep,
    as_of: AsOf = None,
    step: Step = None,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    q: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Places by urgency, so many a page."""
    if step is not None:
        return _at_step(request, step, slider)
    async with PublicApi(request, as_of) as api:
        context = await overview_page(api, speaks, as_of=as_of, number=number, search=q)
    return page(request, "overview.html", speaks, signed_in=caller.key_id is not None, **context)


@router.get("/places/{slug}")
async def show_place(
    request: Request, caller: CallerDep, speaks: TongueDep, slug: SlugPath, slider: SliderDep, as_of: AsOf = None, step: Step = None
) -> Response:
    """One place: each indicator over time, and every statement behind it."""
    if step is not None:
        return _at_step(request, step, slider)
    async with PublicApi(request, as_of) as api:
        context = await place_page(api, speaks, slug, as_of=as_of)
    return page(request, "place.html", speaks, signed_in=caller.key_id is not None, **context)


@router.get("/embed/{slug}")
async def show_embedded_card(request: Request, speaks: TongueDep, slug: SlugPath, as_of: AsOf = None) -> Response:
    """The card of one place for a frame in another site: what a reader without a key may see."""
    async with PublicApi(request, as_of, key="") as api:
        situation = await api.get(f"/v1/situations/{slug}")
        shown = card(situation, await names_of(api, [situation]), speaks)
    return page(request, "embed.html", speaks, framed=True, card=shown, as_of=as_of)


@router.get("/sign-in")
async def show_sign_in(
    request: Request, speaks: TongueDep, ended: Annotated[bool, Query(description="Whether a session has just ended.")] = False
) -> Response:
    """The form that a key is put into."""
    return page(request, "sign_in.html", speaks, cacheable=False, ended=ended, wrong=False, head=None, insecure=_insecure(request))


@router.post("/sign-in")
async def sign_in(request: Request, speaks: TongueDep) -> Response:
    """Keep a valid key in the reader's cookie; the form again for one that is not valid."""
    _refuse_other_sites(request)
    key = parse_qs(await _form(request)).get("key", [""])[0].strip()
    if not _KEY.fullmatch(key) or not await _is_valid(request, key):
        body = render(request, "sign_in.html", speaks, ended=False, wrong=True, head=None, insecure=_insecure(request))
        return Response(body, 403, {**page_headers(), "Cache-Control": "no-store"}, media_type="text/html")
    sessions: Sessions = request.app.state.sessions
    response = RedirectResponse(f"{_root(request)}/", 303, {"Cache-Control": "no-store"})
    scheme = request.scope["scheme"]
    response.set_cookie(cookie_name(scheme), sessions.seal(key), path="/", secure=scheme == "https", httponly=True, samesite="strict")
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the reader's session."""
    _refuse_other_sites(request)
    return without_session(RedirectResponse(f"{_root(request)}/", 303, {"Cache-Control": "no-store"}), request)


@router.get("/assets/{digest}/{name}")
async def get_asset(request: Request, digest: str, name: str) -> Response:
    """A style, script or drawing of the board, under the digest of all of them, so that it never changes."""
    if digest != DIGEST or name not in FILES:
        raise not_found("file")
    request.state.keep_answer = True
    media_type = MEDIA_TYPES[f".{name.rpartition('.')[2]}"]
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(FILES[name], headers=headers, media_type=media_type)


async def _form(request: Request) -> str:
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_FORM_BYTES:
            raise Problem(413, "The form is too large.", headers={"Connection": "close"})
    return raw.decode("utf-8", "replace")


async def _is_valid(request: Request, key: str) -> bool:
    async with PublicApi(request, key=key) as api:
        try:
            await api.get("/v1/ledger/head", timeless=True)
        except Problem as problem:
            if problem.status == 401:
                return False
            raise
    return True


def _refuse_other_sites(request: Request) -> None:
    """403 for a form that another site's page sends: nobody is to be signed in with somebody else's key, or out."""
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None and fetched not in ("same-origin", "none"):
        raise Problem(403, "This form was sent by another site.")
    origin = request.headers.get("origin")
    if fetched is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(403, "This form was sent by another site.")


def _insecure(request: Request) -> bool:
    return request.scope["scheme"] == "http" and request.url.hostname not in ("localhost", "127.0.0.1", "::1")
