"""CSV as humanitarians read it: libhxl takes it, the cells are those of the JSON, and no cell is run as a formula."""

import csv
import io
from typing import Any

import httpx
import hxl
from hypothesis import given
from hypothesis import strategies as st

from app.domain.kinds import KINDS
from app.exchange.exports.columns import Scalar
from app.exchange.exports.hxl_csv import encode_rows, escape_formula, unescape_formula
from app.exchange.exports.tables import TABLES, flatten
from tests.support.fixtures import sqlite_only

# Only what the database keeps: no NUL, no half of a character.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
RUN = "=+-@\t\r\n＝＋－＠"  # noqa: RUF001


def read(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline="")))


@sqlite_only
async def test_libhxl_reads_and_validates_it(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
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
async def test_cells_are_the_fields_of_the_json(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name, table in TABLES.items():
        query = "?as_of=2016-08-12" if name == "warnings" else ""
        headers, tags, *rows = read((await client.get(f"/v1/{name}.csv{query}")).content)
        assert headers == [each.header for each in table.columns]
        assert len(set(headers)) == len(headers)
        assert all(tag.startswith("#") for tag in tags)
        items = (await client.get(f"/v1/{name}{query}")).json()["items"]
        for row, item in zip(rows, items, strict=True):
            for each, cell in zip(table.columns, row, strict=True):
                expected = each.cell(flatten(name, item))
                assert (unescape_formula(cell) if isinstance(expected, str) else cell) == plain(expected)


def plain(value: Scalar) -> str:
    """A field as its cell says it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@sqlite_only
async def test_no_cell_is_run_as_a_formula(client: httpx.AsyncClient, filled: dict[str, Any]) -> None:
    for name in ("reports", "indicators", "places", "changes"):
        _, _, *rows = read((await client.get(f"/v1/{name}.csv")).content)
        texts = [cell for row in rows for cell in row if cell]
        assert any(cell.startswith("'=") for cell in texts), name
        assert not [cell for cell in texts if cell[0] in RUN and not cell.lstrip("-").replace(".", "").isdigit()]


@given(TEXTS)
def test_defusing_is_undone_exactly(text: str) -> None:
    for candidate in (text, *(mark + text for mark in (*RUN, "'"))):
        safe = escape_formula(candidate)
        assert not safe.startswith(tuple(RUN))
        ((cell,),) = read(encode_rows([[safe]])) or [[""]]
        assert unescape_formula(cell) == candidate


def test_every_field_of_every_kind_has_its_hashtag() -> None:
    for kind in KINDS.values():
        assert kind.hxl.keys() == kind.value_model.model_fields.keys() | kind.assessment_model.model_fields.keys(), kind.name
