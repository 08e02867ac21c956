"""Features for OGC API - Features: places, routes and indicators looked up by box and time, as a clearance may know them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.inputs import horizon_of
from app.assessment.models import IndicatorProjection
from app.domain.kinds import KINDS
from app.exchange.exports.geojson import feature
from app.exchange.exports.streaming import attach_geometries, own_geometry
from app.exchange.exports.tables import TABLES
from app.indicators.queries import revision_for, visible_at
from app.reference.bodies import load_reference_page
from app.reference.geometry import BBox, bbox_of, intersects
from app.reference.models import Place, Route
from app.reference.queries import places_in_box
from app.settings import Settings
from app.storage.paging import fetch_page

STEP = 1000
# Kinds whose indicators lie on a route rather than on their place.
_ON_ROUTES = sorted(name for name, kind in KINDS.items() if kind.references.get(kind.filter_field) == "route")

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which features are wanted: those that meet a box, and those whose time falls between two instants; None for no bound."""

    bbox: BBox | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    one: UUID | None = None


class Features:
    """The features of one request, as a clearance may know them."""

    def __init__(self, connection: AsyncConnection, level: int, settings: Settings) -> None:
        self._connection = connection
        self._level = level
        self._settings = settings

    async def page(self, collection: str, wanted: Wanted, *, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        """A page of a collection in order of identifier, and the last identifier when there are more.

        Places and routes have no time, so that any time finds them (OGC 17-069r4, 7.15.4).
        """
        if collection == "indicators":
            return await self._indicators(wanted, after, limit)
        if collection == "routes":
            return await self._routes(wanted, after, limit)
        where = [] if wanted.one is None else [col(Place.id) == wanted.one]
        if wanted.bbox is not None:
            where.append(col(Place.id).in_(places_in_box(_text(wanted.bbox))))
        items, last, _ = await load_reference_page(self._connection, Place, where, after=after, limit=limit, level=self._level)
        return [feature(TABLES["places"].columns, each, own_geometry(each)) for each in items], last

    async def _routes(self, wanted: Wanted, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        found: list[Feature] = []
        where = [] if wanted.one is None else [col(Route.id) == wanted.one]
        while True:
            items, last, _ = await load_reference_page(self._connection, Route, where, after=after, limit=STEP, level=self._level)
            for each in items:
                if _meets(each["geometry"], wanted.bbox):
                    if len(found) == limit:
                        return found, after
                    found.append(feature(TABLES["routes"].columns, each, own_geometry(each)))
                after = UUID(each["id"])
            if last is None:
                return found, None

    async def _indicators(self, wanted: Wanted, after: UUID | None, limit: int) -> tuple[list[Feature], UUID | None]:
        where = [*visible_at(self._level), *self._between(wanted)]
        if wanted.one is not None:
            where.append(col(IndicatorProjection.indicator_id) == wanted.one)
        if wanted.bbox is not None:
            where.append(await self._within(wanted.bbox))
        statement = select(col(IndicatorProjection.indicator_id), col(IndicatorProjection.document), revision_for(self._level)).where(
            *where
        )
        rows, last, _ = await fetch_page(self._connection, statement, key="indicator_id", after=after, limit=limit, level=self._level)
        documents = [with_revision(row["document"], row["revision"]) for row in rows]
        located = await attach_geometries(self._connection, "indicators", documents, self._level)
        columns = TABLES["indicators"].columns
        return [feature(columns, orjson.loads(each), at) for each, at in zip(documents, located, strict=True)], last

    def _between(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        """An indicator's time is its newest standing statement's, which is `stale_after` less the kind's horizon."""
        if wanted.earliest is None and wanted.latest is None:
            return []
        any_kind: list[ColumnElement[bool]] = [col(IndicatorProjection.stale_after).is_(None)]
        for name in KINDS:
            horizon = horizon_of(name, self._settings)
            bounds = [col(IndicatorProjection.kind) == name]
            if wanted.earliest is not None:
                bounds.append(col(IndicatorProjection.stale_after) >= _later(wanted.earliest, horizon))
            if wanted.latest is not None:
                bounds.append(col(IndicatorProjection.stale_after) <= _later(wanted.latest, horizon))
            any_kind.append(and_(*bounds))
        return [or_(*any_kind)]

    async def _within(self, bbox: BBox) -> ColumnElement[bool]:
        """Where the geometry that is served meets a box: of a route as this clearance may know it, so that a box tells no more."""
        places = col(IndicatorProjection.place_id).in_(places_in_box(_text(bbox)))
        if not _ON_ROUTES:
            return places
        lines: dict[str, bool] = {}
        after: UUID | None = None
        while True:
            items, after, _ = await load_reference_page(self._connection, Route, [], after=after, limit=STEP, level=self._level)
            lines |= {each["slug"]: _meets(each["geometry"], bbox) for each in items if each["geometry"] is not None}
            if after is None:
                break
        on_route = col(IndicatorProjection.kind).in_(_ON_ROUTES) & col(IndicatorProjection.filter_key).in_(list(lines))
        return or_(
            on_route & col(IndicatorProjection.filter_key).in_([slug for slug, meets in lines.items() if meets]),
            ~on_route & places,
        )


def _later(moment: datetime, horizon: timedelta) -> datetime:
    try:
        later: datetime = moment + horizon
    except OverflowError:
        return datetime.max.replace(tzinfo=moment.tzinfo)
    return later


def _text(bbox: BBox) -> str:
    return ",".join(repr(each) for each in bbox)


def _meets(geometry: dict[str, Any] | None, bbox: BBox | None) -> bool:
    return bbox is None or (geometry is not None and intersects(bbox_of(geometry), bbox))
