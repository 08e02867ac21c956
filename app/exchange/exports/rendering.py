"""What every renderer does: records come in pages as JSON documents, bytes go out. No web and no queries here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# A GeoJSON geometry (RFC 7946).
Geometry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowGeometry:
    """Where a record lies: its geometry, None for nowhere, and whether that was made coarse for this reader."""

    geometry: Geometry | None
    coarse: bool = False


class Renderer(Protocol):
    """Renders one list, page by page, in memory that does not grow with the number of records.

    `located` says of each record where it lies; renderers of tables pass it over, and it may be empty for them.
    """

    def begin(self) -> bytes:
        """What comes before the first record."""

    def page(self, documents: Sequence[str], located: Sequence[RowGeometry], /) -> bytes:
        """The bytes that some records give; empty where they come at the end."""

    def end(self) -> Iterable[bytes]:
        """What comes after the last record, in pieces."""

    def close(self) -> None:
        """Give back what it holds, also of a list that was broken off."""


class NdjsonRenderer:
    """Newline-delimited JSON: each record as it is served, one a line."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def page(self, documents: Sequence[str], _located: Sequence[RowGeometry]) -> bytes:
        """Some records."""
        return "".join(f"{each}\n" for each in documents).encode()

    def end(self) -> Iterable[bytes]:
        """Nothing."""
        return ()

    def close(self) -> None:
        """It holds nothing."""
