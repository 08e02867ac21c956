"""Read collections of features: those of one type of geometry of places, routes or the indicators of a kind, as a clearance sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, FromClause, and_, cast, false, func, literal, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped
from sqlmodel import col

from app.assessment.document import with_revision
from app.assessment.models import IndicatorProjection
from app.domain.kinds import KINDS
from app.exchange.exports.columns import Column
from app.exchange.exports.rendering import RowGeometry
from app.exchange.exports.streaming import ROUTE_FIELDS, attach_geometries, own_geometry
from app.exchange.exports.tables import PLACES, ROUTES, indicator_columns
from app.indicators.queries import revision_for, visible_at
from app.reference.bodies import load_reference_page
from app.reference.bounding_box import BBox
from app.reference.geometry import TYPES, by_type, narrowest
from app.reference.models import Extent, Place, Route
from app.reference.names import in_language, localise
from app.reference.queries import in_box
from app.storage.paging import fetch_page
from app.storage.types import table_of

UNLOCATED = "unlocated"
_REFERENCE: dict[str, tuple[type[Place] | type[Route], Sequence[Column]]] = {"places": (Place, PLACES), "routes": (Route, ROUTES)}
_COLUMNS: Mapping[str, Sequence[Column]] = {
    **{name: columns for name, (_, columns) in _REFERENCE.items()},
    **{name: indicator_columns([kind]) for name, kind in KINDS.items()},
}
_MIN_TIME, _MAX_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Feature = dict[str, Any]


class Collection(NamedTuple):
    """The features of `places`, `routes` or a kind that have a geometry of one type, or none."""

    base: str
    type: str

    @property
    def name(self) -> str:
        """The identifier on the wire, such as `places_point`."""
        return f"{self.base}_{self.type}"


COLLECTIONS = {each.name: each for base in _COLUMNS for type_ in (*TYPES, UNLOCATED) for each in [Collection(base, type_)]}


class Extents(NamedTuple):
    """The number of features of a collection, the bounding box of all, and the first and last time; None where they have none."""

    matched: int
    bbox: BBox | None
    times: tuple[datetime, datetime] | None


@dataclass(frozen=True, slots=True)
class FeatureQuery:
    """Filters on features; None for no filter. Both ends of the time range are included."""

    bbox: BBox | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    feature_id: UUID | None = None


class FeatureReader:
    """Reads the features of one request."""

    def __init__(self, connection: AsyncConnection, level: int, lang: str | None = None) -> None:
        self._connection = connection
        self._level = level
        self._lang = lang

    async def page(
        self, collection: Collection, query: FeatureQuery, *, after: UUID | None = None, limit: int = 1
    ) -> tuple[list[Feature], UUID | None]:
        """Return a page of a collection in the order of identifiers, and the last identifier if there are more."""
        source = self._source(collection.base)
        where = self._conditions(source, collection, query)
        if collection.base in _REFERENCE:
            model, _ = _REFERENCE[collection.base]
            records, last, _ = await load_reference_page(self._connection, model, where, after=after, limit=limit, level=self._level)
            records = [each | {"name": in_language(each["name"], each["names"], self._lang)} for each in records]
            geometries = [own_geometry(each) for each in records]
        else:
            columns = source.id, col(IndicatorProjection.document), revision_for(self._level)
            statement = select(*columns).select_from(source.table).where(*where)
            rows, last, _ = await fetch_page(self._connection, statement, key="indicator_id", after=after, limit=limit, level=self._level)
            documents = [with_revision(row["document"], row["revision"]) for row in rows]
            geometries = await attach_geometries(self._connection, "indicators", documents, self._level)
            records = [orjson.loads(each) for each in await localise(self._connection, documents, self._lang)]
        return [_feature(collection, *each) for each in zip(records, geometries, strict=True)], last

    async def count(self, collection: Collection, query: FeatureQuery) -> int:
        """Return the number of features that match."""
        source = self._source(collection.base)
        matching = select(func.count()).select_from(source.table).where(*self._conditions(source, collection, query))
        return (await self._connection.execute(matching)).scalar_one()

    async def identifier_before(self, collection: Collection, query: FeatureQuery, position: int) -> UUID | None:
        """Return the identifier of the feature before a position, counted from 0; None if there are fewer."""
        source = self._source(collection.base)
        matching = select(source.id).select_from(source.table).where(*self._conditions(source, collection, query))
        return (await self._connection.execute(matching.order_by(source.id).offset(position - 1).limit(1))).scalar_one_or_none()

    async def extents(self, *bases: str) -> dict[Collection, Extents]:
        """Return the collections that have a feature, of some bases or of all."""
        found: dict[Collection, list[Any]] = {}
        for base in bases or (*_REFERENCE, ""):
            source = self._source(base)
            where = self._conditions(source, None, FeatureQuery())
            sides = col(Extent.west) > col(Extent.east), col(Extent.west) >= 0
            box = func.min(Extent.west), func.min(Extent.south), func.max(Extent.east), func.max(Extent.north)
            stated_at: ColumnElement[Any] = table_of(IndicatorProjection).c.stated_at
            if base in _REFERENCE:
                stated_at = cast(null(), stated_at.type)
            times = func.min(stated_at), func.max(stated_at)
            with_extents = source.table.join(table_of(Extent), self._extent_of(source))
            located = select(source.base, col(Extent.type), func.count(), *times, *box).select_from(with_extents)
            unlocated = select(source.base, literal(UNLOCATED), func.count(), *times).select_from(source.table)
            unlocated = unlocated.where(~self._is_located(source))
            # Grouped by side of the prime meridian, because the narrowest box may cross the antimeridian.
            for statement in (located.group_by(source.base, Extent.type, *sides), unlocated.group_by(source.base)):
                for row in await self._connection.execute(statement.where(*where)):
                    found.setdefault(Collection(row[0], row[1]), []).append(row)
        return {each: _combined(found[each]) for each in COLLECTIONS.values() if each in found}

    def _source(self, base: str) -> "_Source":
        """Return where features are read from; an empty base is all kinds."""
        if base in _REFERENCE:
            model, _ = _REFERENCE[base]
            return _Source(table_of(model), col(model.id), col(model.id), literal(base), [])
        on_route = or_(
            false(),
            *(and_(col(IndicatorProjection.kind) == kind, col(Route.slug) == col(IndicatorProjection.filter_key)) for kind in ROUTE_FIELDS),
        )
        table = table_of(IndicatorProjection).outerjoin(table_of(Route), on_route & col(Route.geometry).is_not(null()))
        # As in /v1/indicators, because collections name such a list as their alternative.
        where = [*visible_at(self._level), col(IndicatorProjection.agreement).is_not(None)]
        if base:
            where.append(col(IndicatorProjection.kind) == base)
        located_by = func.coalesce(col(Route.id), col(IndicatorProjection.place_id))
        return _Source(table, col(IndicatorProjection.indicator_id), located_by, col(IndicatorProjection.kind), where)

    def _extent_of(self, source: "_Source") -> ColumnElement[bool]:
        """Return the condition for extents of a feature as the clearance sees it: a coarse route has those of its coarse geometry."""
        seen = col(Extent.min_clearance) <= self._level, col(Extent.max_clearance) >= self._level
        return and_(col(Extent.record_id) == source.located_by, *seen)

    def _is_located(self, source: "_Source", *where: ColumnElement[bool]) -> ColumnElement[bool]:
        return select(col(Extent.type)).where(self._extent_of(source), *where).correlate_except(table_of(Extent)).exists()

    def _conditions(self, source: "_Source", collection: Collection | None, query: FeatureQuery) -> list[ColumnElement[bool]]:
        where = list(source.where)
        if query.feature_id is not None:
            where.append(source.id == query.feature_id)
        # Indicators without a preferred report, places and routes have no time, so every range includes them (OGC 17-069r4, 7.15.4).
        if collection is not None and collection.base not in _REFERENCE and (query.earliest or query.latest):
            stated_at = col(IndicatorProjection.stated_at)
            where.append(or_(stated_at.is_(None), stated_at.between(query.earliest or _MIN_TIME, query.latest or _MAX_TIME)))
        if collection is not None and collection.type == UNLOCATED:
            where += [~self._is_located(source), *([false()] if query.bbox is not None else [])]
        elif collection is not None:
            inside = [] if query.bbox is None else in_box(query.bbox)
            where.append(self._is_located(source, col(Extent.type) == collection.type, *inside))
        return where


class _Source(NamedTuple):
    """Where features are read from: their identifiers, and those of the places or routes that they lie on."""

    table: FromClause
    id: ColumnElement[Any] | Mapped[Any]
    located_by: ColumnElement[Any] | Mapped[Any]
    base: ColumnElement[Any] | Mapped[Any]
    where: list[ColumnElement[bool]]


def _combined(rows: Sequence[Any]) -> Extents:
    matched, stated = sum(row[2] for row in rows), [each for row in rows for each in row[3:5] if each is not None]
    times = (min(stated), max(stated)) if stated else None
    if rows[0][1] == UNLOCATED:
        return Extents(matched, None, times)
    boxes = [row[5:] for row in rows]
    west, east = narrowest([(each[0], each[2] + 360 if each[0] > each[2] else each[2]) for each in boxes])
    return Extents(matched, (west, min(each[1] for each in boxes), east, max(each[3] for each in boxes)), times)


def _feature(collection: Collection, record: dict[str, Any], located: RowGeometry) -> Feature:
    """Return a feature with the cells of the columns as properties, which are texts and numbers: no other types fit into every GIS."""
    cells = {each.header: each.cell(record) for each in _COLUMNS[collection.base] if each.header not in ("geometry", "redacted")}
    properties = {name: str(cell).lower() if isinstance(cell, bool) else cell for name, cell in cells.items()}
    properties["redacted"] = "geometry" if located.coarse else None
    geometry = None if located.geometry is None else by_type(located.geometry).get(collection.type)
    return {"type": "Feature", "id": record["id"], "geometry": geometry, "properties": properties}
