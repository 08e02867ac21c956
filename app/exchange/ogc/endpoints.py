"""`/ogc`: OGC API - Features, Part 1: Core (OGC 17-069r4), for QGIS, ArcGIS and dashboards."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator

from app.access.dependencies import CallerDep, DatabaseDep, get_caller
from app.domain.times import end_of, normalise, start_of
from app.domain.view import View
from app.exchange.ogc.features import FeatureQuery, FeatureReader
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.cursors import Cursor
from app.http.openapi import NOT_MODIFIED, Responses, problem_responses
from app.http.problems import Problem, invalid_field, invalid_request, not_found
from app.http.query_params import PageCursor
from app.http.responses import JSON, json_response, next_url
from app.reference.geometry import BBox, parse_bbox
from app.storage.paging import current_revision

GEOJSON = MEDIA_TYPES[Format.GEOJSON]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MAX_FEATURES = 1000
CONFORMANCE = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]
COLLECTIONS = {
    "places": ("Places", "Places on their area or centroid: countries, administrative units, sites and informal areas."),
    "routes": ("Routes", "Routes on their line; below the clearance `amber` it is rounded to 0.1 degree, and `redacted` is true."),
    "indicators": ("Indicators", "Assessments on their place, or on their route."),
}


class OgcRoute(APIRoute):
    """Answers 400, not 422, to invalid requests and unknown parameters, as the standard demands (7.15.1, 7.15.8)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of the base class."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestValidationError, Problem) as error:
                problem = error if isinstance(error, Problem) else invalid_request(error)
                if problem.status != 422:
                    raise
                raise Problem(400, problem.detail, kind=problem.kind, title=problem.title, errors=problem.errors) from None

        return handler


router = APIRouter(prefix="/ogc", tags=["OGC API - Features"], route_class=OgcRoute, dependencies=[Depends(get_caller)])
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
ERRORS = NOT_MODIFIED | problem_responses(400, 401, 404, 503)


def _get(path: str, summary: str, example: dict[str, Any]) -> Callable[[Endpoint], Endpoint]:
    responses: Responses = ERRORS | {200: {"content": {JSON: {"example": example}}}}
    return router.get(path, summary=summary, responses=responses, response_model=dict[str, Any])


def _check_collection(collection: str) -> str:
    if collection not in COLLECTIONS:
        raise not_found("collection")
    return collection


CollectionPath = Annotated[
    str, Path(max_length=50, description="`places`, `routes` or `indicators`.", examples=["indicators"]), AfterValidator(_check_collection)
]
_BBOX = "West, south, east, north in degrees (CRS84); with heights: west, south, lowest, east, north, highest."
_DATETIME = """A time `t` or an interval `t1/t2`; `..` or nothing leaves an end open. The time of an indicator is that of its preferred
report; indicators without one, places and routes have no time, and are always included."""
_COLLECTION_EXAMPLE = {"id": "places", "title": "Places", "itemType": "feature", "crs": [CRS84]}
_POINT_EXAMPLE = {"type": "Point", "coordinates": [37.19, 36.2]}
_FEATURE_EXAMPLE = {"type": "Feature", "id": "01900000", "geometry": _POINT_EXAMPLE, "properties": {"slug": "aleppo-east"}}


def _respond(request: Request, content: dict[str, Any], media_type: str = JSON, revision: int | None = None) -> Response:
    # Without the response cache, because absolute links depend on the host of the request.
    return json_response(request, orjson.dumps(content), cacheable=False, media_type=media_type, revision=revision)


def _link(request: Request, path: str, rel: str, media_type: str, title: str | None = None) -> dict[str, str]:
    link = {"href": f"{str(request.base_url).rstrip('/')}{path}", "rel": rel, "type": media_type}
    return link if title is None else link | {"title": title}


@router.get("/", include_in_schema=False)
@_get("", "Get the landing page of OGC API - Features", {"title": "Lifeline", "links": []})
async def get_landing_page(request: Request) -> Response:
    """Return the landing page, the address to connect a GIS to."""
    links = [
        _link(request, "/ogc", "self", JSON, "This document"),
        _link(request, "/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1", "The OpenAPI document"),
        _link(request, "/docs", "service-doc", "text/html", "Swagger UI"),
        _link(request, "/ogc/conformance", "conformance", JSON, "Conformance classes"),
        _link(request, "/ogc/collections", "data", JSON, "Collections"),
    ]
    return _respond(request, {"title": "Lifeline", "description": "Places, routes and indicators of Lifeline.", "links": links})


@_get("/conformance", "Get the conformance classes", {"conformsTo": CONFORMANCE[:1]})
async def get_conformance(request: Request) -> Response:
    """Return the conformance classes of OGC API that this service implements."""
    return _respond(request, {"conformsTo": CONFORMANCE})


@_get("/collections", "List collections", {"links": [], "collections": [_COLLECTION_EXAMPLE]})
async def list_collections(request: Request) -> Response:
    """List the collections: places, routes and indicators."""
    links = [_link(request, "/ogc/collections", "self", JSON)]
    return _respond(request, {"links": links, "collections": [_collection(request, each) for each in COLLECTIONS]})


@_get("/collections/{collection}", "Get a collection", _COLLECTION_EXAMPLE)
async def get_collection(request: Request, collection: CollectionPath) -> Response:
    """Return title, description, extent and links of a collection."""
    return _respond(request, _collection(request, collection))


@_get(
    "/collections/{collection}/items",
    "List features of a collection",
    {"type": "FeatureCollection", "links": [], "numberReturned": 1, "features": [_FEATURE_EXAMPLE]},
)
async def list_features(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    collection: CollectionPath,
    bbox: Annotated[str | None, Query(max_length=200, examples=["36,35,38,37"], description=_BBOX)] = None,
    datetime_: Annotated[
        str | None, Query(alias="datetime", max_length=100, examples=["2016-07-25T00:00:00Z/.."], description=_DATETIME)
    ] = None,
    limit: Annotated[int, Query(ge=1, description="Features a page; values above 1,000 count as 1,000.")] = 100,
    cursor: PageCursor = None,
) -> Response:
    """List features as GeoJSON, in the order of identifiers; the link `next` leads to the next page."""
    query = FeatureQuery(_parse_bbox(bbox), *_parse_interval(datetime_))
    codec = Cursor(f"ogc/{collection}", UUID)
    after = codec.decode(cursor)
    async with database.snapshot() as connection:
        reader = FeatureReader(connection, View(caller.level))
        features, last = await reader.page(collection, query, after=after, limit=min(limit, MAX_FEATURES))
        revision = await current_revision(connection, caller.level)
    path = f"/ogc/collections/{collection}"
    links = [
        _link(request, f"{path}/items?{request.url.query}".rstrip("?"), "self", GEOJSON),
        _link(request, f"/v1/{collection}.csv", "alternate", "text/csv", "The whole collection as CSV"),
        _link(request, path, "collection", JSON),
    ]
    if last is not None:
        links.append(_link(request, next_url(request, codec.encode(last, revision)), "next", GEOJSON))
    content = {"type": "FeatureCollection", "links": links, "numberReturned": len(features), "features": features}
    return _respond(request, content, GEOJSON, revision)


@_get("/collections/{collection}/items/{feature}", "Get a feature", _FEATURE_EXAMPLE)
async def get_feature(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    collection: CollectionPath,
    feature: Annotated[str, Path(max_length=50, description="`id` of the feature.", examples=["01900000-0000-702e-b881-6381f574fbf4"])],
) -> Response:
    """Return a feature as GeoJSON."""
    try:
        query = FeatureQuery(feature_id=UUID(feature))
    except ValueError:
        raise not_found("feature") from None
    async with database.snapshot() as connection:
        reader = FeatureReader(connection, View(caller.level))
        found, _ = await reader.page(collection, query, after=None, limit=1)
        revision = await current_revision(connection, caller.level)
    if not found:
        raise not_found("feature")
    path = f"/ogc/collections/{collection}"
    links = [_link(request, f"{path}/items/{found[0]['id']}", "self", GEOJSON), _link(request, path, "collection", JSON)]
    return _respond(request, {**found[0], "links": links}, GEOJSON, revision)


def _collection(request: Request, name: str) -> dict[str, Any]:
    title, description = COLLECTIONS[name]
    return {
        "id": name,
        "title": title,
        "description": description,
        "itemType": "feature",
        "crs": [CRS84],
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]], "crs": CRS84}},
        "links": [
            _link(request, f"/ogc/collections/{name}", "self", JSON),
            _link(request, f"/ogc/collections/{name}/items", "items", GEOJSON, title),
        ],
    }


def _parse_bbox(bbox: str | None) -> BBox | None:
    if bbox is None:
        return None
    parts = bbox.split(",")
    return parse_bbox(",".join([*parts[:2], *parts[3:5]]) if len(parts) == 6 else bbox)


def _parse_interval(text: str | None) -> tuple[datetime | None, datetime | None]:
    if text is None:
        return None, None
    start, slash, end = text.partition("/")
    try:
        bounds = [None if each in ("", "..") else normalise(each) for each in (start, end)] if slash else [normalise(text)] * 2
    except ValueError as error:
        raise invalid_field("?datetime", str(error)) from None
    earliest = None if bounds[0] is None else start_of(bounds[0])
    latest = None if bounds[1] is None else end_of(bounds[1])
    if earliest is not None and latest is not None and earliest > latest:
        raise invalid_field("?datetime", "the interval must not end before it begins")
    return earliest, latest
