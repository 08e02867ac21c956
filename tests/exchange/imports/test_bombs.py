"""Small files that would take much memory or time to read are refused at once, and other requests go on meanwhile."""

import asyncio
import io
import os
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import httpx
import xlsxwriter

from tests.exchange.imports.files import CSV, NDJSON, ODS, XLSX, send
from tests.exchange.imports.test_xlsx_reader import ods, ods_row
from tests.support.factories import Reference
from tests.support.fixtures import sqlite_only

JSON = "application/json"
SPACES = '<table:table-cell><text:p><text:s text:c="999999999"/></text:p></table:table-cell>'
WIDE = '<table:table-cell table:number-columns-spanned="16000"><text:p>a</text:p></table:table-cell>'
# Twice what it may take, because a machine that is busy counts more.
MAX_SECONDS, MAX_BYTES = 2.0, 50 * 1024 * 1024
SHEET, STRINGS, STYLES, BOOK = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"


def _workbook(part: str = SHEET, pattern: bytes = b"$^", replacement: Callable[[], bytes] = bytes, *, members: int = 0) -> bytes:
    """Return a workbook of two rows, with a match of the pattern in one of its parts replaced."""
    plain, crafted = io.BytesIO(), io.BytesIO()
    with xlsxwriter.Workbook(plain) as book:
        sheet = book.add_worksheet("one")
        sheet.write_row(0, 0, ["place", "people"])
        sheet.write_row(1, 0, ["oldtown", 3])
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(crafted, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name == part and pattern != b"$^":
                content, count = re.subn(pattern, lambda _: replacement(), content, count=1, flags=re.DOTALL)
                assert count
            target.writestr(name, content)
        for number in range(members):
            target.writestr(f"{number}", b"")
        # Makes the file as large as a table of some thousand rows.
        target.writestr("picture", os.urandom(200_000))
    return crafted.getvalue()


def _strings(content: bytes, count: int) -> Callable[[], bytes]:
    return lambda: _workbook(STRINGS, rb"</sst>", lambda: content * count + b"</sst>")


def _sheet(before: bytes = b"", *, rows: bytes = b"", after: bytes = b"") -> Callable[[], bytes]:
    return lambda: _workbook(SHEET, rb"<sheetData>.*</sheetData>", lambda: before + b"<sheetData>" + rows + b"</sheetData>" + after)


def _join(pattern: bytes, count: int, separator: bytes) -> bytes:
    return separator.join(pattern % each for each in range(count))


NAMES = b'<definedName name="a"/>' * 200_000
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "shared strings": (XLSX, _strings(b"<si><t/></si>", 1_500_000)),
    "empty shared strings": (XLSX, _strings(b"<si/>", 500_000)),
    "runs of a string": (XLSX, _strings(b"<si>" + b"<r><t/></r>" * 100 + b"</si>", 10_000)),
    "a long string": (XLSX, _strings(b"<si><t>" + b"a" * 40_000_000 + b"</t></si>", 1)),
    "attributes": (XLSX, lambda: _workbook(STRINGS, b"<si>", lambda: b"<si " + b" ".join(b'a=""' for _ in range(900_000)) + b">")),
    "rows": (XLSX, _sheet(rows=b"<row/>" * 1_000_000)),
    "cells": (XLSX, _sheet(rows=b"<row>" + b"<c/>" * 1_000_000 + b"</row>")),
    "cells of one row": (XLSX, _sheet(rows=b"<row>" + b"<c><v>1</v></c>" * 20_000 + b"</row>")),
    "inline strings": (XLSX, _sheet(rows=b"<row>" + b'<c t="inlineStr"><is/></c>' * 400_000 + b"</row>")),
    "cells far to the right": (XLSX, _sheet(rows=b'<row><c r="XFD1"><v>1</v></c></row>' * 9000)),
    "rows far down": (XLSX, _sheet(rows=b'<row r="1048577"><c><v>1</v></c></row>')),
    "unknown elements": (XLSX, _sheet(b"<x/>" * 1_000_000)),
    "merged cells": (XLSX, _sheet(after=b"<mergeCells>" + b'<mergeCell ref="A1:B2"/>' * 500_000 + b"</mergeCells>")),
    "sheets": (XLSX, lambda: _workbook(BOOK, b"</sheets>", lambda: b'<sheet name="a" sheetId="9" r:id="rId1"/>' * 3000 + b"</sheets>")),
    "defined names": (XLSX, lambda: _workbook(BOOK, b"</sheets>", lambda: b"</sheets><definedNames>" + NAMES + b"</definedNames>")),
    "styles": (XLSX, lambda: _workbook(STYLES, b"</cellXfs>", lambda: b'<xf numFmtId="14"/>' * 100_000 + b"</cellXfs>")),
    "deep elements": (XLSX, _sheet(b"<x>" * 500_000 + b"</x>" * 500_000)),
    "entities": (XLSX, lambda: _workbook(SHEET, b"<worksheet", lambda: b'<!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet')),
    "another encoding": (XLSX, lambda: _workbook(SHEET, b'encoding="UTF-8"', lambda: b'encoding="cp037"')),
    "members": (XLSX, lambda: _workbook(members=15_000)),
    "repeated rows": (ODS, lambda: ods(ods_row("place", "people", attributes=' table:number-rows-repeated="999999999"'))),
    "spaces": (ODS, lambda: ods(ods_row("place", "people"), ods_row(SPACES))),
    "merged columns": (ODS, lambda: ods(ods_row("place", "people"), ods_row(*[WIDE] * 14_000))),
    "CSV rows": (CSV, lambda: b"place,people\n" + b"a\n" * 50_000),
    "CSV columns": (CSV, lambda: b"place,people" + b",b" * 1_000_000),
    "CSV columns in many lines": (CSV, lambda: b"place,people\n" + b'"\n",' * 1_500_000),
    "CSV field": (CSV, lambda: b'place,people\n"' + b"a" * 20_000_000 + b'",1'),
    "CSV line": (CSV, lambda: b"a" * 20_000_000),
    "NDJSON line": (NDJSON, lambda: b'{"a":"' + b"a" * 20_000_000),
    "NDJSON list": (NDJSON, lambda: b"[" + b"[]," * 2_500_000 + b"[]]"),
    "NDJSON lines": (NDJSON, lambda: b"7\n" * 50_000),
    "JSON items": (JSON, lambda: b"[" + b"7," * 50_000 + b"7]"),
    "JSON values": (JSON, lambda: b'[{"a":[' + b"[]," * 1_200_000 + b"[]]}]"),
    "JSON names": (JSON, lambda: b"{" + _join(b'"%d":[]', 500_000, b",") + b"}"),
    "JSON string": (JSON, lambda: b'[{"a":"' + b'\\"' * 10_000_000 + b'"}]'),
    "JSON lists": (JSON, lambda: b"[" * 1_000_000),
}  # fmt: skip


@sqlite_only
async def test_file_that_costs_far_more_than_its_size_is_refused_early(client: httpx.AsyncClient, reference: Reference) -> None:
    await send(client, _workbook(), XLSX)
    for bomb, (media_type, make) in BOMBS.items():
        content = make()
        started = time.process_time()
        pending = asyncio.create_task(send(client, content, media_type))
        alive = await asyncio.wait_for(client.get("/v1/me"), 10)
        answer = await pending
        seconds = time.process_time() - started
        assert alive.status_code == 200
        assert answer.status_code in (413, 422), (bomb, answer.text[:500])
        assert seconds < MAX_SECONDS, bomb
        (problem,) = answer.json()["errors"]
        assert 20 < len(problem["detail"]) < 400, problem


@sqlite_only
async def test_file_that_is_refused_takes_little_memory(client: httpx.AsyncClient, reference: Reference) -> None:
    for bomb in ("shared strings", "unknown elements", "CSV field", "NDJSON line", "JSON string"):
        media_type, make = BOMBS[bomb]
        content = make()
        tracemalloc.start()
        try:
            await send(client, content, media_type)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MAX_BYTES, bomb
