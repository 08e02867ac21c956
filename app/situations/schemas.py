"""Schemas of situations, warnings and track records."""

from typing import Any, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from app.domain.kinds import Imminence, RouteDirections, RouteStatus
from app.domain.kinds.values import Agreement, Day, WarningOutcome
from app.domain.times import Timestamp
from app.http.lists import ListEnvelope
from app.indicators.judgement_schemas import StandingJudgement
from app.indicators.schemas import Indicator, PlaceBrief
from app.situations.urgency import Level

CheckName = TypeAliasType("CheckName", Literal["child_above_parent", "tenfold", "moved_later", "contradicting_concepts"])

ChangeName = TypeAliasType("ChangeName", Literal["new", "corrected", "withdrawn", "overtaken", "contested", "moved_later", "silent"])


class SituationLinks(BaseModel):
    """Links of a situation."""

    self: str = Field(description="The situation.")
    indicators: str = Field(description="The indicators of the place.")


class DigestLinks(BaseModel):
    """Links of a digest."""

    situation: str = Field(description="The situation of the place.")


class _Item(BaseModel):
    place: str = Field(description="Slug of the indicator's place.")
    agreement: Agreement = Field(description="How the sources agree.")
    stated_at: Timestamp = Field(description="When the preferred report was stated.")
    stale: bool = Field(description="Whether the preferred report is older, at `as_of`, than its horizon.")
    source: str = Field(
        description="Slug of the preferred report's source; `assessment.basis` of the indicator names the reports of each direction."
    )
    judgement: StandingJudgement | None = Field(description="The judgement beside these figures; null for none.")
    links: dict[str, str] = Field(description="Link to the indicator.")


class Trapped(_Item):
    """People counted under one concept."""

    concept: str = Field(description="What was counted. Concepts overlap, so never add them up.")
    people: int | None = Field(description="Figure of the preferred report, persons; null if it gave only a range.")
    people_low: int | None = Field(description="Lowest low of the standing reports, persons; null if none gave one.")
    people_high: int | None = Field(description="Highest high of the standing reports, persons; null if none gave one.")
    qualifier: str | None = Field(description="Qualifier of the preferred figure, such as `about`; null for none.")
    includes_combatants: str | None = Field(description="Whether the preferred figure counts combatants: `yes`, `no` or `unknown`.")
    older_than: list[str] = Field(
        description="Links to the movements of people of this place that were counted up to a later day than `stated_at`: the figure may "
        "not include them. They are never subtracted from it."
    )


class Supply(_Item):
    """One supply and the days that it lasts."""

    supply: str = Field(description="What runs out.")
    scope: str = Field(description="Whose stock.")
    state: str = Field(description="Worst state that stands.")
    runs_out_earliest: Day | None = Field(description="Earliest day on which it runs out; null if not known.")
    runs_out_latest: Day | None = Field(description="Latest day on which it runs out; null if not known.")
    imminence: Imminence | None = Field(description="How soon, for words without a number; null if not said.")
    relative_text: str | None = Field(description="The source's own words; null if none are given.")
    conditional_on: str | None = Field(description="Condition by the preferred report, such as `if no convoy gets in`; null for none.")
    outcome: WarningOutcome | None = Field(description="Outcome of the warnings, `pending` while one is open; null if no report warns.")
    due: Day | None = Field(description="First day on which an open warning may come true; null if none is open or names a day.")
    days_left: int | None = Field(description="Days from `as_of` to the due date; negative once past. Null without a due date.")
    days_left_latest: int | None = Field(description="Days from `as_of` to the latest day; null without one or without a due date.")


class RouteState(_Item):
    """The state of one route."""

    route: str = Field(description="Slug of the route.")
    status: RouteStatus | None = Field(description="State of both ways if equal or only one is known, else `restricted`.")
    status_in: RouteStatus | None = Field(description="State into the place; null if not known.")
    status_out: RouteStatus | None = Field(description="State out of the place; null if not known.")
    directions: RouteDirections = Field(description="Each way on its own.")
    since: str | None = Field(description="Since when, as the preferred report states it; null if it does not.")
    since_earliest: Day | None = Field(description="Earliest day on which the state began; null if not known.")
    since_latest: Day | None = Field(description="Latest day on which the state began; null if not known.")
    passable_by: list[str] | None = Field(description="Who can pass; null if not said, empty if no group can.")
    last_route: bool | None = Field(description="Whether a report with the same status says that no other way in is left.")


class Routes(BaseModel):
    """The routes of a place; each counts once, in its worst state."""

    known: int = Field(description="Number of routes of which something was said.")
    closed: int = Field(description="Number of closed routes.")
    restricted: int = Field(description="Number of restricted routes.")
    open: int = Field(description="Number of open routes.")
    unknown: int = Field(description="Number of routes whose state is not known: passage is only announced, agreed or claimed.")
    all_closed: bool = Field(description="Whether every route whose state is known is closed; false without any.")
    items: list[RouteState] = Field(description="The routes, by slug.")


class OtherIndicator(_Item):
    """One indicator of a kind without a group of its own."""

    kind: str = Field(description="Kind of indicator.")
    subject: str = Field(description="What the indicator is about.")
    value: dict[str, Any] = Field(description="Assessed value: the fields that the kind shows in a situation.")


class Reason(BaseModel):
    """One reason for the level of a place."""

    reason: str = Field(
        description="Why people are held (`trapped`, `besieged`, `encircled`, `remaining`, `way_in_closed`, `way_out_closed`, "
        "`last_route`, `no_delivery`) or short of something (`ran_out`, `past_due`, `due_soon`, `imminent`, `out_of_service`)."
    )
    indicator: str = Field(description="Identifier of the indicator.")
    since: Timestamp = Field(
        description="When the indicator's preferred report was stated; for `last_route` and `imminent` the one that says so; for "
        "`no_delivery` the day of the last delivery, else of the first report on one; for `out_of_service` its first day; if `judged` when "
        "the judgement was recorded."
    )
    judged: bool = Field(
        description="Whether it rests on a judgement that has not lapsed, of the confidence `moderate` or `high`, not on the assessment."
    )


class SituationCheck(BaseModel):
    """A flag on figures to look at. It changes none."""

    check: CheckName = Field(
        description="`child_above_parent`: the figure of a place exceeds the highest claim for a place that contains it. `tenfold`: a "
        "figure is at least ten times the one before, or at most a tenth. `moved_later`: a run-out was moved later, and no sound relief "
        "came between. `contradicting_concepts`: people of a concept exceed those of one that includes them."
    )
    indicators: list[str] = Field(description="Identifiers of the indicators: the one flagged, then the one that it is compared with.")
    reports: list[str] = Field(description="Identifiers of the reports that say the figures.")
    detail: str | None = Field(
        description="What was compared, in the language of `lang` where it is one of `ar`, `en`, `es` and `fr`; null in lists."
    )


class Situation(BaseModel):
    """The indicators of one place together. Nothing is added up."""

    place: PlaceBrief = Field(description="The place.")
    as_of: Timestamp = Field(description="Time that days left and staleness are counted from.")
    level: Level | None = Field(
        description="Level of urgency by `urgency/1`: `critical` if people are held and short of something, `serious` if one of the two, "
        "`watch` if anything else is known; null if no report leads. Silence never improves it."
    )
    because: list[Reason] = Field(description="Reasons for the level; empty for `watch`.")
    set_aside: list[Reason] = Field(
        description="Reasons that the reports give and a judgement does not: the level rests on the judgement, of which `indicator` is the "
        "indicator and `since` the time; all are `judged`."
    )
    silent_days: int | None = Field(
        description="Days from the newest sound report to `as_of`, from the newest of all if none is sound; above 30 the place is silent. "
        "Null if nothing was said."
    )
    dormant: bool = Field(description="Whether the place has been silent for more than 365 days; `level` is the last one known.")
    children_level: Level | None = Field(description="Worst level of the places below this one; null if none has a level.")
    trapped: list[Trapped] = Field(description="People, by concept.")
    supplies: list[Supply] = Field(description="Supplies, soonest run-out first.")
    soonest_runout: Supply | None = Field(description="The supply that runs out first; null if none is expected to.")
    routes: Routes = Field(description="The routes of the place.")
    other: list[OtherIndicator] = Field(description="Indicators of kinds without a group of their own, by kind.")
    facts: dict[str, dict[str, Any]] = Field(
        description="What all indicators of a kind in the place say together, by kind: of `aid_delivery` the last delivery of any "
        "operation (`last_delivery`), the days from it to `as_of` (`days_since`), and the first day since which one is denied "
        "(`denied_since`)."
    )
    contested: list[str] = Field(description="Links to the indicators whose sources contradict each other.")
    newest_statement: Timestamp | None = Field(description="When the newest standing report was stated; null if none stands.")
    checks: list[SituationCheck] = Field(
        description="Figures that are not plausible together (docs/analysts.md): flags only, which change no value."
    )
    links: SituationLinks = Field(description="Links of the situation.")


class DigestItem(BaseModel):
    """One change of one indicator."""

    change: ChangeName = Field(
        description="`new`: statements, a judgement, or an assessment that something else moved, as an outcome does; `corrected` and "
        "`withdrawn`: a report or judgement; `overtaken`: a report that no longer counts; `contested`: sources contradict each other now; "
        "`moved_later`: a run-out, without a delivery; `silent`: the place."
    )
    indicator: str = Field(description="Identifier of the indicator.")
    kind: str = Field(description="Kind of indicator.")
    subject: str = Field(description="What the indicator is about.")
    place: str = Field(description="Slug of the place.")
    reports: list[str] = Field(description="Identifiers of the reports that make the change; of a correction, the corrected report first.")
    judgement: str | None = Field(description="Identifier of the judgement that makes the change; null where it is none.")
    old: dict[str, Any] | None = Field(
        description="Value before: of a judgement that of the one before it; of `corrected`, `withdrawn`, `overtaken` and `moved_later` "
        "that of the first report, else the assessed one. Null for none."
    )
    new: dict[str, Any] | None = Field(
        description="Value after: of a judgement its own; of `corrected` and `moved_later` that of the last report, else the assessed one. "
        "Null for none, and if a correction is about something else."
    )
    agreement: Agreement | None = Field(description="How the sources agree now; null if no report stands.")
    text: str = Field(description="The change in words, in the language of `lang` or `Accept-Language`: `ar`, `en`, `es` or `fr`.")


class Digest(BaseModel):
    """The changes in a place, as the caller sees it."""

    place: PlaceBrief = Field(description="The place.")
    since: Timestamp = Field(description="Time from which changes are listed; with a revision, when that was recorded.")
    since_revision: int | None = Field(description="Revision since which changes are listed; null if `since` is a time.")
    as_of: Timestamp = Field(description="Time up to which statements count.")
    revision: int = Field(description="Head of the ledger as this caller sees it: send it as `since` next time.")
    cut: bool = Field(description="Whether there were more than the last 1,000 reports, which were looked at: ask for a shorter time.")
    items: list[DigestItem] = Field(description="The changes, in the order of the values of `change`.")
    links: DigestLinks = Field(description="Links of the digest.")


class SituationPage(ListEnvelope[Situation]):
    """A page of situations, the most urgent first."""


class Warning_(BaseModel):  # noqa: N801 - `Warning` is Python's
    """A warning that falls due, or is past due without an outcome."""

    due: Day | None = Field(
        description="Due date: the earliest day that the warning names, else the latest; null for hours or days without a date."
    )
    days_left: int | None = Field(description="Days from `as_of` to the due date, negative once past; null without one.")
    past_due: bool = Field(description="Whether the due date is past.")
    indicator: Indicator = Field(description="The indicator that warns.")


class WarningPage(ListEnvelope[Warning_]):
    """A page of warnings, soonest first."""


class DaysOff(BaseModel):
    """Days from forecast to event of the warnings that came true: negative if it came earlier, 0 within the days named."""

    median: float = Field(description="Median, days.")
    earliest: int = Field(description="Lowest, days.")
    latest: int = Field(description="Highest, days.")


class RecordItem(BaseModel):
    """One warning that fell due."""

    report: str = Field(description="Identifier of the report that warned.")
    indicator: str = Field(description="Identifier of its indicator.")
    runs_out_earliest: Day | None = Field(description="Earliest day that the warning names; null for none.")
    runs_out_latest: Day | None = Field(description="Latest day that the warning names; null for none.")
    outcome: WarningOutcome = Field(description="Outcome of the warning; `pending` if it did not come true and no other is recorded.")
    renewed: bool = Field(description="Whether the source warned of the same again by the last day that the warning names.")
    fact: Day | None = Field(description="Day on which it came true, by the evidence; null if it did not.")
    days_off: int | None = Field(description="Days from forecast to event; null if it did not come true.")
    lead_days: int | None = Field(description="Days from the statement to the event; null if it did not come true.")


class TrackRecord(BaseModel):
    """The outcomes of a source's warnings that fell due."""

    source: str = Field(description="Slug of the source.")
    as_of: Timestamp = Field(description="Time that the record is as of.")
    fell_due: int = Field(description="Number of warnings that fell due.")
    materialised: int = Field(description="Number of those that came true.")
    averted: int = Field(description="Number of those that were averted.")
    overtaken: int = Field(description="Number of those that were overtaken by events.")
    unknown: int = Field(description="Number of those whose outcome cannot be known.")
    pending: int = Field(description="Number of those whose last day passed without that they came true or had an outcome.")
    hits: int = Field(description="Number of warnings that came true, on whatever day; the same as `materialised`.")
    false_alarms: int = Field(description="Number of `pending` warnings that the source did not renew.")
    renewals: int = Field(
        description="Number of `pending` warnings that the source renewed by their last day: one false alarm counts once."
    )
    score: float | None = Field(
        description="`hits` divided by `hits` and `false_alarms` together, to two digits; null if fewer than ten warnings fell due, or if "
        "all of them were averted, overtaken, unknown or renewed."
    )
    days_off: DaysOff | None = Field(description="How wrong the dates were; null if no warning came true.")
    lead_days: float | None = Field(description="Median of the days from statement to event; null if no warning came true.")
    items: list[RecordItem] = Field(description="The warnings; at most 1,000, the last ones.")
