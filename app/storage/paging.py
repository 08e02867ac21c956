"""Keyset paging: rows and the head of the ledger in one statement."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Select, bindparam, column, select, table
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.tlp import LABELS
from app.storage.direct import execute_direct

T = TypeVar("T")

# Under which a session notes the head of each clearance's ledger that it wrote.
HEADS = "heads"
# Values in one IN clause: few enough for the bound parameters of either engine.
MAX_IN_VALUES = 500
# Lengths of shorter lists: a database parses and plans a statement once for each.
_IN_LENGTHS = (0, 1, 4, 16, 64)


def in_values(values: Iterable[T]) -> list[T]:
    """Return values for an IN clause, the last one repeated to one of a few lengths."""
    items = list(values)
    length = next((each for each in _IN_LENGTHS if each >= len(items)), len(items))
    return items + items[-1:] * (length - len(items))


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Split values into lists that fit into one IN clause, as `in_values` returns them."""
    items = list(values)
    return (in_values(items[start : start + MAX_IN_VALUES]) for start in range(0, len(items), MAX_IN_VALUES))


@cache
def head_seq(level: int) -> ScalarSelect[int]:
    """Return the number of the last ledger entry that a clearance sees, as a subquery; null before the first."""
    return select(column(f"seq_{LABELS[level]}", BigInteger)).select_from(table("ledger_head")).scalar_subquery()


async def current_revision(connection: AsyncConnection, level: int) -> int:
    """Return the number of the last ledger entry that a clearance sees; 0 before the first."""
    return (await execute_direct(connection, _select_head(level), {})).scalar_one() or 0


@cache
def _select_head(level: int) -> Select[Any]:
    return select(head_seq(level).label("seq"))


_HEAD_SEQS = select(*(column(f"seq_{label}", BigInteger) for label in LABELS)).select_from(table("ledger_head"))


async def current_revisions(connection: AsyncConnection) -> list[int]:
    """Return, by clearance, the number of the last ledger entry that it sees; 0 before the first."""
    return [seq or 0 for seq in (await connection.execute(_HEAD_SEQS)).one()]


@dataclass(frozen=True, slots=True)
class PagedQuery:
    """A statement to fetch page by page: its first page, and the pages after a key."""

    first: Select[Any]
    later: Select[Any]
    level: int


def paged_query(statement: Select[Any], *, key: ColumnElement[Any], level: int) -> PagedQuery:
    """Prepare a statement for keyset paging, ordered by the column `key`, with the head of the ledger as the last column of each row.

    One statement returns rows and head, so that both come from one snapshot.
    """
    first = _with_head(statement, key, level)
    return PagedQuery(first, first.where(key > bindparam("after", type_=key.type)), level)


def _with_head(statement: Select[Any], key: ColumnElement[Any], level: int) -> Select[Any]:
    return statement.order_by(key).limit(bindparam("row_limit", type_=BigInteger)).add_columns(head_seq(level).label("head_seq"))


async def fetch_rows(
    connection: AsyncConnection, statement: PagedQuery, *, after: Any, limit: int, **more: Any
) -> tuple[Sequence[Any], bool, int]:
    """Return the rows of a page, whether more follow, and the head of the ledger; `more` are parameters of the statement."""
    page = statement.first if after is None else statement.later
    parameters = more | ({"row_limit": limit + 1} if after is None else {"row_limit": limit + 1, "after": after})
    rows = (await connection.execute(page, parameters)).all()
    if not rows:
        # Without rows there is no head. It is read before the rows, so that it never is newer than they are.
        revision = await current_revision(connection, statement.level)
        rows = (await connection.execute(page, parameters)).all()
        if not rows:
            return [], False, revision
    return rows[:limit], len(rows) > limit, rows[0][-1] or 0


async def fetch_page(
    connection: AsyncConnection, statement: Select[Any], *, key: str, after: Any, limit: int, level: int, descending: bool = False
) -> tuple[list[RowMapping], Any, int]:
    """Return the rows of a page, the last key if more follow, and the head of the ledger, of a statement built for this page.

    `key` names the column that orders it; `after` is a value or an expression.
    """
    key_column = statement.selected_columns[key]
    if after is not None:
        statement = statement.where(key_column < after if descending else key_column > after)
    page = _with_head(statement, key_column.desc() if descending else key_column, level)
    rows, more, revision = await fetch_rows(connection, PagedQuery(page, page, level), after=None, limit=limit)
    mappings = [row._mapping for row in rows]
    return mappings, mappings[-1][key] if more else None, revision
