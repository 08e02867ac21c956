"""The full export: everything that another Lifeline needs to reach the same assessments, as NDJSON.

Each line is an object whose `record` names its type, in this order:

1. `export`, once: the `version` of this format, the `clearance` that the file is for, and `seq` and `hash` of the head of its ledger,
   which show whether the file is complete.
2. `change`: every ledger entry in order, as `/v1/changes` serves it, without its documents: places, sources and routes too, whose `id` the
   identifiers of indicators are derived from. `app.ledger.hash_chain` hashes these fields.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson

from app.domain.tlp import Label
from app.ledger.models import seq_column
from app.ledger.queries import load_head, select_entries, visible_entries
from app.storage.database import Database
from app.storage.private_files import replace_by_private_file

VERSION = 1
SUFFIX = ".ndjson"
PAGE_ROWS = 1000

Record = dict[str, Any]


async def read_records(database: Database, clearance: Label) -> AsyncIterator[list[Record]]:
    """Yield the records page by page, as the clearance sees them and as of the head when the export begins."""
    level = clearance.level
    async with database.read() as connection:
        head = await load_head(connection, level)
    yield [{"record": "export", "version": VERSION, **{name: head[name] for name in ("clearance", "seq", "hash")}}]
    position, seq = seq_column(level), 0
    while seq < head["seq"]:
        statement = select_entries().where(position > seq, position <= head["seq"]).order_by(position).limit(PAGE_ROWS)
        async with database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
            entries = await visible_entries(connection, rows, level)
        seq = entries[-1]["seq"]
        yield [{"record": "change", **each} for each in entries]


async def write_full_export(database: Database, path: Path, clearance: Label, on_progress: Callable[[int], None]) -> int:
    """Write a file, which appears when it is complete, and return the number of records; `on_progress` receives that of each page."""
    part = path.with_name(f"{path.name}.part")
    count = 0
    try:
        with replace_by_private_file(part) as file:
            async for page in read_records(database, clearance):
                lines = (orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in page)
                await asyncio.to_thread(file.writelines, lines)
                count += len(page)
                on_progress(len(page))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count
