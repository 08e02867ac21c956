"""Columns of tables, and how a nested record becomes the cells of one row.

A header is the path to the field in the JSON (`provenance.method`), unless the column has a shorter one. Null is an empty cell, a list
is one cell with its members separated by spaces, and GeoJSON is written as JSON text. Where null and an empty list differ, because null
means that nothing was said, an empty list is `[]`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Scalar = str | int | float | bool | None
EMPTY_LIST = "[]"
Dtype = Literal["text", "date", "time", "integer", "number", "boolean", "words", "optional_words", "codes", "slugs", "json"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its header, HXL 1.1 hashtag (empty for none), path to the field and type of the field.

    `date` is a date, or a date-time where a report names one; `time` is a date-time that the service computed.
    `words` is a list of texts, `optional_words` one that may be null, `codes` a list of codes written `scheme:code`, `slugs` a list of
    objects written by their slugs.
    """

    header: str
    tag: str
    path: tuple[str | int, ...]
    dtype: Dtype = "text"

    def value(self, record: Mapping[str, Any]) -> Scalar | list[str]:
        """Return the field of a record as a scalar or a list of texts; null or absent it is None, or empty if a list must not be null."""
        value: Any = record
        for step in self.path:
            if value is not None:
                value = value.get(step) if isinstance(step, str) else value[step]
        match self.dtype:
            case "codes":
                return [f"{each['scheme']}:{each['code']}" for each in value or ()]
            case "slugs":
                return [each["slug"] for each in value or ()]
            case "words":
                return list(value or ())
            case "optional_words" if value is not None:
                return list(value)
            case "json" if value is not None:
                return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        scalar: Scalar = value
        return scalar

    def cell(self, record: Mapping[str, Any]) -> Scalar:
        """Return the field of a record as one cell; None if it is null, absent or an empty list that means the same as null."""
        value = self.value(record)
        if value == [] and self.dtype == "optional_words":
            return EMPTY_LIST
        return " ".join(value) or None if isinstance(value, list) else value


def column(path: str, tag: str = "", dtype: Dtype = "text", *, header: str | None = None) -> Column:
    """Return a column of a dotted path, whose numeric steps are positions in a list."""
    steps = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
    return Column(header or path, tag, steps, dtype)


def nest(prefix: str, columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return the columns for records that are nested in a field of another record."""
    return tuple(Column(f"{prefix}.{each.header}", each.tag, (prefix, *each.path), each.dtype) for each in columns)
