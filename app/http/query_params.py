"""Query parameters: those that many endpoints share, and the refusal of those that an endpoint does not know."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.dependencies.utils import get_dependant
from pydantic import BaseModel

from app.domain.times import DateOrTime
from app.http.problems import FieldProblem, invalid, not_found

AsOf = Annotated[
    DateOrTime | None,
    Query(
        description="What was being said by then: statements made up to this time. A date is its end of day in UTC.",
        examples=["2016-08-20"],
    ),
]
KnownAt = Annotated[
    DateOrTime | None,
    Query(description="What this service had recorded by then. A date is its end of day in UTC."),
]
PageCursor = Annotated[str | None, Query(max_length=200, description="Where to go on: `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page.")]
PlaceFilter = Annotated[
    str | None,
    Query(
        max_length=100,
        description="Slug of a place, or `scheme:code` such as `pcode:SY02`; matching is exact.",
        examples=["aleppo-east"],
    ),
]
Within = Annotated[bool, Query(description="With `place`: its descendants too.")]
CountryFilter = Annotated[str | None, Query(pattern="^[A-Z]{3}$", description="ISO 3166-1 alpha-3.", examples=["SYR"])]
BoundingBox = Annotated[
    str | None,
    Query(max_length=100, description="west,south,east,north in degrees (RFC 7946); the place has to meet it.", examples=["36,35,38,37"]),
]


@lru_cache(maxsize=1024)
def _known_parameters(endpoint: Callable[..., Any]) -> frozenset[str]:
    names: set[str] = set()
    waiting = [get_dependant(path="", call=endpoint)]
    while waiting:
        dependant = waiting.pop()
        waiting.extend(dependant.dependencies)
        for field in dependant.query_params:
            annotation = field.field_info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                names.update(each.alias or name for name, each in annotation.model_fields.items())
            else:
                names.add(field.alias)
    return frozenset(names)


async def reject_unknown_parameters(request: Request) -> None:
    """A query parameter that the endpoint does not know is a 422, never ignored (contract, Reading); so is one given twice."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise not_found("record")
    given = request.query_params.multi_items()
    if not given:
        return
    known = _known_parameters(request.scope["endpoint"])
    names = [name for name, _ in given]
    wrong = [FieldProblem(pointer=f"?{name}", detail="unknown query parameter") for name in dict.fromkeys(names) if name not in known]
    wrong += [FieldProblem(pointer=f"?{name}", detail="a NUL character cannot be looked for") for name, value in given if "\0" in value]
    wrong += [FieldProblem(pointer=f"?{name}", detail="given more than once") for name in known if names.count(name) > 1]
    if wrong:
        raise invalid(wrong)
