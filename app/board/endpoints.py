"""Endpoints of the board: `/`, `/places/{slug}`, `/embed/{slug}`, sign-in, sign-out and static assets."""

import re
from typing import Annotated, Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.access.dependencies import CallerDep
from app.board import guide
from app.board.api_client import InProcessApiClient
from app.board.cards import build_card
from app.board.desk.endpoints import router as desk
from app.board.drawing.maps import place_map
from app.board.overview_page import load_records, overview_context, wall_context
from app.board.place_page import load_news, place_context
from app.board.rendering import (
    ASSETS,
    DESK_PATH,
    DIGEST,
    MAX_FORM_BYTES,
    NOT_STORED,
    LocalizationDep,
    PageRoute,
    draw,
    end_session,
    reject_cross_site,
    render_page,
    root_path,
    sign_in_page,
)
from app.board.sessions import SEEN_COOKIE, session_cookie
from app.board.time_slider import MAX_STEPS, TimeSlider
from app.http.problems import Problem, not_found
from app.http.query_params import AsOf
from app.http.request_body import read_body
from app.http.state import app_state, request_state

router = APIRouter(route_class=PageRoute, include_in_schema=False)
router.include_router(guide.router)
router.include_router(desk)

# The form of a time slider sends a step and the slider's fields; the response redirects to the `as_of` of the step.
Step = Annotated[int | None, Query(ge=0, le=MAX_STEPS)]
SliderDep = Annotated[TimeSlider, Depends()]
SlugPath = Annotated[str, Path(max_length=100)]
EMBED_REFRESH_SECONDS = 300
SEEN_MAX_AGE_SECONDS = 7_776_000
_KEY = re.compile(r"[!-~]{1,2500}")


def _redirect_to_step(request: Request, step: int, slider: TimeSlider) -> Response:
    as_of = slider.as_of(step)
    query = [
        (name, value) for name, value in request.query_params.items() if name not in ("step", "start", "days", "as_of", "lang", "seen")
    ]
    query += [("as_of", as_of)] if as_of else []
    return RedirectResponse(f"{request.url.path}?{urlencode(query)}".rstrip("?"), 303, NOT_STORED)


@router.get("/")
async def show_board(
    request: Request,
    caller: CallerDep,
    locale: LocalizationDep,
    slider: SliderDep,
    as_of: AsOf = None,
    step: Step = None,
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
    q: Annotated[str, Query(max_length=100)] = "",
    now: bool = False,
    wall: bool = False,
    hold: bool = False,
) -> Response:
    """Show the places by urgency, one page of them; with `wall` as a table for a screen on a wall, which turns its pages unless `hold`."""
    if step is not None:
        return _redirect_to_step(request, step, slider)
    api, signed_in = InProcessApiClient(request, as_of, lang=locale.language), caller.key_id is not None
    if wall:
        context = await wall_context(api, locale, number, now=now) | {"hold": hold, "fixed": as_of}
        return await draw(render_page, request, "wall.html", locale, signed_in=signed_in, **context)
    context = await overview_context(api, locale, number, q, now=now)
    return await draw(render_page, request, "overview.html", locale, signed_in=signed_in, **context)


@router.get("/places/{slug}")
async def show_place(
    request: Request,
    caller: CallerDep,
    locale: LocalizationDep,
    slug: SlugPath,
    slider: SliderDep,
    as_of: AsOf = None,
    step: Step = None,
    now: bool = False,
    seen: str = "",
) -> Response:
    """Show one place: each indicator over time, and every report; and what is new since the reader's cookie says that it was `seen`."""
    if step is not None:
        return _redirect_to_step(request, step, slider)
    api = InProcessApiClient(request, as_of, lang=locale.language)
    context = await place_context(api, locale, slug, now=now)
    news, kept = (None, seen) if as_of else await load_news(api, locale, slug, context["head"], seen)
    page = await draw(render_page, request, "place.html", locale, signed_in=caller.key_id is not None, news=news, **context)
    if not as_of:
        path = f"{root_path(request)}/places/{quote(slug)}"
        page.set_cookie(SEEN_COOKIE, kept, max_age=SEEN_MAX_AGE_SECONDS, path=path, httponly=True, samesite="lax")
    return page


@router.get("/places/{slug}/brief")
async def show_brief(request: Request, locale: LocalizationDep, slug: SlugPath, as_of: AsOf = None) -> Response:
    """Show the brief on a place as text."""
    time = f"&as_of={quote(as_of)}" if as_of else ""
    answer = await InProcessApiClient(request).send("GET", f"/v1/situations/{quote(slug)}/brief.txt?lang={locale.language}{time}")
    if answer.status_code != 200:
        raise Problem(answer.status_code, answer.json()["title"])
    kept = {name: answer.headers[name] for name in ("Lifeline-TLP", "Content-Language")}
    headers = {"Cache-Control": "private, no-cache", "Vary": "Cookie, Accept-Language"} | kept
    return Response(answer.content, headers=headers, media_type=answer.headers["Content-Type"])


@router.get("/embed/{slug}")
async def show_embedded_card(request: Request, locale: LocalizationDep, slug: SlugPath, as_of: AsOf = None) -> Response:
    """Show the card of one place in a frame of another site, as a reader without a key sees it; it loads again by itself."""
    api = InProcessApiClient(request, as_of, key="", lang=locale.language)
    situation = await api.get(f"/v1/situations/{slug}")
    records = await load_records(api, [situation])
    card = build_card(situation, records, locale)
    context: dict[str, Any] = {
        "card": card,
        "map": place_map(card, await api.get(f"/v1/places/{slug}", as_of=None), records["routes"]),
        "sources": list(dict.fromkeys(each.source for each in (*card.people, *card.supplies, *card.routes, *card.other) if each.source)),
    }
    page = render_page(request, "embed.html", locale, framed=True, as_of=as_of, **context)
    if as_of is None:
        page.headers["Refresh"] = str(EMBED_REFRESH_SECONDS)
    return page


@router.get("/sign-in")
async def show_sign_in(request: Request, locale: LocalizationDep, ended: bool = False, first: bool = False, to: str = "") -> Response:
    """Show the form for a key, and why: a session `ended`, or there was none; `to` is the next page."""
    return sign_in_page(request, locale, to=to, ended=ended, first=first)


@router.post("/sign-in")
async def sign_in(request: Request, locale: LocalizationDep) -> Response:
    """Store a valid key in the session cookie; show the form again for any other. A form that was kept goes on to its page."""
    reject_cross_site(request)
    form = parse_qs((await read_body(request, MAX_FORM_BYTES)).decode("utf-8", "replace"))
    key, to, kept = (form.get(name, [""])[0].strip() for name in ("key", "to", "kept"))
    if not _KEY.fullmatch(key) or not await _is_valid(request, key):
        return await draw(sign_in_page, request, locale, 403, to=to, kept=kept)
    leads_on = DESK_PATH.fullmatch(to) is not None
    # With 307 the browser sends the form again.
    response = RedirectResponse(f"{root_path(request)}{to if leads_on else '/'}", 307 if kept and leads_on else 303, NOT_STORED)
    scheme = request.scope["scheme"]
    value = app_state(request).sessions.encrypt(key)
    response.set_cookie(session_cookie(scheme), value, path="/", secure=scheme == "https", httponly=True, samesite="strict")
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the reader's session."""
    reject_cross_site(request)
    await app_state(request).sessions.end(request.scope)
    return end_session(RedirectResponse(f"{root_path(request)}/", 303, NOT_STORED), request)


@router.get("/assets/{digest}/{name}")
async def get_asset(request: Request, digest: str, name: str) -> Response:
    """Return a style sheet, script or drawing; its URL has the digest of all of them, so it never changes."""
    if digest != DIGEST or name not in ASSETS:
        raise not_found("file")
    request_state(request.scope)["cacheable"] = True
    media_type, content = ASSETS[name]
    return Response(content, headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type=media_type)


async def _is_valid(request: Request, key: str) -> bool:
    try:
        await InProcessApiClient(request, key=key).get("/v1/ledger/head")
    except Problem as problem:
        if problem.status == 401:
            return False
        raise
    return True
