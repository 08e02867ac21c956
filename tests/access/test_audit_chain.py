"""Each row of the audit log is chained to the row before: `lifeline verify` names the first one that was altered or removed."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.access.audit import ReadAuditBuffer
from app.access.audit_chain import READS, WRITES, fetch_chain, verify_audit
from app.access.keys import hashing_key_of
from app.storage.database import Database
from tests.access.test_audit import READER, list_audit, scope
from tests.support.factories import Reference, post, report
from tests.support.fixtures import sqlite_only
from tests.support.servers import invoke, settings_on

WRITTEN, READ = "action <> 'read'", "action = 'read'"
ALTERED = r"row 2, [0-9a-f-]{36} of [0-9TZ:.-]+, was altered"
EMPTY = "UPDATE audit_head SET position = 0, hash = {zeros}, anchor_hash = {zeros}, seal = {none} WHERE chain = '{chain}'"
# Statements of SQL by what they alter, each with the pattern of the problem. `of` is the condition on the rows of a chain.
REWRITTEN: dict[str, tuple[list[str], str]] = {
    "a target": (["UPDATE audit_entry SET target = '/v1/places' WHERE {of} AND position = 2"], ALTERED),
    "a key": (["UPDATE audit_entry SET key_id = NULL WHERE {of} AND position = 2"], ALTERED),
    "an address": (["UPDATE audit_entry SET address = '192.0.2.9' WHERE {of} AND position = 2"], ALTERED),
    "a count": (["UPDATE audit_entry SET count = count + 1 WHERE {of} AND position = 2"], ALTERED),
    "a time": (
        ["UPDATE audit_entry SET occurred_at = (SELECT min(occurred_at) FROM audit_entry WHERE {of}) WHERE {of} AND position = 2"],
        ALTERED,
    ),
    "the order": (
        [
            "UPDATE audit_entry SET position = -1 WHERE {of} AND position = 2",
            "UPDATE audit_entry SET position = 2 WHERE {of} AND position = 3",
            "UPDATE audit_entry SET position = 3 WHERE {of} AND position = -1",
        ],
        ALTERED,
    ),
    "a removed row": (["DELETE FROM audit_entry WHERE {of} AND position = 2"], "row 2 was removed"),
    "a removed row, the others renumbered": (
        [
            "DELETE FROM audit_entry WHERE {of} AND position = 2",
            "UPDATE audit_entry SET position = -position WHERE {of} AND position > 2",
            "UPDATE audit_entry SET position = -position - 1 WHERE {of} AND position < 0",
            "UPDATE audit_head SET position = position - 1 WHERE chain = '{chain}'",
        ],
        ALTERED,
    ),
    "the first row removed": (["DELETE FROM audit_entry WHERE {of} AND position = 1"], "row 1 was removed"),
    "the first row removed, as if pruned": (
        [
            "UPDATE audit_head SET anchor = 1, anchor_hash = (SELECT hash FROM audit_entry WHERE {of} AND position = 1) "
            "WHERE chain = '{chain}'",
            "DELETE FROM audit_entry WHERE {of} AND position = 1",
        ],
        "its head was altered",
    ),
    "the last row removed": (
        ["DELETE FROM audit_entry WHERE {of} AND position = (SELECT position FROM audit_head WHERE chain = '{chain}')"],
        r"row \d+ was removed",
    ),
    "the last rows removed, and the head moved": (
        [
            "DELETE FROM audit_entry WHERE {of} AND position > 2",
            "UPDATE audit_head SET position = 2, hash = (SELECT hash FROM audit_entry WHERE {of} AND position = 2) WHERE chain = '{chain}'",
        ],
        "its head was altered",
    ),
    "its head renamed": (["UPDATE audit_head SET chain = 'other' WHERE chain = '{chain}'"], "the row of audit_head that names its end"),
    "every row removed": (["DELETE FROM audit_entry WHERE {of}"], "row 1 was removed"),
    "an added row": (
        [
            "INSERT INTO audit_entry (id, occurred_at, action, target, count, position, hash, seal) "
            "SELECT {id}, occurred_at, action, target, count, 99, hash, seal FROM audit_entry WHERE {of} AND position = 2"
        ],
        "row 99 was added",
    ),
}


async def run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def problems_of(database: Database) -> list[str]:
    async with database.read_latest() as connection:
        hashing_key = await hashing_key_of(database, connection)
    return [each async for each in verify_audit(database, hashing_key)]


async def test_verify_names_the_first_row_that_was_altered_or_removed(
    client: httpx.AsyncClient, database: Database, app: Any, reference: Reference
) -> None:
    for number in range(3):
        await post(client, **report(value={"people": number}, source=("agency", "envoy", "monitor")[number]))
        await client.get(f"/v1/places/{number}")
        await list_audit(client)
    await client.get("/v1/places/1")
    await app.state.read_audit.flush()
    assert await problems_of(database) == []
    sqlite = database.dialect == "sqlite"
    missed = []
    for chain, of, engine in ((WRITES, WRITTEN, database.writer), (READS, READ, database.audit)):
        values = {"chain": chain, "of": of, "id": f"'{'0' * 32}'", "none": "x''" if sqlite else "''"}
        values["zeros"] = f"x'{'0' * 64}'" if sqlite else f"'\\x{'0' * 64}'"
        names = ("no_update", "grows", "no_delete")
        free = (
            [f"DROP TRIGGER IF EXISTS audit_entry_{name}" for name in names] if sqlite else ["ALTER TABLE audit_entry DISABLE TRIGGER USER"]
        )
        copies = [f"CREATE TABLE kept_{name} AS SELECT * FROM {name}" for name in ("audit_entry", "audit_head")]
        await run(engine, *free, *(each.replace("kept_", f"kept_{chain}_") for each in copies))
        cases = REWRITTEN | (
            {"everything removed": (["DELETE FROM audit_entry WHERE {of}", EMPTY], "its head was altered")} if chain == WRITES else {}
        )
        for what, (statements, pattern) in cases.items():
            await run(engine, *(each.format(**values) for each in statements))
            found = await problems_of(database)
            if len(found) != 1 or not re.match(f"audit log of {chain}: {pattern}", found[0]):
                missed.append(f"{what}: {found}")
            restore = [
                each
                for name in ("audit_entry", "audit_head")
                for each in (f"DELETE FROM {name}", f"INSERT INTO {name} SELECT * FROM kept_{chain}_{name}")
            ]
            await run(engine, *restore)
    assert not missed, "\n".join(missed)
    assert await problems_of(database) == []


async def test_lifeline_verify_fails_for_an_altered_audit_log(
    client: httpx.AsyncClient, database: Database, database_url: str, reference: Reference
) -> None:
    await post(client, **report())
    assert (await asyncio.to_thread(invoke, "verify", database_url=database_url)).exit_code == 0
    free = "DROP TRIGGER audit_entry_no_delete" if database.dialect == "sqlite" else "ALTER TABLE audit_entry DISABLE TRIGGER USER"
    await run(database.writer, free, "DELETE FROM audit_entry WHERE position = 1 AND action = 'key'")
    result = await asyncio.to_thread(invoke, "verify", database_url=database_url)
    assert (result.exit_code, result.output.splitlines()) == (1, ["audit log of writes: row 1 was removed", "1 problem found."])


async def test_reads_of_several_processes_are_one_chain(client: httpx.AsyncClient, database: Database, database_url: str) -> None:
    others = [Database(settings_on(database_url)) for _ in range(3)]
    buffers = [ReadAuditBuffer(each) for each in (database, *others)]
    for number in range(40):
        for at, buffer in enumerate(buffers):
            buffer.record(READER, scope(f"/v1/places/{number}"))
            buffer.record(READER, scope(f"/v1/places/{number}-{at}"))
        if number % 4 == 3:
            await asyncio.gather(
                *(buffer.flush() for buffer in buffers), client.post("/v1/places", json={"slug": f"p{number}", "name": "P"})
            )
    for each in others:
        await each.close()
    rows = {each["target"]: each["count"] for each in await list_audit(client, action="read", key=str(READER.key_id), limit=1000)}
    assert {rows[f"/v1/places/{number}"] for number in range(40)} == {4}
    assert len(rows) == 5 * 40
    assert await problems_of(database) == []


@sqlite_only
async def test_flush_costs_as_many_statements_for_many_reads_as_for_one(client: httpx.AsyncClient, database: Database) -> None:
    buffer, statements, counts = ReadAuditBuffer(database), list[str](), []
    event.listen(database.audit.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    for reads in (1, 400):
        for _ in ("new", "known"):
            statements.clear()
            for number in range(reads):
                buffer.record(READER, scope(f"/v1/places/{reads}-{number}"))
            await buffer.flush()
            counts.append(len(statements))
    assert counts[:2] == counts[2:], statements


async def test_chain_of_reads_goes_on_after_a_restore(
    client: httpx.AsyncClient, database_url: str, app: Any, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    """On SQLite a backup has both files in one, and the restored service begins a second file."""
    await client.get("/v1/places/before")
    await app.state.read_audit.flush()
    file, restored = str(tmp_path / "copy.db"), new_database()
    for command, url in (("backup", database_url), ("restore", restored), ("verify", restored)):
        done = await asyncio.to_thread(invoke, command, *([] if command == "verify" else [file]), database_url=url)
        assert done.exit_code == 0, done.output
    async with Database(settings_on(restored)) as database:
        buffer = ReadAuditBuffer(database)
        buffer.record(READER, scope("/v1/places/after"))
        await buffer.flush()
        assert await problems_of(database) == []
        assert [row["target"] for row in await fetch_chain(database, READS, 0)] == ["/v1/places/before", "/v1/places/after"]
