"""Names of places, sources and routes in the language of `lang`."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Query
from pydantic import AfterValidator
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.domain.time_point import LATEST, TimePoint
from app.reference.models import Place, Route, Source
from app.reference.schemas import known_language
from app.reference.versions import past_records

Lang = Annotated[
    Annotated[str, AfterValidator(known_language)] | None,
    Query(description="Language (BCP 47) of names, such as `ar`, where they have one; else they are as recorded.", examples=["ar"]),
]
# The type of the records that documents name in these fields.
_TYPES = {"place": "place", "source": "source", "origin": "source", "via": "source"}


def in_language(name: str, names: Mapping[str, str], lang: str | None) -> str:
    """Return the name in a language, or in the language without its script and region, else the name as recorded."""
    return name if lang is None else names.get(lang, names.get(lang.partition("-")[0], name))


async def localise(connection: AsyncConnection, documents: Sequence[str], lang: str | None, time_point: TimePoint = LATEST) -> list[str]:
    """Return JSON documents with the names of places and sources in a language, as they were known at a time point."""
    if lang is None:
        return list(documents)
    parsed = [orjson.loads(each) for each in documents]
    named = [each for document in parsed for each in _named(document, "")]
    for model in (Place, Source):
        nodes = [node for each, node in named if each == model.__tablename__]
        names = await names_by_slug(connection, model, {node["slug"] for node in nodes}, time_point)
        for node in nodes:
            node["name"] = in_language(node["name"], names.get(node["slug"], {}), lang)
    return [orjson.dumps(each).decode() for each in parsed]


async def names_by_slug(
    connection: AsyncConnection, model: type[Place] | type[Source], slugs: Collection[str], time_point: TimePoint = LATEST
) -> dict[str, Mapping[str, str]]:
    """Return the names by language of places or sources, as they were known at a time point."""
    # The slug of a protected source that a low clearance sees is in no row, so it gets no other name.
    rows = select(col(model.id), col(model.slug), col(model.names)).where(col(model.slug).in_(slugs))
    found = (await connection.execute(rows)).all() if slugs else []
    then = await past_records(connection, model.__tablename__, time_point, [row.id for row in found])
    return {row.slug: then[row.id]["names"] if row.id in then else row.names for row in found}


async def load_names(
    connection: AsyncConnection, slugs: Mapping[str, Collection[str]], lang: str | None, time_point: TimePoint = LATEST
) -> dict[tuple[str, str], str]:
    """Return the names of records, by type and slug, in a language, as they were known at a time point.

    Sources and places are left out that have no name in the language. `slugs` has those to look up by type: `place`, `source`, `route`.
    """
    found: dict[tuple[str, str], str] = {}
    models: tuple[type[Place] | type[Source], ...] = (Place, Source) if lang is not None else ()
    for model in models:
        names = await names_by_slug(connection, model, slugs.get(model.__tablename__, ()), time_point)
        found |= {(model.__tablename__, slug): name for slug, each in names.items() if (name := in_language("", each, lang))}
    if routes := slugs.get("route"):
        wanted = select(col(Route.id), col(Route.slug), col(Route.name), col(Route.names)).where(col(Route.slug).in_(routes))
        rows = (await connection.execute(wanted)).all()
        then = await past_records(connection, "route", time_point, [row.id for row in rows])
        for row in rows:
            known = then.get(row.id, {"name": row.name, "names": row.names})
            found["route", row.slug] = in_language(known["name"], known["names"], lang)
    return found


def _named(node: Any, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if field in _TYPES and node.keys() >= {"slug", "name"}:
            yield _TYPES[field], node
        for name, child in node.items():
            yield from _named(child, name)
    elif isinstance(node, list):
        for child in node:
            yield from _named(child, field)
