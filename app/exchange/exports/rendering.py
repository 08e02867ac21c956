"""The interface of renderers, which turn pages of JSON documents into bytes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.exchange.exports.columns import Column
from app.exchange.exports.tables import flatten

# A GeoJSON geometry (RFC 7946).
Geometry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowGeometry:
    """The geometry of a row; None if unknown. `coarse` says that it was rounded for this clearance."""

    geometry: Geometry | None
    coarse: bool = False


@dataclass
class Renderer:
    """Renders a list page by page, in memory that does not grow with the number of records."""

    collection: str
    columns: Sequence[Column]

    def head(self) -> list[list[str]]:
        """Return the rows above the records of a table: headers, and hashtags unless no column has one."""
        headers, tags = [each.header for each in self.columns], [each.tag for each in self.columns]
        return [headers, tags] if any(tags) else [headers]

    def begin(self) -> bytes:
        """Return the bytes before the first record."""
        return b""

    def page(self, documents: Sequence[str], geometries: Sequence[RowGeometry], /) -> bytes:
        """Return the bytes of some records, given as JSON; `geometries` has one for each record, or is empty for tables."""
        raise NotImplementedError

    def end(self) -> Iterable[bytes]:
        """Return the bytes after the last record, in chunks."""
        return ()

    def close(self) -> None:
        """Release temporary files, also after a list that was cut off."""

    def parse(self, documents: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the records of a page with the nesting of the columns."""
        return (flatten(self.collection, orjson.loads(each)) for each in documents)


class NdjsonRenderer(Renderer):
    """Renders newline-delimited JSON: one record a line, as it is served."""

    def page(self, documents: Sequence[str], _geometries: Sequence[RowGeometry], /) -> bytes:
        """Return one line for each record."""
        return "".join(f"{each}\n" for each in documents).encode()
