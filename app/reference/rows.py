"""Places, sources and routes as records, which is how entries of the ledger carry them, and as rows of their tables."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.engine import RowMapping

from app.domain.folding import fold
from app.domain.tlp import MAX_LEVEL
from app.reference.bounding_box import BBox, intersects
from app.reference.geometry import EXACT_FROM, bbox_of, by_type, visible_geometry
from app.reference.records import REVEAL_FROM, alias_slug
from app.reference.schemas import PlaceIn, RouteIn, SourceIn

Record = dict[str, Any]

_SHARED = ("slug", "name", "names")
PLACE_COLUMNS = (*_SHARED, "country", "timezone", "geometry", "valid_from", "valid_to", "successor_of")
SOURCE_COLUMNS = (*_SHARED, "type", "party_to_conflict", "alias", "organisation")
# Columns of a route by field.
ROUTE_COLUMNS = {**{name: name for name in (*_SHARED, "mode", "geometry")}, "from": "origin", "to": "destination"}


def place_record(identifier: UUID, place: PlaceIn, parent: str | None, country: str | None, timezone: str) -> Record:
    """Return a place as it is recorded: with the slug of its parent, and the country and time zone that are its own from now on."""
    sent = place.model_dump()
    codes = sorted({(code.scheme, code.code) for code in place.codes})
    return {
        "id": str(identifier),
        **{name: sent[name] for name in PLACE_COLUMNS},
        "parent": parent,
        "country": place.country or country,
        "timezone": place.timezone or timezone,
        "codes": [{"scheme": scheme, "code": code} for scheme, code in codes],
        "centroid": None if place.centroid is None else place.centroid[:2],
    }


def source_record(identifier: UUID, source: SourceIn) -> Record:
    """Return a source as it is recorded; its later grades are entries of their own."""
    return {
        "id": str(identifier),
        **{name: getattr(source, name) for name in SOURCE_COLUMNS},
        "first_reliability": source.reliability,
        "party_to_conflict": is_party_by_default(source.type) if source.party_to_conflict is None else source.party_to_conflict,
    }


def is_party_by_default(type_: str) -> bool:
    """Return whether a source of this type is a party to the conflict unless its record says otherwise."""
    return type_ == "armed_actor"


def route_record(identifier: UUID, route: RouteIn) -> Record:
    """Return a route as it is recorded."""
    return {"id": str(identifier), **{name: getattr(route, column) for name, column in ROUTE_COLUMNS.items()}}


def place_row(record: Mapping[str, Any]) -> Record:
    """Return the columns of a place but for its identifier and parent."""
    longitude, latitude = record["centroid"] or (None, None)
    return {name: record[name] for name in PLACE_COLUMNS} | {"longitude": longitude, "latitude": latitude}


def place_shape(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the geometry of a place, else its centroid as a point."""
    centroid = record["centroid"]
    shape: dict[str, Any] | None = record["geometry"] or (centroid and {"type": "Point", "coordinates": centroid})
    return shape


def is_within(record: Mapping[str, Any], box: BBox) -> bool:
    """Return whether the bounding box of a part of the geometry of a place shares a point with a box."""
    shape = place_shape(record)
    return shape is not None and any(intersects(bbox_of(part), box) for part in by_type(shape).values())


def source_row(record: Mapping[str, Any]) -> Record:
    """Return the columns of a source but for its identifier."""
    slug = None if record["alias"] is None else alias_slug(UUID(record["id"]))
    return {name: record[name] for name in SOURCE_COLUMNS} | {"alias_slug": slug}


def route_row(record: Mapping[str, Any]) -> Record:
    """Return the columns of a route but for its identifier."""
    return {column: record[name] for name, column in ROUTE_COLUMNS.items()}


def place_from_row(row: RowMapping, parent: str | None, codes: Iterable[tuple[str, str]]) -> Record:
    """Return the record of a stored place, with the slug of its parent and its codes in order."""
    return {
        "id": str(row["id"]),
        **{name: row[name] for name in PLACE_COLUMNS},
        "parent": parent,
        "codes": [{"scheme": scheme, "code": code} for scheme, code in codes],
        "centroid": None if row["longitude"] is None else [row["longitude"], row["latitude"]],
    }


def source_from_row(row: RowMapping) -> Record:
    """Return the record of a stored source, with its first grade beside its columns."""
    return {"id": str(row["id"]), **{name: row[name] for name in SOURCE_COLUMNS}, "first_reliability": row["first_reliability"]}


def route_from_row(row: RowMapping) -> Record:
    """Return the record of a stored route."""
    return {"id": str(row["id"]), **{name: row[column] for name, column in ROUTE_COLUMNS.items()}}


def is_restricted(type_: str, record: Mapping[str, Any]) -> bool:
    """Return whether low clearances see less of a record: of a protected source, or of a route with a geometry."""
    return record["alias"] is not None if type_ == "source" else type_ == "route" and record["geometry"] is not None


def visible_record(type_: str, record: Mapping[str, Any], level: int) -> dict[str, Any]:
    """Return the record of a place, source or route as a clearance sees it; `redacted` names the fields that it does not see, if any."""
    if level >= min(REVEAL_FROM, EXACT_FROM) or not is_restricted(type_, record):
        return dict(record)
    if type_ == "route":
        return {**record, "geometry": visible_geometry(record["geometry"], level), "redacted": ["geometry"]}
    withheld = {"slug": alias_slug(UUID(record["id"])), "name": record["alias"], "names": {}, "organisation": None}
    return {**record, **withheld, "redacted": list(withheld)}


def search_text(record: Mapping[str, Any]) -> str:
    """Return the folded names, slug and codes of a visible record, which searches compare."""
    codes = (code["code"] for code in record.get("codes", ()))
    return fold(" ".join(dict.fromkeys((record["name"], *record["names"].values(), record["slug"], *codes))))


def text_rows(type_: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that searches read of a record: of a protected source, also those for clearances that see its alias."""
    protected = type_ == "source" and record["alias"] is not None
    seen = [(0, REVEAL_FROM - 1), (REVEAL_FROM, MAX_LEVEL)] if protected else [(0, MAX_LEVEL)]
    identifier = UUID(record["id"])
    return [
        {"record_id": identifier, "min_clearance": low, "max_clearance": high, "text": search_text(visible_record(type_, record, high))}
        for low, high in seen
    ]


def extent_rows(identifier: UUID, geometry: dict[str, Any] | None, *, is_route: bool = False) -> list[dict[str, Any]]:
    """Return the rows of the extents of a record: of a route, also those of its rounded geometry for clearances below EXACT_FROM."""
    if geometry is None:
        return []
    seen = [(0, EXACT_FROM - 1), (EXACT_FROM, MAX_LEVEL)] if is_route else [(0, MAX_LEVEL)]
    rows = []
    for low, high in seen:
        for type_, part in by_type(visible_geometry(geometry, low) if is_route else geometry).items():
            box = dict(zip(("west", "south", "east", "north"), bbox_of(part), strict=True))
            rows.append({"record_id": identifier, "type": type_, "min_clearance": low, "max_clearance": high, **box})
    return rows
