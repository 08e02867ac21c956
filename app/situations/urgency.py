"""Which places come first on the board. Pure, and shown on the board in words, so that anyone can tell why a place stands where."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

LEVELS = ("critical", "serious", "watch", "quiet")
SHORT_DAYS = 7
# The concepts under which people cannot leave.
_HELD = frozenset({"trapped", "besieged", "encircled"})


@dataclass(frozen=True, slots=True, order=True)
class Urgency:
    """Where a place stands: its level (0 is the worst), days to the soonest run-out, persons as a negative number, the name."""

    rank: int
    days: float
    fewer_people: int
    name: str

    @property
    def level(self) -> str:
        """`critical`, `serious`, `watch` or `quiet`."""
        return LEVELS[self.rank]


def urgency(situation: Mapping[str, Any]) -> Urgency:
    """How urgent one situation is, by what was said recently (nothing stale counts).

    Short: a supply ran out, or falls due within 7 days or is past due without an outcome. Held: people are trapped, besieged or
    encircled, or every known route is closed. Critical is both, serious one of the two, watch neither, quiet nothing recent.
    """
    trapped = [each for each in situation["trapped"] if not each["stale"]]
    supplies = [each for each in situation["supplies"] if not each["stale"]]
    routes = [each for each in situation["routes"]["items"] if not each["stale"]]
    held_people = [_people(each) for each in trapped if each["concept"] in _HELD]
    days = min((each["days_left"] for each in supplies if each["days_left"] is not None and each["outcome"] == "pending"), default=inf)
    short = days <= SHORT_DAYS or any(each["state"] == "ran_out" for each in supplies)
    held = any(held_people) or bool(routes and all(each["status"] == "closed" for each in routes))
    if short and held:
        rank = 0
    elif short or held:
        rank = 1
    elif trapped or supplies or routes:
        rank = 2
    else:
        rank = 3
    return Urgency(rank, days, -max(held_people, default=0), situation["place"]["name"])


def _people(item: Mapping[str, Any]) -> int:
    figures = [item[name] for name in ("people_high", "people", "people_low") if item[name] is not None]
    return int(figures[0]) if figures else 0
