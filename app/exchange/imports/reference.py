"""Places, sources and routes of another Lifeline added to this one, with their identifiers."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from app.http.problems import FieldProblem, field_problems
from app.reference.models import Place, Route, Source
from app.reference.queries import load_reference_record
from app.reference.schemas import PlaceIn, RouteIn, SourceIn
from app.reference.service import add_places, add_route, add_source

# What a service adds to what was sent.
_ADDED = frozenset({"record", "id", "redacted", "links", "first_reliability"})

MODELS: dict[str, type[BaseModel]] = {"place": PlaceIn, "source": SourceIn, "route": RouteIn}
TABLES: dict[str, type[Place] | type[Source] | type[Route]] = {"place": Place, "source": Source, "route": Route}
Served = Mapping[str, Any]


class _Served(BaseModel):
    id: UUID
    redacted: list[str] = []


def reference_body(served: Served) -> dict[str, Any]:
    """A record as it would be sent: a source with its first grade, since later ones are changes of the ledger."""
    body = {name: value for name, value in served.items() if name not in _ADDED and value is not None}
    if "slug" in served.get("redacted", ()):
        # It is protected, and shows there under the name that protects it.
        body.pop("alias", None)
    return body | {"reliability": served["first_reliability"]} if served.get("first_reliability") else body


def reference_errors(what: str, served: Served) -> list[FieldProblem]:
    """What is wrong with a record by itself; `what` is `place`, `source` or `route`."""
    try:
        _Served.model_validate(served)
        MODELS[what].model_validate(reference_body(served))
    except ValidationError as error:
        return field_problems(error)
    return []


async def add_reference(session: AsyncSession, records: Sequence[tuple[str, Served]]) -> list[bool | FieldProblem]:
    """Add records, each with what it is, parents before their children.

    Answers for each True where it was added, False where its slug is here already, else what is wrong.
    """
    answers: dict[int, bool | FieldProblem] = {}
    places = [at for at, (what, _) in enumerate(records) if what == "place"]
    sent = [(PlaceIn.model_validate(reference_body(records[at][1])), UUID(records[at][1]["id"])) for at in places]
    answers.update(zip(places, await add_places(session, sent), strict=True))
    for at, (what, served) in enumerate(records):
        if what == "place":
            continue
        model = TABLES[what]
        if await load_reference_record(await session.connection(), model, col(model.slug) == served["slug"], 0):
            answers[at] = False
        elif what == "source":
            await add_source(session, SourceIn.model_validate(reference_body(served)), UUID(served["id"]))
            answers[at] = True
        else:
            await add_route(session, RouteIn.model_validate(reference_body(served)), UUID(served["id"]))
            answers[at] = True
    return [answers[at] for at in range(len(records))]
