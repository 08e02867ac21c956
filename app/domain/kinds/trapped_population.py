"""Trapped populations: one indicator for each concept, because figures of different concepts cannot be compared."""

from collections.abc import Mapping
from datetime import datetime
from math import inf
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator
from typing_extensions import TypeAliasType

from app.domain.kinds.base import Kind, Severity
from app.domain.kinds.combining import Combined, Part, basis_of, claimed_range
from app.domain.kinds.showing import Clause, RangePlot, Risk, code_clause, gettext_noop
from app.domain.kinds.values import People, Value, check_people, closed_set, widened

Concept = TypeAliasType("Concept", Literal["trapped", "besieged", "hard_to_reach", "encircled", "at_risk", "in_need", "remaining"])
Qualifier = TypeAliasType("Qualifier", Literal["exact", "about", "nearly", "up_to", "more_than", "at_least"])
Combatants = TypeAliasType("Combatants", Literal["yes", "no", "unknown"])

CONCEPTS = closed_set(Concept)
# Concepts under which people cannot leave.
_HELD = frozenset({"trapped", "besieged", "encircled", "remaining"})


class TrappedPopulation(Value):
    """How many people are in a place, never how many came or left. At least one of the three figures is required."""

    concept: Concept = Field(description="What was counted. Each concept is an indicator of its own.")
    people: People | None = Field(default=None, description="The figure, persons.")
    people_low: People | None = Field(default=None, description="Low end of a range, persons.")
    people_high: People | None = Field(default=None, description="High end of a range, persons. `nearly 400,000` is a high without a low.")
    qualifier: Qualifier | None = Field(default=None, description="How the source qualified the figure.")
    includes_combatants: Combatants = Field(default="unknown", description="Whether combatants are counted.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_people(self.people_low, self.people, self.people_high)
        return self

    def range(self) -> tuple[int | None, int | None]:
        """Return the lowest and highest number of persons: `nearly` has no low unless it is 0, `more_than` no high, others no margin."""
        low = self.people if self.people_low is None and self.qualifier not in ("nearly", "up_to") else self.people_low
        high = self.people if self.people_high is None and self.qualifier not in ("more_than", "at_least") else self.people_high
        return 0 if high == 0 else low, high


class TrappedPopulationReading(BaseModel):
    """Number of people under one concept, assessed; null where no report leads."""

    concept: Concept = Field(description="What was counted.")
    people: int | None = Field(description="Figure of the preferred report, persons; null if it gave only a range.")
    people_low: int | None = Field(
        description="Lowest low of the reports that count, persons; null if one of them leaves it open. Where nothing else would be "
        "said, the low of the preferred report."
    )
    people_high: int | None = Field(
        description="Highest high of the reports that count, persons; null if one of them leaves it open. Where nothing else would be "
        "said, the high of the preferred report, if it gave no low."
    )
    qualifier: Qualifier | None = Field(description="Qualifier of the preferred figure; null for none.")
    includes_combatants: Combatants | None = Field(description="Whether the preferred figure counts combatants.")


class TrappedPopulationKind(Kind[TrappedPopulation]):
    """Combine figures into one range; fewer people are better, and two ranges that do not meet contradict each other."""

    name = "trapped_population"
    collection = "trapped-populations"
    title = "Trapped populations"
    description = "How many people are trapped, besieged, encircled or out of reach."
    horizon_days = 60
    interval_days = 14
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
    counts_stock = True
    part_of = {
        ("trapped", "remaining"): gettext_noop("people who are trapped in a place are still there"),
        ("encircled", "remaining"): gettext_noop("people who are encircled in a place are still there"),
        ("besieged", "remaining"): gettext_noop("people who are besieged in a place are still there"),
        # OCHA (2016): besieged is an area that armed actors surround, so that aid cannot enter and civilians cannot leave regularly.
        ("besieged", "encircled"): gettext_noop("the UN counts as besieged only people who are encircled"),
        # OCHA's figures for Syria: people in hard-to-reach areas, including those in besieged ones.
        ("besieged", "hard_to_reach"): gettext_noop("the UN counts besieged areas among those that are hard to reach"),
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
        "combatants_included": gettext_noop("combatants included"),
        "because_trapped": gettext_noop("people are trapped"),
        "because_besieged": gettext_noop("people are besieged"),
        "because_encircled": gettext_noop("people are encircled"),
        "because_remaining": gettext_noop("people remain inside"),
    }
    situation_group = "trapped"
    summary_fields = ("concept", "people", "people_low", "people_high", "qualifier", "includes_combatants")
    situation_columns = tuple(
        (f"trapped.{concept}.{field}", f"#affected+{concept}{bound}", "integer")
        for concept in CONCEPTS
        for field, bound in (("people", "+best"), ("people_low", "+min"), ("people_high", "+max"))
    )
    value_model = TrappedPopulation
    assessment_model = TrappedPopulationReading
    example = {"concept": "trapped", "people": 300000, "qualifier": "about"}

    def details(self, value: Mapping[str, Any]) -> list[Clause]:
        """Return that combatants are counted, if they are."""
        is_mixed = value.get("includes_combatants") == "yes"
        return [code_clause("combatants_included", path="includes_combatants")] if is_mixed else []

    def sort_key(self, summary: Mapping[str, Any], place: str) -> tuple[Any, ...]:
        """Sort by the order of the concepts, then by place."""
        return CONCEPTS.index(summary["concept"]), place

    def risk(self, value: Mapping[str, Any], at: datetime) -> Risk | None:
        """Return `held` if people are trapped, besieged, encircled or remain, by any report that counts: more than 0, or no high.

        Its figure is the preferred one, unless that is 0, else the highest, else the lowest.
        """
        name = next((name for name in ("people", "people_high", "people_low") if value[name]), None)
        if value["concept"] not in _HELD or (name is None and value["people_high"] is not None):
            return None
        return Risk("held", value["concept"], value[name] if name else 0, figure=name or "")

    def severity(self, value: TrappedPopulation) -> Severity:
        """Return the range of persons, by half a unit of the last significant digit wider on either side unless it is exact."""
        low, high = value.range() if value.qualifier == "exact" else widened(value.range())
        return (-inf if low is None else low,), (inf if high is None else high,)

    def combine(self, part: Part[TrappedPopulation]) -> Combined:
        """Rule 8: return the preferred figure, and the range from the lowest low to the highest high."""
        assert part.preferred is not None
        preferred = part.preferred.value
        low, high = claimed_range([each.value.range() for each in part.in_order()], has_figure=preferred.people is not None)
        assessed = TrappedPopulationReading(**dict(preferred) | {"people_low": low, "people_high": high})
        figures = {
            "people": (preferred.people, lambda value: value.people),
            "people_low": (low, lambda value: value.range()[0]),
            "people_high": (high, lambda value: value.range()[1]),
        }
        spread = None if not low or high is None else round(high / low, 2)
        return Combined(assessed.model_dump(mode="json"), basis_of(part.in_order(), figures), spread)
