"""Keyset paging: rows and the head of the ledger in one statement."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Select,
    bindparam,
    column,
    select,
    table,
)
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from app.domain.tlp import LABELS

T = TypeVar("T")

# Values in one IN clause: few enough for the bound parameters of either engine.
MAX_IN_VALUES = 500


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Split values into lists that fit into one IN clause."""
    items = list(values)
    return (items[start : start + MAX_IN_VALUES] for start in range(0, len(items), MAX_IN_VALUES))


@cache
def head_seq(level: int) -> ScalarSelect[int]:
    """The head of the ledger as a reader of that level sees it, as a subquery for any statement."""
    return select(column(f"seq_{LABELS[level]}", BigInteger)).select_from(table("ledger_head")).scalar_subquery()


async def revision_of(connection: AsyncConnection, level: int) -> int:
    """The head of the ledger as a reader of that level sees it."""
    return (await connection.execute(select(head_seq(level)))).scalar_one() or 0


@dataclass(frozen=True, slots=True)
class PagedQuery:
    """A statement to be fetched page by page in the order of one of its columns: the first page, and those after a key."""

    first: Select[Any]
    later: Select[Any]
    level: int


def paged_query(statement: Select[Any], *, key: ColumnElement[Any], level: int) -> PagedQuery:
    """A statement by keyset, beside each row of which stands the head of the ledger for that level as its last column.

    Row and head are of one snapshot since they are of one statement. `key` is the column that orders the rows.
    """
    first = _beside_head(statement, key, level)
    return PagedQuery(first, first.where(key > bindparam("after", type_=key.type)), level)


def _beside_head(statement: Select[Any], key: ColumnElement[Any], level: int) -> Select[Any]:
    return statement.order_by(key).limit(bindparam("most", type_=BigInteger)).add_columns(head_seq(level).label("head_seq"))


async def fetch_rows(connection: AsyncConnection, statement: PagedQuery, *, after: Any, limit: int) -> tuple[Sequence[Any], bool, int]:
    """A page: its rows, whether there are more, and the head's seq."""
    wanted = statement.first if after is None else statement.later
    bound = {"most": limit + 1} if after is None else {"most": limit + 1, "after": after}
    rows = (await connection.execute(wanted, bound)).all()
    if not rows:
        # Beside no row there is no head. Asked for first, it is of no later state than the rows.
        revision = await revision_of(connection, statement.level)
        rows = (await connection.execute(wanted, bound)).all()
        if not rows:
            return [], False, revision
    return rows[:limit], len(rows) > limit, rows[0][-1] or 0


async def fetch_page(
    connection: AsyncConnection, statement: Select[Any], *, key: str, after: Any, limit: int, level: int
) -> tuple[list[RowMapping], Any, int]:
    """The same for a statement that is put together for one page.

    `key` is the name of the column that orders it, `after` a value or an expression. Answers the rows by name of column, the last
    key when there are more, and the head's seq.
    """
    column_of_key = statement.selected_columns[key]
    if after is not None:
        statement = statement.where(column_of_key > after)
    page = _beside_head(statement, column_of_key, level)
    rows, more, revision = await fetch_rows(connection, PagedQuery(page, page, level), after=None, limit=limit)
    found = [row._mapping for row in rows]
    return found, found[-1][key] if more else None, revision
