"""Columns of tables, and how a nested record becomes the cells of one row.

A header is the path to the field in the JSON (`provenance.method`), unless the column has a shorter one. Null is an empty cell, a list
is one cell with its members separated by spaces, and GeoJSON is written as JSON text.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Scalar = str | int | float | bool | None
Dtype = Literal["text", "integer", "number", "boolean", "words", "codes", "slugs", "json"]
_SCALAR_DTYPES = frozenset({"text", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its header, HXL 1.1 hashtag (empty for none), path to the field and type of the field.

    `words` is a list of texts, `codes` a list of codes written `scheme:code`, `slugs` a list of objects written by their slugs.
    """

    header: str
    tag: str
    path: tuple[str | int, ...]
    dtype: Dtype = "text"

    def cell(self, record: Mapping[str, Any]) -> Scalar:
        """Return the cell of a record; None if the field is null or absent."""
        value: Any = record
        for step in self.path:
            if value is None:
                return None
            value = value.get(step) if isinstance(step, str) else value[step]
        return value if value is None or self.dtype in _SCALAR_DTYPES else _to_text(self.dtype, value)


def _to_text(dtype: Dtype, value: Any) -> str | None:
    match dtype:
        case "codes":
            return " ".join(f"{each['scheme']}:{each['code']}" for each in value) or None
        case "slugs":
            return " ".join(each["slug"] for each in value) or None
        case "words":
            return " ".join(value) or None
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def column(path: str, tag: str = "", dtype: Dtype = "text", *, header: str | None = None) -> Column:
    """Return a column of a dotted path, whose numeric steps are positions in a list."""
    steps = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
    return Column(header or path, tag, steps, dtype)


def nest(prefix: str, columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return the columns for records that are nested in a field of another record."""
    return tuple(Column(f"{prefix}.{each.header}", each.tag, (prefix, *each.path), each.dtype) for each in columns)
