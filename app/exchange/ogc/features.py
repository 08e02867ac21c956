"""Read places, routes and indicators as features, filtered by bounding box and time, as a clearance may see them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.models import IndicatorProjection
from app.domain.kinds import KINDS
from app.domain.view import View
from app.exchange.exports.geojson import feature
from app.exchange.exports.streaming import attach_geometries, own_geometry
from app.exchange.exports.tables import TABLES
from app.indicators.queries import revision_for, visible_at
from app.reference.bodies import load_reference_page
from app.reference.geometry import BBox, bbox_of, intersects
from app.reference.models import Place, Route
from app.reference.queries import places_in_box
from app.storage.paging import fetch_page

BATCH_SIZE = 1000
# Kinds whose indicators have the geometry of a route, not of their place.
_ROUTE_KINDS = sorted(name for name, kind in KINDS.items() if kind.references.get(kind.filter_field) == "route")

_MIN_TIME, _MAX_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FeatureQuery:
    """Filters on features; None for no filter. Both ends of the time range are included."""

    bbox: BBox | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    feature_id: UUID | None = None


class FeatureReader:
    """Reads the features of one request."""

    def __init__(self, connection: AsyncConnection, view: View) -> None:
        self._connection = connection
        self._level = view.level

    async def page(self, collection: str, query: FeatureQuery, *, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        """Return a page of a collection in the order of identifiers, and the last identifier if there are more.

        Places and routes have no time, so every time range includes them (OGC 17-069r4, 7.15.4).
        """
        if collection == "indicators":
            return await self._indicators(query, after, limit)
        if collection == "routes":
            return await self._routes(query, after, limit)
        where = [] if query.feature_id is None else [col(Place.id) == query.feature_id]
        if query.bbox is not None:
            where.append(col(Place.id).in_(places_in_box(query.bbox)))
        items, last, _ = await load_reference_page(self._connection, Place, where, after=after, limit=limit, level=self._level)
        return [feature(TABLES["places"], each, own_geometry(each)) for each in items], last

    async def _routes(self, query: FeatureQuery, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        found: list[dict[str, Any]] = []
        async for route in self._each_route([] if query.feature_id is None else [col(Route.id) == query.feature_id], after):
            if query.bbox is None or _intersects(route, query.bbox):
                found.append(route)
            if len(found) > limit:
                break
        features = [feature(TABLES["routes"], each, own_geometry(each)) for each in found[:limit]]
        return features, UUID(found[limit - 1]["id"]) if len(found) > limit else None

    async def _each_route(self, where: list[ColumnElement[bool]], after: UUID | None = None) -> AsyncIterator[dict[str, Any]]:
        while True:
            routes, after, _ = await load_reference_page(self._connection, Route, where, after=after, limit=BATCH_SIZE, level=self._level)
            for route in routes:
                yield route
            if after is None:
                return

    async def _indicators(self, query: FeatureQuery, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        # As in /v1/indicators, because the links of the collection name that list as its alternative.
        where = [*visible_at(self._level), col(IndicatorProjection.agreement).is_not(None), *self._in_time_range(query)]
        if query.feature_id is not None:
            where.append(col(IndicatorProjection.indicator_id) == query.feature_id)
        if query.bbox is not None:
            where.append(await self._in_bbox(query.bbox))
        columns = col(IndicatorProjection.indicator_id), col(IndicatorProjection.document), revision_for(self._level)
        statement = select(*columns).where(*where)
        rows, last, _ = await fetch_page(self._connection, statement, key="indicator_id", after=after, limit=limit, level=self._level)
        documents = [with_revision(row["document"], row["revision"]) for row in rows]
        geometries = await attach_geometries(self._connection, "indicators", documents, self._level)
        table = TABLES["indicators"]
        return [feature(table, orjson.loads(each), geometry) for each, geometry in zip(documents, geometries, strict=True)], last

    def _in_time_range(self, query: FeatureQuery) -> list[ColumnElement[bool]]:
        """Return the condition on the time of the preferred report; an indicator without one has no time."""
        if query.earliest is None and query.latest is None:
            return []
        stated_at = col(IndicatorProjection.stated_at)
        return [or_(stated_at.is_(None), stated_at.between(query.earliest or _MIN_TIME, query.latest or _MAX_TIME))]

    async def _in_bbox(self, bbox: BBox) -> ColumnElement[bool]:
        """Return the condition on the served geometry: a coarse route is compared as it is served, so that a box reveals no more."""
        place_in_bbox = col(IndicatorProjection.place_id).in_(places_in_box(bbox))
        if not _ROUTE_KINDS:
            return place_in_bbox
        slug = col(IndicatorProjection.filter_key)
        inside = {route["slug"]: _intersects(route, bbox) async for route in self._each_route([]) if route["geometry"] is not None}
        has_route = col(IndicatorProjection.kind).in_(_ROUTE_KINDS) & slug.in_(list(inside))
        route_in_bbox = slug.in_([each for each, found in inside.items() if found])
        return or_(has_route & route_in_bbox, ~has_route & place_in_bbox)


def _intersects(route: dict[str, Any], bbox: BBox) -> bool:
    return route["geometry"] is not None and intersects(bbox_of(route["geometry"]), bbox)
