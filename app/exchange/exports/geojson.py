"""GeoJSON (RFC 7946): a FeatureCollection with one feature a record.

Properties are flat and named as the columns of the same list in CSV, so that a GIS shows them as a table; lists stay lists. `redacted`
names the geometry if it was rounded for this clearance. `revision` and `as_of` are foreign members beside the features.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from app.exchange.exports.columns import Column
from app.exchange.exports.rendering import Renderer, RowGeometry
from app.exchange.exports.tables import flatten

_LIST_DTYPES = frozenset({"words", "codes", "slugs"})


def feature(columns: Sequence[Column], record: Mapping[str, Any], geometry: RowGeometry) -> dict[str, Any]:
    """Return the feature of a record; a geometry in the record is not repeated among its properties."""
    properties: dict[str, Any] = {}
    for each in columns:
        if each.dtype == "json" and each.path == ("geometry",):
            continue
        value = each.cell(record)
        properties[each.header] = (str(value).split(" ") if value else []) if each.dtype in _LIST_DTYPES else value
    properties["redacted"] = ["geometry"] if geometry.coarse else []
    identifier = {"id": record["id"]} if "id" in record else {}
    return {"type": "Feature", **identifier, "geometry": geometry.geometry, "properties": properties}


class GeoJsonRenderer(Renderer):
    """Renders a FeatureCollection."""

    def __init__(self, collection: str, columns: Sequence[Column], *, as_of: str | None, revision: int) -> None:
        self._collection = collection
        self._columns = columns
        self._head = {"type": "FeatureCollection", "as_of": as_of, "revision": revision}
        self._separator = b""

    def begin(self) -> bytes:
        """Return the collection up to its features."""
        return orjson.dumps(self._head)[:-1] + b',"features":['

    def page(self, documents: Sequence[str], geometries: Sequence[RowGeometry], /) -> bytes:
        """Return one feature for each record."""
        if not documents:
            return b""
        pairs = zip(documents, geometries, strict=True)
        features = [
            orjson.dumps(feature(self._columns, flatten(self._collection, orjson.loads(each)), geometry)) for each, geometry in pairs
        ]
        rendered = self._separator + b",".join(features)
        self._separator = b","
        return rendered

    def end(self) -> Iterable[bytes]:
        """Return the end of the collection."""
        return (b"]}",)
