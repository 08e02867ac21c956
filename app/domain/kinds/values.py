"""The parts of the values of kinds: types of fields, and the base class. Pure."""

import re
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from app.domain.times import MIN_DAY, what_to_write
from app.domain.visible_text import free_text

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _only_iso_day(value: object) -> object:
    if isinstance(value, str) and _DAY.fullmatch(value) and value < MIN_DAY.isoformat():
        raise ValueError(f"must be {MIN_DAY} or later, such as 2016-07-28")
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise ValueError(
        f"must be a date such as 2016-07-28{what_to_write(re.split(r'[Tt ][0-9]+:', value)[0]) if isinstance(value, str) else ''}"
    )


Day = Annotated[date, BeforeValidator(_only_iso_day)]


MAX_PEOPLE = 10_000_000_000


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# After the bounds of a StrictInt: takes 1000.0, which is an integer in JSON Schema, and no boolean or text.
WHOLE = BeforeValidator(_whole)

People = Annotated[StrictInt, Field(ge=0, le=MAX_PEOPLE), WHOLE]


Days = Annotated[StrictInt, Field(ge=0, le=3650), WHOLE]


# Of optional fields: spaces alone say nothing, which is null.
ShortText = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(free_text)]


Agreement = TypeAliasType("Agreement", Literal["claimed", "single", "consistent", "contested", "unconfirmed"])


WarningOutcome = TypeAliasType("WarningOutcome", Literal["pending", "materialised", "averted", "overtaken", "unknown"])


SupplyType = TypeAliasType("SupplyType", Literal["basic", "food", "medical", "water", "fuel", "electricity", "shelter", "hygiene"])


# The nine types of OCHA's Access Monitoring and Reporting Framework.
AccessConstraint = TypeAliasType(
    "AccessConstraint",
    Literal[
        "denial_of_needs",
        "entry_restriction",
        "internal_movement_restriction",
        "interference",
        "violence_against_humanitarians",
        "population_access_restriction",
        "hostilities",
        "mines_uxo",
        "physical_environment",
    ],
)


def closed_set(annotation: Any) -> tuple[str, ...]:
    """Return the members of a closed set of values, named or not."""
    return get_args(getattr(annotation, "__value__", annotation))


def field_error(field: str, detail: str) -> PydanticCustomError:
    """Return the error for a rule that involves several fields, reported at one of them."""
    return PydanticCustomError("value_error", "{detail}", {"detail": detail, "field": field})


def check_people(low: int | None, people: int | None, high: int | None) -> None:
    """Raise `field_error` unless there is at least one figure, and low <= people <= high."""
    given = [figure for figure in (low, people, high) if figure is not None]
    if not given:
        raise field_error("people", "give people, people_low or people_high")
    if given != sorted(given):
        if people is None or (low or 0) > people:
            raise field_error("people_low", f"people_low must not exceed {'people_high' if people is None else 'people'}")
        raise field_error("people_high", "people_high must not be below people")


@lru_cache(maxsize=4096)
def widened(figures: tuple[int | None, int | None]) -> tuple[float | None, float | None]:
    """Return a range of figures that are not exact: wider by half a unit of the last significant digit on either side."""
    low, high = figures
    return None if low is None else low - _half_unit(low), None if high is None else high + _half_unit(high)


def _half_unit(figure: int) -> float:
    """Return half a unit of the last significant digit; at least two digits count as significant (7 is 7.0), and 0 is exact."""
    digits = str(figure)
    zeros = min(len(digits) - len(digits.rstrip("0")), len(digits) - 2)
    return 0 if figure == 0 else 10**zeros / 2


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
