"""The formats in which answers go out: their media types, their names in addresses, and which of them an `Accept` takes."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache


class Format(StrEnum):
    """A format, by its name in `?format=` and as a suffix. In order of preference where a reader takes several alike."""

    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"
    XLSX = "xlsx"
    NDJSON = "ndjson"
    JSONLD = "jsonld"
    ATOM = "atom"
    CAP = "cap"


MEDIA_TYPES: dict[Format, str] = {
    Format.JSON: "application/json",
    Format.GEOJSON: "application/geo+json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.NDJSON: "application/x-ndjson",
    Format.JSONLD: "application/ld+json",
    Format.ATOM: "application/atom+xml",
    Format.CAP: "application/cap+xml",
}
_NAMES: dict[Format, tuple[str, ...]] = {each: (media_type.partition(";")[0],) for each, media_type in MEDIA_TYPES.items()}
_NAMES[Format.NDJSON] += ("application/ndjson",)
_NAMES[Format.ATOM] += ("application/xml", "text/xml")
_NAMES[Format.CAP] += ("application/xml", "text/xml")

AcceptedFormats = tuple[Format, ...]


@lru_cache(maxsize=256)
def parse_accept(accept: bytes) -> AcceptedFormats:
    """The formats that an `Accept` header takes (RFC 9110, 12.5.1), best first; all of them where it is empty."""
    ranges: dict[str, float] = {}
    for part in accept.decode("latin-1").split(","):
        name, *parameters = (each.strip().lower() for each in part.split(";"))
        if name:
            ranges[name] = max(_quality(parameters), ranges.get(name, 0.0))
    if not ranges:
        return tuple(Format)
    weights = {each: max(_weight(name, ranges) for name in names) for each, names in _NAMES.items()}
    return tuple(sorted((each for each in Format if weights[each] > 0), key=lambda each: -weights[each]))


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _weight(name: str, ranges: dict[str, float]) -> float:
    """The weight of the most exact range that a media type is in."""
    for each in (name, f"{name.partition('/')[0]}/*", "*/*"):
        if each in ranges:
            return ranges[each]
    return 0.0
