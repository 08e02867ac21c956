"""Finds the headers and HXL hashtags above the data of a table."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from app.exchange.imports.cells import Row, cell_text

# HXL 1.1: the row of hashtags is among the first 25 rows.
MAX_HEADER_ROWS = 25
# Administrative levels by HXL tag; 0 is the country.
LEVELS_OF_TAGS = {"#country": 0, "#adm1": 1, "#adm2": 2, "#adm3": 3, "#adm4": 4, "#adm5": 5}
_HASHTAG = re.compile(r"#\s*[A-Za-z][A-Za-z0-9_]*(\s*\+\s*[A-Za-z][A-Za-z0-9_]*)*\s*")

# The tag and its attributes.
Hashtag = tuple[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class DetectedHeader:
    """The headers and hashtags of the columns (None for a column without), and the rows of data below them that are not empty."""

    headers: Sequence[str]
    hashtags: Sequence[Hashtag | None]
    rows: Iterator[Row]


def detect_header(rows: Iterator[Row]) -> DetectedHeader:
    """Find the row with more hashtags than other texts and the headers above it; without one, the first filled row has the headers."""
    filled = (row for row in rows if any(each not in (None, "") for each in row.cells))
    above: list[Row] = []
    for row in filled:
        texts = [cell_text(each) for each in row.cells]
        hashtags = [parse_hashtag(each) for each in texts]
        if row.number <= MAX_HEADER_ROWS and sum(each is not None for each in hashtags) * 2 > sum(each != "" for each in texts):
            headers = [cell_text(each) for each in above[-1].cells] if above else []
            width = max(len(headers), len(hashtags))
            return DetectedHeader([*headers, *[""] * (width - len(headers))], [*hashtags, *[None] * (width - len(hashtags))], filled)
        above.append(row)
        if row.number >= MAX_HEADER_ROWS:
            break
    if not above:
        return DetectedHeader([], [], iter(()))
    headers = [cell_text(each) for each in above[0].cells]
    return DetectedHeader(headers, [None] * len(headers), chain(above[1:], filled))


def parse_hashtag(text: str) -> Hashtag | None:
    """Return a hashtag with its attributes in any order and spacing; None for a text that is not a hashtag."""
    if not _HASHTAG.fullmatch(text):
        return None
    tag, *attributes = (each.strip().lower() for each in text.split("+"))
    return tag.replace(" ", ""), frozenset(attributes)
