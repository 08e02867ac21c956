"""Reads the full export out of the database and writes it to a file: records in pages, memory that does not grow with the ledger."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol
from uuid import UUID

import orjson

from app.domain.tlp import LABELS, Label
from app.exchange.exports.columns import cells
from app.exchange.exports.hxl_csv import encode_rows, format_cell
from app.exchange.exports.records import ALL_COLUMNS, COLUMNS, SHEETS, VERSION
from app.exchange.exports.xlsx import WorkbookWriter
from app.ledger.models import LedgerEntry
from app.ledger.queries import decode_entry, load_aliases, load_head, select_entries, visible_entry
from app.reference.facts import REVEAL_FROM
from app.reference.models import Place, Route, Source
from app.reference.queries import load_reference_page
from app.storage.database import Database
from app.storage.types import table_of

PAGE_ROWS = 1000

Record = dict[str, Any]


async def read_records(database: Database, clearance: Label) -> AsyncIterator[list[Record]]:
    """The records of `app.exchange.exports.records`, some at a time, as the clearance sees them.

    What is recorded while they are read is not among them: the head is read first, and changes after it are left out.
    """
    async with database.read() as connection:
        head = await load_head(connection, clearance.level)
    yield [{"record": "export", "version": VERSION, **{name: head[name] for name in ("clearance", "seq", "hash")}}]
    models: tuple[tuple[str, type[Place | Source | Route]], ...] = (("place", Place), ("source", Source), ("route", Route))
    for record, model in models:
        async for some in _reference(database, record, model, clearance.level):
            yield some
    async for some in _changes(database, clearance, head["seq"]):
        yield some


async def _reference(database: Database, record: str, model: type[Place | Source | Route], level: int) -> AsyncIterator[list[Record]]:
    after: UUID | None = None
    while True:
        async with database.read() as connection:
            items, after, _ = await load_reference_page(connection, model, [], after=after, limit=PAGE_ROWS, level=level)
        for each in items:
            del each["links"]
            if model is Source:
                each["reliability"] = each.pop("first_reliability")
        yield [{"record": record, **each} for each in items]
        if after is None:
            return


async def _changes(database: Database, clearance: Label, head: int) -> AsyncIterator[list[Record]]:
    level = clearance.level
    label = LABELS[level]
    position = table_of(LedgerEntry).c[f"seq_{label}"]
    after = 0
    while after < head:
        wanted = select_entries().where(position > after, position <= head).order_by(position).limit(PAGE_ROWS)
        async with database.read() as connection:
            rows = (await connection.execute(wanted)).mappings().all()
            aliases = await load_aliases(connection, [decode_entry(row)[2] for row in rows]) if level < REVEAL_FROM else {}
        some = []
        for row in rows:
            seen = visible_entry(row, level, aliases)
            some.append({"record": "change", "seq": row[f"seq_{label}"], "hash": row[f"hash_{label}"], **seen})
        after = some[-1]["seq"]
        yield some


class _Writer(Protocol):
    def add(self, records: list[Record]) -> None: ...

    def finish(self) -> None: ...

    def close(self) -> None: ...


class _Lines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, records: list[Record]) -> None:
        self._file.writelines(orjson.dumps(each) + b"\n" for each in records)

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Table:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        file.write(encode_rows([[each.header for each in ALL_COLUMNS], [each.tag for each in ALL_COLUMNS]]))

    def add(self, records: list[Record]) -> None:
        self._file.write(encode_rows([format_cell(value) for value in cells(ALL_COLUMNS, each)] for each in records))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Sheets:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._book = WorkbookWriter()
        for record, name in SHEETS.items():
            self._book.open(name, COLUMNS[record])

    def add(self, records: list[Record]) -> None:
        for each in records:
            self._book.add(SHEETS[each["record"]], COLUMNS[each["record"]], each)

    def finish(self) -> None:
        self._file.writelines(self._book.finish())

    def close(self) -> None:
        self._book.close()


WRITERS: Mapping[str, Callable[[IO[bytes]], _Writer]] = {".ndjson": _Lines, ".csv": _Table, ".xlsx": _Sheets}


async def write_full_export(database: Database, path: Path, clearance: Label, on_progress: Callable[[int], None]) -> int:
    """Write the full export to a file, in the format of its ending: `.ndjson`, `.csv` or `.xlsx`. Answers the number of records.

    The file is there once it is whole. KeyError for another ending. `on_progress` is told how many records each page had.
    """
    make = WRITERS[path.suffix]
    part = path.with_name(f"{path.name}.part")
    count = 0
    # It may hold what only few may see.
    part.touch(mode=0o600)
    try:
        with part.open("wb") as file:
            writer = make(file)
            try:
                async for records in read_records(database, clearance):
                    await asyncio.to_thread(writer.add, records)
                    count += len(records)
                    on_progress(len(records))
                await asyncio.to_thread(writer.finish)
            finally:
                writer.close()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count
