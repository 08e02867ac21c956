"""CSV with HXL hashtags: valid for libhxl, with the values of the JSON, and without formulas."""

import csv
import io
from typing import Any

import httpx
import hxl
import openpyxl
from hypothesis import given
from hypothesis import strategies as st

from app.domain.kinds import KINDS
from app.exchange.exports.columns import Scalar
from app.exchange.exports.hxl_csv import encode_rows, escape_formula, unescape_formula
from app.exchange.exports.tables import TABLES, flatten, indicator_columns
from tests.support.fixtures import sqlite_only

# Texts that the database can store: without NUL and lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
FORMULA_CHARACTERS = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001


def parse(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


@sqlite_only
async def test_csv_is_valid_hxl(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name in ("indicators", "reports", "places", "routes", "sources", "situations", "warnings?as_of=2016-08-12", "changes"):
        body = (await client.get(f"/v1/{name.replace('?', '.csv?') if '?' in name else f'{name}.csv'}")).content
        data = hxl.data(hxl.make_input(io.BytesIO(body), hxl.InputOptions(allow_local=True)))
        columns = data.columns
        assert all(each.tag for each in columns), name
        problems: list[Any] = []
        hxl.schema(callback=problems.append).validate(data)
        wrong = [
            f"{each.column} {each.value!r}: {each.rule.description}"
            for each in problems
            if each.value and "whitespace" not in each.rule.description
        ]
        assert not wrong, (name, wrong[:5])
    body = (await client.get("/v1/trapped-populations.csv?place=oldtown")).content
    (row,) = list(hxl.data(hxl.make_input(io.BytesIO(body), hxl.InputOptions(allow_local=True))))
    assert (row.get("#affected+best"), row.get("#meta+source+reliability")) == ("300000", "B")


@sqlite_only
async def test_csv_cells_are_the_fields_of_the_json(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name, columns in TABLES.items():
        query = "?as_of=2016-08-12" if name == "warnings" else ""
        headers, tags, *rows = parse((await client.get(f"/v1/{name}.csv{query}")).content)
        assert headers == [each.header for each in columns]
        assert len(set(headers)) == len(headers)
        assert all(tag.startswith("#") for tag in tags)
        items = (await client.get(f"/v1/{name}{query}")).json()["items"]
        for row, item in zip(rows, items, strict=True):
            for each, cell in zip(columns, row, strict=True):
                expected = each.cell(flatten(name, item))
                assert (unescape_formula(cell) if isinstance(expected, str) else cell) == plain(expected)


def plain(value: Scalar) -> str:
    """Return a field as its cell has it, without escapes."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@sqlite_only
async def test_csv_has_no_formulas(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name in ("reports", "indicators", "places", "changes"):
        _, _, *rows = parse((await client.get(f"/v1/{name}.csv")).content)
        texts = [cell for row in rows for cell in row if cell]
        assert any(cell.startswith("'=") for cell in texts), name
        assert not [cell for cell in texts if cell[0] in FORMULA_CHARACTERS and not cell.lstrip("-").replace(".", "").isdigit()]


@given(TEXTS)
def test_unescape_formula_inverts_escape_formula(text: str) -> None:
    for candidate in (text, *(mark + text for mark in (*FORMULA_CHARACTERS, "'"))):
        safe = escape_formula(candidate)
        assert not safe.startswith(tuple(FORMULA_CHARACTERS))
        ((cell,),) = parse(encode_rows([[safe]])) or [[""]]
        assert unescape_formula(cell) == candidate


def test_every_field_of_every_kind_has_a_hashtag() -> None:
    for kind in KINDS.values():
        assert kind.hxl.keys() == kind.value_model.model_fields.keys() | kind.assessment_model.model_fields.keys(), kind.name


def test_no_table_has_a_hashtag_twice() -> None:
    """With libhxl a second column of the same hashtag is never found, in whatever order the attributes stand."""
    for name, columns in [*TABLES.items(), *((name, indicator_columns([kind])) for name, kind in KINDS.items())]:
        tags = [(tag, *sorted(attributes)) for tag, *attributes in (each.tag.split("+") for each in columns if each.tag)]
        assert not [tag for tag in tags if tags.count(tag) > 1], name


@sqlite_only
async def test_hxl_false_leaves_out_the_hashtags(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name in (*TABLES, "route-closures"):
        query = {"as_of": "2016-08-12"} if name == "warnings" else {}
        headers, _, *rows = parse((await client.get(f"/v1/{name}.csv", params=query)).content)
        for format_ in ("csv", "xlsx"):
            plain = await client.get(f"/v1/{name}.{format_}", params=query | {"hxl": "false"})
            if format_ == "csv":
                found: list[Any] = parse(plain.content)
            else:
                found = list(openpyxl.load_workbook(io.BytesIO(plain.content)).worksheets[0].values)
            assert (list(found[0]), len(found)) == (headers, 1 + len(rows)), (name, format_)
    assert (await client.get("/v1/places.csv?hxl=maybe")).status_code == 422
