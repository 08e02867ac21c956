"""Column types, the naming convention of constraints, and rows without the ORM."""

from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Table, TypeDecorator, inspect
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
    """A time in UTC to the microsecond. SQLite stores no time zone, so it is added again when a value is read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Reject a time without time zone; give SQLite the time in UTC without it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without time zone must not be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the time with the time zone UTC."""
        if value is None:
            return None
        # asyncpg reads -infinity as the first representable time, without a time zone.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def table_of(model: type[SQLModel]) -> Table:
    """Return the table of a model, for statements without the ORM."""
    return cast(Table, inspect(model).local_table)


M = TypeVar("M", bound=SQLModel)


def detached_row(model: type[M], **values: Any) -> M:
    """Return a row to insert, with the attributes of the model but without the ORM, whose bookkeeping costs more than hashing the row.

    Insert it by `column_values`; a session does not accept it.
    """
    return cast(M, SimpleNamespace(**(_defaults(model) | values)))


def row_from(model: type[M], row: RowMapping, prefix: str = "") -> M:
    """Return a fetched row with the attributes of the model but without the ORM; a session does not accept it.

    `prefix` comes before the model's column names in the row. Raises KeyError if a column is missing.
    """
    return cast(M, SimpleNamespace(**{name: row[label] for name, label in _labels(model, prefix)}))


@cache
def _labels(model: type[SQLModel], prefix: str) -> list[tuple[str, str]]:
    return [(each.name, prefix + each.name) for each in table_of(model).c]


@cache
def _defaults(model: type[SQLModel]) -> dict[str, Any]:
    return {name: None if each.is_required() else each.default for name, each in model.model_fields.items()}


def column_values(model: type[M], row: M) -> dict[str, Any]:
    """Return the values of a row to insert, by column name."""
    return {name: getattr(row, name) for name, _ in _labels(model, "")}
