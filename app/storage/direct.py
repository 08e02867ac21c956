"""Execute statements by the driver: SQLAlchemy's own execution takes longer than most of them run.

For statements that are built once and run with every report. Each is compiled once; values, results, events and errors are those of
`AsyncConnection.execute`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache, partial
from itertools import chain
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Insert, Table, insert
from sqlalchemy.engine import IteratorResult, Result
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection

Rows = Result[*tuple[Any, ...]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]
Statements = Sequence[tuple[Any, Parameters]]


class _Compiled(NamedTuple):
    sql: str
    # For each value: the name of its parameter, its place in a list, the function that converts it, and what stands for it without a name.
    values: list[tuple[str | None, int | None, Any, Any]]
    columns: SimpleResultMetaData

    def bind(self, parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        bound = []
        for name, at, convert, fixed in self.values:
            value = fixed if name is None else parameters[name] if at is None else parameters[name][at]
            bound.append(value if convert is None else convert(value))
        return tuple(bound)


# One of each database for all engines, which differ in nothing that a statement is compiled by.
_dialects: dict[str, Dialect] = {}


@lru_cache(maxsize=512)
def _compile(statement: Any, dialect_name: str, lengths: tuple[tuple[str, int | None], ...]) -> _Compiled:
    """Compile a statement for parameters with these names, and with these lengths if they are lists for IN clauses."""
    dialect, names = _dialects[dialect_name], [name for name, _ in lengths]
    compiled = statement.compile(dialect=dialect, column_keys=names if statement.is_dml else None)
    expanded = compiled.construct_expanded_state({name: None if length is None else [None] * length for name, length in lengths})
    places: dict[str, tuple[str, int | None]] = {name: (name, None) for name in names}
    places |= {each: (name, at) for name, some in expanded.parameter_expansion.items() for at, each in enumerate(some) if name in names}
    converts, fixed = compiled._bind_processors | expanded.processors, expanded.parameters
    values = [(*places.get(each, (None, None)), converts.get(each), fixed[each]) for each in expanded.positiontup or ()]
    columns = statement.exported_columns.items()
    results = [column.type.dialect_impl(dialect).result_processor(dialect, None) for _, column in columns]
    return _Compiled(expanded.statement, values, SimpleResultMetaData([name for name, _ in columns], _processors=results))


@lru_cache(maxsize=512)
def _combine(parts: tuple[tuple[str, int], ...]) -> str:
    """Return one statement for several of PostgreSQL, each given with the number of its values."""
    numbered, before = [], 0
    for sql, values in parts:
        numbered.append(re.sub(r"\$(\d+)", partial(lambda more, found: f"${int(found[1]) + more}", before), sql))
        before += values
    return f"WITH {', '.join(f'part_{at} AS ({each})' for at, each in enumerate(numbered[:-1]))} {numbered[-1]}"


@cache
def insert_into(table: Table) -> Insert:
    """Return a statement to insert rows."""
    return insert(table)


async def execute_direct(connection: AsyncConnection, statement: Any, parameters: Parameters, *, built_once: bool = True) -> Rows:
    """Execute a statement that is built once; of several sets of parameters, all have the same names."""
    return await (execute_together(connection, [(statement, parameters)]) if built_once else connection.execute(statement, parameters))


async def execute_together(connection: AsyncConnection, statements: Statements) -> Rows:
    """Execute statements of which none reads what another writes, on PostgreSQL in as few round trips as it can; return the last result."""
    sync = connection.sync_connection
    assert sync is not None
    dialect = _dialects.setdefault(sync.dialect.name, sync.dialect).name
    steps: list[list[tuple[_Compiled, list[tuple[Any, ...]]]]] = []
    for statement, parameters in statements:
        sets = [parameters] if isinstance(parameters, Mapping) else parameters
        lists = () if isinstance(statement, Insert) else (list,)
        lengths = tuple((name, len(value) if isinstance(value, lists) else None) for name, value in sets[0].items())
        compiled = _compile(statement, dialect, lengths)
        part = compiled, [compiled.bind(each) for each in sets]
        if dialect != "sqlite" and steps and len(sets) == len(steps[-1][-1][1]) == 1:
            steps[-1].append(part)
        else:
            steps.append([part])
    rows: Sequence[Any] = ()
    for (first, bound), *more in steps:
        if more:
            sql = _combine(tuple((each.sql, len(values)) for each, (values,) in ((first, bound), *more)))
            rows = await _run(connection, sync, sql, [tuple(chain(*bound, *(values for _, (values,) in more)))])
        else:
            rows = await _run(connection, sync, first.sql, bound)
    return IteratorResult(compiled.columns, iter(rows))


async def _run(connection: AsyncConnection, sync: Connection, sql: str, bound: list[tuple[Any, ...]]) -> Sequence[Any]:
    many = len(bound) > 1
    # SQLAlchemy's adapter of the driver, which otherwise begins a transaction with its own first statement.
    adapter: Any = sync.connection.dbapi_connection
    driver = adapter.driver_connection
    context = SimpleNamespace(executemany=many, handle_dbapi_exception=lambda _: None)
    event = sync, None, sql, bound if many else bound[0], context, many
    rows: Sequence[Any] = ()
    for listener in sync.dispatch.before_cursor_execute:
        listener(*event)
    try:
        if sync.dialect.name == "sqlite":
            cursor = driver.cursor()
            await (cursor.executemany(sql, bound) if many else cursor.execute(sql, bound[0]))
            rows = await cursor.fetchall()
        else:
            if adapter._transaction is None:
                await adapter._start_transaction()
            if many:
                await driver.executemany(sql, bound)
            else:
                rows = await driver.fetch(sql, *bound[0])
    except BaseException as error:
        await connection.run_sync(_raise, error, sql, context)
        raise
    for listener in sync.dispatch.after_cursor_execute:
        listener(*event)
    return rows


def _raise(connection: Connection, error: BaseException, sql: str, context: Any) -> None:
    """Raise what SQLAlchemy raises for an error of the driver, and give up a connection that is lost."""
    try:
        if isinstance(error, Exception):
            connection.connection.dbapi_connection._handle_exception(error)  # type: ignore[union-attr]
        raise error
    except BaseException as translated:  # noqa: BLE001 - raised again
        connection._handle_dbapi_exception(translated, sql, None, None, context)
