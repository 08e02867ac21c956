"""Says what a request may have meant by an unknown place, source or route, as far as its caller may see them."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from fastapi import Request
from rapidfuzz import process
from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.access.dependencies import CallerDep, DatabaseDep, bearer, get_caller
from app.domain.countries import is_country
from app.domain.time_point import LATEST, TimePoint
from app.http.problems import FieldProblem, Model, Problem, invalid, validate_model
from app.http.request_body import json_body
from app.http.state import app_state, request_state
from app.reference.models import MODELS, Place, PlaceCode, Source
from app.reference.past_places import find_places_then
from app.reference.queries import UNKNOWN_PLACE, UNKNOWN_ROUTE, UNKNOWN_SOURCE, find_places, find_routes, find_sources
from app.reference.records import REVEAL_FROM

MAX_SUGGESTED_NAMES = 3
MIN_SIMILARITY_PERCENT = 70
# Names that one text is compared with, and texts of one request that get suggestions: each text takes up to 10 ms.
MAX_COMPARED_NAMES = 2_000
MAX_TEXTS = 5
MAX_COUNTRIES = 10
# Parameters that name a record, or the country of records.
FILTERS = (*MODELS, "country")

_UNKNOWN = {"place": UNKNOWN_PLACE, "source": UNKNOWN_SOURCE, "route": UNKNOWN_ROUTE}


def nearest(text: str, names: Mapping[str, str]) -> str:
    """Return the records most similar to a text by slug or name, as `slug (name), ...`; empty if none is similar."""
    scores: dict[str, float] = {}
    for choices in ({slug: slug for slug in names}, names):
        found = process.extract(text, choices, processor=str.casefold, limit=MAX_SUGGESTED_NAMES, score_cutoff=MIN_SIMILARITY_PERCENT)
        for _, score, slug in found:
            scores[slug] = max(score, scores.get(slug, 0))
    best = sorted(scores, key=lambda slug: (-scores[slug], slug))[:MAX_SUGGESTED_NAMES]
    return ", ".join(f"{slug} ({names[slug]})" for slug in best)


def select_names(type_: str, level: int) -> Select[str, str]:
    """Select slug and name of the records of a type whose names a clearance sees, in order of slug."""
    model = MODELS[type_]
    names = select(col(model.slug), col(model.name)).order_by(col(model.slug))
    # Below this clearance the real name of a protected source must not be found.
    return names.where(col(Source.alias_slug).is_(None)) if model is Source and level < REVEAL_FROM else names


async def schemes_of(connection: AsyncConnection, code: str) -> list[str]:
    """Return the schemes in which a text is the code of a place."""
    schemes = select(col(PlaceCode.scheme)).where(col(PlaceCode.code) == code).order_by(col(PlaceCode.scheme))
    return list((await connection.execute(schemes)).scalars())


async def describe_unknown(connection: AsyncConnection, type_: str, texts: Collection[str], level: int) -> dict[str, str]:
    """Return for each text that names no record of a type (a key of MODELS) what is wrong, with the nearest names."""
    details = dict.fromkeys(texts, _UNKNOWN[type_])
    for text in list(details)[:MAX_TEXTS]:
        if type_ == "place" and (schemes := await schemes_of(connection, text)):
            details[text] += f"; this is a code: {' or '.join(f'{scheme}:{text}' for scheme in schemes)}"
        elif near := nearest(text, await _candidates(connection, type_, text, level)):
            details[text] += f"; the nearest: {near}"
    return details


async def _candidates(connection: AsyncConnection, type_: str, text: str, level: int) -> dict[str, str]:
    scheme, colon, code = text.partition(":")
    if type_ == "place" and colon:
        codes = select(col(PlaceCode.code), col(Place.name)).join(Place, col(Place.id) == col(PlaceCode.place_id))
        codes = codes.where(col(PlaceCode.scheme) == scheme, col(PlaceCode.code).startswith(code[:1], autoescape=True))
        rows = await connection.execute(codes.order_by(col(PlaceCode.code)).limit(MAX_COMPARED_NAMES))
        return {f"{scheme}:{row[0]}": row[1] for row in rows}
    names = select_names(type_, level)
    # Of a large gazetteer, those with the same first letter.
    alike = names.where(col(MODELS[type_].slug).startswith(text[:1].casefold(), autoescape=True))
    found = _by_slug(await connection.execute(alike.limit(MAX_COMPARED_NAMES)))
    if len(found) < MAX_COMPARED_NAMES:
        found |= _by_slug(await connection.execute(names.limit(MAX_COMPARED_NAMES - len(found))))
    return found


def _by_slug(rows: Iterable[Row[str, str]]) -> dict[str, str]:
    return {row[0]: row[1] for row in rows}


async def unknown_texts(
    connection: AsyncConnection,
    named: Mapping[str, Collection[str]],
    level: int,
    organisation: str | None = None,
    time_point: TimePoint = LATEST,
) -> dict[tuple[str, str], str]:
    """Return what is wrong with the texts that name no place, source or route that the caller sees, by type and text."""
    places = named.get("place", ())
    then = {} if time_point == LATEST else await find_places_then(connection, places, time_point)
    found = {
        "place": (await find_places(connection, places)).keys() | then.keys(),
        "source": (await find_sources(connection, named.get("source", ()), level, organisation)).keys(),
        "route": await find_routes(connection, named.get("route", ())),
    }
    details: dict[tuple[str, str], str] = {}
    for type_, texts in named.items():
        if unknown := [text for text in dict.fromkeys(texts) if text not in found[type_]]:
            described = await describe_unknown(connection, type_, unknown, level)
            details |= {(type_, text): detail for text, detail in described.items()}
    return details


async def require_known_filters(connection: AsyncConnection, filters: Any, level: int, time_point: TimePoint = LATEST) -> None:
    """Raise 422 with the nearest names for filters whose place, source, route or country does not exist for the caller.

    `filters` has them by name or as attributes; a code of a place is one of now or of the time point. Lists call this when a page is
    empty, because no record fits a filter of something unknown; so a page with records costs nothing more.
    """
    get = filters.get if isinstance(filters, Mapping) else partial(getattr, filters)
    given = {name: text for name in FILTERS if (text := get(name, None)) is not None}
    if problems := await _filter_problems(connection, given, level, time_point):
        raise invalid(problems)


async def _filter_problems(
    connection: AsyncConnection, given: Mapping[str, str], level: int, time_point: TimePoint = LATEST
) -> list[FieldProblem]:
    named = {name: [text] for name, text in given.items() if name in MODELS}
    details = await unknown_texts(connection, named, level, time_point=time_point)
    problems = [FieldProblem(pointer=f"?{name}", detail=detail) for (name, _), detail in details.items()]
    return problems + await unknown_country(connection, "?country", given.get("country"))


async def unknown_country(connection: AsyncConnection, pointer: str, country: str | None) -> list[FieldProblem]:
    """Return what is wrong with a country in which no place is, unless it is one of ISO 3166-1."""
    if country is None or is_country(country):
        return []
    if (await connection.execute(select(col(Place.id)).where(col(Place.country) == country).limit(1))).first():
        return []
    countries: list[str] = []
    # One after the other by the index, because a gazetteer has many places of few countries.
    while len(countries) < MAX_COUNTRIES:
        next_one = select(func.min(col(Place.country))).where(col(Place.country) > (countries[-1] if countries else ""))
        if (found := (await connection.execute(next_one)).scalar()) is None:
            break
        countries.append(found)
    shown = " or ".join(countries) or "none yet"
    return [FieldProblem(pointer=pointer, detail=f"not a country of ISO 3166-1: use one that has places, {shown}")]


async def unknown_filters(request: Request, told: Collection[str]) -> list[FieldProblem]:
    """Return what else is unknown in the filters of a query that is invalid, beside the pointers that are told already."""
    given = {name: text for name, text in request.query_params.items() if name in FILTERS and f"?{name}" not in told}
    if not given or request.method not in ("GET", "HEAD"):
        return []
    state = app_state(request)
    try:
        known = request_state(request.scope).get("caller")
        caller = known or await get_caller(request, await bearer(request))
    except Problem:
        return []
    async with state.database.read() as connection:
        return await _filter_problems(connection, given, caller.level)


def body_in_place(model: type[Model], *fields: str) -> Callable[..., Awaitable[Model]]:
    """Return a dependency that reads a JSON body in which fields name places; 422 names every wrong field, unknown places too."""

    async def read(request: Request, caller: CallerDep, database: DatabaseDep) -> Model:
        content = await json_body(request)
        valid, problems = validate_model(model, content)
        if valid is not None:
            return valid
        for field in fields if isinstance(content, dict) else ():
            if isinstance(text := content.get(field), str) and all(each.pointer != f"/{field}" for each in problems):
                async with database.read() as connection:
                    problems += await unknown_place(connection, f"/{field}", text, caller.level)
        raise invalid(problems)

    return read


async def unknown_place(connection: AsyncConnection, pointer: str, text: str | None, level: int) -> list[FieldProblem]:
    """Return what is wrong with the name of a place, if it is one that does not exist."""
    details = {} if text is None else await unknown_texts(connection, {"place": [text]}, level)
    return [FieldProblem(pointer=pointer, detail=detail) for detail in details.values()]
