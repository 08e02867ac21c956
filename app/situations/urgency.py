"""The urgency of a situation, by which the board sorts places. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import inf
from typing import Any

from app.domain.kinds import KINDS
from app.domain.kinds.base import Kind, Risk

URGENCIES = ("critical", "serious", "watch", "quiet")


@dataclass(frozen=True, slots=True, order=True)
class Urgency:
    """The sort key of a place: its level (0 is the worst), days to the soonest due date, people held as a negative number, name."""

    rank: int
    days: float
    negative_people: int
    name: str

    @property
    def level(self) -> str:
        """`critical`, `serious`, `watch` or `quiet`."""
        return URGENCIES[self.rank]


def urgency(situation: Mapping[str, Any]) -> Urgency:
    """Return the urgency of a situation, from the risks of its recent items; stale items do not count.

    Critical: people are held, and people are short of something. Serious: one of the two. Watch: neither. Quiet: no recent item.
    """
    at = datetime.fromisoformat(situation["as_of"])
    risks: list[Risk] = []
    due_dates: list[date] = []
    recent = 0
    for kind, values in _recent_values(situation):
        found = [risk for value in values if (risk := kind.risk(value, at)) is not None]
        if len(found) == len(values) or not kind.risk_needs_all:
            risks += found
        due_dates += [due for value in values if (due := kind.due_date(value)) is not None]
        recent += len(values)
    return Urgency(
        rank=2 - len({risk.state for risk in risks}) if recent else URGENCIES.index("quiet"),
        days=(min(due_dates) - at.date()).days if due_dates else inf,
        negative_people=-max((risk.people for risk in risks), default=0),
        name=situation["place"]["name"],
    )


def _recent_values(situation: Mapping[str, Any]) -> Iterator[tuple[Kind[Any], list[Mapping[str, Any]]]]:
    groups = {"trapped": situation["trapped"], "supplies": situation["supplies"], "routes": situation["routes"]["items"]}
    for kind in KINDS.values():
        if kind.situation_group == "other":
            yield kind, [each["value"] for each in situation["other"] if each["kind"] == kind.name and not each["stale"]]
        else:
            yield kind, [each for each in groups[kind.situation_group] if not each["stale"]]
