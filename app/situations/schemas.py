"""Situations, warnings and track records on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.assessment.envelope import Agreement
from app.http.lists import ListEnvelope
from app.indicators.schemas import Indicator, PlaceBrief


class SituationLinks(BaseModel):
    """Where to read on."""

    self: str
    indicators: str


class _Item(BaseModel):
    place: str = Field(description="Slug of the place that it is about.")
    agreement: Agreement
    stated_at: str
    stale: bool = Field(description="Whether the newest statement is older than the kind's horizon at `as_of`.")
    source: str = Field(description="Slug of the preferred report's source.")
    links: dict[str, str]


class Trapped(_Item):
    """People under one concept. Concepts and places are never added up."""

    concept: str
    people: int | None
    people_low: int | None
    people_high: int | None
    qualifier: str | None


class Supply(_Item):
    """One supply and how long it lasts."""

    supply: str
    scope: str
    state: str
    runs_out_earliest: str | None
    runs_out_latest: str | None
    relative_text: str | None
    outcome: str
    days_left: int | None = Field(
        description="Whole days from `as_of` to the earliest date; negative once it is past. Null once it is known what became of it."
    )
    days_left_latest: int | None = Field(description="The same to the latest date.")


class RouteState(_Item):
    """One route."""

    route: str
    status: Literal["open", "restricted", "closed"] | None
    status_in: Literal["open", "restricted", "closed"] | None
    status_out: Literal["open", "restricted", "closed"] | None
    since: str | None
    since_earliest: str | None
    since_latest: str | None
    passable_by: list[str]


class Routes(BaseModel):
    """Routes closed of routes known."""

    known: int
    closed: int
    restricted: int
    open: int
    unknown: int = Field(description="Routes whose passage is only announced or agreed.")
    all_closed: bool = Field(description="Whether every known route is closed; false where none is known.")
    items: list[RouteState]


class OtherIndicator(_Item):
    """One indicator of a kind without a group of its own."""

    kind: str = Field(description="Name of the kind.")
    subject: str = Field(description="What the indicator is about, such as a type of facility.")
    value: dict[str, Any] = Field(description="The fields that the kind shows in a situation.")


class Situation(BaseModel):
    """One place's indicators together."""

    place: PlaceBrief
    as_of: str = Field(description="The time that days left and staleness are counted from.")
    trapped: list[Trapped]
    supplies: list[Supply] = Field(description="Soonest run-out first.")
    soonest_runout: Supply | None
    routes: Routes
    other: list[OtherIndicator] = Field(description="Indicators of the kinds without a group of their own, by kind.")
    contested: list[str] = Field(description="Links of the indicators whose sources contradict each other.")
    newest_statement: str | None = Field(description="When the newest of all standing reports was stated.")
    links: SituationLinks


class SituationPage(ListEnvelope[Situation]):
    """A page of situations, in order of place."""


class Warning_(BaseModel):  # noqa: N801 - `Warning` is Python's
    """A supply run-out that falls due, or fell due without an outcome."""

    due: str = Field(description="The earliest day named, else the latest.")
    days_left: int
    past_due: bool
    indicator: Indicator


class WarningPage(ListEnvelope[Warning_]):
    """A page of warnings, soonest first."""


class DaysOff(BaseModel):
    """Days between forecast and fact of the warnings that materialised: negative came earlier, 0 came within the days named."""

    median: float
    earliest: int
    latest: int


class RecordItem(BaseModel):
    """One warning that fell due."""

    report: str
    indicator: str
    runs_out_earliest: str | None
    runs_out_latest: str | None
    outcome: Literal["pending", "materialised", "averted", "overtaken", "unknown"]
    fact: str | None = Field(description="The day on which it came, as the evidence says.")
    days_off: int | None


class TrackRecord(BaseModel):
    """What became of a source's warnings."""

    source: str
    as_of: str
    fell_due: int
    materialised: int
    averted: int
    overtaken: int
    unknown: int
    pending: int
    days_off: DaysOff | None
    items: list[RecordItem]
