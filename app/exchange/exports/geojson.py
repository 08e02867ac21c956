"""GeoJSON (RFC 7946): a FeatureCollection with one feature a record.

Properties are flat, under the names that the columns of the same list have in CSV, so that a GIS shows them as a table; lists
stay lists. `redacted` names the geometry where it was made coarse for this reader. `revision` and `as_of` stand beside the
features, as in the list envelope.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from app.exchange.exports.columns import Column
from app.exchange.exports.rendering import RowGeometry
from app.exchange.exports.tables import flatten

_LISTS = frozenset({"words", "codes", "slugs"})


def feature(columns: Sequence[Column], record: Mapping[str, Any], located: RowGeometry) -> dict[str, Any]:
    """One feature. A geometry that stands in the record goes to the feature and not among its properties."""
    properties: dict[str, Any] = {}
    for each in columns:
        if each.dtype == "json" and each.path == ("geometry",):
            continue
        value = each.cell(record)
        properties[each.header] = (str(value).split(" ") if value else []) if each.dtype in _LISTS else value
    properties["redacted"] = ["geometry"] if located.coarse else []
    identifier = {"id": record["id"]} if "id" in record else {}
    return {"type": "Feature", **identifier, "geometry": located.geometry, "properties": properties}


class GeoJsonRenderer:
    """Records as features, page by page."""

    def __init__(self, rows: str, columns: Sequence[Column], *, as_of: str | None, revision: int) -> None:
        self._rows = rows
        self._columns = columns
        self._head = {"type": "FeatureCollection", "as_of": as_of, "revision": revision}
        self._separator = b""

    def begin(self) -> bytes:
        """The collection up to its features."""
        return orjson.dumps(self._head)[:-1] + b',"features":['

    def page(self, documents: Sequence[str], located: Sequence[RowGeometry]) -> bytes:
        """Some features."""
        if not documents:
            return b""
        pairs = zip(documents, located, strict=True)
        features = [orjson.dumps(feature(self._columns, flatten(self._rows, orjson.loads(each)), at)) for each, at in pairs]
        made = self._separator + b",".join(features)
        self._separator = b","
        return made

    def end(self) -> Iterable[bytes]:
        """The end of the collection."""
        return (b"]}",)

    def close(self) -> None:
        """It holds nothing."""
