"""The values of route closures: as reported, and assessed. Pure."""

import calendar
import re
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.values import AccessConstraint, Agreement, Day, Value, field_error
from app.domain.times import MIN_DAY, what_to_write

RouteStatus = TypeAliasType("RouteStatus", Literal["open", "restricted", "closed"])
RouteDirection = TypeAliasType("RouteDirection", Literal["both", "in", "out"])
RouteUser = TypeAliasType("RouteUser", Literal["civilian", "humanitarian", "commercial", "medical"])
RouteAssertion = TypeAliasType("RouteAssertion", Literal["observed", "agreed", "announced"])


def partial_date(text: str) -> tuple[date, date]:
    """Return the first and last day of an ISO 8601 date: `2016-07-07`, `2016-07` or `2016`; raise ValueError for anything else."""
    if not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", text, re.ASCII):
        raise ValueError(f"must be a date such as 2016-07-07, 2016-07 or 2016{what_to_write(text)}")
    year, *rest = (int(part) for part in text.split("-"))
    if year < MIN_DAY.year:
        raise ValueError(f"must be {MIN_DAY.year} or later, such as 2016-07-07, 2016-07 or 2016")
    if len(rest) == 2:
        day = date(year, *rest)
        return day, day
    first, last = (rest[0], rest[0]) if rest else (1, 12)
    return date(year, first, 1), date(year, last, calendar.monthrange(year, last)[1])


class RouteClosure(Value):
    """The state of a route."""

    route: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$", description="Slug of the route.")]
    status: RouteStatus = Field(description="State of the route.")
    since: str | None = Field(default=None, max_length=10, description="Since when: `2016-07-07`, `2016-07` or `2016`.")
    since_earliest: Day | None = Field(
        default=None, description="Earliest day, instead of `since`; early, mid, late in a month: 1, 11, 21."
    )
    since_latest: Day | None = Field(default=None, description="Latest day, instead of `since`; early, mid, late in a month: 10, 20, last.")
    direction: RouteDirection = Field(default="both", description="Direction that the report is about: into the place, out of it, or both.")
    passable_by: tuple[RouteUser, ...] | None = Field(
        default=None, description="Who can pass; null if not said, `[]` if the source says that no group can; names no group if closed."
    )
    assertion: RouteAssertion = Field(
        default="observed", description="How firm the report is. Passage that is only announced or agreed never opens a route."
    )
    cause: AccessConstraint | None = Field(default=None, description="Type of access constraint, by OCHA's framework.")
    last_route: StrictBool | None = Field(default=None, description="Whether the source says that no other way in is left.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.since is not None:
            try:
                partial_date(self.since)
            except ValueError as error:
                raise field_error("since", str(error)) from None
        if self.since_earliest and self.since_latest and self.since_earliest > self.since_latest:
            raise field_error("since_earliest", "since_earliest must not be after since_latest")
        if self.status == "closed" and self.passable_by:
            raise field_error("passable_by", "passable_by must be empty if status is closed")
        if self.passable_by is not None and len(set(self.passable_by)) != len(self.passable_by):
            raise field_error("passable_by", "name each user once")
        return self

    def range(self) -> tuple[date | None, date | None]:
        """Return the first and last day on which the state may have begun; None is an open end."""
        return self.since_earliest, self.since_latest


class RouteDirectionReading(BaseModel):
    """The state of one route in one direction, assessed."""

    status: RouteStatus | None = Field(default=None, description="Worst state that stands; null if none leads.")
    since_earliest: Day | None = Field(
        default=None, description="Earliest day on which the reports of this state agree; null if not known."
    )
    since_latest: Day | None = Field(default=None, description="Latest day on which they agree; null if not known.")
    passable_by: tuple[RouteUser, ...] | None = Field(
        default=None, description="Who can pass by the report that leads; null if not said, empty if no group can."
    )
    agreement: Agreement | None = Field(default=None, description="Agreement of the reports on this direction; null if none stands.")


class RouteDirections(BaseModel):
    """The two directions of a route."""

    model_config = ConfigDict(validate_by_name=True)

    in_: RouteDirectionReading = Field(default=RouteDirectionReading(), alias="in", description="The way into the place.")
    out: RouteDirectionReading = Field(default=RouteDirectionReading(), description="The way out of it.")


class RouteClosureReading(BaseModel):
    """The state of one route, assessed; null where no report leads."""

    route: str = Field(description="Slug of the route.")
    status: RouteStatus | None = Field(
        description="Status of both directions if they are equal or only one is known, else `restricted`; null if none is known."
    )
    status_in: RouteStatus | None = Field(description="State into the place; null if no report leads there.")
    status_out: RouteStatus | None = Field(description="State out of the place; null if no report leads there.")
    directions: RouteDirections | None = Field(description="Each direction on its own.")
    since: str | None = Field(description="Since when, in the words of a report that gives just these days; null for none.")
    since_earliest: Day | None = Field(
        description="Earliest day on which the reports of this status agree, else that of the preferred one; null if not known."
    )
    since_latest: Day | None = Field(description="Latest day by the same reports; null if not known.")
    passable_by: tuple[RouteUser, ...] | None = Field(
        description="Who can pass by the preferred report; null if not said, empty if no group can."
    )
    assertion: RouteAssertion | None = Field(description="How firm the preferred report is; what is only announced never leads.")
    cause: AccessConstraint | None = Field(description="Type of access constraint by the preferred report; null if it names none.")
    last_route: bool | None = Field(description="Whether a report with the same status says that no other way in is left.")
