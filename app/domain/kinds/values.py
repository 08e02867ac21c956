"""The parts of the values of kinds: types of fields, and the base class. Pure."""

import re
from datetime import date
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.domain.times import MIN_DAY, what_to_write

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _only_iso_day(value: object) -> object:
    if isinstance(value, str) and _DAY.fullmatch(value) and value < MIN_DAY.isoformat():
        raise ValueError(f"must be {MIN_DAY} or later, such as 2016-07-28")
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError(f"must be a date such as 2016-07-28{what_to_write(value[:10]) if isinstance(value, str) else ''}")


Day = Annotated[date, BeforeValidator(_only_iso_day)]


MAX_PEOPLE = 10_000_000_000


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# After the bounds of a StrictInt: takes 1000.0, which is an integer in JSON Schema, and no boolean or text.
WHOLE = BeforeValidator(_whole)

People = Annotated[StrictInt, Field(ge=0, le=MAX_PEOPLE), WHOLE]


Days = Annotated[StrictInt, Field(ge=0, le=3650), WHOLE]


ShortText = Annotated[str, Field(min_length=1, max_length=500)]


Agreement = TypeAliasType("Agreement", Literal["claimed", "single", "consistent", "contested", "unconfirmed"])


WarningOutcome = TypeAliasType("WarningOutcome", Literal["pending", "materialised", "averted", "overtaken", "unknown"])


def closed_set(annotation: Any) -> tuple[str, ...]:
    """Return the members of a closed set of values, named or not."""
    return get_args(getattr(annotation, "__value__", annotation))


def field_error(field: str, detail: str) -> PydanticCustomError:
    """Return the error for a rule that involves several fields, reported at one of them."""
    return PydanticCustomError("value_error", "{detail}", {"detail": detail, "field": field})


class Value(BaseModel):
    """The value of a report, as its kind defines it. Unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


V = TypeVar("V", bound=Value)


class WarningFields(BaseModel):
    """The fields that the assessed value of a kind with warnings has."""

    outcome: WarningOutcome | None = Field(
        default=None,
        description="`pending` while a warning stands without an outcome, else the outcome of the last; null if no report warns.",
    )
    due: Day | None = Field(
        default=None, description="First day on which a warning without an outcome may come true; null for none or without a date."
    )
