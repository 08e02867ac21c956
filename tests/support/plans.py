"""Query plans of PostgreSQL: a database large enough to plan for, recorded statements, and the faults of a plan."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.database import Database

# Tables that grow without bound.
LARGE_TABLES = frozenset(
    {
        "alert_standing",
        "extent",
        "indicator",
        "indicator_projection",
        "indicator_source",
        "ledger_entry",
        "place",
        "place_ancestor",
        "place_code",
        "report",
        "route",
        "webhook_delivery",
    }
)
# A plan may sort a page, not a table.
MAX_SORTED_ROWS = 200
COPIES = 15

_COPIED = "md5({}::text || copy)::uuid"
# In the order of a ledger.
_NUMBER = "{} + copy * 10000"
_POSITIONS = tuple(f"seq_{label}" for label in ("clear", "green", "amber", "amber_strict", "red"))
_IDENTIFIERS = ("id", "place_id", "parent_id", "indicator_id", "from_indicator_id", "ancestor_id", "report_id", "record_id", "supersedes")


async def make_big(connection: AsyncConnection) -> None:
    """Multiply the rows of a small database, each copy with references of its own, and update the planner's statistics."""
    # Foreign keys need no check here, and checking them takes long.
    await connection.execute(text("SET LOCAL session_replication_role = replica"))
    for table in (
        "place",
        "place_code",
        "place_ancestor",
        "extent",
        "route",
        "indicator",
        "report",
        "ledger_entry",
        "alert_standing",
        "indicator_source",
        "indicator_projection",
    ):
        names = f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        columns = list((await connection.execute(text(names))).scalars())
        values = ", ".join(_copy_of(each) for each in columns)
        listed = ", ".join(f'"{each}"' for each in columns)
        await connection.execute(
            text(f'INSERT INTO "{table}" ({listed}) SELECT {values} FROM "{table}", generate_series(1, {COPIES}) AS copy')
        )
    await connection.execute(
        text("UPDATE ledger_head SET " + ", ".join(f"{each} = (SELECT max({each}) FROM ledger_entry)" for each in _POSITIONS))
    )


def _copy_of(column: str) -> str:
    if column in _IDENTIFIERS:
        return _COPIED.format(column)
    if column in ("global_seq", "previous_global_seq", "ended_global_seq", "first_global_seq", *_POSITIONS) or column.startswith(
        "revision_"
    ):
        return _NUMBER.format(column)
    return f"{column} || '-' || copy" if column in ("slug", "code") else column


@contextmanager
def recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Record the read statements of the block with their parameters."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            found.append((statement, parameters))

    event.listen(database.reader.sync_engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.reader.sync_engine, "before_cursor_execute", note)


async def plan_of(connection: AsyncConnection, statement: str, parameters: Any) -> dict[str, Any]:
    """Return PostgreSQL's plan for a statement."""
    answered = (await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)).scalar_one()
    plan: dict[str, Any] = (json.loads(answered) if isinstance(answered, str) else answered)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan from the top."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def wrong_with(plan: dict[str, Any]) -> list[str]:
    """Return the nodes of a plan whose cost grows with the tables."""
    found = []
    for node in nodes(plan):
        kind = node["Node Type"]
        if "Seq Scan" in kind and node["Relation Name"] in LARGE_TABLES:
            found.append(f"a sequential scan of {node['Relation Name']}")
        if "Sort" in kind and max(each["Plan Rows"] for each in node["Plans"]) > MAX_SORTED_ROWS:
            found.append(f"a sort of {max(each['Plan Rows'] for each in node['Plans'])} rows by {node['Sort Key']}")
    return found
