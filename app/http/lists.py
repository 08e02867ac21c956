"""Lists: the envelope of a page, the formats of a list, and the choice between a page of JSON and an export."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypeAliasType

from app.domain.times import DateOrTime
from app.http.content_negotiation import MEDIA_TYPES, Format, parse_accept
from app.http.openapi import LIST_ERRORS, Responses, problem_responses
from app.http.problems import FieldProblem, Problem, invalid_field, not_found
from app.http.query_params import AsOf, CountryFilter, Hashtags, KnownAt, Limit, PageCursor, PlaceFilter, Within
from app.http.responses import page_response
from app.http.state import app_state

# JSON documents, cursor of the next page, head of the caller's ledger.
Page = tuple[Sequence[str], str | None, int]
Item = TypeVar("Item")

GEOGRAPHIC_FORMATS = (Format.JSON, Format.CSV, Format.GEOJSON, Format.XLSX, Format.NDJSON)
TABULAR_FORMATS = (Format.JSON, Format.CSV, Format.XLSX, Format.NDJSON)
SUFFIX = ".{suffix}"


class ListEnvelope(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item] = Field(description="The records of this page.")
    next: str | None = Field(description="Cursor of the next page; null on the last.")
    as_of: DateOrTime | None = Field(description="The `as_of` of the request; null without one, and for a list that has no `as_of`.")
    revision: int = Field(description="Head of the ledger as this caller sees it, in the state that the page was read from.")


def format_schema(offered: Sequence[Format]) -> WithJsonSchema:
    """Return the schema of `?format=` for the formats that are offered."""
    return WithJsonSchema({"type": "string", "enum": [each.value for each in offered]})


GeographicListFormat = TypeAliasType("GeographicListFormat", Annotated[str, format_schema(GEOGRAPHIC_FORMATS)])
TabularListFormat = TypeAliasType("TabularListFormat", Annotated[str, format_schema(TABULAR_FORMATS)])
_FORMAT = "Format, in place of `Accept`; also as a suffix, such as `.csv`. All but `json` hold the whole list unless `limit` is sent."
GeographicFormat = Annotated[GeographicListFormat | None, Query(max_length=32, description=_FORMAT)]
TabularFormat = Annotated[TabularListFormat | None, Query(max_length=32, description=_FORMAT)]


class ListFilters(BaseModel):
    """Parameters of most lists."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    place: PlaceFilter = None
    within: Within = False
    country: CountryFilter = None
    cursor: PageCursor = None
    limit: Limit = 100


class PastListFilters(ListFilters):
    """Parameters of lists that show the past too, in every format."""

    as_of: AsOf = None
    known_at: KnownAt = None
    format: GeographicFormat = None
    hxl: Hashtags = True


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The list that a request asks for, fetched page by page in a stable order.

    `collection` names the list; `kind` is that of all its records, if they have one. `fetch_page` takes a cursor or None, and a limit.
    `level` is the caller's clearance. `hxl`: tables have a row of hashtags.
    """

    collection: str
    fetch_page: Callable[[str | None, int], Awaitable[Page]]
    level: int
    kind: str | None = None
    as_of: str | None = None
    known_at: str | None = None
    cursor_parameter: str = "cursor"
    hxl: bool = True


# Answers a list in a format other than JSON, from a cursor on; a limit of None is the whole list.
ListExporter = Callable[[Request, ListQuery, Format, str | None, int | None], Awaitable[Response]]


def negotiate_format(request: Request, offered: Sequence[Format], requested: str | None) -> Format:
    """Return the format by the suffix of the path, else `?format=`, else `Accept`; 406 for one that is not offered."""
    suffix = request.path_params.get("suffix")
    if suffix not in (None, *offered):
        raise not_found("format of this list")
    if suffix is not None and requested not in (None, suffix):
        raise invalid_field("?format", f"must be {suffix}, as the suffix of the path, or absent")
    accepted = parse_accept(request.headers.get("accept", "").encode("latin-1"))
    chosen = suffix or requested or next((each for each in accepted if each in offered), None)
    if chosen not in offered:
        errors = [] if requested is None else [FieldProblem(pointer="?format", detail="is not offered here")]
        detail = f"This is offered as {', '.join(offered)}; ask for one of them in Accept or by ?format=."
        raise Problem(406, detail, kind="format", errors=errors)
    return Format(str(chosen))


async def list_response(request: Request, listing: ListQuery, format_: Format, *, cursor: str | None, limit: int) -> Response:
    """Return a list in a format: one page of JSON, or the whole list in another format unless the request asks for a page."""
    if format_ is not Format.JSON:
        paged = "limit" in request.query_params or cursor is not None
        return await app_state(request).exporter(request, listing, format_, cursor, limit if paged else None)
    items, next_cursor, revision = await listing.fetch_page(cursor, limit)
    return page_response(request, items, next_cursor=next_cursor, as_of=listing.as_of, revision=revision)


def format_responses(offered: Sequence[Format]) -> Responses:
    """Return the documentation of the formats of a list other than JSON, and of 406."""
    content = {MEDIA_TYPES[each].partition(";")[0]: _CONTENT[each] for each in offered if each is not Format.JSON}
    return {200: {"content": content}, **problem_responses(406)}


_FEATURE = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [37.18, 36.2]}, "properties": {"place.name": "Eastern Aleppo"}}
_CONTENT: dict[Format, dict[str, Any]] = {
    Format.GEOJSON: {
        "schema": {"type": "object", "description": "A FeatureCollection (RFC 7946); properties are named like the columns of CSV."},
        "example": {"type": "FeatureCollection", "as_of": None, "revision": 12, "features": [_FEATURE]},
    },
    Format.CSV: {
        "schema": {"type": "string", "description": "A row of headers, a row of HXL 1.1 hashtags, then one row for each record."},
        "example": "kind,place.name,value.people_low,value.people_high\r\n"
        "#indicator+type,#loc+name,#affected+trapped+min,#affected+trapped+max\r\n"
        "trapped_population,Eastern Aleppo,250000,300000\r\n",
    },
    Format.XLSX: {
        "schema": {"type": "string", "contentMediaType": MEDIA_TYPES[Format.XLSX], "description": "The rows of CSV as a workbook."},
    },
    Format.NDJSON: {
        "schema": {"type": "string", "description": "One JSON document a line, as in `items`."},
        "example": '{"kind":"trapped_population","subject":"trapped"}\n{"kind":"supply_runout","subject":"food"}\n',
    },
}
LIST_RESPONSES = LIST_ERRORS | format_responses(GEOGRAPHIC_FORMATS)
