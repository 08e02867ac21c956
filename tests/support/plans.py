"""Query plans of PostgreSQL: a database that is big enough to plan for, the statements of requests, and what is wrong with a plan."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.storage.database import Database

# What grows without end, with the world and with what is said of it.
LARGE_TABLES = frozenset(
    {
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
# Rows that may be sorted: a page and its like, not a table.
MAX_SORTED_ROWS = 200
COPIES = 15

_COPIED = "md5({}::text || copy)::uuid"
# Nearly without gaps, as a ledger is.
_NUMBER = "{} + copy * 1200"
_POSITIONS = tuple(f"seq_{label}" for label in ("clear", "green", "amber", "amber_strict", "red"))
_IDENTIFIERS = ("id", "place_id", "parent_id", "indicator_id", "from_indicator_id", "ancestor_id", "report_id", "supersedes")


async def make_big(connection: AsyncConnection) -> None:
    """Copy all that a small database holds, each copy a world of its own beside the first, and tell the planner."""
    # Copies need not be checked against one another.
    await connection.execute(text("SET LOCAL session_replication_role = replica"))
    for table in (
        "place",
        "place_code",
        "place_ancestor",
        "route",
        "indicator",
        "report",
        "ledger_entry",
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
    if column in ("global_seq", "ended_global_seq", "first_global_seq", *_POSITIONS) or column.startswith("revision_"):
        return _NUMBER.format(column)
    return f"{column} || '-' || copy" if column in ("slug", "code") else column


@contextmanager
def recorded(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are run for reading within the block, with their parameters."""
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
    """The plan that PostgreSQL makes for a statement."""
    answered = (await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)).scalar_one()
    plan: dict[str, Any] = (json.loads(answered) if isinstance(answered, str) else answered)[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's steps, from the top."""
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


def wrong_with(plan: dict[str, Any]) -> list[str]:
    """What of a plan costs more the more there is."""
    found = []
    for node in nodes(plan):
        kind = node["Node Type"]
        if "Seq Scan" in kind and node["Relation Name"] in LARGE_TABLES:
            found.append(f"a sequential scan of {node['Relation Name']}")
        if "Sort" in kind and max(each["Plan Rows"] for each in node["Plans"]) > MAX_SORTED_ROWS:
            found.append(f"a sort of {max(each['Plan Rows'] for each in node['Plans'])} rows by {node['Sort Key']}")
    return found
