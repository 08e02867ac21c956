"""How many people are trapped: one indicator for each concept counted, since two concepts are never mixed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.kinds.base import Combined, Kind, People, RangePlot, Risk, StatedValue, Value, disjoint, envelope, field_error, gettext_noop

Concept = Literal["trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining"]
Qualifier = Literal["exact", "about", "nearly", "up_to", "more_than", "at_least"]
Combatants = Literal["yes", "no", "unknown"]

CONCEPTS: tuple[Concept, ...] = get_args(Concept)
# The concepts under which people cannot leave.
_HELD = frozenset({"trapped", "besieged", "encircled"})


class TrappedPopulation(Value):
    """How many are there, never how many came or left. `people`, `people_low`, `people_high`: persons, at least one of them."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [field]} for field in ("people", "people_low", "people_high")]})

    concept: Concept = Field(description="What was counted. Two concepts are two indicators.")
    people: People | None = Field(default=None, description="The figure given, persons.")
    people_low: People | None = Field(default=None, description="The low end of a range given, persons.")
    people_high: People | None = Field(default=None, description="The high end, persons. 'Nearly 400,000' is a high with no low.")
    qualifier: Qualifier | None = Field(default=None, description="The word that stood beside the figure.")
    includes_combatants: Combatants = Field(default="unknown", description="Whether fighters are counted.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        given = [figure for figure in (self.people_low, self.people, self.people_high) if figure is not None]
        if not given:
            raise field_error("people", "give people, people_low or people_high")
        if given != sorted(given):
            field = "people_low" if self.people is None or (self.people_low or 0) > self.people else "people_high"
            raise field_error(field, "people_low <= people <= people_high does not hold")
        return self

    def range(self) -> tuple[int | None, int | None]:
        """The persons stated, lowest to highest; a point gets no margin, 'nearly' has no low, 'more than' no high."""
        low = self.people if self.people_low is None and self.qualifier not in ("nearly", "up_to") else self.people_low
        high = self.people if self.people_high is None and self.qualifier not in ("more_than", "at_least") else self.people_high
        return low, high


class TrappedPopulationReading(BaseModel):
    """People counted under one concept, as read."""

    concept: Concept
    people: int | None = Field(description="The preferred report's figure, persons; null where it gave a range only.")
    people_low: int | None = Field(description="Lowest low of the standing reports, persons; null where none gave one.")
    people_high: int | None = Field(description="Highest high of the standing reports, persons; null where none gave one.")
    qualifier: Qualifier | None
    includes_combatants: Combatants


class TrappedPopulationKind(Kind[TrappedPopulation]):
    """Reads head counts: the range is the envelope, a contradiction is two ranges that do not meet."""

    name = "trapped_population"
    collection = "trapped-populations"
    title = "Trapped populations"
    description = "How many people are trapped, besieged, encircled or out of reach."
    horizon_days = 60
    filter_field = "concept"
    range_fields = frozenset({"people_low", "people_high"})
    hxl = {
        "concept": "#indicator+definition",
        "people": "#affected+trapped+best",
        "people_low": "#affected+trapped+min",
        "people_high": "#affected+trapped+max",
        "qualifier": "#meta+qualifier",
        "includes_combatants": "#meta+combatants",
    }
    plot = RangePlot(low="people_low", best="people", high="people_high", qualifier="qualifier")
    code_labels = {
        "trapped_population": gettext_noop("People"),
        "trapped": gettext_noop("Trapped"),
        "besieged": gettext_noop("Besieged"),
        "hard_to_reach": gettext_noop("Hard to reach"),
        "encircled": gettext_noop("Encircled"),
        "at_risk": gettext_noop("At risk"),
        "in_need": gettext_noop("In need"),
        "remaining": gettext_noop("Remaining"),
    }
    situation_group = "trapped"
    situation_columns = tuple(
        (f"trapped.{concept}.{field}", f"#affected+{concept}{bound}", "integer")
        for concept in CONCEPTS
        for field, bound in (("people", "+best"), ("people_low", "+min"), ("people_high", "+max"))
    )
    value_model = TrappedPopulation
    assessment_model = TrappedPopulationReading
    example = {"concept": "trapped", "people": 300000, "qualifier": "about"}

    def summary(self, value: Mapping[str, Any], at: datetime) -> dict[str, Any]:
        """Return all but whether combatants are counted."""
        return {name: value[name] for name in ("concept", "people", "people_low", "people_high", "qualifier")}

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by the order of the concepts, then by place."""
        return CONCEPTS.index(summary["concept"]), place

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `held` where people are trapped, besieged or encircled, with the highest figure."""
        figures = [value[name] for name in ("people_high", "people", "people_low") if value[name] is not None]
        if value["concept"] not in _HELD or not figures or not figures[0]:
            return None
        return Risk("held", value["concept"], figures[0])

    def contradicts(self, one: StatedValue[TrappedPopulation], other: StatedValue[TrappedPopulation]) -> bool:
        """Whether the two ranges do not meet."""
        return disjoint(one.value.range(), other.value.range())

    def combine(self, standing: Sequence[StatedValue[TrappedPopulation]]) -> Combined:
        """The preferred figure within the envelope of all."""
        preferred = standing[0].value
        low, high = envelope(said.value.range() for said in standing)
        reading = TrappedPopulationReading(
            concept=preferred.concept,
            people=preferred.people,
            people_low=low,
            people_high=high,
            qualifier=preferred.qualifier,
            includes_combatants=preferred.includes_combatants,
        )
        return Combined(reading.model_dump(mode="json"), 0)
