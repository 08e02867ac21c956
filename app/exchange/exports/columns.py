"""Columns: how a nested record becomes the cells of one row, and the cells the record again.

A header is the path to the field in the JSON (`provenance.method`), or a shorter name where a column says so. Null is an empty
cell. Lists stand in one cell with spaces between their members, none of which holds a space; GeoJSON stands as its JSON text.
`Column.read` is the inverse of `Column.cell`, for whoever reads such a table back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Scalar = str | int | float | bool | None
Dtype = Literal["text", "integer", "number", "boolean", "words", "codes", "slugs", "json"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its header, its HXL 1.1 hashtag (empty for none), the path to the field, and the shape of what stands there.

    `words` is a list of texts, `codes` one of (scheme, code) pairs written `scheme:code`, `slugs` one of objects of which only
    the slug is written, so that it cannot be read back.
    """

    header: str
    tag: str
    path: tuple[str | int, ...]
    dtype: Dtype = "text"

    def cell(self, record: Mapping[str, Any]) -> Scalar:
        """What stands in the column for a record; None where the field is null or not there."""
        value: Any = record
        for step in self.path:
            if value is None:
                return None
            value = value.get(step) if isinstance(step, str) else value[step]
        return value if value is None or self.dtype in _PLAIN else _write(self.dtype, value)

    def read(self, text: str) -> Any:
        """The field's value of a cell's text; null, or an empty list, for an empty cell. ValueError for what it cannot hold."""
        if not text:
            return [] if self.dtype in ("words", "codes", "slugs") else None
        match self.dtype:
            case "integer":
                return int(text)
            case "number":
                return float(text)
            case "boolean":
                return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no_boolean()
            case "words":
                return text.split(" ")
            case "codes":
                return [dict(zip(("scheme", "code"), each.split(":", 1), strict=True)) for each in text.split(" ")]
            case "json":
                return json.loads(text)
            case _:
                return text


_PLAIN = frozenset({"text", "integer", "number", "boolean"})


def _write(shape: Dtype, value: Any) -> str | None:
    match shape:
        case "codes":
            return " ".join(f"{each['scheme']}:{each['code']}" for each in value) or None
        case "slugs":
            return " ".join(each["slug"] for each in value) or None
        case "words":
            return " ".join(value) or None
        case _:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _no_boolean() -> bool:
    raise ValueError("must be true or false")


def column(path: str, tag: str = "", dtype: Dtype = "text", *, header: str | None = None) -> Column:
    """A column of a dotted path; figures in the path are positions in a list."""
    steps = tuple(int(step) if step.isdecimal() else step for step in path.split("."))
    return Column(header or path, tag, steps, dtype)


def nest(prefix: str, columns: Iterable[Column]) -> tuple[Column, ...]:
    """The same columns for records that stand in a field of another."""
    return tuple(Column(f"{prefix}.{each.header}", each.tag, (prefix, *each.path), each.dtype) for each in columns)


def cells(columns: Sequence[Column], record: Mapping[str, Any]) -> list[Scalar]:
    """One row."""
    return [each.cell(record) for each in columns]


def record_of(columns: Sequence[Column], texts: Sequence[str]) -> dict[str, Any]:
    """The nested record of a row's texts. An object or a position of which nothing is given is null."""
    record: dict[str, Any] = {}
    for each, text in zip(columns, texts, strict=True):
        at: dict[str | int, Any] = record  # type: ignore[assignment]
        for step in each.path[:-1]:
            at = at.setdefault(step, {})
        at[each.path[-1]] = each.read(text)
    return {name: _settled(value) for name, value in record.items()}


def _settled(value: Any) -> Any:
    if not isinstance(value, dict) or not value:
        return value
    settled = {name: _settled(each) for name, each in value.items()}
    if all(each is None or each == [] for each in settled.values()):
        return None
    return [settled[at] for at in sorted(settled)] if all(isinstance(name, int) for name in settled) else settled
