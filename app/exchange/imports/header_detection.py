"""What stands above the data of a table: headers, and HXL hashtags where there are some."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.exchange.imports.file_readers import Row, cell_text

_TAG = re.compile(r"#\s*[A-Za-z][A-Za-z0-9_]*(\s*\+\s*[A-Za-z][A-Za-z0-9_]*)*\s*")


@dataclass(frozen=True, slots=True)
class DetectedHeader:
    """What stands above the data: headers, and HXL hashtags as tag and set of attributes; None for a column without."""

    headers: Sequence[str]
    tags: Sequence[tuple[str, frozenset[str]] | None]
    rows: Iterator[Row]


# HXL 1.1: the row of hashtags is among the first 25.
MAX_HEADER_ROWS = 25


def detect_header(rows: Iterator[Row]) -> DetectedHeader:
    """Find the headers and, where there is one, the row of hashtags: the first row of which most cells are tags."""
    above: list[Row] = []
    for row in rows:
        above.append(row)
        texts = [cell_text(each) for each in row.cells]
        filled = [each for each in texts if each]
        if filled and sum(bool(_TAG.fullmatch(each)) for each in filled) * 2 > len(filled):
            before = next((each for each in reversed(above[:-1]) if any(each.cells)), None)
            headers = [cell_text(each) for each in before.cells] if before else []
            width = max(len(headers), len(texts))
            tags = [parse_hashtag(each) for each in texts]
            return DetectedHeader([*headers, *[""] * (width - len(headers))], [*tags, *[None] * (width - len(tags))], rows)
        if len(above) == MAX_HEADER_ROWS:
            break
    at = next((at for at, each in enumerate(above) if any(each.cells)), None)
    if at is None:
        return DetectedHeader([], [], iter(()))
    headers = [cell_text(each) for each in above[at].cells]
    return DetectedHeader(headers, [None] * len(headers), _together(above[at + 1 :], rows))


def _together(first: Sequence[Row], rest: Iterator[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def parse_hashtag(text: str) -> tuple[str, frozenset[str]] | None:
    """A hashtag and its attributes, in whatever order and spacing; None for what is none."""
    if not _TAG.fullmatch(text):
        return None
    tag, *attributes = (each.strip().lower() for each in text.split("+"))
    return tag.replace(" ", ""), frozenset(attributes)
