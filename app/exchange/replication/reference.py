"""Adds the places, sources and routes of another Lifeline with their identifiers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.http.problems import FieldProblem, field_problems
from app.reference.bodies import load_reference_record
from app.reference.models import MODELS
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


def _parse(type_: str, record: Mapping[str, Any]) -> tuple[PlaceIn | SourceIn | RouteIn, UUID]:
    served = _Served.model_validate(record)
    body = {name: value for name, value in record.items() if name not in _ADDED and value is not None}
    if "slug" in served.redacted:
        # A protected source: its slug here is its alias already.
        body.pop("alias", None)
    if record.get("first_reliability"):
        # Later grades are entries of the ledger.
        body["reliability"] = record["first_reliability"]
    return _SCHEMAS[type_].model_validate(body), served.id


def reference_errors(type_: str, record: Mapping[str, Any]) -> list[FieldProblem]:
    """Return what is wrong with a record by itself."""
    try:
        _parse(type_, record)
    except ValidationError as error:
        return field_problems(error)
    return []


async def add_reference(session: AsyncSession, records: Sequence[TypedRecord]) -> list[bool | FieldProblem]:
    """Add records, parents before their children; return for each True if added, False if its slug exists, or what is wrong."""
    results: dict[int, bool | FieldProblem] = {}
    places: dict[int, tuple[PlaceIn, UUID]] = {}
    others: dict[int, tuple[SourceIn | RouteIn, UUID]] = {}
    for at, (type_, record) in enumerate(records):
        try:
            body, identifier = _parse(type_, record)
        except ValidationError as error:
            results[at] = field_problems(error)[0]
        else:
            if isinstance(body, PlaceIn):
                places[at] = body, identifier
            else:
                others[at] = body, identifier
    results |= zip(places, await add_places(session, list(places.values())), strict=True)
    for at, (body, identifier) in others.items():
        model = MODELS[records[at][0]]
        results[at] = await load_reference_record(await session.connection(), model, col(model.slug) == body.slug, 0) is None
        if results[at] and isinstance(body, SourceIn):
            await add_source(session, body, identifier)
        elif results[at] and isinstance(body, RouteIn):
            await add_route(session, body, identifier)
    return [results[at] for at in range(len(records))]
