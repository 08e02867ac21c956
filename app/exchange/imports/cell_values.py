"""Reads the cells of a table as people write them, each by a rule that cannot be wrong; everything else is refused with what to write.

Digits of any script, codes by their titles, and cells of dates are read. What depends on where the writer lives is not: `31/07/2016`,
`300,000`, `34,5`.
"""

import json
import re
import unicodedata
from datetime import date, datetime, timedelta
from functools import cache
from math import isfinite
from typing import Any

from app.domain.kinds import KINDS
from app.domain.times import what_to_write
from app.domain.visible_text import NO_VALUES
from app.exchange.exports.columns import EMPTY_LIST, Column
from app.exchange.imports.tables import Cell, cell_text
from app.reports.schemas import ReportIn

# Some programs write a whole number with one decimal; three would be thousands in some countries. Leading zeros are the end of a number
# that a comma has torn apart: `250,000` in a CSV without quotation marks.
_INTEGER = re.compile(r"([+-]?(?:0|[1-9]\d{0,17}))(\.0)?", re.ASCII)
# Also as in India, 2,51,000.
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:{0}\d{2,3})*{0}\d{3}(?:[.,]0{1,2})?".replace("{0}", r"[.,'\u2019\u066c\u00a0\u202f\s]"), re.ASCII)
_FRACTION = re.compile(r"([+-]?\d+)([.,\u066b])(\d+)", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+[,\u066b]\d+", re.ASCII)
# A day as spreadsheets count them, from 1927 to 2119.
_DAY_NUMBER = re.compile(r"[1-7]\d{4}(\.\d+)?", re.ASCII)
_MIDNIGHT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ]00:00:00(\.0+)?", re.ASCII)
_RANGE = re.compile(r"(\d+)\s*(?:[-\u2013\u2014]|to|\u00e0|a|\u0625\u0644\u0649)\s*(\d+)", re.ASCII)
_WITH_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ]\d\d:\d\d.*", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
# Fields that may have a time of day.
TIMES = frozenset({"stated_at", "observed_from", "observed_to", "provenance.published_at"})


def parse_cell(column: Column, cell: Cell) -> Any:
    """Return the value of a cell; raise ValueError, which says what to write, for one that cannot be read."""
    text = cell_text(cell)
    # Texts that name a record are looked up.
    if text in NO_VALUES and "." in column.header:
        raise ValueError(f"{text} is no value: leave the cell empty, or write what was said")
    match column.dtype:
        case "integer":
            return _integer(ascii_digits(text), cell)
        case "number":
            return parse_number(text)
        case "boolean":
            text = text.lower().removesuffix(".0")
            if text not in _BOOLEANS:
                raise ValueError("must be true or false, yes or no")
            return _BOOLEANS[text]
        case "words" | "optional_words" if text == EMPTY_LIST:
            return []
        case "words" | "optional_words":
            return _words(text, _codes().get(column.header, {}))
        case "json":
            return json.loads(text) if text else None
    if column.dtype == "date":
        if isinstance(cell, datetime):
            return text
        text = ascii_digits(text)
        if column.header not in TIMES and not _MIDNIGHT.fullmatch(text) and (match := _WITH_TIME.fullmatch(text)):
            raise ValueError(f"must be a date such as 2016-07-28: write {match[1]}")
        return _date(text)
    if (codes := _codes().get(column.header)) is not None:
        return codes.get(code_key(text), text)
    # A quote is kept exactly, with leading and trailing spaces.
    return cell if isinstance(cell, str) and column.header == "provenance.quote" else text


@cache
def stated_defaults(kind: str) -> frozenset[str]:
    """Return the headers of the fields of a kind that say something where they are left out, so an empty cell must not leave them out."""
    fields = KINDS[kind].value_model.model_fields if kind in KINDS else {}
    optional = {f"value.{name}": field.get_default() for name, field in fields.items() if not field.is_required()}
    return frozenset({"sensitivity", "provenance.directness", *(name for name, said in optional.items() if said not in (None, "unknown"))})


def ascii_digits(text: str) -> str:
    """Return a text with its digits of any script, such as the Arabic-Indic ones, as ASCII digits."""
    return text if text.isascii() else "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)


def code_key(text: str) -> str:
    """Return what a code and its title have in common: `Hard to reach`, `hard-to-reach` and `hard_to_reach` are the same."""
    return re.sub(r"[\W_]+", "_", text.strip().casefold()).strip("_")


def parse_number(text: str) -> float:
    """Return a number; raise ValueError, which says what to write."""
    text = ascii_digits(text)
    if _DECIMAL.fullmatch(text):
        raise ValueError(f"must be a number with a decimal point: write {re.sub('[^0-9+-]', '.', text)}")
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number) or "_" in text:
        raise ValueError("must be a number, such as 36.2")
    return number


def _integer(text: str, cell: Cell) -> int:
    if not isinstance(cell, bool) and (match := _INTEGER.fullmatch(text)):
        return int(match[1])
    if _GROUPED.fullmatch(text):
        raise ValueError(f"must be a whole number in digits alone: write {re.sub('[.,]0{1,2}$|[^0-9+-]', '', text)} if that is meant")
    if match := _FRACTION.fullmatch(text):
        whole, mark, part = match.groups()
        meant = [whole, str(int(whole) + 1)] if int(part) else [whole]
        # Three digits may be thousands; a comma may be a slip.
        meant += [str(int(whole + part))] if len(part) == 3 or (int(part) and mark != ".") else []
        said = f"{', '.join(meant[:-1])} or {meant[-1]}, whichever is meant" if len(meant) > 1 else f"{whole} if that is meant"
        raise ValueError(f"must be a whole number in digits alone: write {said}")
    if match := _RANGE.fullmatch(text):
        raise ValueError(
            f"must be a whole number in digits alone: write {match[1]} as the lowest and {match[2]} as the highest, each in its column"
        )
    raise ValueError("must be a whole number in digits alone, such as 250000")


def _date(text: str) -> str:
    # Programs write a day at midnight that they read from a cell.
    match = _MIDNIGHT.fullmatch(text)
    text = match[1] if match else text
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text) and (meant := what_to_write(text)):
        raise ValueError(f"must be a date as year-month-day, or a time with its offset{meant}")
    if _DAY_NUMBER.fullmatch(text):
        day = date(1899, 12, 30) + timedelta(days=int(float(text)))
        raise ValueError(f"must be a date as year-month-day: write {day} if the number is the day of a spreadsheet")
    return text


def _words(text: str, codes: dict[str, str]) -> list[str]:
    parts = [each.strip() for each in re.split(r"[,;\n]+", text) if each.strip()]
    return [code for part in parts for code in ([codes[code_key(part)]] if code_key(part) in codes else part.split())]


@cache
def _codes() -> dict[str, dict[str, str]]:
    """Return the codes of the fields that have a closed set of them, by the key of the code and of its title."""
    found: dict[str, dict[str, str]] = {"kind": {}, "sensitivity": {}}
    shared = {code: label for kind in reversed(list(KINDS.values())) for code, label in kind.code_labels.items()}
    for kind in KINDS.values():
        found["kind"] |= {code_key(each): kind.name for each in (kind.title, kind.name)}
        for header, codes in _closed_sets(kind.value_model.model_json_schema(), "value").items():
            # Kinds share codes, such as those of supplies, which one of them labels.
            labels = {code_key(kind.code_labels.get(code, shared.get(code, code))): code for code in codes}
            found[header] = {**found.get(header, {}), **labels, **{code_key(code): code for code in codes}}
    for header, codes in _closed_sets(ReportIn.model_json_schema()).items():
        found[header] = {code_key(code): code for code in codes}
    found["sensitivity"] |= {f"tlp_{key}": code for key, code in found["sensitivity"].items()}
    return found


def _closed_sets(schema: dict[str, Any], prefix: str = "") -> dict[str, list[str]]:
    """Return the codes of each field of a schema that has a closed set of them, by header."""
    found: dict[str, list[str]] = {}
    definitions = schema.get("$defs", {})

    def search(node: dict[str, Any], header: str) -> None:
        node = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if strings := [each for each in node.get("enum", ()) if isinstance(each, str)]:
            found.setdefault(header, []).extend(strings)
        for name, field in node.get("properties", {}).items():
            search(field, f"{header}.{name}".strip("."))
        for each in (*node.get("anyOf", ()), *([node["items"]] if isinstance(node.get("items"), dict) else ())):
            search(each, header)

    search(schema, prefix)
    return found
