"""Adds the places, sources and routes of another Lifeline with their identifiers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.http.problems import FieldProblem, Problem, field_problems
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.service import add_places, add_route, add_source

# Fields that a service adds to what was sent.
_ADDED = frozenset({"record", "id", "redacted", "links", "first_reliability"})
_SCHEMAS: dict[str, type[PlaceIn | SourceIn | RouteIn]] = {"place": PlaceIn, "source": SourceIn, "route": RouteIn}

# A record as served or exported, with its type, which is a key of MODELS.
TypedRecord = tuple[str, Mapping[str, Any]]


class _Served(BaseModel):
    id: UUID
    redacted: list[str] = []


def parse_reference(type_: str, record: Mapping[str, Any]) -> tuple[PlaceIn | SourceIn | RouteIn, UUID] | list[FieldProblem]:
    """Return a record as it was sent, with its identifier, or what is wrong with it by itself."""
    body = {name: value for name, value in record.items() if name not in _ADDED and value is not None}
    try:
        served = _Served.model_validate(record)
        if "slug" in served.redacted:
            # A protected source: its slug here is its alias already.
            body.pop("alias", None)
        if record.get("first_reliability"):
            # Later grades are entries of the ledger.
            body["reliability"] = record["first_reliability"]
        return _SCHEMAS[type_].model_validate(body), served.id
    except ValidationError as error:
        return field_problems(error)


async def add_reference(session: AsyncSession, records: Sequence[TypedRecord]) -> list[bool | FieldProblem]:
    """Add records, parents before their children; return for each True if added, False if its slug exists, or what is wrong."""
    results: dict[int, bool | FieldProblem] = {}
    places: dict[int, tuple[PlaceIn, UUID]] = {}
    others: dict[int, tuple[SourceIn | RouteIn, UUID]] = {}
    for at, (type_, record) in enumerate(records):
        parsed = parse_reference(type_, record)
        if isinstance(parsed, list):
            results[at] = parsed[0]
        elif isinstance(parsed[0], PlaceIn):
            places[at] = parsed[0], parsed[1]
        else:
            others[at] = parsed[0], parsed[1]
    results |= zip(places, await add_places(session, list(places.values())), strict=True)
    for at, (body, identifier) in others.items():
        try:
            if isinstance(body, SourceIn):
                await add_source(session, body, identifier)
            else:
                await add_route(session, body, identifier)
            results[at] = True
        except Problem:
            # The only one: its slug exists.
            results[at] = False
    return [results[at] for at in range(len(records))]
