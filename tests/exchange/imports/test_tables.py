"""Tables as people make them: what cannot be meant otherwise is read, everything else is refused at its cell."""

import io
from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import getitem
from typing import Any

import httpx
import openpyxl
import pytest

from tests.exchange.imports.files import CELLS, CSV, HEADERS, XLSX, csv_bytes, send
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only

pytestmark = sqlite_only
PEOPLE = [*HEADERS, "people"]
# Damascus is three hours ahead of UTC in July, and put its clocks back at midnight on 28 October 2016.
MORNING, TWICE = datetime(2016, 7, 28, 9, 30), datetime(2016, 10, 27, 23, 30)  # noqa: DTZ001 - cells have no time zone


def table(*rows: Sequence[Any]) -> openpyxl.Workbook:
    """Return a workbook of one sheet."""
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(list(row))
    return book


async def check(client: httpx.AsyncClient, content: bytes | openpyxl.Workbook, **query: Any) -> dict[str, Any]:
    """Return the result of the dry run of a file."""
    if isinstance(content, openpyxl.Workbook):
        file = io.BytesIO()
        content.save(file)
        answer = await send(client, file.getvalue(), XLSX, **query)
    else:
        answer = await send(client, content, CSV, **query)
    result: dict[str, Any] = answer.json()
    return result


def problems(result: dict[str, Any]) -> list[tuple[str | None, str]]:
    """Return cell and words of each problem."""
    return [(each["cell"], each["detail"]) for each in result["problems"]]


@pytest.mark.parametrize(
    ("header", "row", "cell"),
    [
        (PEOPLE, [*CELLS, "250", "000"], "G2"),
        # A column without a header stands between others.
        ([*PEOPLE, "", "quote"], [*CELLS, "250", "000", "said"], "G2"),
        (["people", *HEADERS], ["5", *CELLS, "", "", "more"], "I2"),
        # The row is longer than that of the headers.
        ([*PEOPLE, "quote"], [*CELLS, "250", "900", ""], "H2"),
    ],
)
async def test_cell_without_a_header_above_it_is_refused(
    client: httpx.AsyncClient, reference: Reference, header: list[str], row: list[str], cell: str
) -> None:
    """A comma in a number shifts what follows."""
    result = await check(client, csv_bytes(header, row))
    assert (result["created"], [at for at, _ in problems(result)]) == (0, [cell])
    assert "no header is above this cell" in result["problems"][0]["detail"]


async def test_row_numbers_before_the_first_header_are_no_problem(client: httpx.AsyncClient, reference: Reference) -> None:
    """As pandas writes them, and separators after the last column."""
    result = await check(client, csv_bytes(["", *PEOPLE, ""], ["0", *CELLS, "5", ""]))
    assert (result["created"], result["problems"]) == (1, [])


async def test_last_row_that_is_cut_off_is_refused_and_other_short_rows_said(client: httpx.AsyncClient, reference: Reference) -> None:
    header, whole = [*HEADERS, "people_low", "people_high"], [*CELLS, "5", ""]
    cut = [*CELLS, "251000"]
    result = await check(client, csv_bytes(header, whole, cut))
    assert [at for at, _ in problems(result)] == ["G3"]
    assert "the last row ends before this cell" in result["problems"][0]["detail"]
    # Excel writes no separators where all cells at the end of 16 rows are empty.
    result = await check(client, csv_bytes(header, *[whole] * 15, cut))
    assert (result["problems"], result["notes"]) == (
        [],
        ["1 row is shorter than the headers, the first is row 17: check that nothing is missing at its end."],
    )
    assert (await check(client, csv_bytes(header, whole)))["notes"] == []


async def test_empty_cell_never_takes_a_default(client: httpx.AsyncClient, reference: Reference) -> None:
    content = csv_bytes(PEOPLE, [*CELLS[:2], "", *CELLS[3:], "5"], [*CELLS, "7"])
    result = await check(client, content, source="envoy", sensitivity="amber")
    assert problems(result) == [("C2", "the cell is empty: write the source, or remove the column to use the default")]
    assert [each["sensitivity"] for each in result["shown"]] == ["amber"]


async def test_number_that_a_comma_has_torn_is_refused(client: httpx.AsyncClient, reference: Reference) -> None:
    both = [*HEADERS, "people_low", "people_high"]
    for header, end, cell in (
        ([*PEOPLE, "quote"], "250,000", "F2"),
        ([*PEOPLE, "remark", "url"], "250,900,", "F2"),
        (both, "250,900", "F2"),
        ([*both, "url"], "1,250,900", "G2"),
        # The separator at the end says that no cell is missing, and quotation marks that the cells are two.
        ([*both, "url"], "250,900,", None),
        (both, '"250","900"', None),
        (both, "250,1900", None),
    ):
        result = await check(client, f"{','.join(header)}\n{','.join(CELLS)},{end}\n".encode())
        assert [at for at, _ in problems(result)] == ([cell] if cell else []), (header, end, result)
        if cell:
            assert "in quotation marks" in result["problems"][0]["detail"]


async def test_empty_cell_never_stands_for_what_leaving_it_out_says(client: httpx.AsyncClient, reference: Reference) -> None:
    """The label of a report, and that a supply is all stock; but that nothing is known of the method may stay empty."""
    header = ["kind", "place", "source", "stated_at", "supply", "state", "scope", "in_days_min", "sensitivity", "method", "credibility"]
    row = ["supply_runout", "oldtown", "agency", "2016-07-28", "food", "will_run_out", "all_stock", "5", "red", "", ""]
    blank = [at for at in range(5, 9) if at != 7]
    result = await check(client, csv_bytes(header, row, *[[*row[:at], "", *row[at + 1 :]] for at in blank]))
    assert [at for at, _ in problems(result)] == ["F3", "G4", "I5"]
    assert [each["sensitivity"] for each in result["shown"]] == ["red"]


async def test_names_of_one_place_must_not_contradict(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="land", name="Land", codes=[{"scheme": "pcode", "code": "XX"}])
    await reference.add("places", slug="town", name="Town", parent="land", codes=[{"scheme": "pcode", "code": "XX01"}])
    header = ["#adm1+code", "#adm2+code", *PEOPLE]
    rows = [[upper, lower, CELLS[0], place, *CELLS[2:], "5"] for upper, lower, place in (
        ("XX", "XX01", "town"), ("XX", "", "town"), ("", "XX99", "town"),
        ("SY02", "", "town"), ("XX", "SY02", "town"), ("XX", "SY02", ""), ("", "XX01", "land"),
    )]  # fmt: skip
    result = await check(client, csv_bytes(header, *rows))
    assert [at for at, _ in problems(result)] == ["B4", "A5", "B6", "A7", "B8"]
    assert "pcode:SY02 is oldtown, which does not contain town" in result["problems"][1]["detail"]
    assert result["created"] == 1


async def test_merged_cells_hold_for_all_their_rows(client: httpx.AsyncClient, reference: Reference) -> None:
    blank = [None, None]
    book = table(
        ["Figures of July", None, None, None, None, None, None],
        [*HEADERS, "people_low", "people_high"],
        [*CELLS, 5, 6],
        [CELLS[0], *blank, "2016-07-29", CELLS[4], 7, 8],
        [CELLS[0], *blank, "2016-07-30", CELLS[4], 9, None],
        [CELLS[0], *blank, "2016-07-31", CELLS[4], 9, None],
    )
    assert book.active is not None
    for cells in ("A1:G1", "B3:B5", "C3:C5", "F5:G5"):
        book.active.merge_cells(cells)
    result = await check(client, book, place="oldtown", source="envoy")
    assert [(each["place"], each["source"], each["value"]["people_low"]) for each in result["shown"]] == [
        ("oldtown", "agency", 5),
        ("oldtown", "agency", 7),
    ]
    # Merged with its neighbour a cell is no value for both; below the merged cells nothing is said.
    assert [(at, detail.partition(":")[0]) for at, detail in problems(result)] == [
        ("G5", "the cell is merged with the one on its left"),
        ("B6", "the cell is empty"),
        ("C6", "the cell is empty"),
    ]


async def test_hidden_sheets_and_rows_are_said_and_not_read(client: httpx.AsyncClient, reference: Reference) -> None:
    book = table(PEOPLE, [*CELLS, 5], [*CELLS, 6], [*CELLS, 7])
    sheet = book.active
    assert sheet is not None
    sheet.title = "July"
    sheet.row_dimensions[3].hidden = sheet.row_dimensions[4].hidden = sheet.column_dimensions["C"].hidden = True
    old = book.create_sheet("Old")
    for row in (PEOPLE, [*CELLS, 8]):
        old.append(row)
    old.sheet_state = "veryHidden"
    result = await check(client, book)
    assert [each["value"]["people"] for each in result["shown"]] == [5]
    assert result["notes"] == [
        "July: hidden columns were read (source): show them to check them, or remove them.",
        "July: 2 rows are hidden or filtered out and were not read, the first is row 3: show them to read them.",
        "The sheet Old is hidden and was not read: name it (--sheet 'Old') to read it.",
    ]
    result = await check(client, book, sheet="Old")
    assert ([each["value"]["people"] for each in result["shown"]], result["notes"]) == ([8], [])
    result = await check(client, book, sheet="Odl")
    assert result["errors"][0]["detail"] == "There is no sheet 'Odl': the sheets are July, Old."


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[*PEOPLE, "People"], [*CELLS, "5", "6"]], "people (F) and People (G)"),
        ([[*PEOPLE, "value.people"], [*CELLS, "5", "6"]], "people (F) and value.people (G)"),
        ([["adm1_pcode", "ADM1 Pcode", *PEOPLE[2:]], ["SY02", "SY02", *CELLS[2:], "5"]], "adm1_pcode (A) and ADM1 Pcode (B)"),
        ([["Annex 3", "", ""], ["colour", "size", "people who left"], ["red", "1", "2"]], "row 2 ('colour', 'size', 'people who left')"),
        ([[*PEOPLE, "sensitivty"], [*CELLS, "5", "red"]], "sensitivty (G) is near sensitivity"),
        ([[*PEOPLE, "TLP label"], [*CELLS, "5", "red"]], "TLP label (G) is near sensitivity"),
        ([[*PEOPLE, "Classification"], [*CELLS, "5", "red"]], "Classification (G) is near sensitivity"),
        ([[*PEOPLE, "peopel high", "remark", "credibilty"], [*CELLS, "5", "6"]], "credibilty (I) is near credibility"),
        ([[*PEOPLE, ""], [*["#meta+x"] * 6, "#meta+tpl"], [*CELLS, "5", "red"]], "without a header (G) is near #meta+tlp"),
        (
            [PEOPLE, ["#indicator type", "#loc code", "#meta+source", "#date reported", "", ""], [*CELLS, "5"]],
            "Row 2 has hashtags that are not of HXL, #indicator type, #loc code, #date reported",
        ),
    ],
)
async def test_header_that_is_not_clear_is_refused_by_name(
    client: httpx.AsyncClient, reference: Reference, rows: list[list[str]], words: str
) -> None:
    assert words in (await check(client, csv_bytes(*rows)))["errors"][0]["detail"]


@pytest.mark.parametrize(
    "rows",
    [
        # Rows of titles, among them one with the name of a field.
        [["Situation in Aleppo"], ["Source", "a desk"], ["", ""], PEOPLE, [*CELLS, "5"]],
        # Headers where there is no hashtag, and a hashtag without the scheme of its codes.
        [
            ["Kind", "Where", "Who", "Stated at", "What", "How many"],
            ["", "#adm1+code", "#meta+source+code", "", "#indicator+definition", "#affected+trapped+best"],
            [CELLS[0], "SY02", *CELLS[2:], "5"],
        ],
    ],
)
async def test_headers_are_found_below_titles_and_beside_hashtags(
    client: httpx.AsyncClient, reference: Reference, rows: list[list[str]]
) -> None:
    result = await check(client, csv_bytes(*rows))
    assert (result["created"], result["problems"]) == (1, [])
    assert (result["shown"][0]["place"], result["shown"][0]["value"]["people"]) == ("oldtown", 5)
    titles = ["the headers are in row 4; what stands above them was not read."]
    assert result["notes"] == (titles if rows[0] == ["Situation in Aleppo"] else [])


# Column, cell, field and value.
READ: list[tuple[str, Any, str, Any]] = [
    ("kind", "Trapped population", "kind", "trapped_population"),
    ("kind", "Trapped populations", "kind", "trapped_population"),
    ("concept", "Hard to reach", "value.concept", "hard_to_reach"),
    ("method", "Key informant", "provenance.method", "key_informant"),
    ("sensitivity", "TLP:AMBER+STRICT", "sensitivity", "amber_strict"),
    ("people", "\u0662\u0665\u0660\u0660\u0660\u0660", "value.people", 250_000),
    ("people", "5.0", "value.people", 5),
    ("stated_at", "\u06f2\u06f0\u06f1\u06f6-\u06f0\u06f7-\u06f2\u06f8", "stated_at", "2016-07-28"),
    ("stated_at", "2016-07-28 00:00:00", "stated_at", "2016-07-28"),
    # The time is that of the place.
    ("stated_at", MORNING, "stated_at", "2016-07-28T06:30:00Z"),
    ("place", "iso3166-1:SYR", "place", "syria"),
    ("place", "iso3:SYR", "place", "syria"),
    # Composed and decomposed letters, in the file and in the database.
    ("place", "Ca\u0301fe\u0301", "place", "composed"),
    ("place", "C\u00e1f\u00e9", "place", "composed"),
    ("place", "M\u00e1rk\u00e9t", "place", "decomposed"),
    ("place", "Ma\u0301rke\u0301t", "place", "decomposed"),
    # Names in further languages.
    ("place", "\u0634\u0631\u0642 \u062d\u0644\u0628", "place", "composed"),
    # Unseen spaces and marks.
    ("place", "\u200fM\u00e1rk\u00e9t\u200b", "place", "decomposed"),
    ("place", "Old\u00a0 town", "place", "oldtown"),
    ("people", "\u200e5", "value.people", 5),
]
# Column, cell and what to write instead.
REFUSED: list[tuple[str, Any, str]] = [
    ("stated_at", "31/07/2016", "write 2016-07-31"),
    ("stated_at", "01.02.2016", "write 2016-02-01 or 2016-01-02, whichever is meant"),
    ("stated_at", "2016/7/3", "write 2016-07-03"),
    ("stated_at", "2016-07-28 09:30:00", "write 2016-07-28T09:30:00Z if that is UTC, else 2016-07-28T09:30:00 with the offset"),
    ("stated_at", "20160728", "write 2016-07-28"),
    ("stated_at", "28-Jul-2016", "write 2016-07-28"),
    ("stated_at", "July 8, 2016", "write 2016-07-08"),
    ("stated_at", "28/07/2016 09:30", "write 2016-07-28"),
    ("stated_at", "2016-07-28 24:00", "must be a date (2016-07-28) or"),
    ("stated_at", 42579, "write 2016-07-28 if the number is the day of a spreadsheet"),
    ("people", "300,000.00", "write 300000 if"),
    ("stated_at", TWICE, "the clocks of Asia/Damascus change at this time"),
    ("people", "300,000", "write 300000"),
    ("people", "050", "whole number in digits alone"),
    ("people", "300.000", "write 300000"),
    ("people", "\u0663\u0660\u0660\u066c\u0660\u0660\u0660", "write 300000"),
    ("people", "34,5", "write 34, 35 or 345, whichever is meant"),
    ("people", "250000 \u2013 300000", "write 250000 as the lowest and 300000 as the highest"),
    ("people", "251000,0", "write 251000 if that is meant"),
    ("people", "275001.00", "write 275001 if that is meant"),
    ("people", "251000.5", "write 251000 or 251001, whichever is meant"),
    ("people", "\u0662\u0665\u0661\u066b\u0660\u0660\u0660", "write 251 or 251000, whichever is meant"),
    ("people", "2,51,000", "write 251000 if that is meant"),
    ("people", "#SPILL!", "the cell holds an error"),
    ("people", "Err:502", "the cell holds an error"),
    ("people", "50%", "whole number in digits alone"),
    ("people", True, "whole number in digits alone"),
    ("method", "nan", "leave the cell empty"),
    ("method", "-", "leave the cell empty"),
    ("concept", "surrounded", "trapped"),
]


def rows_with(changed: Sequence[tuple[str, Any]]) -> list[list[Any]]:
    """Return a header, and for each changed cell a statement with it."""
    columns = [*PEOPLE, "method", "sensitivity"]
    usual = dict(zip(columns, [CELLS[0], "damascus", *CELLS[2:], 3, None, "green"], strict=True))
    return [columns, *(list((usual | {column: cell}).values()) for column, cell in changed)]


async def test_values_as_people_write_them_are_read(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="damascus", name="Damascus", timezone="Asia/Damascus")
    await reference.add("places", slug="syria", name="Syria", codes=[{"scheme": "iso3166-1", "code": "SYR"}])
    await reference.add("places", slug="composed", name="C\u00e1f\u00e9", names={"ar": "\u0634\u0631\u0642 \u062d\u0644\u0628"})
    await reference.add("places", slug="decomposed", name="Ma\u0301rke\u0301t")
    result = await check(client, table(*rows_with([(column, cell) for column, cell, _, _ in READ])))
    assert result["problems"] == []
    for (column, cell, field, value), shown in zip(READ, result["shown"], strict=True):
        assert reduce(getitem, field.split("."), shown) == value, (column, cell)


async def test_name_of_two_places_in_any_language_is_refused(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="east", name="East", names={"fr": "Old town"})
    result = await check(client, csv_bytes(PEOPLE, [CELLS[0], "Old town", *CELLS[2:], "5"]))
    assert problems(result) == [("B2", "2 places have this name: write oldtown or east")]


async def test_values_that_could_mean_two_things_are_refused(client: httpx.AsyncClient, reference: Reference) -> None:
    await reference.add("places", slug="damascus", name="Damascus", timezone="Asia/Damascus")
    result = await check(client, table(*rows_with([(column, cell) for column, cell, _ in REFUSED])))
    for number, ((column, _, words), (at, detail)) in enumerate(zip(REFUSED, problems(result), strict=True), 2):
        assert at == f"{'ABCDEFG'[[*PEOPLE, 'method'].index(column)]}{number}"
        assert words in detail
