"""`/ogc`: OGC API - Features, Part 1: Core (OGC 17-069r4), for QGIS, ArcGIS and dashboards."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AfterValidator
from typing_extensions import TypeAliasType

from app.access.dependencies import CallerDep, DatabaseDep, get_caller
from app.domain.kinds import KINDS
from app.domain.times import end_of, normalise, rfc3339, start_of
from app.exchange.ogc.documents import CRS84, GEOJSON, GREGORIAN, OgcRoute, document_response, link
from app.exchange.ogc.features import COLLECTIONS, UNLOCATED, Collection, Extents, FeatureQuery, FeatureReader
from app.exchange.ogc.openapi30 import openapi30
from app.http.cursors import Cursor
from app.http.openapi import NOT_MODIFIED, Responses, problem_responses
from app.http.problems import invalid_field, not_found
from app.http.query_params import PageCursor
from app.http.responses import JSON, absolute_url, json_response, next_url
from app.http.state import app_state
from app.reference.bounding_box import BBox, parse_bbox
from app.reference.names import Lang
from app.storage.paging import current_revision

OPENAPI30 = "application/vnd.oai.openapi+json;version=3.0"
MAX_FEATURES = 1000
# The database skips the features before `startindex` one by one; the link `next` does not.
MAX_START_INDEX = 100_000
CONFORMANCE = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/html",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/html",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]
_TYPES = {"point": "points", "multipoint": "groups of points", "line": "lines", "polygon": "areas", UNLOCATED: "without a position"}
_BASES = {
    "places": ("Places", "places", "Countries, administrative units, sites and informal areas, on their area or centroid."),
    "routes": ("Routes", "routes", "Routes; below the clearance `amber` they are rounded to 0.1 degree, and `redacted` says so."),
} | {name: (kind.title, kind.collection, kind.description) for name, kind in KINDS.items()}


router = APIRouter(prefix="/ogc", tags=["OGC API - Features"], route_class=OgcRoute, dependencies=[Depends(get_caller)])
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
ERRORS = NOT_MODIFIED | problem_responses(400, 401, 404, 503)


def _get(path: str, summary: str, example: dict[str, Any], media_type: str = JSON) -> Callable[[Endpoint], Endpoint]:
    page = {
        "schema": {"type": "string", "description": "The same as a page for people."},
        "example": "<!doctype html><title>Lifeline</title>",
    }
    content = {media_type: {"schema": {"type": "object", "description": summary}, "example": example}, "text/html": page}
    responses: Responses = ERRORS | {200: {"content": content}}
    return router.get(path, summary=summary, responses=responses, response_class=Response)


def _check_collection(collection: str) -> str:
    if collection not in COLLECTIONS:
        raise not_found("collection")
    return collection


_COLLECTION = """`places`, `routes` or the name of a kind, then `_point`, `_multipoint`, `_line`, `_polygon`, or `_unlocated` for those
without a position."""
CollectionPath = Annotated[
    str, Path(max_length=100, description=_COLLECTION, examples=["trapped_population_point"]), AfterValidator(_check_collection)
]
OgcFormat = TypeAliasType("OgcFormat", Literal["json", "html"])
PageFormat = Annotated[
    OgcFormat | None, Query(description="`json` (GeoJSON for features), or `html`: a page for people. Default: by `Accept`.")
]
_BBOX = """West, south, east, north in degrees (CRS84); with heights: west, south, lowest, east, north, highest. West above east crosses the
antimeridian."""
_DATETIME = """A time `t` or an interval `t1/t2`; `..` or nothing leaves an end open. The time of an indicator is that of its preferred
report; indicators without one, places and routes have no time, and are always included."""
_CRS = f"Coordinate reference system: {CRS84} alone, longitude and latitude of WGS 84."
_START_INDEX = "Features to skip, for programs that page by it; the link `next` is quicker and misses nothing that is added meanwhile."
_COLLECTION_EXAMPLE = {"id": "places_point", "title": "Places: points", "itemType": "feature", "crs": [CRS84]}
_POINT_EXAMPLE = {"type": "Point", "coordinates": [37.19, 36.2]}
_FEATURE_EXAMPLE = {"type": "Feature", "id": "01900000", "geometry": _POINT_EXAMPLE, "properties": {"slug": "aleppo-east"}}


@router.get("/", include_in_schema=False)
@_get("", "Get the landing page of OGC API - Features", {"title": "Lifeline", "links": []})
async def get_landing_page(request: Request, f: PageFormat = None) -> Response:
    """Return the landing page, the address to connect a GIS to."""
    links = [
        link(request, "/ogc/api", "service-desc", OPENAPI30, "The OpenAPI 3.0 document of this part"),
        link(request, "/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1", "The OpenAPI 3.1 document"),
        link(request, "/docs", "service-doc", "text/html", "Swagger UI"),
        link(request, "/ogc/conformance", "conformance", JSON, "Conformance classes"),
        link(request, "/ogc/collections", "data", JSON, "Collections"),
    ]
    document = {"title": "Lifeline", "description": "Places, routes and indicators of Lifeline.", "links": links}
    return document_response(request, f, document)


@router.get("/api", include_in_schema=False)
async def get_openapi30(request: Request, f: PageFormat = None) -> Response:
    """Return the OpenAPI 3.0 document of `/ogc`, from which ArcGIS learns the greatest `limit`; as a page, lead to Swagger UI."""
    if f == "html":
        return Response(status_code=307, headers={"Location": "../docs", "Cache-Control": "no-cache"})
    document = openapi30(request.app.openapi(), "/ogc", absolute_url(request, ""), {"limit": MAX_FEATURES})
    cacheable = app_state(request).settings.public_url is not None
    return json_response(request, orjson.dumps(document), cacheable=cacheable, media_type=OPENAPI30)


@_get("/conformance", "Get the conformance classes", {"conformsTo": CONFORMANCE[:1]})
async def get_conformance(request: Request, f: PageFormat = None) -> Response:
    """Return the conformance classes of OGC API that this service implements."""
    return document_response(request, f, {"conformsTo": CONFORMANCE}, title="Conformance classes")


@_get("/collections", "List collections", {"links": [], "collections": [_COLLECTION_EXAMPLE]})
async def list_collections(request: Request, caller: CallerDep, database: DatabaseDep, f: PageFormat = None) -> Response:
    """List the collections that have a feature: one for each type of geometry of places, of routes and of each kind of indicator."""
    async with database.snapshot() as connection:
        extents = await FeatureReader(connection, caller.level).extents()
        revision = await current_revision(connection, caller.level)
    collections = [_collection(request, each, found) for each, found in extents.items()]
    return document_response(request, f, {"collections": collections}, revision=revision, title="Collections")


@_get("/collections/{collection}", "Get a collection", _COLLECTION_EXAMPLE)
async def get_collection(
    request: Request, caller: CallerDep, database: DatabaseDep, collection: CollectionPath, f: PageFormat = None
) -> Response:
    """Return title, description, extent and links of a collection; the extent is absent where no feature has a position or a time."""
    wanted = COLLECTIONS[collection]
    async with database.snapshot() as connection:
        extents = await FeatureReader(connection, caller.level).extents(wanted.base)
        revision = await current_revision(connection, caller.level)
    document = _collection(request, wanted, extents.get(wanted))
    return document_response(request, f, document, revision=revision, title=document["title"])


@_get(
    "/collections/{collection}/items",
    "List features of a collection",
    {"type": "FeatureCollection", "links": [], "numberMatched": 1, "numberReturned": 1, "features": [_FEATURE_EXAMPLE]},
    GEOJSON,
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
    startindex: Annotated[int, Query(ge=0, le=MAX_START_INDEX, description=_START_INDEX)] = 0,
    crs: Annotated[str | None, Query(max_length=200, description=_CRS)] = None,
    bbox_crs: Annotated[str | None, Query(alias="bbox-crs", max_length=200, description=_CRS)] = None,
    lang: Lang = None,
    f: PageFormat = None,
) -> Response:
    """List features as GeoJSON, in the order of identifiers, each with every column; the link `next` leads to the next page."""
    if wrong := [name for name, value in (("crs", crs), ("bbox-crs", bbox_crs)) if value not in (None, CRS84)]:
        raise invalid_field(f"?{wrong[0]}", f"must be {CRS84}, longitude and latitude of WGS 84: no other is offered")
    query, wanted = FeatureQuery(_parse_bbox(bbox), *_parse_interval(datetime_)), COLLECTIONS[collection]
    codec = Cursor(f"ogc/{collection}", UUID)
    after = codec.decode(cursor)
    if startindex and after is not None:
        raise invalid_field("?startindex", "must not be sent with a cursor, which names the position already")
    async with database.snapshot() as connection:
        reader = FeatureReader(connection, caller.level, lang)
        if startindex:
            after = await reader.identifier_before(wanted, query, startindex)
        features, last = (
            ([], None) if startindex and after is None else await reader.page(wanted, query, after=after, limit=min(limit, MAX_FEATURES))
        )
        matched = await reader.count(wanted, query)
        revision = await current_revision(connection, caller.level)
    title, alternative, _ = _BASES[wanted.base]
    path = f"/ogc/collections/{collection}"
    links = [
        link(request, f"/v1/{alternative}.csv", "alternate", "text/csv", f"{title} as CSV, of every type of geometry"),
        link(request, path, "collection", JSON, "The collection"),
    ]
    if last is not None:
        links.append(link(request, next_url(request, codec.encode(last, revision)), "next", GEOJSON, "Next page"))
    numbers = {"numberMatched": matched, "numberReturned": len(features)}
    content = {"type": "FeatureCollection", "links": links, **numbers, "features": features}
    return document_response(request, f, content, GEOJSON, revision, f"{title}: {_TYPES[wanted.type]}")


@_get("/collections/{collection}/items/{feature}", "Get a feature", _FEATURE_EXAMPLE, GEOJSON)
async def get_feature(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    collection: CollectionPath,
    feature: Annotated[str, Path(max_length=50, description="`id` of the feature.", examples=["01900000-0000-702e-b881-6381f574fbf4"])],
    lang: Lang = None,
    f: PageFormat = None,
) -> Response:
    """Return a feature as GeoJSON."""
    try:
        query = FeatureQuery(feature_id=UUID(feature))
    except ValueError:
        raise not_found("feature") from None
    async with database.snapshot() as connection:
        found, _ = await FeatureReader(connection, caller.level, lang).page(COLLECTIONS[collection], query)
        revision = await current_revision(connection, caller.level)
    if not found:
        raise not_found("feature")
    links = [link(request, f"/ogc/collections/{collection}", "collection", JSON, "The collection")]
    return document_response(request, f, {**found[0], "links": links}, GEOJSON, revision, found[0]["id"])


def _collection(request: Request, collection: Collection, extents: Extents | None) -> dict[str, Any]:
    title, alternative, description = _BASES[collection.base]
    extent: dict[str, Any] = {}
    if extents is not None and extents.bbox is not None:
        extent["spatial"] = {"bbox": [extents.bbox], "crs": CRS84}
    if extents is not None and extents.times is not None:
        extent["temporal"] = {"interval": [[rfc3339(each) for each in extents.times]], "trs": GREGORIAN}
    path = f"/ogc/collections/{collection.name}"
    return {
        "id": collection.name,
        "title": f"{title}: {_TYPES[collection.type]}",
        "description": description,
        "itemType": "feature",
        "crs": [CRS84],
        "storageCrs": CRS84,
        **({"extent": extent} if extent else {}),
        "links": [
            link(request, path, "self", JSON),
            link(request, f"{path}/items", "items", GEOJSON, "Features"),
            link(request, f"{path}/items?f=html", "items", "text/html", "Features as a page"),
            link(request, f"/v1/{alternative}.csv", "alternate", "text/csv", f"{title} as CSV, of every type of geometry"),
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
