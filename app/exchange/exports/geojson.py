"""GeoJSON (RFC 7946): a FeatureCollection with one feature a record.

Properties are flat and named as the columns of the same list in CSV, so that a GIS shows them as a table; lists stay lists. `redacted`
names the geometry if it was rounded for this clearance. `revision` and `as_of` are foreign members beside the features.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.exchange.exports.columns import Column
from app.exchange.exports.rendering import Renderer, RowGeometry


def feature(columns: Sequence[Column], record: Mapping[str, Any], geometry: RowGeometry) -> dict[str, Any]:
    """Return the feature of a record; a geometry in the record is not repeated among its properties."""
    properties = {each.header: each.value(record) for each in columns if each.header != "geometry"}
    properties["redacted"] = ["geometry"] if geometry.coarse else []
    identifier = {"id": record["id"]} if "id" in record else {}
    return {"type": "Feature", **identifier, "geometry": geometry.geometry, "properties": properties}


@dataclass
class GeoJsonRenderer(Renderer):
    """Renders a FeatureCollection."""

    as_of: str | None
    revision: int
    _separator: bytes = b""

    def begin(self) -> bytes:
        """Return the collection up to its features."""
        return orjson.dumps({"type": "FeatureCollection", "as_of": self.as_of, "revision": self.revision})[:-1] + b',"features":['

    def page(self, documents: Sequence[str], geometries: Sequence[RowGeometry], /) -> bytes:
        """Return one feature for each record."""
        if not documents:
            return b""
        pairs = zip(self.parse(documents), geometries, strict=True)
        rendered = self._separator + b",".join(orjson.dumps(feature(self.columns, record, geometry)) for record, geometry in pairs)
        self._separator = b","
        return rendered

    def end(self) -> Iterable[bytes]:
        """Return the end of the collection."""
        return (b"]}",)
