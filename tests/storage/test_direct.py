"""Statements by the driver do what `AsyncConnection.execute` does."""

from operator import itemgetter
from typing import Any

import pytest
from sqlalchemy import bindparam, event, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.access.models import ApiKey
from app.domain.identifiers import uuid7
from app.domain.times import utc_now
from app.ledger.models import LedgerHead
from app.reports.models import ReportText
from app.storage.database import Database
from app.storage.database_errors import UNAVAILABLE, classify_database_error
from app.storage.direct import execute_direct, execute_together, insert_into
from app.storage.types import column_values, table_of

_KEYS, _TEXTS = table_of(ApiKey), table_of(ReportText)
_BY_ID = select(_KEYS).where(_KEYS.c.id.in_(bindparam("ids", expanding=True)), _KEYS.c.name != "other").order_by(_KEYS.c.id)
_TEXT = select(_TEXTS.c.text).where(_TEXTS.c.global_seq == bindparam("seq"))

_RENAME = update(_KEYS).where(_KEYS.c.id == bindparam("of"))
_PUBLIC_CHANGES = select(table_of(LedgerHead).c.public_changes)


def _key(name: str) -> dict[str, Any]:
    key = ApiKey(id=uuid7(), name=name, organisation="o", scopes=["read"], clearance=0, secret_hash=name * 8, created_at=utc_now())
    return column_values(ApiKey, key)


async def test_direct_statement_reads_and_writes_as_sqlalchemy_does(database: Database) -> None:
    rows = [_key(name) for name in ("a", "b", "other")]
    async with database.write() as session:
        connection = await session.connection()
        await execute_direct(connection, insert_into(_KEYS), rows[0])
        await execute_direct(connection, insert_into(_KEYS), rows[1:])
        for ids in ([], [rows[0]["id"]], [each["id"] for each in rows]):
            found = (await execute_direct(connection, _BY_ID, {"ids": ids})).mappings().all()
            assert found == (await connection.execute(_BY_ID, {"ids": ids})).mappings().all()
        # Identifiers of one millisecond are in no order.
        assert [dict(each) for each in found] == sorted(rows[:2], key=itemgetter("id"))


async def test_statements_together_take_one_round_trip_on_postgresql(database: Database) -> None:
    seen: list[str] = []
    event.listen(database.writer.sync_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    async with database.write() as session:
        connection = await session.connection()
        seen.clear()
        some, more = [{"global_seq": at, "text": f"$1 {at}"} for at in (1, 2)], {"global_seq": 3, "text": "three"}
        inserts = [(insert_into(_TEXTS), some), (insert_into(_TEXTS), more), (insert_into(_KEYS), _key("a"))]
        last = await execute_together(connection, [*inserts, (_TEXT, {"seq": 2})])
        assert last.scalar_one() == "$1 2"
        assert len(seen) == (2 if database.dialect == "postgresql" else 4)
        assert [(await execute_direct(connection, _TEXT, {"seq": seq})).scalar_one() for seq in (1, 3)] == ["$1 1", "three"]


async def test_public_change_among_statements_together_is_counted(database: Database) -> None:
    """Otherwise cached responses would outlast it on PostgreSQL, which gets them as one statement."""
    key, text = _key("a"), {"global_seq": 1, "text": "one"}
    async with database.write() as session:
        connection = await session.connection()
        await execute_direct(connection, insert_into(_KEYS), key)
        before = (await connection.execute(_PUBLIC_CHANGES)).scalar_one()
    async with database.write() as session:
        await execute_together(await session.connection(), [(insert_into(_TEXTS), text), (_RENAME, {"of": key["id"], "name": "b"})])
    async with database.write() as session:
        assert (await (await session.connection()).execute(_PUBLIC_CHANGES)).scalar_one() == before + 1


async def test_direct_statement_that_fails_raises_as_sqlalchemy_does(database: Database) -> None:
    row = _key("a")
    with pytest.raises(IntegrityError):
        async with database.write() as session:
            await execute_direct(await session.connection(), insert_into(_KEYS), [row, row])
    async with database.write() as session:
        assert not (await execute_direct(await session.connection(), _BY_ID, {"ids": [row["id"]]})).all()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
async def test_direct_statement_on_a_lost_connection_is_unavailable(database: Database) -> None:
    async def write_on_a_lost_connection() -> None:
        async with database.write() as session:
            connection = await session.connection()
            pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            async with database.reader.connect() as other:
                await other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
            await execute_direct(connection, _BY_ID, {"ids": []})

    with pytest.raises(DBAPIError) as raised:
        await write_on_a_lost_connection()
    assert classify_database_error(raised.value) is UNAVAILABLE
    async with database.write() as session:
        assert not (await execute_direct(await session.connection(), _BY_ID, {"ids": []})).all()
