"""Formats of responses: names, media types, and which of them an `Accept` header takes."""

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache


class Format(StrEnum):
    """A format by its name in `?format=` and as a suffix; earlier members win where a client prefers none."""

    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"
    XLSX = "xlsx"
    NDJSON = "ndjson"
    JSONLD = "jsonld"
    ATOM = "atom"
    CAP = "cap"
    HTML = "html"
    MARKDOWN = "md"
    TEXT = "txt"


MEDIA_TYPES: dict[Format, str] = {
    Format.JSON: "application/json",
    Format.GEOJSON: "application/geo+json",
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.NDJSON: "application/x-ndjson",
    Format.JSONLD: "application/ld+json",
    Format.ATOM: "application/atom+xml",
    Format.CAP: "application/cap+xml",
    Format.HTML: "text/html; charset=utf-8",
    Format.MARKDOWN: "text/markdown; charset=utf-8",
    Format.TEXT: "text/plain; charset=utf-8",
}
_MEDIA_RANGES: dict[Format, tuple[str, ...]] = {each: (media_type.partition(";")[0],) for each, media_type in MEDIA_TYPES.items()}
_MEDIA_RANGES[Format.NDJSON] += ("application/ndjson",)
_MEDIA_RANGES[Format.ATOM] += ("application/xml", "text/xml")
_MEDIA_RANGES[Format.CAP] += ("application/xml", "text/xml")

# The smallest weight of RFC 9110 is 0.001.
MIN_WEIGHT = 0.0001
AcceptedFormats = tuple[Format, ...]


@lru_cache(maxsize=256)
def parse_accept(accept: bytes) -> AcceptedFormats:
    """Return the formats that an `Accept` header takes (RFC 9110, 12.5.1), best first; all of them for one that names none."""
    ranges = parse_weights(accept.decode("latin-1"))
    # Errors have this type; a client that names it takes every format, after those that it names.
    if not ranges or ranges.pop("application/problem+json", 0):
        ranges.setdefault("*/*", MIN_WEIGHT)
    weights = {each: max(_weight(name, ranges) for name in names) for each, names in _MEDIA_RANGES.items()}
    return tuple(sorted((each for each in Format if weights[each] > 0), key=lambda each: -weights[each]))


def parse_weights(header: str) -> dict[str, float]:
    """Return the weights in an `Accept`, `Accept-Encoding` or `Accept-Language` header (RFC 9110, 12.4.2) by lower-case name."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (each.strip() for each in part.split(";"))
        if name:
            weights[name] = max(_quality(parameters), weights.get(name, 0.0))
    return weights


def _quality(parameters: Sequence[str]) -> float:
    pairs = (each.partition("=") for each in parameters)
    try:
        return min(1.0, max(0.0, float(next((value for name, _, value in pairs if name.strip() == "q"), 1.0))))
    except ValueError:
        return 0.0


def _weight(name: str, ranges: dict[str, float]) -> float:
    """Return the weight of the most specific range that contains a media type."""
    return next((ranges[each] for each in (name, f"{name.partition('/')[0]}/*", "*/*") if each in ranges), 0.0)
