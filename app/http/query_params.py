"""Query parameters that several endpoints share, and the rejection of unknown ones."""

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.dependencies.utils import get_dependant, request_params_to_args
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel

from app.domain.folding import fold
from app.domain.kinds import KINDS
from app.domain.times import DateOrTime
from app.http.problems import FieldProblem, invalid, invalid_request, not_found, unknown_name

AsOf = Annotated[
    DateOrTime | None,
    Query(description="Only statements made up to this time; a date means its end in UTC.", examples=["2016-12-24"]),
]
KnownAt = Annotated[DateOrTime | None, Query(description="Only what this service had recorded by this time; a date means its end in UTC.")]
PageCursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before; without it, the first page.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of records in a page.")]
PlaceFilter = Annotated[
    str | None,
    Query(
        max_length=100,
        description="Only records of this place: its slug, or a code such as `pcode:SY02`. The match is exact.",
        examples=["aleppo-east"],
    ),
]
Within = Annotated[bool, Query(description="Whether `place` includes the places inside it.")]
CountryFilter = Annotated[
    str | None, Query(pattern="^[A-Z]{3}$", description="Only records of this country (ISO 3166-1 alpha-3).", examples=["SYR"])
]
Hashtags = Annotated[bool, Query(description="Whether CSV and XLSX have a row of HXL hashtags below the headers.")]
BoundingBox = Annotated[
    str | None,
    Query(
        max_length=100,
        description="Only records of places that intersect this box: west,south,east,north in degrees (RFC 7946).",
        examples=["36,35,38,37"],
    ),
]

# Filters by the columns of the rows that they filter.
_COLUMNS = {**{each.status_field: "status" for each in KINDS.values()}, "recorded_at": "updated_since", "stated_at": "as_of"}


def _has_words(text: str) -> str:
    if not fold(text):
        raise ValueError("send at least one letter or digit")
    return text


SearchWords = Annotated[
    Annotated[str, AfterValidator(_has_words)] | None,
    Query(
        max_length=100,
        description="Only records that have all of these words, or words that contain them, such as `castello`; case, accents and "
        "punctuation do not matter.",
    ),
]


async def reject_unknown_parameters(request: Request) -> None:
    """Reject a query parameter that the endpoint does not know or that is given twice (422)."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise not_found("record")
    given = request.query_params.multi_items()
    if not given:
        return
    fields, known = _query_fields(request.scope["endpoint"])
    names = [name for name, _ in given]
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    meant = {name: _COLUMNS[name] if _COLUMNS.get(name) in known else name for name in unknown}
    wrong = [FieldProblem(pointer=f"?{name}", detail=unknown_name("unknown query parameter", meant[name], known)) for name in unknown]
    wrong += [FieldProblem(pointer=f"?{name}", detail="must not contain a NUL character") for name, value in given if "\0" in value]
    wrong += [FieldProblem(pointer=f"?{name}", detail="must not be given more than once") for name in known if names.count(name) > 1]
    if wrong:
        told = {each.pointer for each in wrong}
        # The other errors, which FastAPI would tell in the next response.
        more = [error for field in fields for error in request_params_to_args([field], request.query_params)[1]]
        raise invalid([*wrong, *(each for each in invalid_request(RequestValidationError(more)).errors if each.pointer not in told)])


@lru_cache(maxsize=1024)
def _query_fields(endpoint: Callable[..., Any]) -> tuple[list[Any], dict[str, None]]:
    """Return the fields of the query, of which a model holds several parameters, and the names of all parameters."""
    fields: list[Any] = []
    names: dict[str, None] = {}
    waiting = [get_dependant(path="", call=endpoint)]
    while waiting:
        dependant = waiting.pop()
        waiting.extend(dependant.dependencies)
        fields += dependant.query_params
    for field in fields:
        annotation = field.field_info.annotation
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        names |= dict.fromkeys([each.alias or name for name, each in annotation.model_fields.items()] if is_model else [field.alias])
    return fields, names
