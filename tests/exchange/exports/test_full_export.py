"""`lifeline export FILE`: the same records in every format, chained as the ledger is, and no more than the clearance sees."""

import csv
import io
import json
import stat
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.utils.escape import unescape

from app.domain.tlp import Label
from app.exchange.exports import full_export
from app.exchange.exports.columns import column
from app.exchange.exports.full_export import read_records, write_full_export
from app.exchange.exports.hxl_csv import unescape_formula
from app.exchange.exports.records import restore
from app.exchange.exports.xlsx import MAX_CELL_CHARACTERS, OVERFLOW_MARKER, OVERFLOW_SHEET, WorkbookWriter
from app.exchange.imports.file_readers import read_tables
from app.http.content_negotiation import Format
from app.ledger.hash_chain import GENESIS, canonical_json, chain_hash
from app.storage.database import Database
from tests.support.servers import invoke


def from_csv(path: Path) -> list[dict[str, Any]]:
    """The records of a CSV file, as an importer reads them."""
    with path.open(encoding="utf-8", newline="") as file:
        headers, _, *rows = csv.reader(file)
    return [restore(headers, [unescape_formula(cell) for cell in row]) for row in rows]


def from_xlsx(path: Path) -> list[dict[str, Any]]:
    """The records of a workbook, likewise."""
    records = []
    for sheet in openpyxl.load_workbook(path).worksheets:
        headers, _, *rows = sheet.values
        records += [restore(headers, [_text(cell) for cell in row]) for row in rows]
    return records


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    return unescape(cell) if isinstance(cell, str) else str(cell).lower() if isinstance(cell, bool) else str(cell)


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def records_of(database: Database, clearance: Label) -> list[dict[str, Any]]:
    return [each async for some in read_records(database, clearance) for each in some]


async def test_every_format_carries_every_field(
    database: Database, filled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_export, "STEP", 3)
    written = []
    for ending in ("ndjson", "csv", "xlsx"):
        path = tmp_path / f"out.{ending}"
        counts: list[int] = []
        assert await write_full_export(database, path, Label.RED, counts.append) == sum(counts)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        written.append(path)
    assert {each for each in names(tmp_path) if each.startswith("out")} == {each.name for each in written}
    lines = [json.loads(line) for line in written[0].read_text(encoding="utf-8").splitlines()]
    assert lines == await records_of(database, Label.RED)
    assert from_csv(written[1]) == lines
    assert from_xlsx(written[2]) == lines
    assert {each["type"] for each in lines if each["record"] == "change"} == {"report", "correction", "retraction", "outcome", "grade"}
    places = [each["slug"] for each in lines if each["record"] == "place"]
    assert places.index("country") < places.index("oldtown") < places.index("pocket")
    # A source has its first grade; the later one is a change.
    assert next(each for each in lines if each.get("slug") == "army")["reliability"] == "D"


@pytest.mark.parametrize("clearance", [Label.CLEAR, Label.AMBER, Label.RED])
async def test_it_is_the_ledger_of_the_clearance(database: Database, filled: dict[str, Any], clearance: Label) -> None:
    head, *records = await records_of(database, clearance)
    hashed = GENESIS
    changes = [each for each in records if each["record"] == "change"]
    for seq, change in enumerate(changes, 1):
        entry = {name: value for name, value in change.items() if name not in ("record", "seq", "hash")}
        hashed = chain_hash(hashed, canonical_json(entry))
        assert (change["seq"], change["hash"]) == (seq, hashed)
    assert (head["seq"], head["hash"], head["clearance"]) == (len(changes), hashed, clearance)
    told = json.dumps(records)
    assert (filled["secret"]["id"] in told) is (clearance is Label.RED)
    assert (filled["amber"]["id"] in told) is (clearance is not Label.CLEAR)
    assert ("37.0812" in told) is (clearance is not Label.CLEAR)


def test_the_command(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    done = invoke("export", str(path), database_url=database_url)
    assert (done.exit_code, done.stdout) == (0, f"Wrote 1 records to {path}.\n")
    assert json.loads(path.read_text(encoding="utf-8"))["seq"] == 0
    refused = invoke("export", str(tmp_path / "out.pdf"), database_url=database_url)
    assert refused.exit_code == 1
    assert ".ndjson, .csv, .xlsx" in refused.stderr
    assert not list(tmp_path.glob("*.pdf*"))


async def test_a_file_that_cannot_be_finished_is_not_there(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    path.write_text("before", encoding="utf-8")

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        await write_full_export(database, path, Label.RED, fail)
    assert path.read_text(encoding="utf-8") == "before"
    assert "out.ndjson.part" not in names(tmp_path)


def test_a_sheet_that_is_full_goes_on_in_the_next_and_a_long_text_stands_in_parts() -> None:
    columns = [column("a", "#meta"), column("b.c", "#x", "integer")]
    book = WorkbookWriter(most_rows=4)
    book.open("rows", columns)
    long = "=é" * MAX_CELL_CHARACTERS
    for number in range(5):
        book.add("rows", columns, {"a": long if number == 3 else f"={number}", "b": {"c": number}})
    read = openpyxl.load_workbook(io.BytesIO(b"".join(book.finish())))
    book.close()
    assert read.sheetnames == ["rows", "rows 2", "long", "rows 3"]
    assert list(read["rows"].values) == [("a", "b.c"), ("#meta", "#x"), ("=0", 0), ("=1", 1)]
    assert read["rows"]["A3"].data_type == "s"
    assert list(read["rows 2"].values)[3] == (OVERFLOW_MARKER, 3)
    _, *parts = read[OVERFLOW_SHEET].values
    assert [part[:4] for part in parts] == [("rows 2", 4, "a", 1), ("rows 2", 4, "a", 2)]
    assert "".join(part[4] for part in parts) == long


@pytest.mark.parametrize("text", ["_x005F_x000D_", "_x0041_x0042_x0043_", "_x005F__x005F_", "[long]", "\ufffe\uffff\x01", "x_x000D_"])
def test_what_looks_like_an_escape_is_read_back_as_it_was(text: str) -> None:
    columns = [column("a"), column("b")]
    book = WorkbookWriter()
    book.open("rows", columns)
    book.add("rows", columns, {"a": text, "b": "=" * (MAX_CELL_CHARACTERS + 1)})
    file = io.BytesIO(b"".join(book.finish()))
    book.close()
    tables = read_tables(file, Format.XLSX)
    _, _, row = next(tables).rows
    assert row.cells == [text, "=" * (MAX_CELL_CHARACTERS + 1)]


def test_a_workbook_that_is_broken_off_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary files hold what was to be exported."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for finished in (False, True):
        book = WorkbookWriter()
        book.open("rows", [column("a")])
        book.add("rows", [column("a")], {"a": "secret"})
        assert names(tmp_path)
        if finished:
            assert b"".join(book.finish())
        book.close()
        assert not names(tmp_path)
