"""Lists as they leave: a page of JSON, or what the reader asked for instead, made from the same pages."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, TypeVar

from fastapi import Query, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from app.http.content_negotiation import MEDIA_TYPES, Format, parse_accept
from app.http.openapi import Responses, problems
from app.http.problems import FieldProblem, Problem, invalid_field, not_found
from app.http.responses import page_response
from app.http.state import app_state

# The documents of a page as JSON, the cursor of the next page, and the head of the ledger for the reader.
Page = tuple[Sequence[str], str | None, int]

Item = TypeVar("Item")


class ListEnvelope(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item] = Field(description="The records of this page.")
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    as_of: str | None = Field(description="The `as_of` of the request; null without one.")
    revision: int = Field(description="Head of the ledger as this caller sees it, in the state that the page was read from.")


class CurrentListEnvelope(ListEnvelope[Item], Generic[Item]):
    """A page of a list that shows the present only."""

    as_of: None = Field(default=None, description="Always null: this list shows the present only.")


# Lists whose rows have a place on the map, and those that have none.
GEOGRAPHIC_FORMATS = (Format.JSON, Format.CSV, Format.GEOJSON, Format.XLSX, Format.NDJSON)
TABULAR_FORMATS = (Format.JSON, Format.CSV, Format.XLSX, Format.NDJSON)

SUFFIX = ".{suffix}"


def _parameter(offered: Sequence[Format]) -> Any:
    schema = {"type": "string", "enum": [each.value for each in offered]}
    description = "In place of `Accept`; also as a suffix, such as `.csv`. All but `json` hold the whole selection unless `limit` is given."
    return Annotated[str | None, Query(max_length=32, description=description), WithJsonSchema(schema)]


GeographicFormat = _parameter(GEOGRAPHIC_FORMATS)
TabularFormat = _parameter(TABULAR_FORMATS)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A selection of rows, fetched page by page in a stable order.

    `rows` names what the rows are and `kind` the kind that they are all of; `fetch` takes a cursor or None, and a limit.
    `level` is the reader's clearance, 0 to 4; `private` whether the answer depends on the key that was sent; `cursor` the name of the
    parameter that takes the next page's cursor.
    """

    rows: str
    fetch: Callable[[str | None, int], Awaitable[Page]]
    level: int
    private: bool
    kind: str | None = None
    as_of: str | None = None
    cursor: str = "cursor"


class ListExporter(Protocol):
    """Answers a list in a format other than JSON. `limit` is None for the whole selection."""

    async def __call__(self, request: Request, listing: ListQuery, format_: Format, *, cursor: str | None, limit: int | None) -> Response:
        """The answer; errors of the first page are raised before it begins."""


def negotiate_format(request: Request, offered: Sequence[Format], given: str | None) -> Format:
    """The format of an answer: by the address's suffix, else `?format=`, else `Accept`; 406 for one that is not offered."""
    suffix = request.path_params.get("suffix")
    if suffix is not None:
        if suffix not in offered:
            raise not_found("format of this list")
        if given not in (None, suffix):
            raise invalid_field("?format", f"the address says {suffix}")
        return Format(suffix)
    names = ", ".join(offered)
    if given is not None:
        if given not in offered:
            raise Problem(
                406, f"This is offered as {names}.", kind="format", errors=[FieldProblem(pointer="?format", detail="is not offered here")]
            )
        return Format(given)
    found = next((each for each in parse_accept(request.headers.get("accept", "").encode("latin-1")) if each in offered), None)
    if found is None:
        raise Problem(406, f"This is offered as {names}; ask for one of them in Accept or by ?format=.", kind="format")
    return found


async def list_response(request: Request, listing: ListQuery, format_: Format, *, cursor: str | None, limit: int) -> Response:
    """A list in the format chosen. JSON is one page; other formats are the whole selection unless a page is asked for."""
    if format_ is not Format.JSON:
        paged = "limit" in request.query_params or cursor is not None
        return await app_state(request).exporter(request, listing, format_, cursor=cursor, limit=limit if paged else None)
    items, following, revision = await listing.fetch(cursor, limit)
    return page_response(request, items, next_cursor=following, as_of=listing.as_of, revision=revision, private=listing.private)


def format_responses(offered: Sequence[Format]) -> Responses:
    """The documentation of a list's formats other than JSON, each with an example, and of 406."""
    content = {
        MEDIA_TYPES[each].partition(";")[0]: {"schema": _SCHEMAS[each], **({"example": _EXAMPLES[each]} if each in _EXAMPLES else {})}
        for each in offered
        if each is not Format.JSON
    }
    return {200: {"content": content}, **problems(406)}


_SCHEMAS: dict[Format, dict[str, Any]] = {
    Format.GEOJSON: {"type": "object", "description": "A FeatureCollection (RFC 7946); properties are named as the columns of CSV."},
    Format.CSV: {"type": "string", "description": "Headers, HXL 1.1 hashtags, then one row a record."},
    Format.XLSX: {"type": "string", "contentMediaType": MEDIA_TYPES[Format.XLSX], "description": "The same as a workbook."},
    Format.NDJSON: {"type": "string", "description": "One JSON document a line, as in `items`."},
}
_EXAMPLES: dict[Format, Any] = {
    Format.GEOJSON: {
        "type": "FeatureCollection",
        "as_of": None,
        "revision": 12,
        "features": [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [37.18, 36.2]}, "properties": {"place.name": "Eastern Aleppo"}}
        ],
    },
    Format.CSV: "kind,place.name,value.people_low,value.people_high\r\n"
    "#indicator+type,#loc+name,#affected+trapped+min,#affected+trapped+max\r\n"
    "trapped_population,Eastern Aleppo,250000,300000\r\n",
    Format.NDJSON: '{"kind":"trapped_population","subject":"trapped"}\n{"kind":"supply_runout","subject":"food"}\n',
}
