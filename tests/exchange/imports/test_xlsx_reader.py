"""Workbooks: damaged ones, those of other programs, formulas and dates."""

import io
import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
import xlsxwriter

from app.exchange.imports import workbooks
from app.exchange.imports.file_readers import read_tables
from app.exchange.imports.tables import NOT_AS_SHOWN, STRUCK, cell_text
from app.http.content_negotiation import Format
from tests.exchange.imports.files import CELLS, HEADERS, ODS, XLSX, send
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only
from tests.support.servers import invoke


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'<row r="2"', b'<row r="999999999999"', "more than 1,000 rows"),
        (b"<v>5</v>", b"<v>five</v>", "is damaged"),
        (b"</sheetData>", b"", "is damaged"),
        (b"</sheetData>", b"</sheetData>" + b" " * 10_000_000, "unpacks to far more than its size"),
    ],
)
def test_damaged_or_crafted_workbook_is_refused(
    sqlite_template: Path, tmp_path: Path, old: bytes, new: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "MAX_ROWS", 1000)
    original = io.BytesIO()
    with xlsxwriter.Workbook(original) as book:
        book.add_worksheet().write_column(0, 0, ["people_high", 5])
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(original) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as altered:
        for name in archive.namelist():
            content = archive.read(name)
            altered.writestr(name, content.replace(old, new) if name.endswith("sheet1.xml") else content)
    refused = invoke("import", str(path), database_url=f"sqlite:///{sqlite_template}")
    assert refused.exit_code == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.output


@sqlite_only
async def test_formula_without_saved_result_is_a_problem(client: httpx.AsyncClient, reference: Reference) -> None:
    """Libraries write formulas without results; read as empty cells, the row would state something else."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in ([*HEADERS, "people_low", "people_high"], [*CELLS, "=2*3", 9], [*CELLS, None, "#DIV/0!"], [*CELLS, None, 9]):
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    result = (await send(client, file.getvalue(), XLSX)).json()
    assert [(each["cell"], each["detail"].partition(":")[0]) for each in result["problems"]] == [
        ("F2", "the cell holds a formula without its result"),
        ("G3", "the cell holds an error, #DIV/0!"),
    ]
    assert result["created"] == 1


@sqlite_only
async def test_formula_with_a_placeholder_as_result_is_a_problem(client: httpx.AsyncClient, reference: Reference) -> None:
    """XlsxWriter, and pandas with it, save 0 as the result of a formula; a result that the program names is taken."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, [*HEADERS, "people_low", "people_high"])
        for row in (1, 2, 3):
            sheet.write_row(row, 0, [*CELLS, 0, 9])
        sheet.write_formula("F2", "=2*3")
        sheet.write_formula("F3", "=2*3", value=6)
    result = (await send(client, file.getvalue(), XLSX)).json()
    assert [(each["cell"], each["detail"].partition(":")[0]) for each in result["problems"]] == [
        ("F2", "the cell holds a formula without its result")
    ]
    assert [each["value"]["people_low"] for each in result["shown"]] == [6, 0]


def test_date_cell_without_time_is_a_day() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"default_date_format": "yyyy-mm-dd"}) as book:
        book.add_worksheet().write(0, 0, datetime(2010, 1, 1))  # noqa: DTZ001 - spreadsheets have no time zone
    tables = read_tables(file, Format.XLSX)
    (cell,) = next(next(tables).rows).cells
    assert isinstance(cell, datetime)
    assert cell_text(cell) == "2010-01-01"


@pytest.mark.parametrize(
    ("shown", "value", "read"),
    [
        ("0%", 5, NOT_AS_SHOWN),
        ('0"k"', 250, NOT_AS_SHOWN),
        ('"<"0', 250, NOT_AS_SHOWN),
        ("0\\k", 250, NOT_AS_SHOWN),
        ("#,##0,", 250_000, NOT_AS_SHOWN),
        (";;;", 250, NOT_AS_SHOWN),
        ("0.0E+00", 251_234, NOT_AS_SHOWN),
        ("000-000", 251_234, NOT_AS_SHOWN),
        ('000"-"000', 251_234, NOT_AS_SHOWN),
        *(
            (shown, 251_000, NOT_AS_SHOWN)
            for shown in ('"$"#,##0', "[$$-409]#,##0", "$#,##0", "#,##0 [$\u20ac-407]", "[$EUR] 0", "\\\u00a30", '_("$"* #,##0_)')
        ),
        # A language, and the room of a sign that is not shown.
        *((shown, 251_000, 251_000) for shown in ("[$-409]#,##0", "_-* #,##0\\ _\u20ac_-", "[Red]0")),
        ("# ##0;-# ##0", 250_000, 250_000),
        ("[h]:mm", 30.5, NOT_AS_SHOWN),
        ("h:mm", 42_579.25, NOT_AS_SHOWN),
        ("#,##0", 250_000, 250_000),
        ('_-* #,##0_-;[Red]_-* "-"??_-', 250_000, 250_000),
        ("000000", 1234, "001234"),
    ],
)
def test_number_counts_only_if_its_cell_shows_it(shown: str, value: float, read: Any) -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, value, book.add_format({"num_format": shown}))
        sheet.write(0, 1, "said", book.add_format({"font_strikeout": True}))
        sheet.write_rich_string(0, 2, "a ", book.add_format({"font_strikeout": True}), "b", " c")
    assert next(next(read_tables(file, Format.XLSX)).rows).cells == [read, STRUCK, STRUCK]


def test_row_or_column_too_small_to_be_seen_is_hidden() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for row, height in enumerate((15, 0.5, 8)):
            sheet.set_row(row, height)
            sheet.write_row(row, 0, [1, 2])
        sheet.set_column(1, 1, 0.1)
    tables = read_tables(file, Format.XLSX)
    table = next(tables)
    assert [each.hidden for each in table.rows] == [False, True, False]
    assert table.hidden_columns == {1}
    styles = "".join(
        f'<style:style style:name="{name}"><style:table-{name}-properties style:{size}="0.5pt"/></style:style>'
        for name, size in (("row", "row-height"), ("column", "column-width"))
    )
    content = ods('<table:table-column table:style-name="column"/>', ods_row("a", attributes=' table:style-name="row"'), styles=styles)
    table = next(read_tables(io.BytesIO(content), Format.XLSX))
    assert [each.hidden for each in table.rows] == [True]
    assert table.hidden_columns == {0}


def test_cell_that_shows_a_month_is_no_day() -> None:
    """Excel makes a date of 2016-07 when it is typed, and of 1 July one in the year of the typing."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for at, shown in enumerate(("mmm-yy", "yyyy", '"d"mmm yyyy', "d mmm")):
            sheet.write(0, at, datetime(2016, 7, 1), book.add_format({"num_format": shown}))  # noqa: DTZ001 - see above
    tables = read_tables(file, Format.XLSX)
    assert [cell_text(each) for each in next(next(tables).rows).cells] == ["2016-07", "2016", "2016-07", NOT_AS_SHOWN]


def altered(book: openpyxl.Workbook, *changes: tuple[bytes, bytes]) -> bytes:
    """Return a workbook with all of its parts changed."""
    file, other = io.BytesIO(), io.BytesIO()
    book.save(file)
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(other, "w") as target:
        for name in archive.namelist():
            content = archive.read(name)
            for old, new in changes:
                content = content.replace(old, new)
            target.writestr(name, content)
    return other.getvalue()


STRICT = (
    (b"http://schemas.openxmlformats.org/spreadsheetml/2006/main", b"http://purl.oclc.org/ooxml/spreadsheetml/main"),
    (b"http://schemas.openxmlformats.org/officeDocument/2006/relationships", b"http://purl.oclc.org/ooxml/officeDocument/relationships"),
    (b'<c r="D2" t="inlineStr"><is><t>2016-07-28</t></is></c>', b'<c r="D2" t="d"><v>2016-07-28</v></c>'),
)


@sqlite_only
@pytest.mark.parametrize("changes", [((b"<fill><patternFill/></fill>", b"<fill/>"),), STRICT], ids=["an empty fill", "strict"])
async def test_workbook_of_another_program_is_read(
    client: httpx.AsyncClient, reference: Reference, changes: tuple[tuple[bytes, bytes], ...]
) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in ([*HEADERS, "people"], [*CELLS, 5]):
        book.active.append(row)
    content = altered(book, *changes)
    assert content != altered(book)
    result = (await send(client, content, XLSX)).json()
    assert (result["created"], result["problems"]) == (1, [])
    assert result["shown"][0]["stated_at"] == "2016-07-28"


def test_time_of_a_cell_keeps_its_offset_and_a_text_its_characters() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    times = {"A": "2016-08-20T23:30:00Z", "B": "2016-08-20T00:00:00Z", "C": "2016-08-20T23:30:00"}
    book.active.append([*times, "_xD83D__xDE00_"])
    cells = [(f't="inlineStr"><is><t>{old}</t></is></c>'.encode(), f't="d"><v>{new}</v></c>'.encode()) for old, new in times.items()]
    tables = read_tables(io.BytesIO(altered(book, *cells)), Format.XLSX)
    assert [cell_text(each) for each in next(next(tables).rows).cells] == [
        "2016-08-20T23:30:00+00:00",
        "2016-08-20",
        "2016-08-20T23:30:00",
        "\U0001f600",
    ]


def ods(*rows: str, styles: str = "", common: str = "") -> bytes:
    """Return an OpenDocument spreadsheet of one sheet, with the XML of its rows, of its styles and of those in `styles.xml`."""
    names = {each: each for each in ("office", "style", "table", "text")} | {"number": "datastyle"}
    spaces = " ".join(f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for prefix, name in names.items())
    body = f"<office:automatic-styles>{styles}</office:automatic-styles><office:body><office:spreadsheet>"
    sheet = f'<table:table table:name="July" table:style-name="ta1">{"".join(rows)}</table:table>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", ODS)
        if common:
            archive.writestr(
                "styles.xml", f"<office:document-styles {spaces}><office:styles>{common}</office:styles></office:document-styles>"
            )
        archive.writestr(
            "content.xml", f"<office:document-content {spaces}>{body}{sheet}</office:spreadsheet></office:body></office:document-content>"
        )
    return file.getvalue()


def ods_row(*cells: Any, attributes: str = "") -> str:
    """Return the XML of a row; a cell is a text, or XML."""
    text = '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
    return (
        f"<table:table-row{attributes}>{''.join(each if each.startswith('<') else text.format(each) for each in cells)}</table:table-row>"
    )


PEOPLE = '<table:table-cell office:value-type="float" office:value="5"><text:p>5</text:p></table:table-cell>'
DAY = '<table:table-cell office:value-type="date" office:date-value="2016-07-28"><text:p>28/07/16</text:p></table:table-cell>'
COMMENTED = (
    '<table:table-cell office:value-type="string"><office:annotation><text:p>a comment</text:p></office:annotation>'
    '<text:p>two<text:s text:c="2"/>words</text:p><text:p>and a line</text:p></table:table-cell>'
)
MERGED = '<table:table-cell office:value-type="string" table:number-rows-spanned="3"><text:p>agency</text:p></table:table-cell>'
COVERED = "<table:covered-table-cell/>"
FORMULA = '<table:table-cell table:formula="of:=1+1"/>'


@sqlite_only
async def test_opendocument_spreadsheet_is_read(client: httpx.AsyncClient, reference: Reference) -> None:
    empty = '<table:table-cell table:number-columns-repeated="1000"/>'
    content = ods(
        ods_row(*HEADERS, "people", "quote", empty),
        ods_row(*CELLS[:2], MERGED, DAY, CELLS[4], PEOPLE, COMMENTED, empty),
        ods_row(empty, attributes=' table:number-rows-repeated="3"').replace("3", "1"),
        ods_row(*CELLS[:2], COVERED, "2016-07-29", CELLS[4], PEOPLE, attributes=' table:visibility="filter"'),
        ods_row(*CELLS[:2], COVERED, "2016-07-30", CELLS[4], FORMULA),
        ods_row(empty, attributes=' table:number-rows-repeated="1000000"'),
    )
    result = (await send(client, content, ODS)).json()
    (shown,) = result["shown"]
    assert (shown["source"], shown["stated_at"], shown["value"]["people"]) == ("agency", "2016-07-28", 5)
    assert shown["provenance"]["quote"] == "two  words\nand a line"
    assert result["notes"] == ["July: 1 row is hidden or filtered out and was not read, the first is row 4: show them to read them."]
    assert [(each["cell"], each["detail"].partition(":")[0]) for each in result["problems"]] == [
        ("F5", "the cell holds a formula without its result"),
        ("C5", "this field is required"),
    ]
    hidden = '<style:style style:name="ta1"><style:table-properties table:display="false"/></style:style>'
    result = (await send(client, ods(ods_row(*HEADERS), styles=hidden), ODS)).json()
    assert result["errors"][0]["detail"] == "All sheets of the workbook are hidden: name one to read it (July)."


def test_opendocument_number_counts_only_if_its_cell_shows_it() -> None:
    space = 'xmlns:number="urn:oasis:names:tc:opendocument:xmlns:datastyle:1.0"'
    styles = (
        f'<number:number-style {space} style:name="N1"><number:number/><number:text>k</number:text></number:number-style>'
        '<style:style style:name="unit" style:family="table-cell" style:data-style-name="N1"/>'
        '<style:style style:name="struck"><style:text-properties style:text-line-through-style="solid"/></style:style>'
    )
    others = [PEOPLE.replace('"float"', f'"{each}"') for each in ("percentage", "currency")]
    cells = [PEOPLE, *others, *(PEOPLE.replace("-cell ", f'-cell table:style-name="{each}" ') for each in ("unit", "struck"))]
    table = next(read_tables(io.BytesIO(ods(ods_row(*cells), styles=styles)), Format.XLSX))
    assert next(table.rows).cells == [5, *[NOT_AS_SHOWN] * 3, STRUCK]


def typed(type_: str, value: Any, text: str, style: str = "plain") -> str:
    """Return the XML of a cell that holds a value and shows a text."""
    name = "date-value" if type_ == "date" else "value"
    attributes = f'table:style-name="{style}" office:value-type="{type_}" office:{name}="{value}"'
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


@pytest.mark.parametrize(
    ("value", "text", "read"),
    [
        *(
            (250_000, text, NOT_AS_SHOWN)
            for text in (
                "25",
                "250",
                "250k",
                "ca. 250000",
                "&lt;250000",
                "2.5E+05",
                "250,000 families",
                "(250000)",
                "$250,000.00",
                "250.000 \u20ac",
            )
        ),
        *((250_000, text, 250_000) for text in ("250000", "250,000", "250.000", "250\u202f000", "250\u2019000", "2,50,000")),
        (250_000, "\u0662\u0665\u0660\u066c\u0660\u0660\u0660", 250_000),
        *((251, text, NOT_AS_SHOWN) for text in ("251000", "251.000.000", "-251", "9" * 400)),
        *((36.2021, text, 36.2021) for text in ("36.2021", "36,20", "36")),
        (7, "007", "007"),
    ],
)
def test_opendocument_number_that_its_text_does_not_show_is_refused(value: float, text: str, read: Any) -> None:
    table = next(read_tables(io.BytesIO(ods(ods_row(typed("float", value, text)))), Format.XLSX))
    assert next(table.rows).cells == [read]


@pytest.mark.parametrize(
    ("value", "text", "read"),
    [
        *(("2016-11-10", text, NOT_AS_SHOWN) for text in ("11 Nov", "10/11", "Nov 16", "2016", "10 Nov 15", "10/2016")),
        *(("2016-11-16", text, NOT_AS_SHOWN) for text in ("Nov 16", "11/16")),
        *(("2016-11-10", text, "2016-11-10") for text in ("10/11/16", "11/10/2016", "2016-11-10", "10 November 2016", "10 nov. 16")),
        ("2016-11-10T14:30:00", "10.11.2016 14:30", "2016-11-10T14:30:00"),
        ("2016-11-10T14:30:00Z", "10.11.2016 14:30", "2016-11-10T14:30:00+00:00"),
    ],
)
def test_opendocument_date_that_its_text_does_not_show_is_refused(value: str, text: str, read: Any) -> None:
    table = next(read_tables(io.BytesIO(ods(ods_row(typed("date", value, text)))), Format.XLSX))
    assert [cell_text(each) for each in next(table.rows).cells] == [read]


def test_opendocument_formats_of_another_part_or_a_parent_count() -> None:
    """LibreOffice keeps the formats of a converted XLSX in `styles.xml`, where a style of content.xml names its parent."""
    common = (
        "<number:number-style style:name='N1'><number:text>&lt;</number:text><number:number/></number:number-style>"
        "<number:date-style style:name='N2'><number:month/><number:year/></number:date-style>"
        "<number:number-style style:name='N3'><number:scientific-number/></number:number-style>"
        "<style:style style:name='parent' style:family='table-cell' style:data-style-name='N2'/>"
    )
    styles = "".join(
        f"<style:style style:name='{name}' style:family='table-cell' style:parent-style-name='parent'{format_}/>"
        for name, format_ in (("number", " style:data-style-name='N1'"), ("power", " style:data-style-name='N3'"), ("month", ""))
    )
    cells = [typed("float", 250, "", "number"), typed("float", 250, "", "power"), typed("date", "2016-11-16", "Nov 16", "month")]
    table = next(read_tables(io.BytesIO(ods(ods_row(*cells), styles=styles, common=common)), Format.XLSX))
    assert next(table.rows).cells == [NOT_AS_SHOWN, NOT_AS_SHOWN, "2016-11"]


def test_opendocument_month_is_no_day_and_hidden_columns_are_known() -> None:
    """By the style of the cell, or of its column."""
    month, year = "<number:month/><number:year/>", "<number:year/>"
    space = 'xmlns:number="urn:oasis:names:tc:opendocument:xmlns:datastyle:1.0"'
    styles = "".join(
        f'<number:date-style {space} style:name="N{name}">{units}</number:date-style>'
        f'<style:style style:name="{name}" style:family="table-cell" style:data-style-name="N{name}"/>'
        for name, units in (("month", month), ("year", year), ("day", f"<number:day/>{month}"))
    )
    columns = (
        '<table:table-column table:default-cell-style-name="month" table:number-columns-repeated="2"/>'
        '<table:table-column table:default-cell-style-name="Default" table:visibility="collapse"/>'
    )
    cells = [DAY, *(DAY.replace("-cell ", f'-cell table:style-name="{each}" ') for each in ("day", "year"))]
    table = next(read_tables(io.BytesIO(ods(columns, ods_row(*cells), styles=styles)), Format.XLSX))
    assert [cell_text(each) for each in next(table.rows).cells] == ["2016-07", "2016-07-28", "2016"]
    assert table.hidden_columns == {2}


def test_large_workbook_is_read() -> None:
    """Each part is larger than the directory of an archive may be."""
    rows = [[f"{number}", os.urandom(60).hex()] for number in range(12_000)]
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    assert file.tell() > 1024 * 1024 / 2
    tables = read_tables(file, Format.XLSX)
    assert [each.cells for each in next(tables).rows] == rows
