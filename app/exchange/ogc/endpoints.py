"""`/ogc`: OGC API - Features, Part 1: Core (OGC 17-069r4), so that QGIS, ArcGIS and dashboards connect with one address."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.access.dependencies import CallerDep, DatabaseDep, SettingsDep
from app.access.principal import Principal
from app.domain.times import end_of, normalise, start_of
from app.exchange.ogc.features import Features, Wanted
from app.http.content_negotiation import MEDIA_TYPES, Format
from app.http.cursors import Cursor
from app.http.openapi import NOT_MODIFIED, problem_responses
from app.http.problems import Problem, invalid_field, invalid_request, not_found
from app.http.query_params import PageCursor
from app.http.responses import REVISION_HEADER, next_url
from app.reference.geometry import BBox, parse_bbox
from app.storage.paging import current_revision

GEOJSON = MEDIA_TYPES[Format.GEOJSON]
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MOST = 1000
CONFORMANCE = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
]
COLLECTIONS = {
    "places": ("Places", "Places on their area or centroid: countries, administrative units, sites and informal areas."),
    "routes": ("Routes", "Routes on their line. Below the clearance `amber` it is rounded to 0.1 degree and `redacted` says so."),
    "indicators": ("Indicators", "The assessed readings: on their place, those of routes on the route."),
}


class OgcRoute(APIRoute):
    """Answers 400 to what is wrong with a request, unknown parameters included, as the standard wants it (7.15.1, 7.15.8)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise _as_400(invalid_request(error)) from None
            except Problem as problem:
                raise (_as_400(problem) if problem.status == 422 else problem) from None

        return handler


def _as_400(problem: Problem) -> Problem:
    return Problem(400, problem.detail, kind=problem.kind, title=problem.title, errors=problem.errors)


router = APIRouter(prefix="/ogc", tags=["OGC API - Features"], route_class=OgcRoute)
ERRORS = NOT_MODIFIED | problem_responses(400, 401, 404, 503)

CollectionPath = Annotated[str, Path(max_length=50, description="`places`, `routes` or `indicators`.", examples=["indicators"])]


def _answer(caller: Principal, content: dict[str, Any], media_type: str = "application/json", revision: int | None = None) -> Response:
    # Links are absolute, as clients expect them here, so an answer depends on the host that was asked too and is not kept.
    control = f"{'private' if caller.key_id is not None else 'public'}, no-cache"
    headers = {"Cache-Control": control} if revision is None else {"Cache-Control": control, REVISION_HEADER: str(revision)}
    return Response(orjson.dumps(content), headers=headers, media_type=media_type)


def _link(request: Request, path: str, rel: str, media_type: str, title: str | None = None) -> dict[str, str]:
    link = {"href": f"{str(request.base_url).rstrip('/')}{path}", "rel": rel, "type": media_type}
    return link if title is None else link | {"title": title}


@router.get("/", include_in_schema=False)
@router.get("", summary="OGC API - Features: where it begins", responses=ERRORS, response_model=dict[str, Any])
async def get_landing_page(request: Request, caller: CallerDep) -> Response:
    """The landing page: connect a GIS to this address."""
    links = [
        _link(request, "/ogc", "self", "application/json", "This document"),
        _link(request, "/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1", "The OpenAPI document"),
        _link(request, "/docs", "service-doc", "text/html", "Swagger UI"),
        _link(request, "/ogc/conformance", "conformance", "application/json", "What it conforms to"),
        _link(request, "/ogc/collections", "data", "application/json", "The collections"),
    ]
    return _answer(caller, {"title": "Lifeline", "description": "Places, routes and indicators of Lifeline.", "links": links})


@router.get("/conformance", summary="What it conforms to", responses=ERRORS, response_model=dict[str, Any])
async def get_conformance(caller: CallerDep) -> Response:
    """The conformance classes."""
    return _answer(caller, {"conformsTo": CONFORMANCE})


@router.get("/collections", summary="Which collections are there?", responses=ERRORS, response_model=dict[str, Any])
async def list_collections(request: Request, caller: CallerDep) -> Response:
    """The collections: places, routes, indicators."""
    links = [_link(request, "/ogc/collections", "self", "application/json")]
    return _answer(caller, {"links": links, "collections": [_collection(request, each) for each in COLLECTIONS]})


@router.get("/collections/{collection}", summary="One collection", responses=ERRORS, response_model=dict[str, Any])
async def get_collection(request: Request, caller: CallerDep, collection: CollectionPath) -> Response:
    """What one collection holds."""
    return _answer(caller, _collection(request, _known(collection)))


@router.get("/collections/{collection}/items", summary="Features of a collection", responses=ERRORS, response_model=dict[str, Any])
async def list_items(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    collection: CollectionPath,
    bbox: Annotated[
        str | None,
        Query(
            max_length=200,
            description="West, south, east, north in degrees (CRS84), with heights between them or without.",
            examples=["36,35,38,37"],
        ),
    ] = None,
    datetime_: Annotated[
        str | None,
        Query(
            alias="datetime",
            max_length=100,
            examples=["2016-07-25T00:00:00Z/.."],
            description="An instant `t` or an interval `t1/t2`, open at an end that is `..` or empty. An indicator's time is that of "
            "its newest standing statement; places and routes have none, and any time finds them.",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, description="Features a page; more than 1,000 is 1,000.")] = 100,
    cursor: PageCursor = None,
) -> Response:
    """A page of features as GeoJSON, in order of identifier; the link `next` leads on."""
    known = _known(collection)
    wanted = Wanted(_box(bbox), *_interval(datetime_))
    codec = Cursor(f"ogc/{known}", UUID)
    after = codec.decode(cursor)
    async with database.snapshot() as connection:
        features = Features(connection, caller.level, settings)
        found, last = await features.page(known, wanted, after=after, limit=min(limit, MOST))
        revision = await current_revision(connection, caller.level)
    here = f"/ogc/collections/{known}/items"
    own = f"{here}?{request.url.query}" if request.url.query else here
    links = [
        _link(request, own, "self", GEOJSON),
        _link(request, f"/v1/{known}.csv", "alternate", "text/csv", "All of it as a table"),
        _link(request, f"/ogc/collections/{known}", "collection", "application/json"),
    ]
    if last is not None:
        links.append(_link(request, next_url(request, codec.encode(last, revision)), "next", GEOJSON))
    content = {"type": "FeatureCollection", "links": links, "numberReturned": len(found), "features": found}
    return _answer(caller, content, GEOJSON, revision)


@router.get("/collections/{collection}/items/{feature}", summary="One feature", responses=ERRORS, response_model=dict[str, Any])
async def get_item(
    request: Request,
    caller: CallerDep,
    database: DatabaseDep,
    settings: SettingsDep,
    collection: CollectionPath,
    feature: Annotated[str, Path(max_length=50, description="The feature's `id`.", examples=["01900000-0000-702e-b881-6381f574fbf4"])],
) -> Response:
    """One feature by its identifier."""
    known = _known(collection)
    try:
        identifier = UUID(feature)
    except ValueError:
        raise not_found("feature") from None
    async with database.snapshot() as connection:
        found, _ = await Features(connection, caller.level, settings).page(known, Wanted(one=identifier), after=None, limit=1)
        revision = await current_revision(connection, caller.level)
    if not found:
        raise not_found("feature")
    links = [
        _link(request, f"/ogc/collections/{known}/items/{identifier}", "self", GEOJSON),
        _link(request, f"/ogc/collections/{known}", "collection", "application/json"),
    ]
    return _answer(caller, {**found[0], "links": links}, GEOJSON, revision)


def _known(collection: str) -> str:
    if collection not in COLLECTIONS:
        raise not_found("collection")
    return collection


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
            _link(request, f"/ogc/collections/{name}", "self", "application/json"),
            _link(request, f"/ogc/collections/{name}/items", "items", GEOJSON, title),
        ],
    }


def _box(bbox: str | None) -> BBox | None:
    if bbox is None:
        return None
    parts = bbox.split(",")
    return parse_bbox(",".join([*parts[:2], *parts[3:5]]) if len(parts) == 6 else bbox)


def _interval(text: str | None) -> tuple[datetime | None, datetime | None]:
    if text is None:
        return None, None
    start, slash, end = text.partition("/")
    try:
        if not slash:
            moment = normalise(text)
            return start_of(moment), end_of(moment)
        bounds = [None if part in ("", "..") else normalise(part) for part in (start, end)]
    except ValueError as error:
        raise invalid_field("?datetime", str(error)) from None
    earliest = None if bounds[0] is None else start_of(bounds[0])
    latest = None if bounds[1] is None else end_of(bounds[1])
    if earliest is not None and latest is not None and earliest > latest:
        raise invalid_field("?datetime", "the interval ends before it begins")
    return earliest, latest
