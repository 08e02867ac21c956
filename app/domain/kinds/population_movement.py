"""Population movements: one indicator for each movement and the day it began. Counts are of those who moved so far, never added up."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import Kind, Severity
from app.domain.kinds.combining import Combined, Part, StatedValue, basis_of, claimed_range, disjoint
from app.domain.kinds.showing import RangePlot, gettext_noop
from app.domain.kinds.values import Day, People, ShortText, Value, check_people, field_error, widened
from app.domain.tlp import Label, strictest

Movement = TypeAliasType("Movement", Literal["evacuated", "medically_evacuated", "fled", "arrived", "returned"])


class PopulationMovement(Value):
    """How many people have moved since a day. At least one of the three figures is required."""

    movement: Movement = Field(description="How they moved.")
    since: Day | None = Field(
        default=None,
        description="Day on which the movement began. Reports with the same movement and day, or without any, are about the same one.",
    )
    until: Day | None = Field(
        default=None, description="Day up to which people were counted; without it, the figure is as of the statement."
    )
    people: People | None = Field(default=None, description="Number of persons who moved from `since` to `until`, all in all.")
    people_low: People | None = Field(default=None, description="Low end of a range, persons.")
    people_high: People | None = Field(default=None, description="High end of a range, persons.")
    destination: ShortText | None = Field(
        default=None,
        description="Region that they moved to, for `arrived` and `returned` that they came from; in words, never a site.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_people(self.people_low, self.people, self.people_high)
        if self.since and self.until and self.since > self.until:
            raise field_error("since", "since must not be after until")
        return self

    def range(self) -> tuple[int | None, int | None]:
        """Return the lowest and highest number of persons."""
        low = self.people if self.people_low is None else self.people_low
        return low, self.people if self.people_high is None else self.people_high


class PopulationMovementReading(BaseModel):
    """How many people have moved since a day, assessed; null where no report leads."""

    movement: Movement = Field(description="How they moved.")
    since: Day | None = Field(description="Day on which the movement began; null if not said.")
    until: Day | None = Field(description="Day up to which the preferred report counts: `until`, else its own day.")
    people: int | None = Field(description="Figure of the preferred report, persons; null if it gave only a range.")
    people_low: int | None = Field(
        description="Lowest low of the reports that count up to the same day or later, or contradict the preferred one; null if one of "
        "them leaves it open. Where nothing else would be said, the low of the preferred report."
    )
    people_high: int | None = Field(
        description="Highest high of the same reports; null if one of them leaves it open. Where nothing else would be said, the high of "
        "the preferred report, if it gave no low."
    )
    destination: str | None = Field(description="Region by the preferred report, in words; null if it names none.")


class PopulationMovementKind(Kind[PopulationMovement]):
    """Combine counts of one movement; an earlier count above a later one contradicts it, and so do two of one day that do not meet."""

    name = "population_movement"
    collection = "population-movements"
    title = "Population movements"
    description = "How many people were evacuated, fled, arrived or returned."
    horizon_days = 60
    is_lasting = True
    compares_days = True
    reads_all = True
    filter_field = "movement"
    subject_fields = ("since",)
    range_fields = frozenset({"people_low", "people_high"})
    outdates = "trapped"
    note_fields = brief_words = ("destination",)
    hxl = {
        "movement": "#affected+movement+type",
        "since": "#date+movement+start",
        "until": "#date+movement+end",
        "people": "#affected+moved+best",
        "people_low": "#affected+moved+min",
        "people_high": "#affected+moved+max",
        "destination": "#region+destination",
    }
    plot = RangePlot(low="people_low", best="people", high="people_high", until="until")
    code_labels = {
        "population_movement": gettext_noop("Movements"),
        "evacuated": gettext_noop("Evacuated"),
        "medically_evacuated": gettext_noop("Medically evacuated"),
        "fled": gettext_noop("Fled"),
        "arrived": gettext_noop("Arrived"),
        "returned": gettext_noop("Returned"),
        "field_movement": gettext_noop("How they moved"),
        "field_until": gettext_noop("Counted until"),
        "field_destination": gettext_noop("Region"),
        "help_people": gettext_noop("All who moved since the first day, as one number, such as 35,000."),
        "help_since": gettext_noop("The day on which the movement began, the same in every report on it."),
        "help_destination": gettext_noop("A region in words, never a site."),
    }
    messages = (gettext_noop("people had moved by the day of the statement, %(day)s: send that day or an earlier one"),)
    value_model = PopulationMovement
    assessment_model = PopulationMovementReading
    example = {"movement": "evacuated", "since": "2016-07-20", "people": 10000, "destination": "rural Idleb"}

    def resolve(self, value: PopulationMovement, stated_on: date) -> PopulationMovement:
        """Check that people had moved by the day of the statement."""
        for name in ("since", "until"):
            if (day := getattr(value, name)) is not None and day > stated_on:
                raise field_error(name, f"people had moved by the day of the statement, {stated_on}: send that day or an earlier one")
        return value

    def subject(self, value: PopulationMovement) -> str:
        """Return the movement and the day it began."""
        return value.movement if value.since is None else f"{value.movement}.{value.since.isoformat()}"

    def happened_on(self, value: Mapping[str, Any]) -> date | None:
        """Return the day up to which people were counted, if any moved."""
        return (
            date.fromisoformat(value["until"]) if value["until"] and any(value[f"people{end}"] for end in ("", "_low", "_high")) else None
        )

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by the day up to which people were counted, then by movement."""
        return summary["until"], summary["movement"], place

    def default_label(self, value: PopulationMovement, source_type: str, usual: Label) -> Label:
        """Label movements at least `amber`, because such a report shows where people are on the move."""
        return strictest(super().default_label(value, source_type, usual), Label.AMBER)

    def disputes(self, one: StatedValue[PopulationMovement], other: StatedValue[PopulationMovement]) -> bool:
        """Tell whether two counts of one day do not meet, or an earlier one is above a later one."""
        earlier, later = sorted((one, other), key=_counted_on)
        low, high = widened(earlier.value.range())
        later_low, later_high = widened(later.value.range())
        if _counted_on(earlier) == _counted_on(later):
            return disjoint((low, high), (later_low, later_high))
        return low is not None and later_high is not None and low > later_high

    def confirms(self, one: StatedValue[PopulationMovement], other: StatedValue[PopulationMovement]) -> bool:
        """Tell whether two counts meet; a later one above an earlier one contradicts it as little as it confirms it."""
        return not disjoint(widened(one.value.range()), widened(other.value.range()))

    def leaves_standing(self, later: PopulationMovement, earlier: PopulationMovement) -> bool:
        """Tell whether a later count is lower though none names the day of the beginning: it may be of another movement."""
        low, high = widened(earlier.range())[0], widened(later.range())[1]
        return later.since is None and low is not None and high is not None and low > high

    def repeated_severity(self, value: PopulationMovement, severity: Severity) -> Severity:
        """Return the figure: a higher count of those who moved so far is news, in the words of an outlet, too."""
        figure = next(each for each in (value.people, value.people_high, value.people_low) if each is not None)
        return (figure,), (figure,)

    def combine(self, part: Part[PopulationMovement]) -> Combined:
        """Return the preferred count, and the range of those that count as far, or contradict it; none is added to another."""
        assert part.preferred is not None
        leading, preferred = part.preferred, part.preferred.value
        far = [each for each in part.in_order() if _counted_on(each) >= _counted_on(leading) or self.disputes(each, leading)]
        low, high = claimed_range([each.value.range() for each in far], has_figure=preferred.people is not None)
        figures = {
            "people": (preferred.people, lambda value: value.people),
            "people_low": (low, lambda value: value.range()[0]),
            "people_high": (high, lambda value: value.range()[1]),
        }
        found = {name: figure for name, (figure, _) in figures.items()}
        assessed = PopulationMovementReading(**dict(preferred) | found | {"until": _counted_on(leading)})
        spread = None if not low or high is None else round(high / low, 2)
        return Combined(assessed.model_dump(mode="json"), basis_of(far, figures) | {"until": leading}, spread)


def _counted_on(each: StatedValue[PopulationMovement]) -> date:
    """Return the day up to which a report counts."""
    return each.value.until or each.day
