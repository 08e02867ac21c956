"""Column types, the naming convention of constraints, and rows without the ORM."""

from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Integer,
    Table,
    TypeDecorator,
    inspect,
)
from sqlalchemy.engine import RowMapping
from sqlmodel import SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite numbers rows only in a column declared INTEGER.
BigInt = BigInteger().with_variant(Integer(), "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An instant in UTC to the microsecond; SQLite drops the zone, so it is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time; hand SQLite the UTC wall time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without zone reached the database")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """An aware time in UTC."""
        if value is None:
            return None
        # PostgreSQL's driver reads the first instant of all, which is infinity there, without a zone.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def table_of(model: type[SQLModel]) -> Table:
    """The table of a model, for statements that need rows rather than objects."""
    return cast(Table, inspect(model).local_table)


M = TypeVar("M", bound=SQLModel)


def detached_row(model: type[M], **values: Any) -> M:
    """A row to be inserted: what reads as the model does, without an ORM's bookkeeping, which costs more than hashing it.

    `row_of` gives its columns. It is for inserting alone: no session takes it.
    """
    return cast(M, SimpleNamespace(**(_defaults(model) | values)))


def row_from(model: type[M], row: RowMapping, prefix: str = "") -> M:
    """A row that was read, to be looked at: like `unstored` it reads as the model does, and no session takes it.

    `prefix` stands before the names of the model's columns in the row. KeyError where one is missing.
    """
    return cast(M, SimpleNamespace(**{name: row[label] for name, label in _labels(model, prefix)}))


@cache
def _labels(model: type[SQLModel], prefix: str) -> list[tuple[str, str]]:
    return [(each.name, prefix + each.name) for each in table_of(model).c]


@cache
def _defaults(model: type[SQLModel]) -> dict[str, Any]:
    return {name: None if each.is_required() else each.default for name, each in model.model_fields.items()}


def column_values(model: type[M], row: M) -> dict[str, Any]:
    """The columns of a row to be inserted, by name."""
    columns = [each.name for each in table_of(model).c]
    return {name: getattr(row, name) for name in columns}
